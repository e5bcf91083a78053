"""Holds each tier's partitions until their heads are due, then moves what is due.

Nothing sleeps: waiting is polling the group with the time to the earliest head as its time-out, so
that heartbeats and the poll interval are kept for a tier of 24 hours as for one of five seconds.
What waits is in bounded queues, a short one for each partition, filled ahead of time; a queue that
is full is not polled, so its partition is fetched no further. After downtime everything held is due
at once and moves in bounded batches, as fast as the broker acknowledges them.

A record that is no delivery (no metadata, no endpoint, no body) moves to ``deliveries.dead`` with
the reason when its turn comes; it never stops its tier. Time is a port (``clock``).

Must not import adapters: they come in as ports.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog
from aiokafka import TopicPartition

from services.retry import metrics
from services.retry.planner import Limits, plan, wake_ms
from services.retry.queues import Fetched, Held, Queues
from shared.kafka.publisher import Position, Record, RecordRefusedError
from shared.models.deliveries import REASON_HEADER, meta_of
from shared.observe.traces import OFF, Span, Tracer
from shared.topics import Tier

MOVE: Final = Limits(records_max=1_000, bytes_max=8 * 1024 * 1024)
MOVE_SMALL_RECORDS: Final = 64
MOVE_EVERY_MS: Final = 20  # after a small move, so that a trickle is not a request for each record
POLLS_MAX: Final = 8  # before a move: a poll is small, so that memory is bounded whatever comes
WAIT_MS_MAX: Final = 1_000  # how late a clock that was set is noticed
REPORT_EVERY_S: Final = 1.0

Clock = Callable[[], int]
"""Returns Unix milliseconds."""

_log = structlog.get_logger("retry")


class Group(Protocol):
    """The consumer group."""

    async def poll(
        self,
        *,
        timeout_ms: int,
        records_max: int,
        partitions: Collection[TopicPartition] | None = None,
    ) -> Fetched:
        """Return records of the partitions (None: of all), or nothing after ``timeout_ms``."""

    async def work(self, job: Coroutine[Any, Any, None]) -> bool:
        """Run a job and stay in the group; returns False when it was abandoned."""

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit; returns False when the partitions are not ours any more."""

    def assigned(self) -> Collection[TopicPartition]:
        """Return the partitions that are ours."""

    def end_offset(self, partition: TopicPartition) -> int | None:
        """Return the end of a partition, if it is known."""


class Sink(Protocol):
    """Publishes records; returns when the broker has acknowledged all of them."""

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        """Publish; raises RecordRefusedError for a record that will never be taken."""


class Retry:
    """The loop: take what comes, move what is due. ``tiers`` maps real topic names to tiers."""

    def __init__(
        self,
        *,
        group: Group,
        sink: Sink,
        clock: Clock,
        tiers: Mapping[str, Tier],
        deliveries_topic: str,
        dead_topic: str,
        traces: Tracer = OFF,
    ) -> None:
        self._traces = traces
        self._group = group
        self._sink = sink
        self._clock = clock
        self._tiers = tiers
        self._deliveries_topic = deliveries_topic
        self._dead_topic = dead_topic
        self._queues = Queues(tiers)
        self._not_before_ms = 0

    def release(self) -> None:
        """Forget what is held: the partitions were taken away, and their owner reads them again."""
        self._queues.clear()

    async def run(self, stopping: asyncio.Event) -> None:
        """Hold and move until ``stopping`` is set; a move under way is finished and committed."""
        while not stopping.is_set():
            await self._fill()
            if not self._pause_ms():
                counts = plan(self._queues.by_partition, self._clock(), MOVE)
                if counts:
                    with metrics.MOVE_SECONDS.time():
                        await self._group.work(self._move(counts))

    async def keep_reporting(self) -> None:
        """Tell what waits and what is late, for ever: also while the broker takes nothing."""
        while True:
            self.report()
            await asyncio.sleep(REPORT_EVERY_S)

    def report(self) -> None:
        """Set the gauges."""
        ends = {tp: self._group.end_offset(tp) or 0 for tp in self._group.assigned()}
        for name, state in self._queues.states(self._clock(), ends).items():
            metrics.OVERDUE_SECONDS.labels(name).set(state.overdue_ms / 1000)
            metrics.OVERDUE_COUNT.labels(name).set(state.overdue_count)
            metrics.WAITING.labels(name).set(state.waiting_count)

    async def _fill(self) -> None:
        """Poll until something has to move, and while polls bring records, but not for ever."""
        timeout_ms = self._wait_ms()
        for _ in range(POLLS_MAX):
            fetched = await self._group.poll(
                timeout_ms=timeout_ms,
                records_max=self._queues.room_records(),
                partitions=self._queues.with_room(self._group.assigned()),
            )
            if not fetched:
                return
            self._queues.take(fetched, self._clock())
            timeout_ms = 0

    async def _move(self, counts: Mapping[TopicPartition, int]) -> None:
        """Publish the first ``counts`` records of each queue, then commit behind them.

        Cancelled before the commit, the records stay in their tier and move again.
        """
        started_ms = self._clock()
        moving = {tp: self._queues.first(tp, count) for tp, count in counts.items()}
        await self._publish([held for helds in moving.values() for held in helds])
        for tp, count in counts.items():
            self._queues.drop(tp, count)
        await self._group.commit({tp: helds[-1].offset + 1 for tp, helds in moving.items()})
        is_small = sum(counts.values()) < MOVE_SMALL_RECORDS
        self._not_before_ms = started_ms + MOVE_EVERY_MS if is_small else 0

    async def _publish(self, helds: Sequence[Held]) -> None:
        records = [self._moved(held) for held in helds]
        try:
            await self._sink.publish(records)
        except RecordRefusedError:
            await self._publish_singly(records)
        moved = Counter(held.record.topic for held in helds if held.poison is None)
        for topic, count in moved.items():
            metrics.MOVED.labels(self._tiers[topic].name).inc(count)
        for held in helds:
            if held.poison is not None:
                _report_poison(held)
            elif held.traceparent:
                self._trace(held)

    def _trace(self, held: Held) -> None:
        """Record the time that a delivery has waited here."""
        parent, meta = self._traces.within(held.traceparent), meta_of(held.record.headers)
        if parent is None or meta is None:
            return
        record = held.record
        endpoint_id = (record.key or b"").decode("ascii", "replace")
        stage = (str(meta.attempt), str(meta.parks))
        self._traces.record(
            Span(
                f"wait {self._tiers[record.topic].name}",
                "internal",
                parent.child("wait", *meta.identity(endpoint_id), *stage),
                parent,
                record.timestamp,
                self._clock(),
                (
                    ("hooklane.workspace.id", meta.workspace_id),
                    ("hooklane.endpoint.id", endpoint_id),
                    ("hooklane.event.id", meta.event_id),
                    ("hooklane.attempt", meta.attempt),
                ),
            )
        )

    async def _publish_singly(self, records: Sequence[Record]) -> None:
        """Find the records that the broker refuses; they stay in their tier until it forgets."""
        for record in records:
            try:
                await self._sink.publish([record])
            except RecordRefusedError as error:
                metrics.REFUSED.inc()
                _log.error("record_refused", key=repr(record.key), error=str(error))

    def _moved(self, held: Held) -> Record:
        given = held.record
        headers = tuple(given.headers)
        if held.poison is None:
            return Record(self._deliveries_topic, given.key, given.value, headers)
        reason = (REASON_HEADER, held.poison.encode("utf-8", "replace"))
        return Record(self._dead_topic, given.key, given.value, (*headers, reason))

    def _wait_ms(self) -> int:
        """Return how long a poll may wait for records before something has to move."""
        wake = wake_ms(self._queues.by_partition)
        if wake is None:
            return WAIT_MS_MAX
        return min(WAIT_MS_MAX, max(0, wake - self._clock(), self._pause_ms()))

    def _pause_ms(self) -> int:
        """Return how long to gather after a small move; a clock that was set back ends it."""
        left_ms = self._not_before_ms - self._clock()
        return left_ms if 0 < left_ms <= MOVE_EVERY_MS else 0


def _report_poison(held: Held) -> None:
    metrics.POISON.inc()
    record = held.record
    _log.error(
        "tier_record_is_no_delivery",
        reason=held.poison,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
    )
