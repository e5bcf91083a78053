"""What an attempt leaves behind besides its record: a line in the log, and a span.

One canonical line for each attempt, with all that somebody who searches would search for; a setting
says for which ones, since a line costs twice what a delivery does (85 and 40 µs).
"""

from __future__ import annotations

from typing import Final

import structlog
from msgspec.structs import replace

from shared.config import AttemptLog
from shared.models.attempts import Attempt
from shared.models.deliveries import DeliveryMeta
from shared.observe.traces import OFF, Attributes, Context, Span, Tracer, trace_id_of

_log = structlog.get_logger("delivery")


class Trail:
    """Leaves lines and spans. One for each worker."""

    def __init__(self, *, lines: AttemptLog = "failures", traces: Tracer = OFF) -> None:
        self._traces = traces
        self._of_successes: Final = lines == "all"
        self._of_failures: Final = lines != "none"

    def leave(self, meta: DeliveryMeta, attempt: Attempt) -> Attempt:
        """Return the attempt as it is to be recorded: with its place in a trace, if it is in one.

        ``meta`` is what its record in ``deliveries`` says.
        """
        if meta.traceparent:
            attempt = self._traced(meta, attempt)
        if self._of_successes if attempt.status == "success" else self._of_failures:
            _tell(attempt)
        return attempt

    def _traced(self, meta: DeliveryMeta, attempt: Attempt) -> Attempt:
        parent = self._traces.within(meta.traceparent)
        if parent is None:
            return attempt
        own = parent.child("attempt", *meta.identity(attempt.endpoint_id), str(attempt.attempt))
        self._traces.record(_span(attempt, own, parent))
        return replace(attempt, traceparent=str(own))


def _span(attempt: Attempt, own: Context, parent: Context) -> Span:
    error = None
    attributes: Attributes = (
        ("http.request.method", "POST"),
        ("hooklane.workspace.id", attempt.workspace_id),
        ("hooklane.endpoint.id", attempt.endpoint_id),
        ("hooklane.event.id", attempt.event_id),
        ("hooklane.delivery.id", attempt.delivery_id()),
        ("hooklane.trigger", attempt.trigger),
        ("hooklane.attempt", attempt.attempt),
    )
    if attempt.status_code is not None:
        attributes = (*attributes, ("http.response.status_code", attempt.status_code))
    if attempt.status != "success":
        error = attempt.error or str(attempt.status_code)
        attributes = (*attributes, ("error.type", error))
    return Span(
        "POST", "client", own, parent, attempt.started_ms, attempt.ended_ms, attributes, error
    )


def _tell(attempt: Attempt) -> None:
    """Write the line. Nothing in it is the customer's but ids and the type's name."""
    _log.info(
        "attempt",
        status=attempt.status,
        workspace_id=attempt.workspace_id,
        endpoint_id=attempt.endpoint_id,
        event_id=attempt.event_id,
        event_type=attempt.event_type,
        delivery_id=attempt.delivery_id(),
        trigger=attempt.trigger,
        attempt=attempt.attempt,
        status_code=attempt.status_code,
        error=attempt.error,
        response_time_ms=attempt.response_time_ms,
        since_accepted_ms=attempt.ended_ms - attempt.accepted_ms,
        final=attempt.final,
        reason=attempt.reason,
        next_attempt_ms=attempt.next_attempt_ms,
        trace_id=trace_id_of(attempt.traceparent),
    )
