"""The view of ``endpoints``: complete at start, never behind a barrier, never silently dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiokafka.admin import NewTopic

from shared.kafka import registry as module
from shared.kafka.cluster import Cluster
from shared.kafka.publisher import Publisher, Record
from shared.kafka.registry import RegistryReader
from tests.integration.kafka.kit import admin, make_topic, publishing
from tests.support.servers import KafkaServer, OwnKafka, fresh_name

pytestmark = pytest.mark.integration


class View:
    """Keeps the last value of each key; some values cannot be applied."""

    def __init__(self) -> None:
        self.values: dict[str, bytes | None] = {}

    def apply(self, key: str, value: bytes | None) -> None:
        if value == b"foreign":
            raise msgspec.DecodeError("no state")
        if value == b"bug":
            raise ZeroDivisionError("a fault of ours")
        self.values[key] = value


@asynccontextmanager
async def following(cluster: Cluster, topic: str) -> AsyncIterator[tuple[RegistryReader, View]]:
    view = View()
    reader = RegistryReader(cluster=cluster, topic=topic, view=view, client_id="test")
    await asyncio.wait_for(reader.start(), 30)
    try:
        yield reader, view
    finally:
        await reader.stop()


async def put(publisher: Publisher, topic: str, **values: bytes | None) -> None:
    await publisher.publish([Record(topic, key.encode(), value) for key, value in values.items()])


async def test_the_view_is_complete_when_start_returns(kafka_server: KafkaServer) -> None:
    topic = await make_topic(kafka_server.cluster, cleanup_policy="compact")
    async with publishing(kafka_server.cluster) as publisher:
        await publisher.publish(
            [Record(topic, b"wh_%d" % (number % 500), b"%d" % number) for number in range(5_000)]
        )
        await put(publisher, topic, wh_0=None)
    async with following(kafka_server.cluster, topic) as (_, view):
        assert len(view.values) == 500
        assert view.values["wh_1"] == b"4501"
        assert view.values["wh_0"] is None


async def test_an_empty_topic_is_a_complete_view(kafka_server: KafkaServer) -> None:
    topic = await make_topic(kafka_server.cluster)
    async with following(kafka_server.cluster, topic) as (reader, view):
        await asyncio.wait_for(reader.catch_up(), 10)
        assert view.values == {}


async def test_what_was_acknowledged_before_the_barrier_is_in_the_view_behind_it(
    kafka_server: KafkaServer,
) -> None:
    """The first event counts: again and again, with the change and the barrier back to back."""
    topic = await make_topic(kafka_server.cluster)
    async with (
        publishing(kafka_server.cluster) as publisher,
        following(kafka_server.cluster, topic) as (reader, view),
    ):
        for number in range(100):
            await put(publisher, topic, wh_1=b"%d" % number)
            await asyncio.wait_for(reader.catch_up(), 10)
            assert view.values["wh_1"] == b"%d" % number


async def test_many_may_wait_at_once_and_one_may_give_up(kafka_server: KafkaServer) -> None:
    topic = await make_topic(kafka_server.cluster)
    async with (
        publishing(kafka_server.cluster) as publisher,
        following(kafka_server.cluster, topic) as (reader, view),
    ):
        await put(publisher, topic, wh_1=b"1")
        waiting = [asyncio.create_task(reader.catch_up()) for _ in range(20)]
        waiting[0].cancel()
        await asyncio.wait_for(asyncio.gather(*waiting[1:]), 10)
        assert view.values == {"wh_1": b"1"}


async def test_a_record_that_is_no_state_is_passed_over(kafka_server: KafkaServer) -> None:
    """One bad record must not stop matching."""
    topic = await make_topic(kafka_server.cluster)
    async with publishing(kafka_server.cluster) as publisher:
        records = [(b"wh_1", b"foreign"), (b"\xff", b"1"), (None, b"2"), (b"wh_2", b"3")]
        await publisher.publish([Record(topic, key, value) for key, value in records])
    async with following(kafka_server.cluster, topic) as (_, view):
        assert view.values == {"": b"2", "wh_2": b"3"}


async def test_a_reader_that_has_ended_is_told_and_not_waited_for(
    kafka_server: KafkaServer,
) -> None:
    """Matching would stand still without a word."""
    topic = await make_topic(kafka_server.cluster)
    async with (
        publishing(kafka_server.cluster) as publisher,
        following(kafka_server.cluster, topic) as (reader, _),
    ):
        await put(publisher, topic, wh_1=b"bug")
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(reader.catch_up(), 10)


async def test_a_topic_that_is_not_there_yet_is_waited_for(kafka_server: KafkaServer) -> None:
    topic = fresh_name("endpoints")
    reader = RegistryReader(
        cluster=kafka_server.cluster, topic=topic, view=View(), client_id="test"
    )
    starting = asyncio.create_task(reader.start())
    done, _ = await asyncio.wait({starting}, timeout=0.3)
    assert not done
    async with admin(kafka_server.cluster) as client:
        await client.create_topics([NewTopic(topic, 1, 1)])
    await asyncio.wait_for(starting, 30)
    await reader.stop()


async def test_starting_without_a_broker_can_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left behind of the attempts to connect: warnings are errors here."""
    monkeypatch.setattr(module, "RETRY_AFTER_S", 0.01)
    reader = RegistryReader(
        cluster=Cluster(bootstrap="127.0.0.1:1"), topic="endpoints", view=View(), client_id="test"
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.start(), 0.3)
    await reader.stop()


@pytest.mark.slow
async def test_an_outage_of_the_broker_is_waited_out(own_kafka: OwnKafka) -> None:
    """A barrier that is asked for meanwhile returns when the view is complete again."""
    kafka = own_kafka.broker
    await kafka.start()
    topic = await make_topic(kafka.cluster)
    async with (
        publishing(kafka.cluster) as publisher,
        following(kafka.cluster, topic) as (reader, view),
    ):
        await put(publisher, topic, wh_1=b"1")
        await reader.catch_up()
        await kafka.kill9()
        waiting = asyncio.create_task(reader.catch_up())
        await kafka.start()
        await put(publisher, topic, wh_1=b"2")
        await asyncio.wait_for(waiting, 40)
        await asyncio.wait_for(reader.catch_up(), 40)
        assert view.values == {"wh_1": b"2"}
    await kafka.kill9()
