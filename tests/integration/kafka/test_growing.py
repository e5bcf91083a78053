"""Adding partitions: at what moments that is refused, and what has grown when it was not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from msgspec.structs import replace

from shared.config import Settings
from shared.kafka import growing
from shared.kafka.admin import counts_of, create_topics
from shared.kafka.cluster import Cluster
from shared.kafka.growing import GrowthError, grow
from shared.kafka.leaders import led
from shared.kafka.names import group_name, topic_name
from shared.kafka.publisher import Record
from shared.topics import ATTEMPTS, DELIVERIES, Topic
from tests.integration.kafka.kit import admin, publishing
from tests.support.polling import until_true
from tests.support.servers import KafkaServer, fresh_name

pytestmark = pytest.mark.integration

NEWS_EVERY_MS = 50


@pytest.fixture
async def settings(kafka_server: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(growing, "LEFT_WITHIN_S", 0.0)
    monkeypatch.setattr(growing, "LOOK_EVERY_S", 0.02)
    made = Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("growing") + ".",
        partitions=2,
        retry_tiers="1s",
        session_timeout_ms=1,
    )
    await create_topics(made)
    return made


class CommitsWhatIsNew(ConsumerRebalanceListener):  # type: ignore[misc]
    """Commits partitions' beginnings when it gets them, as the delivery worker does."""

    consumer: AIOKafkaConsumer

    async def on_partitions_revoked(self, revoked: object) -> None:
        pass

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        fresh = {tp: 0 for tp in assigned if await self.consumer.committed(tp) is None}
        if fresh:
            await self.consumer.commit(fresh)


@asynccontextmanager
async def member(settings: Settings, service: str, topic: Topic) -> AsyncIterator[AIOKafkaConsumer]:
    """Be in a service's group for the length of the block."""
    listener = CommitsWhatIsNew()
    listener.consumer = consumer = AIOKafkaConsumer(
        **Cluster.of(settings).client,
        client_id=f"hooklane-{service}-x",
        group_id=group_name(settings, service),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        metadata_max_age_ms=NEWS_EVERY_MS,
    )
    consumer.subscribe([topic_name(settings, topic)], listener=listener)
    await consumer.start()
    try:
        await until_true(consumer.assignment, what=f"{service} in its group")
        yield consumer
    finally:
        await consumer.stop()


async def commit(settings: Settings, service: str, tp: TopicPartition, offset: int) -> None:
    """Commit for a service of whose group nobody is a member."""
    consumer = AIOKafkaConsumer(
        **Cluster.of(settings).client,
        group_id=group_name(settings, service),
        enable_auto_commit=False,
    )
    consumer.assign([tp])
    async with consumer:
        await consumer.commit({tp: offset})


async def produce(settings: Settings, topic: Topic) -> TopicPartition:
    """Put a record into the second partition, which is returned."""
    name = topic_name(settings, topic)
    async with publishing(Cluster.of(settings)) as publisher:
        await publisher.publish([Record(name, b"wh_1", b"{}", partition=1)])
    return TopicPartition(name, 1)


async def test_the_topics_grow_once_nothing_is_on_its_way(settings: Settings) -> None:
    wanted = replace(settings, partitions=4)
    counts = counts_of(wanted)
    lines: list[str] = []

    async def refused(complaint: str) -> None:
        with pytest.raises(GrowthError, match=complaint):
            await grow(wanted, counts, within_s=0, say=lines.append)

    await refused("no delivery worker runs: start delivery")
    async with member(settings, "delivery", DELIVERIES) as delivery:
        async with member(settings, "retry", DELIVERIES), member(settings, "fanout", DELIVERIES):
            await refused("hooklane-fanout-x, hooklane-retry-x may still write deliveries: stop")
        written = await produce(settings, DELIVERIES)
        await refused("delivery has not finished 1 records of 'deliveries' within 0 s")
        await delivery.commit({written: 1})
        recorded = await produce(settings, ATTEMPTS)
        await refused("recorder has not finished 1 records of 'attempts' within 0 s")
        await commit(settings, "recorder", recorded, 1)
        async with admin(Cluster.of(settings)) as client:
            name = topic_name(settings, DELIVERIES)
            assert await led(client, [name]) == {name: 2}
        await grow(wanted, counts, within_s=0, say=lines.append)
        await until_true(delivery.assignment, lambda owned: len(owned) == 4, what="all of them")
        assert await delivery.committed(written) == 1
    assert "set HOOKLANE_PARTITIONS=4" in lines[-1]

    async with admin(Cluster.of(settings)) as client:
        assert await led(client, counts) == counts
    assert await create_topics(wanted) == []
    await grow(wanted, counts, within_s=0, say=lines.append)
    assert lines[-1].startswith("nothing to do")
