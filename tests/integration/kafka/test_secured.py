"""A Kafka with SASL_SSL and permissions: who gets in, and what becomes of who does not.

Whoever is refused waits, says so as what it is, and goes on as soon as it is let in: that is what a
password or a permission looks like while it is being changed.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiokafka.conn import AIOKafkaConnection
from aiokafka.structs import ConsumerRecord
from structlog.testing import capture_logs

from deploy.local import cache, java
from services.fanout.app import create_app
from shared.config import Settings
from shared.kafka import connections, refusals
from shared.kafka.acls import Grant, commands, grants
from shared.kafka.admin import TopicMismatchError, create_topics
from shared.kafka.cluster import Cluster
from shared.kafka.member import Fetch, GroupMember
from shared.kafka.names import group_name
from shared.kafka.publisher import Publisher, Record
from shared.seldom import Seldom
from tests.integration.kafka.kit import make_topic, publishing, read_all
from tests.support.polling import until_true
from tests.support.producers import console_class_path
from tests.support.secured import ADMIN, MECHANISMS, SUITE, SecuredKafka
from tests.support.servers import fresh_name

pytestmark = [pytest.mark.integration, pytest.mark.slow]

Logs = list[structlog.typing.EventDict]


@pytest.fixture(autouse=True)
def mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in every service; and what an earlier test was told is told again."""
    monkeypatch.setattr(AIOKafkaConnection, "send", AIOKafkaConnection.send)
    monkeypatch.setattr(AIOKafkaConnection, "connect", AIOKafkaConnection.connect)
    monkeypatch.setattr(refusals, "_seldom", Seldom(refusals.TELL_EVERY_S))
    connections.mend()


@pytest.fixture
async def topic(secured_kafka: SecuredKafka) -> str:
    return await make_topic(as_user(secured_kafka, SUITE))


def as_user(kafka: SecuredKafka, user: str, mechanism: str = "SCRAM-SHA-512") -> Cluster:
    return Cluster.of(Settings(**kafka.settings(user, mechanism)))


async def told(logs: Logs, reason: str) -> None:
    """Wait until a refusal for this reason is in the log."""

    def found() -> Logs:
        return [line for line in logs if line["event"] == "kafka_refuses"]

    await until_true(
        found,
        lambda lines: any(reason in line["error"] for line in lines),
        what=f"kafka_refuses with {reason}",
        within_s=30,
    )


@asynccontextmanager
async def waiting_publisher(cluster: Cluster, topic: str) -> AsyncIterator[asyncio.Task[Any]]:
    """Publish a record, which takes as long as it takes."""
    publisher = Publisher(cluster=cluster, client_id="test")
    task = asyncio.create_task(publisher.publish([Record(topic, b"k", b"v")]))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        await publisher.stop()


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_user_logs_in_by_each_mechanism(
    secured_kafka: SecuredKafka, topic: str, mechanism: str
) -> None:
    cluster = as_user(secured_kafka, SUITE, mechanism)
    async with publishing(cluster) as publisher:
        await publisher.publish([Record(topic, None, b"hello")])
    assert [record.value for record in (await read_all(cluster, topic))[0]] == [b"hello"]


async def test_a_certificate_says_who_one_is(secured_kafka: SecuredKafka, topic: str) -> None:
    settings = Settings(**secured_kafka.certificate_settings(SUITE))
    cluster = Cluster.of(settings)
    async with publishing(cluster) as publisher:
        await publisher.publish([Record(topic, None, b"hello")])
    assert [record.value for record in (await read_all(cluster, topic))[0]] == [b"hello"]


async def test_a_password_that_kafka_does_not_know_yet_costs_nothing(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    """Rotation: the service has the new password, Kafka gets it later."""
    user = "hooklane-producers"
    await secured_kafka.grant([Grant("producers", "topic", "Write", topic)])
    settings = {**secured_kafka.settings(user), "kafka_password": fresh_name("password")}
    cluster = Cluster.of(Settings(**settings))
    with capture_logs() as logs:
        async with waiting_publisher(cluster, topic) as publishing_one:
            await told(logs, "SaslAuthenticationFailed")
            assert not publishing_one.done()
            await secured_kafka.set_password(user, settings["kafka_password"])
            await asyncio.wait_for(publishing_one, 30)
    assert len((await read_all(as_user(secured_kafka, SUITE), topic))[0]) == 1
    assert settings["kafka_password"] not in str(logs)


async def test_a_broker_whose_certificate_has_another_name_is_not_believed(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    settings = secured_kafka.settings(SUITE)
    port = settings["kafka_bootstrap"].rpartition(":")[2]
    elsewhere = {**settings, "kafka_bootstrap": f"localhost:{port}"}
    with capture_logs() as logs:
        cluster = Cluster.of(Settings(**elsewhere))
        async with waiting_publisher(cluster, topic) as publishing_one:
            await told(logs, "Hostname mismatch")
            assert not publishing_one.done()


async def test_who_may_not_write_yet_waits_until_it_may(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    with capture_logs() as logs:
        cluster = as_user(secured_kafka, "hooklane-retry")
        async with waiting_publisher(cluster, topic) as publishing_one:
            await told(logs, "AuthorizationFailed")  # for a producer's id, it is the cluster's
            assert not publishing_one.done()
            await secured_kafka.grant([Grant("retry", "topic", "Write", topic)])
            await asyncio.wait_for(publishing_one, 30)
    assert len((await read_all(as_user(secured_kafka, SUITE), topic))[0]) == 1


async def test_who_may_not_join_its_group_or_read_yet_waits_until_it_may(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    settings = Settings(
        **secured_kafka.settings("hooklane-retry"),
        topic_prefix=fresh_name("secured") + ".",
    )
    group = group_name(settings, "retry")
    stopping = asyncio.Event()
    member = GroupMember(
        cluster=Cluster.of(settings),
        settings=settings,
        service="retry",
        topics=[topic],
        fetch=Fetch(1, 100, 1024 * 1024),
        stopping=stopping,
        beat=lambda: None,
    )
    values: list[bytes | None] = []

    async def consume() -> None:
        await member.join(lambda: None)
        while not stopping.is_set():
            fetched = await member.poll(timeout_ms=100, records_max=10)
            values.extend(one.value for records in fetched.values() for one in records)

    async with publishing(as_user(secured_kafka, SUITE)) as publisher:
        await publisher.publish([Record(topic, None, b"hello")])
    with capture_logs() as logs:
        consuming = asyncio.create_task(consume())
        await told(logs, "TopicAuthorizationFailed")
        await secured_kafka.grant([Grant("retry", "topic", "Read", topic)])
        await told(logs, "GroupAuthorizationFailed")
        await secured_kafka.grant([Grant("retry", "group", "Read", group)])
        await until_true(lambda: values, what="the record", within_s=30)
        stopping.set()
        await consuming
        await member.leave()
    assert values == [b"hello"]


async def test_faust_waits_until_it_may_read_and_when_it_may_no_longer(
    secured_kafka: SecuredKafka, topic: str
) -> None:
    group = fresh_name("group")
    may_join, may_read = (
        Grant("fanout", "group", "Read", group),
        Grant("fanout", "topic", "Read", topic),
    )
    handled: list[bytes | None] = []

    async def handle(records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        handled.extend(record.value for record in records)

    app = create_app(
        group=group,
        cluster=as_user(secured_kafka, "hooklane-fanout"),
        topic=topic,
        session_timeout_ms=6_000,
        instance=None,
        handle=handle,
        joined=lambda: None,
    )
    await secured_kafka.grant([may_read])
    async with publishing(as_user(secured_kafka, SUITE)) as publisher:
        with capture_logs() as logs:
            starting = asyncio.create_task(app.start())  # which ends when it has joined
            try:
                await publisher.publish([Record(topic, None, b"first")])
                await told(logs, "GroupAuthorizationFailed")
                await secured_kafka.grant([may_join])
                await until_true(lambda: b"first" in handled, what="a record", within_s=30)
                await secured_kafka.take_away([may_read])
                await told(logs, "TopicAuthorizationFailed")
                await publisher.publish([Record(topic, None, b"second")])
                await secured_kafka.grant([may_read])
                await until_true(lambda: b"second" in handled, what="the next", within_s=30)
                await starting
            finally:
                starting.cancel()
                await asyncio.wait_for(app.stop(), 15)
    assert handled == [b"first", b"second"]


async def test_the_topic_job_creates_with_what_it_is_granted_and_nobody_else_can(
    secured_kafka: SecuredKafka,
) -> None:
    settings = Settings(
        **secured_kafka.settings("hooklane-topics"),
        topic_prefix=fresh_name("secured") + ".",
        retry_tiers="1s,1m",
        partitions=1,
    )
    with pytest.raises(TopicMismatchError, match="was not created: TopicAuthorizationFailed"):
        await create_topics(settings)
    await secured_kafka.grant(grants(settings))
    assert len(await create_topics(settings)) == 8
    assert await create_topics(settings) == []


async def test_kafkas_own_tool_takes_a_printed_command(
    secured_kafka: SecuredKafka, tmp_path: Path
) -> None:
    settings = Settings(topic_prefix=fresh_name("secured") + ".", retry_tiers="1s,1m")
    (tmp_path / "admin.properties").write_text(secured_kafka.properties(ADMIN))
    class_path = await asyncio.to_thread(console_class_path, cache.default_dir())
    (command,) = (
        one for one in commands(settings) if "User:hooklane-retry --operation Write" in one
    )
    words = shlex.split(command.replace("$KAFKA", secured_kafka.broker.bootstrap))
    process = await asyncio.create_subprocess_exec(
        *(java.program(), *java.flags(optimise=False), "-cp", class_path),
        *("org.apache.kafka.tools.AclCommand", *words[1:]),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    wanted = {
        (one.resource, one.name, one.operation)
        for one in grants(settings)
        if (one.role, one.operation) == ("retry", "Write")
    }
    found = await secured_kafka.permissions("hooklane-retry")
    assert {place for place in found if place[1].startswith(settings.topic_prefix)} == wanted
