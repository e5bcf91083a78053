"""Opening partitions of ``deliveries``: the commit, and what ``attempts`` says of the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaError

from services.delivery.journal import Journal
from services.delivery.memory import Memory
from services.delivery.partition import Depth, Partition, Remembered
from shared.kafka.cluster import Cluster
from shared.kafka.publisher import Record
from shared.models.attempts import Attempt, encode_attempt
from shared.models.deliveries import DeliveryMeta
from tests.integration.kafka.kit import admin, make_topic, publishing
from tests.support.polling import until
from tests.support.servers import KafkaServer, fresh_name

pytestmark = pytest.mark.integration

LEAST, MEMORY = 2, 3
RECENT_MS = 60_000
NOW_MS = 1_700_000_000_000  # all records are younger, unless they are given a time


class World:
    """The two topics, and a group that has committed in one of them."""

    def __init__(self, cluster: Cluster, deliveries: str, attempts: str) -> None:
        self.cluster = cluster
        self.deliveries = deliveries
        self.attempts = attempts
        self.group = fresh_name("group")

    async def deliver(self, count: int) -> None:
        async with publishing(self.cluster) as publisher:
            await publisher.publish([Record(self.deliveries, None, b"{}", partition=0)] * count)

    async def attempt(self, *offsets: int, at_ms: int | None = None) -> None:
        """Note that the deliveries at these offsets are finished."""
        await self.write([encode_attempt(_attempt(offset)) for offset in offsets], at_ms)

    async def write(self, values: Sequence[bytes], at_ms: int | None = None) -> None:
        async with publishing(self.cluster) as publisher:
            await publisher.publish(
                [
                    Record(self.attempts, None, value, partition=0, timestamp_ms=at_ms)
                    for value in values
                ]
            )

    async def commit(self, offset: int, metadata: str) -> None:
        consumer = AIOKafkaConsumer(
            **self.cluster.client, group_id=self.group, enable_auto_commit=False
        )
        await consumer.start()
        partition = TopicPartition(self.deliveries, 0)
        consumer.assign([partition])
        await consumer.commit({partition: OffsetAndMetadata(offset, metadata)})
        await consumer.stop()

    @asynccontextmanager
    async def journal(self) -> AsyncIterator[Journal]:
        journal = Journal(
            cluster=self.cluster,
            group=self.group,
            deliveries=self.deliveries,
            attempts=self.attempts,
            depth=Depth(least=LEAST, recent_ms=RECENT_MS, most=MEMORY),
            now_ms=lambda: NOW_MS,
        )
        await journal.start()
        try:
            yield journal
        finally:
            await journal.stop()

    async def unfinished(self, start: int, end: int) -> list[int]:
        """Return which offsets a new owner of partition 0 works on."""
        async with self.journal() as journal:
            partition = (await opened(journal, {0}))[0]
        assert partition.start == start
        return [offset for offset in range(start, end) if partition.open(offset)]


async def opened(
    journal: Journal, numbers: set[int], remembered: Mapping[int, Remembered] | None = None
) -> dict[int, Partition]:
    """Open as the consumer does: again, while the group's coordinator is not there yet."""

    async def look() -> dict[int, Partition] | KafkaError:
        try:
            return await journal.open(numbers, remembered or {})
        except KafkaError as error:
            return error

    found = await until(look, lambda seen: isinstance(seen, dict), what="partitions open")
    assert isinstance(found, dict)
    return found


def _attempt(offset: int) -> Attempt:
    return Attempt(
        workspace_id="ws_1",
        endpoint_id="wh_1",
        event_id=f"evt_{offset}",
        event_type="qr.scanned",
        trigger="event",
        attempt=1,
        status="success",
        final=True,
        due_ms=0,
        started_ms=0,
        partition=0,
        offset=offset,
        revision=1,
        epoch=1,
    )


@pytest.fixture
async def world(kafka_server: KafkaServer) -> World:
    deliveries = await make_topic(kafka_server.cluster, 2)
    return World(kafka_server.cluster, deliveries, await make_topic(kafka_server.cluster, 2))


async def test_each_partition_has_a_memory_of_its_own(world: World) -> None:
    """A busy one would push what a calm one remembers out of a memory that both have."""
    async with world.journal() as journal:
        partitions = await opened(journal, {0, 1})

    assert partitions[0].memory is not partitions[1].memory


async def test_a_group_without_commits_begins_at_the_beginning(world: World) -> None:
    await world.deliver(2)
    assert await world.unfinished(0, 2) == [0, 1]


async def test_what_was_finished_ahead_of_the_commit_is_known(world: World) -> None:
    await world.deliver(8)
    await world.attempt(0, 1, 5, 3, 6)
    await world.commit(2, "2")
    assert await world.unfinished(2, 8) == [2, 4, 7]


async def test_the_metadata_leads_further_back_than_the_memory(world: World) -> None:
    """One delivery was finished long ago, behind a black hole; many others since."""
    await world.deliver(60)
    await world.attempt(40, *range(1, 30))
    await world.commit(0, "0")
    assert await world.unfinished(0, 42) == [0, *range(30, 40), 41]


async def test_of_a_partition_that_comes_back_only_what_is_new_is_read(world: World) -> None:
    await world.deliver(20)
    await world.attempt(*range(10))
    await world.commit(10, "10")
    async with world.journal() as journal:
        first = (await opened(journal, {0}))[0]
        await world.attempt(10, 12)
        known = Remembered(Memory(MEMORY), first.remembered().until)
        again = (await opened(journal, {0}, {0: known}))[0]
    assert len(again.memory) == 2
    assert [offset for offset in range(10, 14) if again.open(offset)] == [11, 13]


async def test_a_commit_without_metadata_still_fills_the_memory(world: World) -> None:
    await world.attempt(*range(10))
    await world.commit(10, "")
    async with world.journal() as journal:
        memory = (await opened(journal, {0}))[0].memory
    assert len(memory) == MEMORY
    meta = DeliveryMeta("evt_9", "qr.scanned", "ws_1", 1, "event", 1, 0, 0)
    assert not memory.is_new("wh_1", meta)


@pytest.mark.parametrize(("young", "remembered"), [(0, MEMORY), (1, LEAST), (3, MEMORY)])
async def test_of_what_is_old_little_is_remembered_while_others_go_on(
    world: World, young: int, remembered: int
) -> None:
    await world.attempt(*range(10), at_ms=NOW_MS - RECENT_MS - 1)
    await world.attempt(*range(10, 10 + young), at_ms=NOW_MS)
    await world.commit(10, "10")
    async with world.journal() as journal:
        assert len((await opened(journal, {0}))[0].memory) == remembered


async def test_what_was_finished_ahead_is_known_however_long_ago(world: World) -> None:
    await world.deliver(8)
    await world.attempt(0, 1, 5, 3, 6, at_ms=NOW_MS - RECENT_MS - 1)
    await world.attempt(7, at_ms=NOW_MS)
    await world.commit(2, "2")
    assert await world.unfinished(2, 8) == [2, 4]


async def test_records_that_are_no_attempts_are_passed_over(world: World) -> None:
    """Anybody may be allowed to write to a public topic."""
    foreign = [b"", b"nonsense", b'{"endpoint_id":"\xff"}', b'{"x":' + b"[" * 100_000]
    await world.deliver(2)
    await world.write(foreign)
    await world.attempt(0)
    await world.commit(0, "0")
    assert await world.unfinished(0, 2) == [1]


async def test_what_retention_has_removed_is_not_waited_for(world: World) -> None:
    await world.deliver(6)
    await world.attempt(0, 1, 4)
    await world.commit(0, "0")
    async with admin(world.cluster) as client:
        await client.delete_records(
            {
                TopicPartition(world.attempts, 0): RecordsToDelete(before_offset=2),
                TopicPartition(world.deliveries, 0): RecordsToDelete(before_offset=3),
            }
        )
    assert await world.unfinished(3, 6) == [3, 5]


async def test_an_empty_journal_is_read_at_once(world: World) -> None:
    async with world.journal() as journal:
        assert sorted(await opened(journal, {0, 1})) == [0, 1]
        assert await journal.open(set(), {}) == {}


async def test_partitions_may_be_opened_again_and_again(world: World) -> None:
    """Each rebalance does."""
    await world.deliver(3)
    async with world.journal() as journal:
        for number in range(3):
            await world.attempt(number)
            partition = (await opened(journal, {0, 1}))[0]
            assert [partition.open(offset) for offset in range(3)].count(False) == number + 1
