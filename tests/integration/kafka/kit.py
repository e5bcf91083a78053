"""Topics, readers and producers for the Kafka tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord

from shared.kafka.publisher import Publisher
from tests.support.servers import fresh_name


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def make_topic(bootstrap: str, partitions: int = 1, **configs: str) -> str:
    """Create a topic that no other test uses; dots in a setting's name are written ``_``."""
    name = fresh_name("kit")
    settings = {key.replace("_", "."): value for key, value in configs.items()}
    async with admin(bootstrap) as client:
        await client.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
    return name


@asynccontextmanager
async def publishing(bootstrap: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(bootstrap=bootstrap, client_id="test")
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


@asynccontextmanager
async def consuming(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def read_all(
    bootstrap: str, topic: str, partitions: int = 1
) -> dict[int, list[ConsumerRecord[bytes, bytes]]]:
    """Return what the topic holds now, by partition."""
    tps = [TopicPartition(topic, number) for number in range(partitions)]
    found: dict[int, list[ConsumerRecord[bytes, bytes]]] = {tp.partition: [] for tp in tps}
    async with consuming(bootstrap) as consumer:
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        await consumer.seek_to_beginning(*tps)
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found[tp.partition] += records
    return found
