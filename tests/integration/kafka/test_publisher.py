"""The publisher: what it returned for is where it said, whatever happened to the broker."""

from __future__ import annotations

import asyncio
import random

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions, NewTopic

from shared.config import Settings
from shared.kafka import publisher as publishing_module
from shared.kafka.admin import create_topics
from shared.kafka.cluster import Cluster
from shared.kafka.names import topic_name
from shared.kafka.partitioner import partition_for
from shared.kafka.publisher import (
    BATCH_BYTES_MAX,
    Position,
    Publisher,
    Record,
    RecordRefusedError,
)
from shared.models.errors import Outage
from shared.topics import BODY_BYTES_MAX, DEAD, DELIVERIES, Tiers, tier_topic
from tests.integration.kafka.kit import admin, make_topic, publishing, read_all
from tests.support.polling import until_true
from tests.support.servers import KafkaServer, OwnKafka, fresh_name

pytestmark = pytest.mark.integration

INCOMPRESSIBLE = random.Random(7).randbytes(BODY_BYTES_MAX)
NOWHERE = "127.0.0.1:1"


async def test_positions_are_those_of_the_records_in_the_order_given(
    kafka_server: KafkaServer,
) -> None:
    topics = [await make_topic(kafka_server.cluster, 3) for _ in range(2)]
    records = [
        Record(
            topics[number % 2], b"key-%d" % (number % 7), b"%d" % number, (("h", b"v"), ("n", None))
        )
        for number in range(200)
    ]
    async with publishing(kafka_server.cluster) as publisher:
        positions = await publisher.publish(records)
        assert await publisher.publish([]) == []
    stored = {topic: await read_all(kafka_server.cluster, topic, 3) for topic in topics}
    for record, position in zip(records, positions, strict=True):
        assert record.key is not None
        found = stored[record.topic][position.partition][position.offset]
        assert (found.key, found.value, found.headers) == (record.key, record.value, record.headers)
        assert position.partition == partition_for(record.key, 3)
    for topic in topics:
        for number in range(3):
            values = [int(found.value or b"") for found in stored[topic][number]]
            assert values == sorted(values)


async def test_a_call_may_be_larger_than_a_batch(kafka_server: KafkaServer) -> None:
    topic = await make_topic(kafka_server.cluster)
    piece = INCOMPRESSIBLE[: BATCH_BYTES_MAX // 3]
    records = [Record(topic, None, b"%d:" % number + piece) for number in range(10)]
    async with publishing(kafka_server.cluster) as publisher:
        positions = await publisher.publish(records)
    assert positions == [Position(0, offset) for offset in range(10)]
    stored = (await read_all(kafka_server.cluster, topic))[0]
    assert [found.value for found in stored] == [record.value for record in records]


async def test_a_partition_that_is_named_is_used_and_keyless_records_are_spread(
    kafka_server: KafkaServer,
) -> None:
    topic = await make_topic(kafka_server.cluster, 4)
    async with publishing(kafka_server.cluster) as publisher:
        named = await publisher.publish([Record(topic, b"key", b"", partition=3)] * 4)
        spread = await publisher.publish([Record(topic, None, b"x")] * 8)
    assert {position.partition for position in named} == {3}
    assert sorted(position.partition for position in spread) == [0, 0, 1, 1, 2, 2, 3, 3]


async def test_a_partition_that_was_added_meanwhile_is_found_and_gets_its_keys(
    kafka_server: KafkaServer,
) -> None:
    topic = await make_topic(kafka_server.cluster)
    keys = [b"key-%d" % number for number in range(20)]
    async with publishing(kafka_server.cluster) as publisher:
        await publisher.publish([Record(topic, key, b"") for key in keys])
        early = asyncio.create_task(publisher.publish([Record(topic, b"key", b"", partition=1)]))
        await asyncio.wait({early}, timeout=0.1)
        assert not early.done()
        async with admin(kafka_server.cluster) as client:
            await client.create_partitions({topic: NewPartitions(2)})
        assert await early == [Position(1, 0)]
        positions = await publisher.publish([Record(topic, key, b"") for key in keys])
    assert [position.partition for position in positions] == [partition_for(key, 2) for key in keys]


async def test_calls_at_the_same_time_do_not_mix_up_their_positions(
    kafka_server: KafkaServer,
) -> None:
    topic = await make_topic(kafka_server.cluster, 2)
    calls = [
        [
            Record(topic, None, b"%d.%d" % (call, number), partition=number % 2)
            for number in range(20)
        ]
        for call in range(30)
    ]
    async with publishing(kafka_server.cluster) as publisher:
        answers = await asyncio.gather(*(publisher.publish(records) for records in calls))
    stored = await read_all(kafka_server.cluster, topic, 2)
    for records, positions in zip(calls, answers, strict=True):
        for record, position in zip(records, positions, strict=True):
            assert stored[position.partition][position.offset].value == record.value
    assert sum(map(len, stored.values())) == 30 * 20


async def test_a_body_of_a_mebibyte_goes_through_every_topic_that_carries_bodies(
    kafka_server: KafkaServer,
) -> None:
    """Incompressible, with its key and metadata."""
    settings = Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("size") + ".",
        partitions=1,
        retry_tiers="5s",
    )
    await create_topics(settings)
    (tier,) = Tiers.parse("5s").all
    headers = (("hooklane-delivery", b"m" * 2_000), ("hooklane-reason", b"exhausted"))
    names = [topic_name(settings, topic) for topic in (DELIVERIES, tier_topic(tier), DEAD)]
    async with publishing(kafka_server.cluster) as publisher:
        for name in names:
            (position,) = await publisher.publish([Record(name, b"wh_1", INCOMPRESSIBLE, headers)])
            assert position == Position(0, 0)
    stored = (await read_all(kafka_server.cluster, names[0]))[0]
    assert (stored[0].value, stored[0].headers) == (INCOMPRESSIBLE, headers)


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_that_a_producer_may_choose_is_read(
    kafka_server: KafkaServer, codec: str | None
) -> None:
    topic = await make_topic(kafka_server.cluster)
    producer = AIOKafkaProducer(**kafka_server.cluster.client, compression_type=codec)
    await producer.start()
    values = [b"%d" % number * 100 for number in range(50)]
    await asyncio.gather(*[await producer.send(topic, value) for value in values])
    await producer.stop()
    stored = (await read_all(kafka_server.cluster, topic))[0]
    assert [found.value for found in stored] == values


async def test_a_record_that_the_broker_never_takes_is_an_error_of_ours(
    kafka_server: KafkaServer,
) -> None:
    """Whatever else the call had, in front of it and behind it; and the publisher works on."""
    topic = await make_topic(kafka_server.cluster, max_message_bytes="100000")
    large, small = Record(topic, None, INCOMPRESSIBLE), Record(topic, None, b"small")
    async with publishing(kafka_server.cluster) as publisher:
        for records in ([large], [small, large], [large, small, large, small]):
            with pytest.raises(RecordRefusedError, match="MessageSizeTooLarge"):
                await asyncio.wait_for(publisher.publish(records), 30)
        (position,) = await publisher.publish([small])
    stored = (await read_all(kafka_server.cluster, topic))[0]
    assert stored[position.offset].value == b"small"


async def test_a_refused_call_does_not_take_others_along(kafka_server: KafkaServer) -> None:
    """It spoils the producer's sequence; the others' records are produced again with a new one."""
    topic = await make_topic(kafka_server.cluster, 2, max_message_bytes="100000")
    async with publishing(kafka_server.cluster) as publisher:
        good = [
            [Record(topic, None, b"%d.%d" % (call, part), partition=part) for part in range(2)]
            for call in range(20)
        ]
        bad = [Record(topic, None, INCOMPRESSIBLE, partition=0)]
        answers = await asyncio.gather(
            *(publisher.publish(records) for records in good[:10]),
            publisher.publish(bad),
            *(publisher.publish(records) for records in good[10:]),
            return_exceptions=True,
        )
    stored = await read_all(kafka_server.cluster, topic, 2)
    assert isinstance(answers.pop(10), RecordRefusedError)
    for records, positions in zip(good, answers, strict=True):
        assert not isinstance(positions, BaseException)
        for record, position in zip(records, positions, strict=True):
            assert stored[position.partition][position.offset].value == record.value


async def test_a_topic_that_does_not_exist_yet_is_waited_for(
    kafka_server: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing_module, "REQUEST_TIMEOUT_MS", 500)
    topic = fresh_name("late")
    async with publishing(kafka_server.cluster) as publisher:
        with pytest.raises(Outage, match="within 800 ms"):
            await publisher.publish_within([Record(topic, None, b"x")], 800)
        producer = publisher._producer
        waiting = asyncio.create_task(publisher.publish([Record(topic, None, b"y")]))
        await make_named(kafka_server.cluster, topic)
        assert await asyncio.wait_for(waiting, 30) == [Position(0, 0)]
        assert publisher._producer is producer


async def test_nobody_there_is_an_outage_for_those_who_cannot_wait() -> None:
    """And nothing is left behind of the attempts to connect: warnings are errors here."""
    publisher = Publisher(cluster=Cluster(bootstrap=NOWHERE), client_id="test")
    for _ in range(3):
        with pytest.raises(Outage, match="did not acknowledge within 100 ms"):
            await publisher.publish_within([Record("topic", None, b"x")], 100)
    await publisher.stop()


@pytest.mark.slow
async def test_what_was_acknowledged_is_there_when_kafka_was_killed_while_publishing(
    own_kafka: OwnKafka,
) -> None:
    """Each record at the position returned, once, and in order for each partition."""
    kafka = own_kafka.broker
    await kafka.start()
    topic = await make_topic(kafka.cluster, 2)
    acknowledged: list[tuple[Record, Position]] = []
    async with publishing(kafka.cluster) as publisher:

        async def publish_on(stopped: asyncio.Event) -> None:
            number = 0
            while not stopped.is_set():
                records = [
                    Record(topic, None, b"%d" % (number + step), partition=(number + step) % 2)
                    for step in range(100)
                ]
                positions = await publisher.publish(records)
                acknowledged.extend(zip(records, positions, strict=True))
                number += len(records)

        stopped = asyncio.Event()
        running = asyncio.create_task(publish_on(stopped))
        for _ in range(2):
            before = len(acknowledged)
            await until_true(lambda: len(acknowledged) > before + 1_000, what="publishing goes on")  # noqa: B023
            await kafka.kill9()
            await kafka.start()
        before = len(acknowledged)
        await until_true(lambda: len(acknowledged) > before + 1_000, what="publishing goes on")
        stopped.set()
        await running
    stored = await read_all(kafka.cluster, topic, 2)
    await kafka.kill9()
    for record, position in acknowledged:
        assert stored[position.partition][position.offset].value == record.value
    for partition in (0, 1):
        values = [int(found.value or b"") for found in stored[partition]]
        assert values == sorted(set(values))  # once each: the producer was the same all along
    assert sum(map(len, stored.values())) == len(acknowledged)


@pytest.mark.slow
async def test_an_outage_is_waited_out_and_leaves_no_doubles(
    own_kafka: OwnKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than the client's own patience, with several batches for one partition waiting."""
    monkeypatch.setattr(publishing_module, "REQUEST_TIMEOUT_MS", 500)
    kafka = own_kafka.broker
    await kafka.start()
    topic = await make_topic(kafka.cluster)
    async with publishing(kafka.cluster) as publisher:
        await publisher.publish([Record(topic, None, b"before")])
        await kafka.kill9()
        piece = INCOMPRESSIBLE[:BATCH_BYTES_MAX]
        records = [Record(topic, None, b"%d:" % number + piece) for number in range(6)]
        publish = asyncio.create_task(publisher.publish(records))
        with pytest.raises(Outage):
            await publisher.publish_within([Record(topic, None, b"hurried")], 3_000)
        assert not publish.done()
        await kafka.start()
        positions = await asyncio.wait_for(publish, 40)
    stored = (await read_all(kafka.cluster, topic))[0]
    await kafka.kill9()
    values = [record.value for record in records]
    assert [stored[position.offset].value for position in positions] == values
    values = [found.value for found in stored if found.value != b"hurried"]
    assert values == [b"before", *(record.value for record in records)]


@pytest.mark.slow
async def test_stopping_does_not_wait_for_a_broker_that_is_away(
    own_kafka: OwnKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With records still in the producer: their caller was told of the outage."""
    monkeypatch.setattr(publishing_module, "STOP_WITHIN_S", 0.5)
    monkeypatch.setattr(publishing_module, "REQUEST_TIMEOUT_MS", 500)
    kafka = own_kafka.broker
    await kafka.start()
    topic = await make_topic(kafka.cluster)
    publisher = Publisher(cluster=kafka.cluster, client_id="test")
    await publisher.publish([Record(topic, None, b"before")])
    await kafka.kill9()
    with pytest.raises(Outage):
        await publisher.publish_within([Record(topic, None, b"lost")], 300)
    await asyncio.wait_for(publisher.stop(), 20)
    await until_true(lambda: len(asyncio.all_tasks()) == 1, what="nothing is left running")


async def make_named(cluster: Cluster, topic: str) -> None:
    async with admin(cluster) as client:
        await client.create_topics([NewTopic(topic, 1, 1)])
