"""A world of its own for each test: topics, database and consumer group."""

from collections.abc import AsyncIterator

import pytest

from shared.config import Settings
from shared.kafka.admin import create_topics
from shared.kafka.cluster import Cluster
from shared.kafka.publisher import Publisher
from shared.storage.mongo.client import Mongo
from tests.integration.recorder.kit import World
from tests.support.servers import KafkaServer, MongoServer, fresh_name


@pytest.fixture
def settings(kafka_server: KafkaServer, mongo_server: MongoServer) -> Settings:
    return Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("rec") + ".",
        partitions=3,
        mongo_uri=mongo_server.uri,
        mongo_database=fresh_name("recorder"),
    )


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    await create_topics(settings)
    mongo = Mongo(settings.mongo_uri, settings.mongo_database)
    publisher = Publisher(cluster=Cluster.of(settings), client_id="test")
    await publisher.start()
    yield World(settings, mongo, publisher)
    await publisher.stop()
    mongo.close()
