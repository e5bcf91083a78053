"""Reading what the gateway wrote to Kafka."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from services.gateway.wiring import now_ms
from shared.config import Settings
from shared.kafka.cluster import Cluster
from shared.kafka.names import topic_name
from shared.topics import Topic

WAIT_MS = 10_000


async def records_of(settings: Settings, topic: Topic) -> list[ConsumerRecord[bytes, bytes]]:
    """Return every record that ``topic`` holds now, partition by partition."""
    name = topic_name(settings, topic)
    consumer = AIOKafkaConsumer(**Cluster.of(settings).client, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [
            TopicPartition(name, number)
            for number in range(topic.partitions or settings.partitions)
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {
            partition: [] for partition in partitions
        }
        deadline_ms = now_ms() + WAIT_MS
        while any(len(found[partition]) < ends[partition] for partition in partitions):
            assert now_ms() < deadline_ms, f"{name}: {ends} expected, {found} read"
            for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                found[partition].extend(records)
    finally:
        await consumer.stop()
    return [record for partition in partitions for record in found[partition]]
