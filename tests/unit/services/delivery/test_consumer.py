"""The order in which partitions are read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import NotLeaderForPartitionError

from services.delivery import consumer
from services.delivery.consumer import Consumer
from services.delivery.engine import Arrival, Engine
from services.delivery.journal import Journal
from services.delivery.memory import Memory
from services.delivery.partition import Partition
from shared.runtime import Runtime

FLOOD, CALM = TopicPartition("deliveries", 0), TopicPartition("deliveries", 1)
BATCH = 3


class Kafka:
    """Hands out what is buffered, a partition to its end before the next, as aiokafka does."""

    def __init__(self, **buffered: int) -> None:
        self.buffered = {FLOOD: buffered["flood"], CALM: 0}
        self.arrivals = [1, 1]  # what comes for the calm partition, call by call
        self.fails = False  # when the flood's partition is asked for alone

    def assignment(self) -> set[TopicPartition]:
        return set(self.buffered)

    async def getmany(
        self,
        *partitions: TopicPartition,
        timeout_ms: int,  # noqa: ARG002
        max_records: int,
    ) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0)
        if self.fails and partitions == (FLOOD,):
            self.fails = False
            raise NotLeaderForPartitionError
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


async def read(kafka: Kafka, taker: Taker) -> None:
    """Consume until everything was taken."""
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
            number, start=0, journal=(), journal_end=0, memory=Memory(1)
        )
    loop = asyncio.create_task(reading._consume())
    try:
        await asyncio.wait_for(taker.done.wait(), 20)
    finally:
        loop.cancel()
        await asyncio.wait({loop})


async def test_others_need_not_wait_until_a_flood_has_been_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer, "RECORDS_MAX", BATCH)
    kafka, taker = Kafka(flood=10), Taker(12)
    await read(kafka, taker)

    assert taker.taken == [[0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0]]


async def test_what_was_read_beside_a_partition_that_fails_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiokafka hands a record out once; what is not taken then would be committed all the same."""
    monkeypatch.setattr(consumer, "RECORDS_MAX", BATCH)
    kafka, taker = Kafka(flood=10), Taker(12)
    kafka.fails = True
    await read(kafka, taker)

    assert taker.taken[:2] == [[0, 0, 0], [1]]
