"""Kafka and MongoDB for the tests: one of each per run, started when a test first asks for it.

Tests share the servers and keep apart by names: every topic, group and database comes from
`fresh_name`. `HOOKLANE_TEST_KAFKA_BOOTSTRAP` and `HOOKLANE_TEST_MONGO_URI` put servers that run
already in their place. One test process shares one pair, so these tests run without xdist.
"""

import asyncio
import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.local.kafka import Kafka
from deploy.local.mongo import Mongo

_run = uuid.uuid4().hex[:8]
_numbers = itertools.count(1)


class KafkaServer(NamedTuple):
    """Where the tests' Kafka is: `host:port`."""

    bootstrap: str


class MongoServer(NamedTuple):
    """Where the tests' MongoDB is: a connection string without a database."""

    uri: str


def fresh_name(prefix: str) -> str:
    """Return a name that no other test uses, fit for a topic, a consumer group or a database."""
    return f"{prefix}-{_run}-{next(_numbers)}"


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """Return a folder for the servers' state, removed at the end of the run."""
    # Not tmp_path_factory: it keeps the last three runs, and a journal alone is 128 MB.
    folder = Path(tempfile.mkdtemp(prefix="hooklane-test-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def kafka_server(servers_dir: Path) -> Iterator[KafkaServer]:
    """Return the run's Kafka, started on first use."""
    if bootstrap := os.environ.get("HOOKLANE_TEST_KAFKA_BOOTSTRAP"):
        yield KafkaServer(bootstrap)
        return
    kafka = Kafka(servers_dir / "kafka", logs_dir=servers_dir / "logs")
    _wait_for(kafka.start())
    yield KafkaServer(kafka.bootstrap)
    _wait_for(kafka.kill9())  # its state goes with the folder, so there is nothing to close


@pytest.fixture(scope="session")
def mongo_server(servers_dir: Path) -> Iterator[MongoServer]:
    """Return the run's MongoDB, started on first use."""
    if uri := os.environ.get("HOOKLANE_TEST_MONGO_URI"):
        yield MongoServer(uri)
        return
    mongo = Mongo(servers_dir / "mongo", logs_dir=servers_dir / "logs")
    _wait_for(mongo.start())
    yield MongoServer(mongo.uri)
    _wait_for(mongo.kill9())


def _wait_for(work: Coroutine[None, None, None]) -> None:
    """Run it in a loop of its own, and leave the loop that pytest-asyncio has set alone."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(work)


@pytest.fixture
def hasty_mongo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients made in this test give a server up that is away after half a second."""
    monkeypatch.setattr("shared.storage.mongo.client.OPERATION_TIMEOUT_MS", 500)
    monkeypatch.setattr("shared.storage.mongo.client.SERVER_SELECTION_TIMEOUT_MS", 400)
