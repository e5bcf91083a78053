"""The order in which partitions are read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.delivery import consumer
from services.delivery.consumer import Consumer
from services.delivery.engine import Arrival, Engine
from services.delivery.journal import Journal
from services.delivery.partition import Partition
from shared.runtime import Runtime

FLOOD, CALM = TopicPartition("deliveries", 0), TopicPartition("deliveries", 1)
BATCH = 3


class Kafka:
    """Hands out what is buffered, a partition to its end before the next, as aiokafka does."""

    def __init__(self, **buffered: int) -> None:
        self.buffered = {FLOOD: buffered["flood"], CALM: 0}
        self.arrivals = [1, 1]  # what comes for the calm partition, call by call

    def assignment(self) -> set[TopicPartition]:
        return set(self.buffered)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Any]]:
        self.waited_ms = timeout_ms
        await asyncio.sleep(0)
        fetched: dict[TopicPartition, list[Any]] = {}
        for tp in self.buffered:
            taken = min(self.buffered[tp], max_records) if tp in partitions else 0
            if taken:
                record = SimpleNamespace(offset=0, key=b"", value=b"", headers=())
                fetched[tp] = [record] * taken
                self.buffered[tp] -= taken
                max_records -= taken
        if FLOOD in fetched and self.arrivals:
            self.buffered[CALM] += self.arrivals.pop()
        return fetched


class Taker:
    """Notes which partitions were taken in which order, and ends the loop with the last record."""

    open_records = open_bytes = 0

    def __init__(self, count: int) -> None:
        self.taken: list[list[int]] = []
        self._left = count
        self.done = asyncio.Event()

    async def take(self, arrivals: Sequence[Arrival]) -> None:
        self.taken.append([arrival.partition.number for arrival in arrivals])
        self._left -= len(arrivals)
        if not self._left:
            self.done.set()


async def test_others_need_not_wait_until_a_flood_has_been_read(monkeypatch: Any) -> None:
    monkeypatch.setattr(consumer, "RECORDS_MAX", BATCH)
    kafka, taker = Kafka(flood=10), Taker(12)
    reading = Consumer(
        kafka=cast("AIOKafkaConsumer", kafka),
        topic="deliveries",
        journal=cast("Journal", None),
        engine=cast("Engine", taker),
        runtime=cast("Runtime", None),
        open_records_max=100,
        open_bytes_max=100,
        drain_timeout_s=1,
    )
    for number in (0, 1):
        reading._partitions[number] = Partition(
            number, start=0, journal=(), journal_end=0, memory_size=1
        )
    loop = asyncio.create_task(reading._consume())
    await asyncio.wait_for(taker.done.wait(), 20)
    loop.cancel()
    await asyncio.wait({loop})

    assert taker.taken == [[0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0]]
