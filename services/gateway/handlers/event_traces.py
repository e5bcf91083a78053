"""An event's trace at the gateway: taken from the request, or begun, and handed on to Kafka.

What a caller said of its trace goes on to Kafka in any case, also that it is not sampled: whoever
reads ``events`` may trace where the gateway does not.
"""

from __future__ import annotations

from shared.models.events import TRACE_HEADER, Event
from shared.observe.traces import Context, Span, Tracer, is_traceparent
from shared.topics import EVENTS

Headers = tuple[tuple[str, bytes], ...]


def trace_headers(traces: Tracer, event: Event) -> Headers:
    """Return the headers of the event's record that say in which trace it is."""
    entry = traces.entry(event.traceparent, event.workspace_id, event.id)
    if entry is not None:
        return ((TRACE_HEADER, str(_own(entry, event)).encode()),)
    if event.traceparent and is_traceparent(event.traceparent):
        return ((TRACE_HEADER, event.traceparent.encode()),)
    return ()


def record_published(traces: Tracer, event: Event, started_ms: int) -> None:
    """Record the span of an event that Kafka has acknowledged, if it is traced."""
    entry = traces.entry(event.traceparent, event.workspace_id, event.id)
    if entry is None:
        return
    traces.record(
        Span(
            "publish",
            "producer",
            _own(entry, event),
            entry,
            started_ms,
            traces.now_ms(),
            (
                ("messaging.system", "kafka"),
                ("messaging.destination.name", EVENTS.name),
                ("hooklane.workspace.id", event.workspace_id),
                ("hooklane.event.id", event.id),
                ("hooklane.event.type", event.type),
            ),
        )
    )


def _own(entry: Context, event: Event) -> Context:
    return entry.child("publish", event.id)
