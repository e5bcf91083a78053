"""Topics, readers and producers for the Kafka tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord

from shared.kafka.cluster import Cluster
from shared.kafka.publisher import Publisher
from tests.support.servers import fresh_name


@asynccontextmanager
async def admin(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**cluster.client)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def make_topic(cluster: Cluster, partitions: int = 1, **configs: str) -> str:
    """Create a topic that no other test uses; dots in a setting's name are written ``_``."""
    name = fresh_name("kit")
    settings = {key.replace("_", "."): value for key, value in configs.items()}
    async with admin(cluster) as client:
        await client.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
    return name


@asynccontextmanager
async def publishing(cluster: Cluster) -> AsyncIterator[Publisher]:
    publisher = Publisher(cluster=cluster, client_id="test")
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


@asynccontextmanager
async def consuming(cluster: Cluster) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **cluster.client, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def read_all(
    cluster: Cluster, topic: str, partitions: int = 1
) -> dict[int, list[ConsumerRecord[bytes, bytes]]]:
    """Return what the topic holds now, by partition."""
    tps = [TopicPartition(topic, number) for number in range(partitions)]
    found: dict[int, list[ConsumerRecord[bytes, bytes]]] = {tp.partition: [] for tp in tps}
    async with consuming(cluster) as consumer:
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        await consumer.seek_to_beginning(*tps)
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found[tp.partition] += records
    return found
