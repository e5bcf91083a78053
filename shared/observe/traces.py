"""Traces: an event's way from its producer to the log as spans, one trace id from end to end. Pure.

The context travels as W3C's ``traceparent`` (https://www.w3.org/TR/trace-context/): into Hooklane
in a header of the request or of the Kafka record, inside in what the records say of a delivery. A
context that its producer did not sample is not carried on; an event without one begins a trace
here, for a share (``ratio``) of the events. Nothing but sampled contexts is ever carried, so what
is not traced costs one look at an empty text.

Ids are derived, not drawn: the trace that begins here has its id from the event's, and a span has
its own from its parent's and from what it is about. So gateway and fan-out agree whether an event
is sampled, and what is done twice after a crash is the same span.

Must not know who takes the spans, and how: ``shared.observe.otlp`` does that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

import msgspec

_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_SAMPLED: Final = 1
_TRACEPARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)

Kind = Literal["producer", "consumer", "client", "internal"]
Attributes = tuple[tuple[str, str | int], ...]


class Context(NamedTuple):
    """A place in a sampled trace, in hex. ``span_id`` is empty where the trace begins."""

    trace_id: str
    span_id: str

    def child(self, *about: str) -> Context:
        """Return the place of a span below this one, the same for the same words."""
        text = "\x00".join((self.trace_id, self.span_id, *about))
        return Context(self.trace_id, blake2b(text.encode(), digest_size=8).hexdigest())

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"


class Span(msgspec.Struct, frozen=True, gc=False):
    """Something that was done, from ``start_ms`` to ``end_ms`` (Unix). ``error``: how it failed."""

    name: str
    kind: Kind
    context: Context
    parent: Context
    start_ms: int
    end_ms: int
    attributes: Attributes = ()
    error: str | None = None


Sink = Callable[[Span], None]
"""Takes a span; never waits, never raises, may drop it."""


class Tracer:
    """The one way in for services: what to trace, and where spans go."""

    def __init__(self, *, ratio: float, sink: Sink | None, now_ms: Callable[[], int]) -> None:
        self._below = int(ratio * (1 << 64))
        self._sink = sink
        self.on = sink is not None
        self.now_ms = now_ms

    def entry(self, traceparent: str, workspace_id: str, event_id: str) -> Context | None:
        """Return what an event's first span here is below of, None where it is not traced.

        ``traceparent`` is what came with the event, empty for nothing; what is no traceparent
        counts as nothing.
        """
        if not self.on:
            return None
        found = _parsed(traceparent) if traceparent else None
        if found is None:
            return self._begun(workspace_id, event_id) if self._below else None
        return found.context if found.sampled else None

    def within(self, traceparent: str | None) -> Context | None:
        """Return the place that a record of ours names, None where it is not traced."""
        if not traceparent or not self.on:
            return None
        found = _parsed(traceparent)
        return found.context if found is not None and found.sampled else None

    def record(self, span: Span) -> None:
        """Hand a span over."""
        if self._sink is not None:
            self._sink(span)

    def _begun(self, workspace_id: str, event_id: str) -> Context | None:
        """Return the beginning of an event's trace, if it is among the share that is sampled."""
        text = f"{workspace_id}\x00{event_id}"
        trace = blake2b(text.encode(), digest_size=16).digest()
        sampled = int.from_bytes(trace[8:], "big") < self._below
        return Context(trace.hex(), "") if sampled else None


OFF: Final = Tracer(ratio=0.0, sink=None, now_ms=lambda: 0)
"""Traces nothing."""


def is_traceparent(text: str) -> bool:
    """Return whether ``text`` is a traceparent that W3C allows."""
    return _parsed(text) is not None


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace id in a traceparent of our own."""
    return traceparent[3:35] if traceparent else None


class _Parsed(NamedTuple):
    context: Context
    sampled: bool


def _parsed(text: str) -> _Parsed | None:
    """Return what a traceparent says, None for what is none; later versions may say more."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    context = Context(found["trace"], found["span"])
    if context.trace_id == _NO_TRACE or context.span_id == _NO_SPAN:
        return None
    return _Parsed(context, bool(int(found["flags"], 16) & _SAMPLED))
