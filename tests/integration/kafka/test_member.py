"""Membership in a group: kept through long work, given up in order, taken up again after errors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from msgspec import structs

from shared.config import Settings
from shared.kafka import member as module
from shared.kafka.cluster import Cluster
from shared.kafka.member import Fetch, Fetched, GroupMember
from shared.kafka.names import group_name
from shared.kafka.publisher import Publisher, Record
from tests.support.polling import until
from tests.support.servers import KafkaServer, fresh_name

pytestmark = pytest.mark.integration

FETCH = Fetch(bytes_min=1, wait_ms=50, partition_bytes_max=1024 * 1024)
PARTITIONS = 2


class World:
    """A topic, and members of one group that read it."""

    def __init__(self, settings: Settings, topic: str, publisher: Publisher) -> None:
        self.settings = settings
        self.topic = topic
        self.publisher = publisher
        self.tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]

    async def produce(self, *values: bytes, partition: int = 0) -> None:
        await self.publisher.publish(
            [Record(self.topic, None, value, partition=partition) for value in values]
        )

    @asynccontextmanager
    async def member(
        self, release: Callable[[], None] = lambda: None, *, instance: str = ""
    ) -> AsyncIterator[tuple[GroupMember, asyncio.Event]]:
        """Give a member that has joined, and what stops it."""
        stopping = asyncio.Event()
        member = GroupMember(
            cluster=Cluster.of(self.settings),
            settings=structs.replace(self.settings, instance=instance),
            service="test",
            topics=[self.topic],
            fetch=FETCH,
            stopping=stopping,
            beat=lambda: None,
        )
        await member.join(release)
        try:
            yield member, stopping
        finally:
            await member.leave()

    @asynccontextmanager
    async def second(self) -> AsyncIterator[asyncio.Future[GroupMember]]:
        """Let a second member join, as a process of its own would; it keeps polling."""
        async with AsyncExitStack() as stack:
            joined: asyncio.Future[GroupMember] = asyncio.get_running_loop().create_future()

            async def live() -> None:
                async with self.member() as (member, _):
                    joined.set_result(member)
                    while True:
                        await member.poll(timeout_ms=100, records_max=1, partitions=())

            living = asyncio.create_task(live())
            stack.push_async_callback(_cancelled, living)
            yield asyncio.ensure_future(joined)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


@pytest.fixture
async def world(kafka_server: KafkaServer) -> AsyncIterator[World]:
    topic = fresh_name("member")
    admin = AIOKafkaAdminClient(**kafka_server.cluster.client)
    await admin.start()
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    await admin.close()
    publisher = Publisher(cluster=kafka_server.cluster, client_id="test")
    await publisher.start()
    settings = Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("member") + ".",
        drain_timeout_ms=1,
    )
    yield World(settings, topic, publisher)
    await publisher.stop()


async def read(member: GroupMember, count: int) -> list[bytes | None]:
    """Poll until ``count`` records have come."""
    values: list[bytes | None] = []

    async def look() -> list[bytes | None]:
        fetched = await member.poll(timeout_ms=100, records_max=100)
        values.extend(record.value for records in fetched.values() for record in records)
        return values

    return await until(look, lambda values: len(values) >= count, what=f"{count} records")


def ends_of(fetched: Fetched) -> dict[TopicPartition, int]:
    return {tp: records[-1].offset + 1 for tp, records in fetched.items()}


async def test_only_the_partitions_that_are_asked_for_are_read(world: World) -> None:
    async with world.member() as (member, _):
        await world.produce(b"a", partition=0)
        await world.produce(b"b", partition=1)
        assert await member.poll(timeout_ms=300, records_max=9, partitions=()) == {}
        assert member.partition_count(world.topic) == PARTITIONS
        assert member.partition_count("another") is None

        async def second() -> Fetched:
            return await member.poll(timeout_ms=100, records_max=9, partitions=[world.tps[1]])

        fetched = await until(second, bool, what="a record")
        assert fetched.keys() == {world.tps[1]}
        assert await read(member, 1) == [b"a"]


async def test_the_lag_is_what_is_not_committed_whether_it_was_fetched_or_not(world: World) -> None:
    async with world.member() as (member, _):
        await world.produce(b"a", b"b", b"c", partition=0)
        assert await member.lag() == 3
        fetched = await until(
            lambda: member.poll(timeout_ms=100, records_max=1), bool, what="a record"
        )
        assert await member.lag() == 3
        await member.work(_committed(member, fetched))
        assert await member.lag() == 2
    assert await member.lag() is None


async def _committed(member: GroupMember, fetched: Fetched) -> None:
    assert await member.commit(ends_of(fetched))


async def test_a_poll_ends_at_once_when_the_service_is_stopping(world: World) -> None:
    async with world.member() as (member, stopping):
        polling = asyncio.ensure_future(member.poll(timeout_ms=3_600_000, records_max=1))
        asyncio.get_running_loop().call_later(0.1, stopping.set)

        assert await polling == {}


async def test_a_job_that_hangs_is_given_up_when_the_time_to_drain_is_over(world: World) -> None:
    async with world.member() as (member, stopping):
        stopping.set()

        assert await member.work(asyncio.Event().wait()) is False  # type: ignore[arg-type]


async def test_an_exception_of_a_job_is_raised(world: World) -> None:
    async def fail() -> None:
        raise ValueError("ours")

    async with world.member() as (member, _):
        with pytest.raises(ValueError, match="ours"):
            await member.work(fail())


async def taken(member: GroupMember) -> Fetched:
    """Return the first records that come."""
    return await until(lambda: member.poll(timeout_ms=100, records_max=99), bool, what="records")


async def test_a_job_may_finish_and_commit_before_its_partitions_go_to_somebody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.produce(*[b"%d" % n for n in range(10)])
    story: list[str] = []
    async with world.member(lambda: story.append("released")) as (member, _):
        fetched = await taken(member)
        revoking = asyncio.Event()
        revoked = member.revoked

        async def job() -> None:
            await revoking.wait()
            story.append(f"committed: {await member.commit(ends_of(fetched))}")

        async def tell_and_revoke() -> None:
            story.append("revoking")
            revoking.set()
            await revoked()

        monkeypatch.setattr(member, "revoked", tell_and_revoke)
        story.clear()
        working = asyncio.create_task(member.work(job()))
        async with world.second() as second:
            assert await working is True
            await second
        assert story[:3] == ["revoking", "committed: True", "released"]
        assert await member.committed(world.tps[0]) == 10


async def test_a_job_that_goes_on_is_abandoned_and_its_partitions_never_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REVOKE_GRACE_S", 0.2)
    await world.produce(*[b"%d" % n for n in range(10)])
    story: list[str] = []
    async with world.member(lambda: story.append("released")) as (member, _):
        await taken(member)
        story.clear()

        async def job() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                story.append("abandoned")

        working = asyncio.create_task(member.work(job()))
        async with world.second() as second:
            assert await working is False
            await second
        assert story[:2] == ["abandoned", "released"]
        assert await member.committed(world.tps[0]) is None


async def test_between_two_assignments_nothing_is_committed(world: World) -> None:
    await world.produce(b"a")
    async with world.member() as (member, _):
        fetched = await taken(member)
        await member.revoked()

        assert await member.commit(ends_of(fetched)) is False
        member.assigned_anew()
        assert await member.commit(ends_of(fetched)) is True


async def test_what_was_fetched_for_a_former_assignment_is_not_returned(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.produce(b"a")
    async with world.member() as (member, _):
        getmany = AIOKafkaConsumer.getmany

        async def late(self: AIOKafkaConsumer, *given: object, **options: int) -> Fetched:
            fetched: Fetched = await getmany(self, *given, **options)
            if fetched:
                asyncio.get_running_loop().call_soon(setattr, member, "_generation", 99)
            return fetched

        monkeypatch.setattr(AIOKafkaConsumer, "getmany", late)
        position = world.tps[0]
        polled = [await member.poll(timeout_ms=300, records_max=9) for _ in range(5)]

        assert member._generation == 99, "the record was fetched"
        assert polled == [{}] * 5
        assert await member.committed(position) is None


async def test_after_an_error_of_the_client_it_joins_again_and_reads_on_from_the_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.produce(b"a", b"b")
    story: list[str] = []
    async with world.member(lambda: story.append("released")) as (member, _):
        fetched = await taken(member)
        assert await member.commit({tp: end - 1 for tp, end in ends_of(fetched).items()})
        getmany = AIOKafkaConsumer.getmany
        failed: list[object] = []

        async def failing(self: AIOKafkaConsumer, *given: object, **options: int) -> Fetched:
            if not failed:
                failed.append(self)
                raise KafkaError("the coordination has ended")
            fetched: Fetched = await getmany(self, *given, **options)
            return fetched

        monkeypatch.setattr(AIOKafkaConsumer, "getmany", failing)
        story.clear()

        assert await read(member, 1) == [b"b"]
        assert story[0] == "released"


async def seats_of(world: World) -> set[str]:
    """Return the members of the group, as the broker has them."""
    admin = AIOKafkaAdminClient(**Cluster.of(world.settings).client)
    await admin.start()
    try:
        (response,) = await admin.describe_consumer_groups([group_name(world.settings, "test")])
    finally:
        await admin.close()
    return {member[1] for group in response.groups for member in group[5]}


async def polled(member: GroupMember) -> Collection[TopicPartition]:
    """Return what is a member's, once it has had a chance to hear of changes."""
    await member.poll(timeout_ms=50, records_max=1, partitions=())
    return member.assigned()


async def test_who_stops_leaves_and_the_last_one_keeps_its_seat(world: World) -> None:
    """The session of these would run out long after the test has."""
    world.settings = structs.replace(world.settings, session_timeout_ms=60_000)
    async with world.member(instance="a") as (first, _):
        async with world.member(instance="b"):
            await until(
                lambda: polled(first), lambda mine: len(mine) == 1, what="a partition for each"
            )
        await until(lambda: polled(first), lambda mine: len(mine) == 2, what="both partitions")
        assert await seats_of(world) == {"hooklane-test-a"}
    assert await seats_of(world) == {"hooklane-test-a"}


async def test_a_membership_that_has_failed_keeps_its_seat(world: World) -> None:
    """It joins again at once, so nothing has to move."""
    world.settings = structs.replace(world.settings, session_timeout_ms=60_000)
    async with world.member(instance="a") as (first, _), world.member(instance="b") as (second, _):
        await until(lambda: polled(first), lambda mine: len(mine) == 1, what="a partition for each")
        await second._leave(KafkaError("the coordination has ended"))
        assert await seats_of(world) == {"hooklane-test-a", "hooklane-test-b"}
