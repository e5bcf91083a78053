"""Creating topics from the table, and refusing a cluster that contradicts it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.config import Settings
from shared.kafka.admin import TopicMismatchError, create_topics, partitions_of
from shared.kafka.cluster import Cluster
from shared.kafka.names import topic_name
from shared.topics import DELIVERIES, ENDPOINTS, EVENTS, table
from tests.integration.kafka.kit import admin
from tests.support.servers import KafkaServer, environ_of, fresh_name

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


@pytest.fixture
def settings(kafka_server: KafkaServer) -> Settings:
    return Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("admin") + ".",
        partitions=4,
        retry_tiers="1s,1m",
    )


async def test_every_topic_of_the_table_is_created_once(settings: Settings) -> None:
    rows = {topic_name(settings, row): row for row in table(settings.tiers)}
    assert sorted(await create_topics(settings)) == sorted(rows)
    assert await create_topics(settings) == []
    async with admin(Cluster.of(settings)) as client:
        found = {topic["topic"]: topic for topic in await client.describe_topics(list(rows))}
    for name, row in rows.items():
        assert len(found[name]["partitions"]) == partitions_of(settings, row)


async def test_topics_have_the_tables_retention_sizes_and_clocks(settings: Settings) -> None:
    await create_topics(settings)
    for row in (EVENTS, ENDPOINTS, DELIVERIES):
        configs = await _configs(settings, topic_name(settings, row))
        assert configs["retention.ms"] == str(row.retention_ms)
        assert configs["cleanup.policy"] == row.cleanup
        assert configs["max.message.bytes"] == str(row.message_bytes_max)
        assert configs["message.timestamp.type"] == row.timestamps


async def test_a_topic_with_another_number_of_partitions_is_refused_with_the_fix(
    settings: Settings,
) -> None:
    """More or fewer: an endpoint's lane would move, and its journal be another one."""
    name = topic_name(settings, DELIVERIES)
    async with admin(Cluster.of(settings)) as client:
        await client.create_topics([NewTopic(name, 3, 1)])
    with pytest.raises(TopicMismatchError) as raised:
        await create_topics(settings)
    assert f"topic {name!r} has 3 partitions, the table wants 4" in str(raised.value)
    assert "HOOKLANE_PARTITIONS" in str(raised.value)


async def test_a_topic_that_the_broker_refuses_to_create_is_told(
    kafka_server: KafkaServer,
) -> None:
    settings = Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("admin") + ".",
        replication_factor=3,
    )
    with pytest.raises(TopicMismatchError, match="was not created: InvalidReplicationFactor"):
        await create_topics(settings)


async def test_the_command_says_what_it_did(settings: Settings) -> None:
    assert await _command(settings) == (0, f"created {settings.topic_prefix}events", "")
    assert await _command(settings) == (0, "topics are as the table wants them", "")


async def test_the_command_fails_with_one_line(settings: Settings) -> None:
    await _command(settings)
    code, _, error = await _command(settings, HOOKLANE_PARTITIONS="5")
    assert (code, error.count("\n")) == (1, 1)
    assert "the table wants 5" in error
    code, _, error = await _command(settings, "grow", "--partitions", "3")
    assert (code, error.count("\n")) == (1, 1)
    assert "has 4 partitions, not 3: Kafka can add partitions" in error
    code, _, error = await _command(settings, HOOKLANE_PARTITIONS="none")
    assert (code, error.count("\n")) == (1, 1)
    code, _, error = await _command(settings, HOOKLANE_KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert code == 1
    assert error.splitlines()[-1].startswith("Kafka does not answer, see HOOKLANE_KAFKA_BOOTSTRAP")


async def _command(settings: Settings, *arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run it as a job would; returns its exit code, first line and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "shared.kafka.admin",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**environ_of(settings, "topic_prefix", "partitions", "retry_tiers"), **environ},
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode().partition("\n")[0], errors.decode()


async def _configs(settings: Settings, topic: str) -> dict[str, str]:
    async with admin(Cluster.of(settings)) as client:
        (response,) = await client.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic)]
        )
    return {name: value for *_, entries in response.resources for name, value, *_ in entries}
