"""A world of its own for each test: topics and consumer group."""

from collections.abc import AsyncIterator

import pytest

from shared.config import Settings
from shared.kafka.admin import create_topics
from shared.kafka.cluster import Cluster
from shared.kafka.publisher import Publisher
from tests.integration.retry.kit import World
from tests.support.servers import KafkaServer, fresh_name


@pytest.fixture
def settings(kafka_server: KafkaServer) -> Settings:
    return Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("retry") + ".",
        partitions=4,
        retry_tiers="300ms,1s,24h",
        profiles_dir="",
    )


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    await create_topics(settings)
    publisher = Publisher(cluster=Cluster.of(settings), client_id="test")
    await publisher.start()
    yield World(settings, publisher)
    await publisher.stop()
