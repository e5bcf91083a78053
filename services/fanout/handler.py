"""From a batch of event records to the records that follow from it.

``plan`` is pure: records in, records out. It is total: whatever a producer wrote becomes deliveries
(none, one or many) or one rejected record with a reason, never an exception. ``FanoutHandler`` adds
the two waits around it: the read barrier before, the broker's acknowledgement after. It returns
only when both are done, so that the caller may commit.

Must not import Faust: that stays in ``app``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, get_args

import msgspec
import structlog
from aiokafka.structs import ConsumerRecord

from services.fanout import metrics
from shared.kafka.publisher import Position, Record
from shared.kafka.salvage import DAMAGED_HEADER
from shared.models.deliveries import META_HEADER, TRIGGER_EVENT, DeliveryMeta, encode_meta
from shared.models.endpoints import EndpointState, PayloadFormat
from shared.models.errors import Poison
from shared.models.events import Coordinates, Event, decode_event
from shared.models.operational import OPERATIONAL, OPERATIONAL_HEADER
from shared.models.rejected import (
    CUT_HEADER,
    FIELD_HEADER,
    ORIGIN_HEADER,
    REASON_HEADER,
    WORKSPACE_HEADER,
    Place,
    workspaces_named,
)
from shared.observe.traces import OFF, Context, Span, Tracer
from shared.policy.matching import Registry
from shared.profiles.profile import Profile
from shared.rendering.envelope import Envelope
from shared.topics import BODY_BYTES_MAX, EVENTS

KEPT_BYTES_MAX: Final = BODY_BYTES_MAX
CUT_TO_BYTES: Final = 65_536
FORMATS: Final[tuple[PayloadFormat, ...]] = get_args(PayloadFormat)
HEADER_OVERHEAD_BYTES: Final = 10  # two lengths, of up to five bytes each

_Headers = dict[int, tuple[tuple[str, bytes], ...]]
"""A record's headers by the revision of the endpoint."""

_log = structlog.get_logger("fanout")


class Barrier(Protocol):
    """Waits until the endpoint view holds everything acknowledged so far."""

    async def catch_up(self) -> None:
        """Return when it does."""


class Sink(Protocol):
    """Publishes records; returns when the broker has acknowledged all of them."""

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        """Publish."""


class Traced(NamedTuple):
    """A traced event: where it comes from, where its span is, and what follows from it."""

    event: Event
    event_type: str
    entry: Context
    own: Context
    follows: Sequence[Record]


class Planner:
    """Turns event records into delivery records and rejections. Pure but for the registry."""

    def __init__(
        self,
        *,
        registry: Registry,
        profiles: Mapping[str, Profile],
        deliveries_topic: str,
        rejected_topic: str,
        traces: Tracer = OFF,
    ) -> None:
        self._registry = registry
        self._envelopes = {
            (name, payload_format): Envelope(profile, payload_format)
            for name, profile in profiles.items()
            for payload_format in FORMATS
        }
        self._deliveries_topic = deliveries_topic
        self._rejected_topic = rejected_topic
        self._traces = traces
        self.traced: list[Traced] = []  # the events of the last plan that are traced

    def plan(self, records: Iterable[ConsumerRecord[bytes, bytes]]) -> list[Record]:
        """Return everything that follows from ``records``, in their order."""
        follows: list[Record] = []
        self.traced = []
        for record in records:
            try:
                follows.extend(self._deliveries(record))
            except Poison as poison:
                metrics.REJECTED.inc()
                _log.info(
                    "event_rejected",
                    reason=poison.reason,
                    partition=record.partition,
                    offset=record.offset,
                )
                follows.append(self._rejection(record, poison))
        return follows

    def _deliveries(self, record: ConsumerRecord[bytes, bytes]) -> list[Record]:
        event = _read(record)
        profile = self._registry.profile_of(event.workspace_id)
        if profile is None:
            raise Poison(f"unknown workspace {event.workspace_id[:64]!r}", field="workspace_id")
        if event.type not in OPERATIONAL or not _is_ours(record):
            problem = profile.publication_problem(event.type)
            if problem is not None:
                raise Poison(problem, field="type")
        event_type = profile.canonical(event.type)
        # Rendered in the profile's format whoever gets it: what that cannot hold is rejected.
        current: PayloadFormat = "profile"
        body = self._render(profile, current, event, event_type)
        # All that differs between two endpoints is revision and format; mostly not even that.
        headers: _Headers = {}
        kept = {current: (body, headers)}
        traceparent = ""
        entry = self._traces.entry(event.traceparent, event.workspace_id, event.id)
        follows: list[Record] = []
        if entry is not None:
            own = entry.child("fanout", event.id)
            traceparent = str(own)
            self.traced.append(Traced(event, event_type, entry, own, follows))
        workspace = self._registry.workspaces[event.workspace_id]
        for endpoint in self._registry.match(event.workspace_id, event_type, event):
            if endpoint.payload_format != current:
                current = endpoint.payload_format
                if current not in kept:
                    kept[current] = self._render(profile, current, event, event_type), {}
                body, headers = kept[current]
            revision = endpoint.revision
            if revision not in headers:
                meta = _meta(event, event_type, endpoint, workspace.revision, traceparent)
                headers[revision] = ((META_HEADER, meta),)
            follows.append(
                Record(self._deliveries_topic, endpoint.id.encode(), body, headers[revision])
            )
        return follows

    def _render(
        self, profile: Profile, payload_format: PayloadFormat, event: Event, event_type: str
    ) -> bytes:
        return self._envelopes[profile.name, payload_format].render(
            event_id=event.id,
            event_type=event_type,
            created=event.created,
            workspace_id=event.workspace_id,
            data=event.data,
        )

    def _rejection(self, record: ConsumerRecord[bytes, bytes], poison: Poison) -> Record:
        """Return the record as received, with headers that say why, whose and where from it is.

        Producers compress better than we do, so what fitted into ``events`` may be too large for
        ``events.rejected``. Of such a record the beginning is kept; the rest is at its origin.
        """
        place = Place(record.topic, record.partition, record.offset, record.timestamp)
        given = tuple(record.headers)
        added = (
            (REASON_HEADER, poison.reason.encode("utf-8", "replace")[:1_000]),
            (FIELD_HEADER, (poison.field or "").encode()),
            (ORIGIN_HEADER, msgspec.json.encode(place)),
            *self._whose(record),
        )
        size = len(record.key or b"") + len(record.value or b"")
        size += sum(
            len(name.encode()) + len(value or b"") + HEADER_OVERHEAD_BYTES for name, value in given
        )
        if size > KEPT_BYTES_MAX:
            beginning = (record.value or b"")[:CUT_TO_BYTES]
            cut = (CUT_HEADER, str(size).encode())
            return Record(self._rejected_topic, None, beginning, (*added, cut))
        return Record(self._rejected_topic, record.key, record.value, given + added)

    def _whose(self, record: ConsumerRecord[bytes, bytes]) -> Iterable[tuple[str, bytes]]:
        """Yield the header with the workspace of a rejected record, if one can be told."""
        given = {name: value or b"" for name, value in record.headers}
        for workspace_id in workspaces_named(record.value, given):
            if self._registry.profile_of(workspace_id) is not None:
                yield WORKSPACE_HEADER, workspace_id.encode()
                return


def _read(record: ConsumerRecord[bytes, bytes]) -> Event:
    headers = tuple((name, value or b"") for name, value in record.headers)
    for name, value in headers:
        if name == DAMAGED_HEADER:
            raise Poison(value.decode("utf-8", "replace"))
    at = Coordinates(record.topic, record.partition, record.offset, record.timestamp)
    return decode_event(record.value, headers, at)


def _is_ours(record: ConsumerRecord[bytes, bytes]) -> bool:
    """Return whether Hooklane itself tells this; whoever may write ``events`` is trusted."""
    return any(name == OPERATIONAL_HEADER for name, _ in record.headers)


def _meta(
    event: Event,
    event_type: str,
    endpoint: EndpointState,
    workspace_revision: int,
    traceparent: str,
) -> bytes:
    return encode_meta(
        DeliveryMeta(
            event_id=event.id,
            event_type=event_type,
            workspace_id=event.workspace_id,
            attempt=1,
            trigger=TRIGGER_EVENT,
            revision=endpoint.revision,
            accepted_ms=event.accepted_ms,
            due_ms=event.accepted_ms,
            payload_format=endpoint.payload_format,
            workspace_revision=workspace_revision,
            traceparent=traceparent,
        )
    )


class FanoutHandler:
    """Handles one batch at a time; returns when all that follows from it is acknowledged."""

    def __init__(
        self, *, planner: Planner, barrier: Barrier, sink: Sink, traces: Tracer = OFF
    ) -> None:
        self._planner = planner
        self._traces = traces
        self._barrier = barrier
        self._sink = sink

    async def handle(self, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        """Match the records and publish what follows.

        Cancelled in the middle, it may have published a part; the batch is then read again and the
        delivery workers drop what they know by its deterministic identity.
        """
        started_ms = self._traces.now_ms()
        await self._barrier.catch_up()
        follows = self._planner.plan(records)
        if follows:
            await self._sink.publish(follows)
        metrics.EVENTS.inc(len(records))
        metrics.PUBLISHED.inc(len(follows))
        if self._planner.traced:
            ended_ms = self._traces.now_ms()
            for one in self._planner.traced:
                self._traces.record(_span(one, started_ms, ended_ms))


def _span(traced: Traced, started_ms: int, ended_ms: int) -> Span:
    """Return the span of an event's way through here, its batch's wait for Kafka included."""
    event = traced.event
    return Span(
        "fan out",
        "consumer",
        traced.own,
        traced.entry,
        started_ms,
        ended_ms,
        (
            ("messaging.system", "kafka"),
            ("messaging.destination.name", EVENTS.name),
            ("hooklane.workspace.id", event.workspace_id),
            ("hooklane.event.id", event.id),
            ("hooklane.event.type", traced.event_type),
            ("hooklane.deliveries", len(traced.follows)),
        ),
    )
