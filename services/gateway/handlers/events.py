"""Publishing events over HTTP, with the checks that fan-out would make of them on Kafka.

An event goes onto ``events`` as a Kafka producer would put it there; the workspace is the caller's,
id and creation time are filled in. What fan-out would put into ``events.rejected`` is refused here
with the same reason.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from services.gateway import metrics
from services.gateway.auth import Caller
from services.gateway.errors import TooLarge
from services.gateway.event_schemas import BATCH_EVENTS_MAX, BatchResult, EventProblem
from services.gateway.handlers.event_traces import Headers, record_published, trace_headers
from services.gateway.idempotency import Origin
from services.gateway.ports import Ports
from shared.kafka.publisher import Record
from shared.models.errors import Invalid, Poison
from shared.models.events import Coordinates, Defaults, Event, decode_event
from shared.rendering.envelope import Envelope
from shared.topics import BODY_BYTES_MAX

PUBLISH_TIMEOUT_MS: Final = 5_000
RECORD_OVERHEAD_BYTES_MAX: Final = 1_024
"""What a record on ``events`` needs besides its value: batch header, key, varints."""

EVENT_BYTES_MAX: Final = BODY_BYTES_MAX - RECORD_OVERHEAD_BYTES_MAX
_SPACE: Final = b" \t\r\n"
_scanner: Final = json.JSONDecoder(parse_int=str, parse_float=str)


class Posted(NamedTuple):
    """An event as somebody sent it: a record's value, and the headers that say how to read it."""

    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


Renew = Callable[[Caller], Awaitable[Caller]]
"""Looks the caller's event types up again: one that is unknown may have been made just now."""


class Intake:
    """Takes the events of one call. What they have in common is worked out once, not for each."""

    def __init__(self, ports: Ports, caller: Caller, origin: Origin) -> None:
        self._topic = ports.events_topic
        self._traces = ports.traces
        self._workspace_id = caller.workspace_id
        self._key = caller.workspace_id.encode()
        self._profile = caller.profile
        self._envelope = Envelope(caller.profile)
        self._origin = origin
        self._canonical: dict[str, str] = {}  # of the types that may be published

    def take(self, posted: Posted, index: int = 0) -> tuple[Event, Record]:
        """Return the event at ``index`` of the call and its record; raises Poison with the reason,
        which is that of fan-out, where that would reject it."""
        event = decode_event(
            posted.value,
            posted.headers,
            Coordinates("", 0, index, self._origin.time_ms),
            Defaults(workspace_id=self._workspace_id, id=self._origin.event_id(index)),
        )
        self._check(event)
        value = _value(event)
        if len(value) > EVENT_BYTES_MAX:
            raise Poison(f"the event has {len(value)} bytes; {EVENT_BYTES_MAX} are allowed")
        headers: Headers = ()
        if event.traceparent or self._traces.on:
            headers = trace_headers(self._traces, event)
        return event, Record(self._topic, self._key, value, headers)

    def _check(self, event: Event) -> None:
        if event.workspace_id != self._workspace_id:
            raise Poison(
                "workspace_id is not that of your credential; leave it out", field="workspace_id"
            )
        self._envelope.render(
            event_id=event.id,
            event_type=self._published_as(event.type),
            created=event.created,
            workspace_id=event.workspace_id,
            data=event.data,
        )

    def _published_as(self, event_type: str) -> str:
        """Return the canonical name of a type; raises Poison where nobody may publish it."""
        known = self._canonical.get(event_type)
        if known is not None:
            return known
        problem = self._profile.publication_problem(event_type)
        if problem is not None:
            raise Poison(problem, field="type")
        canonical = self._profile.canonical(event_type)
        self._canonical[event_type] = canonical
        return canonical


class _Written(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An event as it goes onto Kafka: native, ``data`` as its publisher wrote it."""

    id: str
    type: str
    workspace_id: str
    created: str
    data: msgspec.Raw
    channels: tuple[str, ...] = ()


def _value(event: Event) -> bytes:
    return msgspec.json.encode(
        _Written(
            event.id,
            event.type,
            event.workspace_id,
            event.created,
            msgspec.Raw(event.data),
            event.channels,
        )
    )


async def publish(
    ports: Ports, caller: Caller, posted: Posted, origin: Origin, renewed: Renew
) -> str:
    """Publish one event; returns its id when Kafka has acknowledged it.

    Raises Poison with the reason, or Outage: then the event may or may not be published. A repeat
    with an id of the caller's own, or of an origin with the same key, is the same event.
    """
    try:
        taken = await _taken_now(ports, caller, posted, origin, renewed)
    except Poison:
        metrics.EVENTS_REJECTED.inc()
        raise
    await _send(ports, [taken])
    return taken[0].id


async def publish_batch(
    ports: Ports, caller: Caller, batch: Sequence[Posted], origin: Origin, renewed: Renew
) -> list[BatchResult]:
    """Publish events; one result for each, in order.

    Returns when Kafka has acknowledged every accepted one; raises Outage as ``publish`` does.
    """
    if len(batch) > BATCH_EVENTS_MAX:
        raise TooLarge(
            f"the batch has {len(batch)} events; {BATCH_EVENTS_MAX} are allowed, so split it"
        )
    results, accepted = _taken(Intake(ports, caller, origin), batch)
    if any(result.error is not None and result.error.field == "type" for result in results):
        results, accepted = _taken(Intake(ports, await renewed(caller), origin), batch)
    metrics.EVENTS_REJECTED.inc(len(results) - len(accepted))
    if accepted:
        await _send(ports, accepted)
    return results


async def _send(ports: Ports, accepted: Sequence[tuple[Event, Record]]) -> None:
    """Publish events; returns when Kafka has acknowledged all of them, or raises Outage."""
    started_ms = ports.now_ms()
    await ports.sink.publish_within([record for _, record in accepted], PUBLISH_TIMEOUT_MS)
    metrics.EVENTS_ACCEPTED.inc(len(accepted))
    if ports.traces.on:
        for event, _ in accepted:
            record_published(ports.traces, event, started_ms)


async def _taken_now(
    ports: Ports, caller: Caller, posted: Posted, origin: Origin, renewed: Renew
) -> tuple[Event, Record]:
    try:
        return Intake(ports, caller, origin).take(posted)
    except Poison as poison:
        if poison.field != "type":
            raise
        return Intake(ports, await renewed(caller), origin).take(posted)


def _taken(
    intake: Intake, batch: Iterable[Posted]
) -> tuple[list[BatchResult], list[tuple[Event, Record]]]:
    """Return a result for each event, and those that are accepted with their records."""
    results: list[BatchResult] = []
    accepted: list[tuple[Event, Record]] = []
    for index, posted in enumerate(batch):
        try:
            event, record = intake.take(posted, index)
        except Poison as poison:
            problem = EventProblem(detail=poison.reason, field=poison.field)
            results.append(BatchResult(status="rejected", error=problem))
        else:
            accepted.append((event, record))
            results.append(BatchResult(status="accepted", id=event.id))
    return results, accepted


def split_array(body: bytes) -> list[bytes]:
    """Return the items of a JSON array as they are written; raises Invalid."""
    try:
        return [bytes(item) for item in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except msgspec.ValidationError:
        raise Invalid("the batch must be a JSON array of events") from None
    except (msgspec.DecodeError, RecursionError):
        return _split_array_slowly(body)


def split_lines(body: bytes) -> list[bytes]:
    """Return the lines of an NDJSON body that are not blank."""
    return [line for line in body.split(b"\n") if line.strip(_SPACE)]


def _split_array_slowly(body: bytes) -> list[bytes]:
    """Do as ``split_array`` for escaped lone surrogates, which only the standard library reads."""
    try:
        return [item.encode() for item in _items(body.decode().strip())]
    except (ValueError, IndexError, RecursionError) as error:
        raise Invalid(f"the batch is not a JSON array of events: {error}") from None


def _items(text: str) -> Iterator[str]:
    """Yield the items of the array ``text``; raises ValueError or IndexError where it is none."""
    if not text.startswith("["):
        raise ValueError("'[' is expected")
    at = _skip(text, 1)
    while text[at] != "]":
        _, end = _scanner.raw_decode(text, at)
        yield text[at:end]
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
            if text[at] == "]":
                raise ValueError(f"an event is expected at character {at}")
        elif text[at] != "]":
            raise ValueError(f"',' or ']' is expected at character {at}")
    if at + 1 != len(text):
        raise ValueError(f"nothing may follow the array at character {at + 1}")


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
