"""Spans on their way to a collector: OTLP over HTTP, from a thread of its own.

Nobody waits for a collector. Spans gather in a bounded queue, which a thread empties every
``EVERY_S``; what does not fit is dropped, and counted, as is what the collector does not take. The
client repeats a request that failed for a few seconds, with growing pauses.

This is the only file that imports OpenTelemetry, and it is imported only where traces are on.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Final, Protocol

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from shared.observe import metrics
from shared.observe.traces import Context, Span

QUEUE_MAX: Final = 20_000
BATCH_MAX: Final = 512
EVERY_S: Final = 1.0
REQUEST_TIMEOUT_S: Final = 5.0
CLOSE_WITHIN_S: Final = 3.0

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_KINDS: Final = {kind.name.lower(): kind for kind in SpanKind}

logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what fails is told below, once

_log = structlog.get_logger("traces")


class Collector(Protocol):
    """Takes batches; OpenTelemetry's exporter."""

    def export(self, spans: list[ReadableSpan]) -> SpanExportResult:
        """Send a batch; returns whether it was taken."""

    def shutdown(self) -> None:
        """Give up what is under way."""


class Exporter:
    """Takes spans of any thread and sends them until ``close``."""

    def __init__(self, collector: Collector, service: str) -> None:
        self._collector = collector
        self._resource = Resource({"service.name": f"hooklane-{service}"})
        self._queue: deque[Span] = deque()
        self._dropped = 0
        self._closing = threading.Event()
        self._reported = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def offer(self, span: Span) -> None:
        """Take a span, or drop it where too many wait."""
        if len(self._queue) < QUEUE_MAX:
            self._queue.append(span)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Send what waits, within ``CLOSE_WITHIN_S``; the rest is lost."""
        self._closing.set()
        self._thread.join(CLOSE_WITHIN_S)
        self._collector.shutdown()

    def _run(self) -> None:
        while not self._closing.wait(EVERY_S):
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            metrics.SPANS.labels("dropped").inc(dropped)
        while self._queue:
            count = min(len(self._queue), BATCH_MAX)
            self._send([self._queue.popleft() for _ in range(count)])

    def _send(self, spans: list[Span]) -> None:
        taken = self._collector.export([_readable(span, self._resource) for span in spans])
        is_taken = taken is SpanExportResult.SUCCESS
        metrics.SPANS.labels("exported" if is_taken else "failed").inc(len(spans))
        if not is_taken and not self._reported:
            _log.warning("traces_not_taken", spans=len(spans))
        self._reported = not is_taken


def open_exporter(url: str, service: str) -> Exporter:
    """Return a started exporter to the collector at ``url``, with its path (``/v1/traces``)."""
    exporter = Exporter(OTLPSpanExporter(endpoint=url, timeout=REQUEST_TIMEOUT_S), service)
    exporter.start()
    return exporter


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    return ReadableSpan(
        span.name,
        context=_context(span.context),
        parent=_context(span.parent) if span.parent.span_id else None,
        resource=resource,
        attributes=dict(span.attributes),
        kind=_KINDS[span.kind],
        status=Status(StatusCode.UNSET if span.error is None else StatusCode.ERROR, span.error),
        start_time=span.start_ms * 1_000_000,
        end_time=span.end_ms * 1_000_000,
    )


def _context(context: Context) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=_SAMPLED
    )
