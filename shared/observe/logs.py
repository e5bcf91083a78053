"""Log set-up: one JSON object a line on stdout, UTC times, the service's name on each line.

Levels by blame: trouble of a receiver or a producer is ``info`` or ``warning``, ours is ``error``.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor


def configure_logs(service: str, level: str) -> None:
    """Send structlog and the standard library's logging to stdout as JSON lines."""

    def add_service(_: object, __: str, event: EventDict) -> EventDict:
        event["service"] = service  # not a context variable: threads would not have it
        return event

    shared: list[Processor] = [
        add_service,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiokafka", "faust", "mode", "kafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A coordinator that moves or starts is waited for, whatever aiokafka calls it.
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.CRITICAL)
