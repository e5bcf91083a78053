"""Crashes and company: no row is lost or doubled, no failure is counted twice."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from deploy.local.mongo import Mongo as MongoProcess
from shared.config import Settings
from shared.kafka.admin import create_topics
from shared.kafka.cluster import Cluster
from shared.kafka.publisher import Publisher
from shared.models.attempts import Attempt
from shared.models.stats import Counts
from shared.storage.mongo.client import Mongo
from tests.integration.recorder.kit import World, attempts_of, recorder, recorder_process
from tests.support.polling import until
from tests.support.servers import KafkaServer, MongoServer, OwnKafka, fresh_name

pytestmark = pytest.mark.integration

ENDPOINTS = 12


def round_of(number: int) -> list[Attempt]:
    """Return a round of attempts: a third of the endpoints fail, the others succeed."""
    return [
        one
        for n in range(ENDPOINTS)
        for one in attempts_of(
            f"wh_{n:02}", ["failed" if n % 3 == 0 else "success"] * 5, start=5 * number
        )
    ]


async def check(world: World, attempts: list[Attempt]) -> None:
    """Wait for the log and the counts that these attempts lead to, exactly."""
    await world.logged(attempts)
    for n in range(0, ENDPOINTS, 3):
        failures = sum(one.endpoint_id == f"wh_{n:02}" for one in attempts)
        await world.counted(f"wh_{n:02}", failures)
    healthy = [f"wh_{n:02}" for n in range(ENDPOINTS) if n % 3]
    assert await world.healths.of_endpoints(healthy) == []


def counts_of(attempts: list[Attempt]) -> Counts:
    """Return what these attempts come to."""
    counts = Counts()
    for one in attempts:
        counts.count(one)
    return counts


async def test_a_second_worker_may_come_and_go_during_the_load(
    world: World, settings: Settings
) -> None:
    attempts: list[Attempt] = []

    async def load(rounds: range) -> None:
        for number in rounds:
            batch = round_of(number)
            attempts.extend(batch)
            await world.produce(batch)

    async with recorder(settings):
        await load(range(10))
        async with recorder(settings):
            await load(range(10, 20))
            await until(world.members, lambda members: members == 2, what="a second worker")
            await load(range(20, 30))
            await world.logged(attempts)
            await load(range(30, 40))
        await load(range(40, 60))
        await check(world, attempts)
    assert await world.statistics() == counts_of(attempts)


@pytest.mark.slow
async def test_a_worker_that_is_killed_leaves_nothing_undone_and_nothing_doubled(
    world: World, settings: Settings
) -> None:
    static = msgspec.structs.replace(settings, instance="0")
    attempts: list[Attempt] = []

    async def load(rounds: range) -> None:
        for number in rounds:
            attempts.extend(round_of(number))
            await world.produce(round_of(number))

    for wave in range(3):
        before = len(attempts)
        process = await recorder_process(static)
        await load(range(20 * wave, 20 * wave + 15))
        await more_rows_than(world, before)
        await load(range(20 * wave + 15, 20 * wave + 20))
        process.kill()
        assert await process.wait() == -signal.SIGKILL
    before = len(attempts)
    process = await recorder_process(static)
    await load(range(60, 62))
    await more_rows_than(world, before)
    await check(world, attempts)
    process.terminate()
    assert await process.wait() == 0
    assert await world.statistics() == counts_of(attempts)


async def more_rows_than(world: World, count: int) -> None:
    await until(world.rows, lambda rows: len(rows) > count, what="more rows", within_s=30)


@pytest.mark.timeout(180)
async def test_mongodb_may_be_killed_during_the_load_and_the_log_catches_up(
    kafka_server: KafkaServer, tmp_path: Path
) -> None:
    server = MongoProcess(tmp_path / "mongo", logs_dir=tmp_path)
    await server.start()
    settings = Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("rec") + ".",
        partitions=3,
        mongo_uri=server.uri,
        mongo_database="recorder",
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.kill9)
        world = await opened(stack, settings)
        await stack.enter_async_context(recorder(settings))
        attempts = [one for number in range(20) for one in round_of(number)]
        for number in range(10):
            await world.produce(round_of(number))
        await until(world.rows, bool, what="the first rows")
        await server.kill9()
        for number in range(10, 20):
            await world.produce(round_of(number))
        await server.start()
        await check(world, attempts)


@pytest.mark.timeout(180)
@pytest.mark.slow
async def test_kafka_may_be_killed_during_the_load_and_the_log_catches_up(
    mongo_server: MongoServer, own_kafka: OwnKafka
) -> None:
    server = own_kafka.broker
    await server.start()
    settings = Settings(
        **own_kafka.settings,
        partitions=3,
        mongo_uri=mongo_server.uri,
        mongo_database=fresh_name("recorder"),
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.kill9)
        world = await opened(stack, settings)
        await stack.enter_async_context(recorder(settings))
        attempts = [one for number in range(20) for one in round_of(number)]
        for number in range(10):
            await world.produce(round_of(number))
        await until(world.rows, bool, what="the first rows")
        await server.kill9()
        await server.start()
        for number in range(10, 20):
            await world.produce(round_of(number))
        await check(world, attempts)


async def test_a_recorder_that_waits_for_mongodb_still_stops_when_it_is_told_to(
    kafka_server: KafkaServer, unused_tcp_port: int
) -> None:
    settings = Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("rec") + ".",
        partitions=1,
        mongo_uri=f"mongodb://127.0.0.1:{unused_tcp_port}/",
        drain_timeout_ms=1,
    )
    await create_topics(settings)
    async with recorder(settings) as running:
        await asyncio.wait({running}, timeout=0.5)
        assert not running.done()
    assert running.done()


async def opened(stack: AsyncExitStack, settings: Settings) -> World:
    """Return a world that is closed with ``stack``."""
    await create_topics(settings)
    mongo = Mongo(settings.mongo_uri, settings.mongo_database)
    stack.callback(mongo.close)
    publisher = Publisher(cluster=Cluster.of(settings), client_id="test")
    await publisher.start()
    stack.push_async_callback(publisher.stop)
    return World(settings, mongo, publisher)
