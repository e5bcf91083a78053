"""The outbox: what came of deliveries, on its way to Kafka.

Results gather while a flush is under way and leave together with the next one, at most one every
``PACE_S``: every flush writes to many partitions, and what a produce request costs the broker
depends on its partitions more than on its records.

Guarantees: what continues a delivery (the next attempt, the dead letter) is acknowledged before the
attempt's record is produced; a delivery's offset is finished only after that record is
acknowledged. A result whose partition was revoked meanwhile is dropped: whoever owns the partition
now is responsible for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from services.delivery import metrics
from services.delivery.partition import UNKNOWN, Partition
from services.delivery.settle import FollowUp, Origin
from shared.kafka.publisher import Position, Record
from shared.models.attempts import Attempt, encode_attempt

PACE_S: Final = 0.01

UNRECORDED_MAX: Final = 1_000
"""Results that are not in ``attempts`` yet: no request starts beyond it, so that a crash repeats
few requests even when Kafka is slow to take the results."""


class Sink(Protocol):
    """Publishes records; returns when the broker has acknowledged all of them."""

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        """Publish."""


class Names(NamedTuple):
    """Real topic names: ``prefix`` goes before the table's names."""

    prefix: str
    attempts: str


class Delivery:
    """A record being worked on."""

    __slots__ = ("origin", "partition", "size")

    def __init__(self, partition: Partition, origin: Origin) -> None:
        self.partition = partition
        self.origin = origin
        self.size = len(origin.body)


class Result(NamedTuple):
    """What came of a delivery: an attempt's record, a record that continues it, or both."""

    delivery: Delivery
    attempt: Attempt | None
    follow_up: FollowUp | None


class Outbox:
    """Publishes results in order. ``closed`` is told of each delivery that is done with."""

    def __init__(self, *, sink: Sink, names: Names, closed: Callable[[Delivery], None]) -> None:
        self._sink = sink
        self._names = names
        self._closed = closed
        self._results: list[Result] = []
        self._flushing: Sequence[Result] = ()
        self._wake = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Return whether results wait or are under way."""
        return bool(self._results or self._flushing)

    @property
    def full(self) -> bool:
        """Return whether no request should start until Kafka has taken more results."""
        return len(self._results) + len(self._flushing) >= UNRECORDED_MAX

    def put(self, result: Result) -> None:
        """Have a result published."""
        self._results.append(result)
        self._wake.set()

    async def run(self, flushed: Callable[[], None]) -> None:
        """Publish for ever; calls ``flushed`` whenever there is room again."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            not_before = loop.time() + PACE_S
            self._flushing, self._results = self._results, []
            await self._flush([result for result in self._flushing if self._is_ours(result)])
            self._flushing = ()
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
        attempted = [(result, result.attempt) for result in batch if result.attempt is not None]
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
        metrics.count(attempt for _, attempt in attempted if attempt.status != "discarded")
        for (result, attempt), position in zip(attempted, positions, strict=True):
            result.delivery.partition.memory.ended(attempt)
            self._finish(result.delivery, position.offset)
        for result in batch:
            if result.attempt is None:
                self._finish(result.delivery, UNKNOWN)

    def _is_ours(self, result: Result) -> bool:
        if not result.delivery.partition.revoked:
            return True
        self._closed(result.delivery)
        return False

    def _finish(self, delivery: Delivery, journal_offset: int) -> None:
        delivery.partition.finish(delivery.origin.offset, journal_offset)
        self._closed(delivery)
