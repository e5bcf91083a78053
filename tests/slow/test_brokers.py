"""Three brokers, three copies: one of them is killed under load, and nothing waits for it.

Topics are made with ``min.insync.replicas=2``, so that what is acknowledged is on two brokers. The
dead one stays away until every delivery of the load has been made and logged.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.config import load
from shared.kafka.admin import configs_of
from shared.kafka.names import topic_name
from shared.topics import table
from tests.support.arena import Arena, open_arena
from tests.support.brokers import COUNT, Brokers
from tests.support.verdicts import each_succeeds_once, half_is_accepted

EVENTS: Final = 400
PACE_S: Final = 0.002

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(300)]


async def test_the_loss_of_a_broker_is_not_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    brokers = Brokers(tmp_path / "brokers")
    try:
        await brokers.start()
        settings = {
            "HOOKLANE_KAFKA_BOOTSTRAP": brokers.cluster.bootstrap,
            "HOOKLANE_REPLICATION_FACTOR": str(COUNT),
            "HOOKLANE_PARTITIONS": "6",
        }
        async with open_arena(tmp_path / "arena", settings=settings) as arena:
            await every_topic_has_three_copies_two_of_which_must_be_written(brokers, arena)
            await one_is_killed(brokers, arena)
            await brokers.all[0].start()
            await brokers.known()
            await arena.publish("again", 50)
            await each_succeeds_once(arena, "again", 50)
    finally:
        await brokers.kill9()


async def one_is_killed(brokers: Brokers, arena: Arena) -> None:
    publishing = asyncio.create_task(arena.publish("load", EVENTS, pace_s=PACE_S))
    await half_is_accepted(arena, "load", EVENTS)
    await brokers.all[0].kill9()
    await publishing
    await each_succeeds_once(arena, "load", EVENTS)
    assert not brokers.all[0].is_running


async def every_topic_has_three_copies_two_of_which_must_be_written(
    brokers: Brokers, arena: Arena
) -> None:
    settings = load(arena.stack.env)
    rows = {topic_name(settings, row): row for row in table(settings.tiers)}
    admin = AIOKafkaAdminClient(**brokers.cluster.client)
    await admin.start()
    try:
        for described in await admin.describe_topics(list(rows)):
            copies = [len(partition["replicas"]) for partition in described["partitions"]]
            assert set(copies) == {COUNT}, described["topic"]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in rows]
        for response in await admin.describe_configs(resources):
            for *_, name, entries in response.resources:
                found = {key: value for key, value, *_ in entries}
                wanted = configs_of(settings, rows[name])
                assert {key: found[key] for key in wanted} == wanted
                assert found["min.insync.replicas"] == "2"
    finally:
        await admin.close()
