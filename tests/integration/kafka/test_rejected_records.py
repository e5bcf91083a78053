"""A record that a producer got into ``events`` can always be put aside, however it was written."""

from __future__ import annotations

import random

import pytest
from aiokafka import AIOKafkaProducer

from services.fanout.handler import Planner
from shared.config import Settings
from shared.kafka.admin import create_topics
from shared.kafka.cluster import Cluster
from shared.kafka.names import topic_name
from shared.models.rejected import CUT_HEADER
from shared.policy.matching import Registry
from shared.topics import DELIVERIES, EVENTS, RECORD_BYTES_MAX, REJECTED
from tests.integration.kafka.kit import publishing, read_all
from tests.support.servers import KafkaServer, fresh_name

pytestmark = pytest.mark.integration

HEX_CHARACTERS = 1_600_000


@pytest.fixture
async def settings(kafka_server: KafkaServer) -> Settings:
    made = Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("rejected") + ".",
        partitions=1,
        retry_tiers="5s",
    )
    await create_topics(made)
    return made


async def test_what_only_a_better_compression_made_fit_is_put_aside_too(
    settings: Settings,
) -> None:
    """gzip halves hexadecimal digits, lz4 leaves them as they are: whole, they would not fit back.

    Refused for good and tried again for ever, this one record would stop all matching.
    """
    events, rejected = topic_name(settings, EVENTS), topic_name(settings, REJECTED)
    value = random.Random(7).randbytes(HEX_CHARACTERS // 2).hex().encode()
    producer = AIOKafkaProducer(
        **Cluster.of(settings).client,
        compression_type="gzip",
        max_request_size=2 * HEX_CHARACTERS,
        max_batch_size=2 * HEX_CHARACTERS,
    )
    await producer.start()
    await producer.send_and_wait(events, value)
    await producer.stop()
    planner = Planner(
        registry=Registry({}),
        profiles={},
        deliveries_topic=topic_name(settings, DELIVERIES),
        rejected_topic=rejected,
    )
    (received,) = (await read_all(Cluster.of(settings), events))[0]
    assert received.value == value
    assert len(value) > RECORD_BYTES_MAX
    async with publishing(Cluster.of(settings)) as publisher:
        await publisher.publish(planner.plan([received]))
    (kept,) = (await read_all(Cluster.of(settings), rejected))[0]
    assert kept.value is not None
    assert value.startswith(kept.value)
    assert int(dict(kept.headers)[CUT_HEADER]) == HEX_CHARACTERS
