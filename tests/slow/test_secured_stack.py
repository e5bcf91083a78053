"""The five services on a Kafka and a MongoDB that are secured, each with its own user.

Each service's user may do exactly what ``shared.kafka.acls`` lists. Events are published, matched,
delivered, retried and logged, and the broker is killed under that load: nothing is lost, nothing
succeeds twice, and nobody was refused anything.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest

from shared.config import PREFIX, load
from shared.kafka.acls import SERVICES, grants
from tests.support.arena import open_arena
from tests.support.secured import SecuredKafka, SecuredMongo
from tests.support.servers import fresh_name
from tests.support.verdicts import each_succeeds_once, half_is_accepted

EVENTS: Final = 400
PACE_S: Final = 0.002
TIERS: Final = {"HOOKLANE_RETRY_TIERS": "1s,2s,5s,30s,1m,5m,30m,2h,5h,10h,14h,20h,24h"}

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(300)]


def variables(fields: dict[str, Any]) -> dict[str, str]:
    """Return fields of the settings as variables of the environment."""
    return {PREFIX + name.upper(): str(value) for name, value in fields.items()}


async def test_each_service_works_as_its_own_user_and_survives_the_broker(
    secured_kafka: SecuredKafka, secured_mongo: SecuredMongo, tmp_path: Path
) -> None:
    settings = {
        **variables(secured_kafka.settings()),
        **TIERS,
        "HOOKLANE_TOPIC_PREFIX": fresh_name("stack") + ".",
        "HOOKLANE_MONGO_URI": secured_mongo.uri,
        "HOOKLANE_PARTITIONS": "4",
    }
    await secured_kafka.grant(grants(load(settings)))
    own = {
        service: variables(secured_kafka.settings(f"hooklane-{service}")) for service in SERVICES
    }
    async with open_arena(tmp_path / "arena", settings=settings, own_settings=own) as arena:
        publishing = asyncio.create_task(arena.publish("secured", EVENTS, pace_s=PACE_S))
        await half_is_accepted(arena, "secured", EVENTS)
        assert refusals_in(tmp_path) == []
        await secured_kafka.broker.kill9()
        await secured_kafka.broker.start()
        await publishing
        await each_succeeds_once(arena, "secured", EVENTS)
    assert refusals_in(tmp_path) == []
    secret = {one["HOOKLANE_KAFKA_PASSWORD"] for one in own.values()}
    for log in (tmp_path / "arena" / "state" / "logs").glob("*.log"):
        text = log.read_text()
        assert not any(password in text for password in secret), log.name
        assert secured_mongo.password not in text, log.name


def refusals_in(folder: Path) -> list[str]:
    """Return what the services said about being refused, by either server."""
    return [
        line
        for log in (folder / "arena" / "state" / "logs").glob("*.log")
        for line in log.read_text().splitlines()
        if "kafka_refuses" in line or "mongodb_refuses" in line or "AuthorizationFailed" in line
    ]
