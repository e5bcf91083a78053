"""Damaged batches on a real broker: the ones that producers can write, and those of a bad disk."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaError
from aiokafka.record import memory_records
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import ConsumerRecord

from shared.kafka import salvage
from shared.kafka.cluster import Cluster
from shared.kafka.publisher import Record
from tests.integration.kafka.kit import consuming, make_topic, publishing
from tests.support.servers import KafkaServer, OwnKafka

pytestmark = pytest.mark.integration

STAND_IN, NOT_TEXT = b"stand-in", b"\xff\xfe-named"
CRC_AT, CRC_FROM = 17, 21


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)
    monkeypatch.setattr(fetcher, "PartitionRecords", fetcher.PartitionRecords)
    salvage.install()


@pytest.fixture
def _client_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a test before this one may have installed in this process."""
    monkeypatch.setattr(fetcher, "MemoryRecords", memory_records.MemoryRecords)
    monkeypatch.setattr(fetcher, "PartitionRecords", salvage.SalvagingRecords.__base__)


async def produce_with_a_bad_name(cluster: Cluster, topic: str) -> None:
    """Produce three records in one batch; the second one's header name is no text.

    Producers in other languages can: to the broker a name is bytes.
    """
    producer = AIOKafkaProducer(**cluster.client)
    await producer.start()
    batch = producer.create_batch()
    for number in range(3):
        name = STAND_IN.decode() if number == 1 else "name"
        batch.append(key=None, value=b"%d" % number, timestamp=None, headers=[(name, b"v")])
    stored = bytearray(batch._build()).replace(STAND_IN, NOT_TEXT)
    struct.pack_into(">I", stored, CRC_AT, calc_crc32c(bytes(stored[CRC_FROM:])))
    batch._buffer = stored
    await (await producer.send_batch(batch, topic, partition=0))
    await producer.stop()


async def consume(cluster: Cluster, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    """Read the partition to its end, as a service does: through errors, from where it was."""
    found: list[ConsumerRecord[bytes, bytes]] = []
    partition = TopicPartition(topic, 0)
    async with consuming(cluster) as consumer, asyncio.timeout(30):
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        while await consumer.position(partition) < end:
            fetched = await consumer.getmany(timeout_ms=200, max_records=2)
            found += fetched.get(partition, [])
    return found


@pytest.mark.usefixtures("_client_alone")
async def test_the_client_alone_does_not_get_past_a_header_name_that_is_not_utf_8(
    kafka_server: KafkaServer,
) -> None:
    """Should this fail, aiokafka has been mended and ``salvage`` may be of no use any more."""
    topic = await make_topic(kafka_server.cluster)
    await produce_with_a_bad_name(kafka_server.cluster, topic)
    with pytest.raises((KafkaError, UnicodeDecodeError)):
        await consume(kafka_server.cluster, topic)


@pytest.mark.usefixtures("installed")
async def test_a_header_name_that_is_not_utf_8_costs_nothing(kafka_server: KafkaServer) -> None:
    topic = await make_topic(kafka_server.cluster)
    async with publishing(kafka_server.cluster) as publisher:
        await publisher.publish([Record(topic, None, b"before")])
        await produce_with_a_bad_name(kafka_server.cluster, topic)
        await publisher.publish([Record(topic, None, b"behind")])
    found = await consume(kafka_server.cluster, topic)
    assert [record.value for record in found] == [b"before", b"0", b"1", b"2", b"behind"]
    assert [record.offset for record in found] == [0, 1, 2, 3, 4]
    assert found[2].headers == (("\ufffd\ufffd-named", b"v"),)


@pytest.mark.usefixtures("installed")
async def test_garbage_in_the_middle_of_a_partition_stops_nothing(
    own_kafka: OwnKafka, tmp_path: Path
) -> None:
    """A disk that fails: the broker sends what it finds."""
    kafka = own_kafka.broker
    await kafka.start()
    topic = await make_topic(kafka.cluster)
    async with publishing(kafka.cluster) as publisher:
        for values in ((b"a", b"b"), (b"broken-1", b"broken-2"), (b"c", b"d")):
            await publisher.publish([Record(topic, None, value) for value in values])
    await kafka.stop()
    assert await kafka.wait() == 143  # SIGTERM: a clean end, so the log is not checked at start
    (segment,) = (tmp_path / "kafka").rglob(f"{topic}-0/*.log")
    stored = segment.read_bytes()
    assert stored.count(b"broken") == 2
    segment.write_bytes(stored.replace(b"broken", b"BROKEN"))
    await kafka.start()
    found = await consume(kafka.cluster, topic)
    await kafka.kill9()
    assert [record.value for record in found if record.value is not None] == [
        b"a",
        b"b",
        b"c",
        b"d",
    ]
    (lost,) = (record for record in found if record.value is None)
    assert (lost.offset, lost.headers[0][0]) == (2, salvage.DAMAGED_HEADER)
    assert b"CorruptRecord" in lost.headers[0][1]
