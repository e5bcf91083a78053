"""The retry service on the real Kafka, with tiers of a fraction of a second and of a day."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import msgspec
import pytest

from services.retry.handler import Retry
from services.retry.wiring import FETCH, SERVICE
from shared.config import Settings
from shared.kafka.admin import create_topics, partitions_of
from shared.kafka.cluster import Cluster
from shared.kafka.member import GroupMember
from shared.kafka.names import topic_name
from shared.kafka.partitioner import partition_for
from shared.kafka.publisher import Publisher, Record
from shared.models.deliveries import META_HEADER, REASON_HEADER, meta_of
from shared.topics import DEAD, DELIVERIES, tier_topic
from tests.integration.retry.kit import Moved, World, event_of, now_ms, retry, retry_process
from tests.support.polling import until
from tests.support.servers import OwnKafka

pytestmark = pytest.mark.integration

DAY_MS = 86_400_000


def events(count: int, start: int = 0) -> list[str]:
    return [f"evt_{number:05}" for number in range(start, start + count)]


async def test_each_record_comes_back_when_it_is_due_and_not_before(
    world: World, settings: Settings
) -> None:
    async with retry(settings):
        for wave in range(5):
            await world.park("1s", events(40, start=200 * wave))
            await world.park("300ms", events(40, start=200 * wave + 100))
        expected = [one for wave in range(10) for one in events(40, start=100 * wave)]
        moved = await world.all_moved(expected)

    for one in moved:
        meta = meta_of(one.headers)
        assert meta is not None
        assert one.timestamp >= meta.due_ms
    assert len(moved) == len(expected)


async def test_a_record_comes_back_unchanged_to_the_partition_of_its_endpoint_in_order(
    world: World, settings: Settings
) -> None:
    async with retry(settings):
        await world.park("300ms", events(200))
        moved = await world.all_moved(events(200))

    for one in moved:
        assert one.value == f"body of {event_of(one)}".encode()
        assert one.partition == partition_for(one.key or b"", settings.partitions)
        assert [name for name, _ in one.headers] == [META_HEADER]
    for key in {one.key for one in moved}:
        order = [event_of(one) for one in moved if one.key == key]
        assert all(earlier < later for earlier, later in pairwise(order))


async def test_what_became_due_while_nobody_ran_moves_as_soon_as_somebody_does(
    world: World, settings: Settings
) -> None:
    long_ago = now_ms() - DAY_MS
    for wave in range(4):
        await world.park("24h", events(1_000, start=1_000 * wave), due_ms=long_ago + wave)
    async with retry(settings):
        moved = await world.all_moved(events(4_000))

    assert len(moved) == 4_000


async def test_a_restart_in_the_middle_of_a_wait_loses_nothing_and_doubles_nothing(
    world: World, settings: Settings
) -> None:
    due_ms = now_ms() + 3_000
    async with retry(settings):
        await world.park("24h", events(300), due_ms=due_ms)
        await world.park("300ms", ["evt_x"])
        await world.all_moved(["evt_x"])  # so it has read, and holds the others
    assert now_ms() < due_ms
    async with retry(settings):
        moved = await world.all_moved([*events(300), "evt_x"])

    assert len(moved) == 301
    assert min(one.timestamp for one in moved if event_of(one) != "evt_x") >= due_ms


async def test_what_is_no_delivery_goes_to_dead_and_its_tier_goes_on(
    world: World, settings: Settings
) -> None:
    topic = topic_name(settings, tier_topic(settings.tiers.named("300ms")))
    poison = [
        Record(topic, b"wh_1", b"no metadata", (("x", b"1"),), partition=0),
        Record(topic, b"wh_1", b"foreign", ((META_HEADER, b"\xc1"),), partition=0),
        Record(topic, None, None, (), partition=0),
    ]
    async with retry(settings):
        await world.park("300ms", events(20))
        await world.publisher.publish(poison)
        await world.park("300ms", events(20, start=20))
        await world.all_moved(events(40))
        dead = await until(world.dead, lambda records: len(records) >= 3, what="the dead")

    by_value = {one.value: dict(one.headers) for one in dead}
    assert by_value.keys() == {b"no metadata", b"foreign", None}
    assert by_value[b"no metadata"]["x"] == b"1"
    assert by_value[b"foreign"][REASON_HEADER].startswith(b"its metadata cannot be read")


async def test_a_second_worker_may_come_and_go_and_everything_comes_back(
    world: World, settings: Settings
) -> None:
    expected: list[str] = []

    async def load(waves: range) -> None:
        for wave in waves:
            batch = events(50, start=50 * wave)
            expected.extend(batch)
            await world.park("300ms" if wave % 2 else "1s", batch)

    async with retry(settings):
        await load(range(10))
        async with retry(settings):
            await load(range(10, 20))
            await until(world.members, lambda members: members == 2, what="a second worker")
            await load(range(20, 40))
        await load(range(40, 50))
        await world.all_moved(expected)


@pytest.mark.slow
async def test_a_worker_that_is_killed_loses_nothing(world: World, settings: Settings) -> None:
    static = msgspec.structs.replace(settings, instance="0")
    expected: list[str] = []

    async def load(waves: range) -> None:
        for wave in waves:
            batch = events(100, start=100 * wave)
            expected.extend(batch)
            await world.park("300ms" if wave % 2 else "1s", batch)

    for wave in range(3):
        before = len(expected)
        process = await retry_process(static)
        await load(range(10 * wave, 10 * wave + 10))
        await more_moves_than(world, before)
        process.kill()
        assert await process.wait() == -signal.SIGKILL
    before = len(expected)
    process = await retry_process(static)
    await load(range(30, 31))
    await more_moves_than(world, before)
    moved = await world.all_moved(expected)
    process.terminate()
    assert await process.wait() == 0
    for one in moved:  # what came twice is the same both times
        assert one.value == f"body of {event_of(one)}".encode()


async def more_moves_than(world: World, count: int) -> None:
    def is_more(found: list[Moved]) -> bool:
        return len({event_of(one) for one in found}) > count

    await until(world.moved, is_more, what="more moves", within_s=30)


@pytest.mark.timeout(180)
@pytest.mark.slow
async def test_kafka_may_be_killed_while_records_wait(own_kafka: OwnKafka) -> None:
    server = own_kafka.broker
    await server.start()
    settings = Settings(**own_kafka.settings, partitions=4, retry_tiers="300ms,1s")
    await create_topics(settings)
    publisher = Publisher(cluster=Cluster.of(settings), client_id="test")
    try:
        await publisher.start()
        world = World(settings, publisher)
        async with retry(settings):
            await world.park("300ms", events(100))
            await world.park("1s", events(400, start=100))
            await until(world.moved, bool, what="the first moves")
            await server.kill9()
            await server.start()
            await world.park("300ms", events(100, start=500))
            await world.all_moved(events(600), within_s=60)
    finally:
        await publisher.stop()
        await server.kill9()


# --- with a clock of the test's own -------------------------------------------------------------


@asynccontextmanager
async def retry_at(
    settings: Settings, publisher: Publisher, clock: Callable[[], int]
) -> AsyncIterator[None]:
    """Run the loop on the real group with ``clock`` as its time."""
    tiers = {topic_name(settings, tier_topic(tier)): tier for tier in settings.tiers.all}
    stopping = asyncio.Event()
    member = GroupMember(
        cluster=Cluster.of(settings),
        settings=settings,
        service=SERVICE,
        topics=list(tiers),
        fetch=FETCH,
        stopping=stopping,
        beat=lambda: None,
    )
    loop = Retry(
        group=member,
        sink=publisher,
        clock=clock,
        tiers=tiers,
        deliveries_topic=topic_name(settings, DELIVERIES),
        dead_topic=topic_name(settings, DEAD),
    )
    await member.join(loop.release)
    running = asyncio.ensure_future(loop.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await running
        await member.leave()


async def test_a_tier_of_a_day_holds_its_records_for_a_day(
    world: World, settings: Settings
) -> None:
    start_ms = now_ms()
    late_ms = 0
    await world.park("24h", events(50), due_ms=start_ms + DAY_MS)
    async with retry_at(settings, world.publisher, lambda: now_ms() + late_ms):
        await world.park("300ms", ["evt_x"], due_ms=start_ms)
        await world.all_moved(["evt_x"])
        late_ms = DAY_MS - 60_000
        await world.park("300ms", ["evt_y"], due_ms=start_ms)
        await world.all_moved(["evt_x", "evt_y"])
        late_ms = DAY_MS
        await world.all_moved(["evt_x", "evt_y", *events(50)])


async def test_the_tiers_have_fewer_partitions_than_the_deliveries(settings: Settings) -> None:
    """The tests above would not see a record that keeps its tier's partition, were it the same."""
    tier = tier_topic(settings.tiers.all[0])
    assert partitions_of(settings, tier) < partitions_of(settings, DELIVERIES)
