"""Stores over the run's MongoDB, in a database of each test's own."""

from collections.abc import AsyncIterator

import pytest

from shared.storage.mongo.client import Mongo
from shared.storage.mongo.endpoints import EndpointStore
from shared.storage.mongo.indexes import ensure_indexes
from tests.integration.storage.publishing_world import Clock, Topic, entropy_of
from tests.support.servers import MongoServer, fresh_name


@pytest.fixture
async def mongo(mongo_server: MongoServer) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongo_server.uri, fresh_name("storage"))
    await ensure_indexes(mongo)
    yield mongo
    mongo.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def endpoints(mongo: Mongo, clock: Clock, topic: Topic) -> EndpointStore:
    return EndpointStore(mongo, send=topic.send, now_ms=clock, entropy=entropy_of(1))
