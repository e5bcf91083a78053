"""The outbox: what came of deliveries, on its way to Kafka.

Results gather while a flush is under way and leave together with the next one, at most one every
``PACE_S``: every flush writes to many partitions, and what a produce request costs the broker
depends on its partitions more than on its records. There are three streams, and none waits for
another: attempts that nothing follows (most of them, and what is not recorded yet is repeated after
a crash), attempts that something follows, and what was put aside without one (a flood that is
parked must not hold up what others wait for).

Guarantees: what continues a delivery (the next attempt, the dead letter) is acknowledged before the
attempt's record is produced; a delivery's offset is finished only after that record is
acknowledged. A result whose partition was revoked meanwhile is dropped: whoever owns the partition
now is responsible for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from services.delivery import metrics
from services.delivery.partition import UNKNOWN, Partition
from services.delivery.settle import FollowUp, Origin
from shared.kafka.publisher import Position, Record
from shared.models.attempts import Attempt, encode_attempt

PACE_S: Final = 0.01

UNRECORDED_MAX: Final = 1_000
"""Results that are not in ``attempts`` yet: no request starts beyond it, so that a crash repeats
few requests even when Kafka is slow to take the results."""

AT_ONCE_MAX: Final = 1_000  # results in one flush
ASIDE_MAX: Final = 2_000
"""Results without an attempt that may wait before reading has to."""


class Sink(Protocol):
    """Publishes records; returns when the broker has acknowledged all of them."""

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        """Publish."""


class Names(NamedTuple):
    """Real topic names: ``prefix`` goes before the table's names."""

    prefix: str
    attempts: str


class Delivery(msgspec.Struct, eq=False, gc=False):
    """A record being worked on."""

    partition: Partition
    origin: Origin

    @property
    def size(self) -> int:
        """Return what it holds in memory, in bytes."""
        return len(self.origin.body)


class Result(msgspec.Struct, frozen=True, gc=False):
    """What came of a delivery: an attempt's record, a record that continues it, or both."""

    delivery: Delivery
    attempt: Attempt | None
    follow_up: FollowUp | None


class _Stream:
    """Results that are flushed one batch after the other. ``count`` of them wait or are flushed."""

    def __init__(self) -> None:
        self.waiting: deque[Result] = deque()
        self.wake = asyncio.Event()
        self.count = 0

    def put(self, result: Result) -> None:
        self.waiting.append(result)
        self.count += 1
        self.wake.set()

    async def next(self) -> Sequence[Result]:
        """Return the next batch, once there is one; until it is ``done`` it counts."""
        await self.wake.wait()
        count = min(len(self.waiting), AT_ONCE_MAX)
        return [self.waiting.popleft() for _ in range(count)]

    def done(self, batch: Sequence[Result]) -> None:
        self.count -= len(batch)
        if not self.waiting:
            self.wake.clear()


class Outbox:
    """Publishes results. ``closed`` is told of each delivery that is done with."""

    def __init__(self, *, sink: Sink, names: Names, closed: Callable[[Delivery], None]) -> None:
        self._sink = sink
        self._names = names
        self._closed = closed
        self._ended = _Stream()
        self._followed = _Stream()
        self._aside = _Stream()
        self._streams = (self._ended, self._followed, self._aside)
        self._room = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Return whether results wait or are under way."""
        return any(stream.count for stream in self._streams)

    @property
    def full(self) -> bool:
        """Return whether no request should start until Kafka has taken more results."""
        return self._ended.count + self._followed.count >= UNRECORDED_MAX

    async def room(self) -> None:
        """Return when more may be put aside."""
        while len(self._aside.waiting) >= ASIDE_MAX:
            self._room.clear()
            await self._room.wait()

    def put(self, result: Result) -> None:
        """Have a result published."""
        if result.attempt is None:
            self._aside.put(result)
            return
        (self._ended if result.follow_up is None else self._followed).put(result)

    async def run(self, flushed: Callable[[], None]) -> None:
        """Publish for ever; calls ``flushed`` whenever there is room again."""
        async with asyncio.TaskGroup() as tasks:
            for stream in self._streams:
                tasks.create_task(self._drain(stream, flushed))

    async def _drain(self, stream: _Stream, flushed: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await stream.next()
            not_before = loop.time() + PACE_S
            await self._flush([result for result in batch if self._is_ours(result)])
            stream.done(batch)
            self._room.set()
            flushed()
            await asyncio.sleep(max(0.0, not_before - loop.time()))

    async def _flush(self, batch: Sequence[Result]) -> None:
        """Publish the follow-ups, then the attempts; then finish the offsets."""
        follow_ups = [
            Record(
                self._names.prefix + result.follow_up.topic,
                result.delivery.origin.endpoint_id.encode(),
                result.delivery.origin.body,
                result.follow_up.headers,
            )
            for result in batch
            if result.follow_up is not None
        ]
        if follow_ups:
            await self._sink.publish(follow_ups)
        await self._record([(r, r.attempt) for r in batch if r.attempt is not None])
        for result in batch:
            if result.attempt is None:
                self._finish(result.delivery, UNKNOWN)

    async def _record(self, attempted: Sequence[tuple[Result, Attempt]]) -> None:
        """Write attempts to the journal and finish their offsets."""
        partitions = {result.delivery.partition for result, _ in attempted}
        began = {partition: partition.begin_writing() for partition in partitions}
        positions = await self._sink.publish(
            [
                Record(
                    self._names.attempts,
                    attempt.endpoint_id.encode(),
                    encode_attempt(attempt),
                    (),
                    attempt.partition,
                )
                for _, attempt in attempted
            ]
        )
        metrics.count([attempt for _, attempt in attempted if attempt.status != "discarded"])
        for (result, attempt), position in zip(attempted, positions, strict=True):
            partition = result.delivery.partition
            partition.memory.ended(attempt)
            known = position.offset >= 0  # else the broker has it, and did not say where
            self._finish(result.delivery, position.offset if known else began[partition])
        for partition, mark in began.items():
            partition.end_writing(mark)

    def _is_ours(self, result: Result) -> bool:
        if not result.delivery.partition.revoked:
            return True
        self._closed(result.delivery)
        return False

    def _finish(self, delivery: Delivery, journal_offset: int) -> None:
        delivery.partition.finish(delivery.origin.offset, journal_offset)
        self._closed(delivery)
