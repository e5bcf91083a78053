"""Kafka and MongoDB for the tests: one of each per run, started when a test first asks for it.

Tests share the servers and keep apart by names: every topic, group and database comes from
`fresh_name`. With `HOOKLANE_TEST_SECURE=1` both are secured (`secured.py`), and the same tests run
against them. `HOOKLANE_TEST_KAFKA_BOOTSTRAP` and `HOOKLANE_TEST_MONGO_URI` put servers that run
already in their place. One test process shares one pair, so these tests run without xdist.
"""

import asyncio
import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from deploy.local.kafka import Kafka
from deploy.local.mongo import Mongo
from shared.config import PREFIX, Settings
from shared.kafka.cluster import Cluster
from tests.support.certificates import Authority
from tests.support.secured import ADMIN, SecuredKafka, SecuredMongo

SECURE: Final = os.environ.get("HOOKLANE_TEST_SECURE", "") not in {"", "0"}
KAFKA_FIELDS: Final = tuple(name for name in Settings.__struct_fields__ if "kafka_" in name)
"""The settings that say how Kafka is reached: whoever starts a program hands them on."""

_run = uuid.uuid4().hex[:8]
_numbers = itertools.count(1)


class KafkaServer(NamedTuple):
    """The tests' Kafka: the fields of `Settings` that say how it is reached."""

    settings: Mapping[str, Any]

    @property
    def cluster(self) -> Cluster:
        """What clients are made with."""
        return Cluster.of(Settings(**self.settings))


class OwnKafka(NamedTuple):
    """A Kafka of a test's own, to be started and killed, and how it is reached."""

    broker: Kafka
    settings: Mapping[str, Any]


class MongoServer(NamedTuple):
    """Where the tests' MongoDB is: a connection string without a database."""

    uri: str


def fresh_name(prefix: str) -> str:
    """Return a name that no other test uses, fit for a topic, a consumer group or a database."""
    return f"{prefix}-{_run}-{next(_numbers)}"


def environ_of(settings: Settings, *names: str, **changes: object) -> dict[str, str]:
    """Return these settings, Kafka's and `changes` as a program's environment, with all else."""
    given = {name: getattr(settings, name) for name in (*KAFKA_FIELDS, *names)} | changes
    others = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    return others | {PREFIX + name.upper(): str(value) for name, value in given.items()}


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """Return a folder for the servers' state, removed at the end of the run."""
    # Not tmp_path_factory: it keeps the last three runs, and a journal alone is 128 MB.
    folder = Path(tempfile.mkdtemp(prefix="hooklane-test-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def servers_authority() -> Iterator[Authority]:
    """Return who vouches for the certificates of secured servers."""
    with Authority.create() as made:
        yield made


@pytest.fixture(scope="session")
def secured_kafka(servers_dir: Path, servers_authority: Authority) -> Iterator[SecuredKafka]:
    """Return a Kafka with TLS, logins and permissions, started on first use."""
    folder, logs_dir = servers_dir / "secured-kafka", servers_dir / "logs"
    made = SecuredKafka(servers_authority, folder, logs_dir=logs_dir)
    _wait_for(made.start())
    yield made
    _wait_for(made.broker.kill9())


@pytest.fixture(scope="session")
def secured_mongo(servers_dir: Path, servers_authority: Authority) -> Iterator[SecuredMongo]:
    """Return a MongoDB with TLS and logins, started on first use."""
    folder, logs_dir = servers_dir / "secured-mongo", servers_dir / "logs"
    made = SecuredMongo(servers_authority, folder, logs_dir=logs_dir)
    _wait_for(made.start())
    yield made
    _wait_for(made.server.kill9())


@pytest.fixture(scope="session")
def kafka_server(servers_dir: Path, request: pytest.FixtureRequest) -> Iterator[KafkaServer]:
    """Return the run's Kafka, started on first use."""
    if SECURE:
        secured: SecuredKafka = request.getfixturevalue("secured_kafka")
        yield KafkaServer(secured.settings())
        return
    if bootstrap := os.environ.get("HOOKLANE_TEST_KAFKA_BOOTSTRAP"):
        yield KafkaServer({"kafka_bootstrap": bootstrap})
        return
    kafka = Kafka(servers_dir / "kafka", logs_dir=servers_dir / "logs")
    _wait_for(kafka.start())
    yield KafkaServer({"kafka_bootstrap": kafka.bootstrap})
    _wait_for(kafka.kill9())  # its state goes with the folder, so there is nothing to close


@pytest.fixture
def own_kafka(tmp_path: Path, request: pytest.FixtureRequest) -> OwnKafka:
    """Return a Kafka of the test's own, which it has to start and to end."""
    folder, logs_dir = tmp_path / "kafka", tmp_path / "logs"
    if not SECURE:
        kafka = Kafka(folder, logs_dir=logs_dir)
        return OwnKafka(kafka, {"kafka_bootstrap": kafka.bootstrap})
    authority: Authority = request.getfixturevalue("servers_authority")
    secured = SecuredKafka(authority, folder, logs_dir=logs_dir)
    return OwnKafka(secured.broker, secured.settings(ADMIN))


@pytest.fixture(scope="session")
def mongo_server(servers_dir: Path, request: pytest.FixtureRequest) -> Iterator[MongoServer]:
    """Return the run's MongoDB, started on first use."""
    if SECURE:
        secured: SecuredMongo = request.getfixturevalue("secured_mongo")
        yield MongoServer(secured.uri)
        return
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
