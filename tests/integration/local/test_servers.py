"""The embedded servers: quick to be ready, the same address and the same data after a crash."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from motor.motor_asyncio import AsyncIOMotorClient

from deploy.local import ports
from deploy.local.errors import LocalError
from deploy.local.kafka import LOG_DIR, Kafka
from deploy.local.mongo import Mongo
from deploy.local.processes import Child

pytestmark = pytest.mark.integration

TOPIC = "kept"
RECORDS = [f"record {number}".encode() for number in range(100)]


@asynccontextmanager
async def stopped_after(server: Child) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await server.kill9()


@pytest.mark.slow
async def test_what_kafka_acknowledged_survives_kill_9_on_the_same_port(tmp_path: Path) -> None:
    kafka = Kafka(tmp_path / "a, folder with ünusual characters", logs_dir=tmp_path / "logs")
    async with stopped_after(kafka):
        await kafka.start()
        before = kafka.bootstrap
        await _produce(before)

        await kafka.kill9()
        await kafka.start()

        assert kafka.bootstrap == before
        assert await _consume(before) == RECORDS


async def test_kafka_can_be_formatted_with_an_id_that_begins_with_a_dash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.kafka.new_cluster_id", lambda: f"-{'A' * 21}")
    kafka = Kafka(tmp_path / "kafka", logs_dir=tmp_path / "logs")

    await kafka.prepare()

    assert "cluster.id=-AAAA" in (tmp_path / "kafka" / LOG_DIR / "meta.properties").read_text()


@pytest.mark.slow
async def test_kafka_keeps_its_log_for_the_next_run_on_another_port(tmp_path: Path) -> None:
    first = Kafka(tmp_path / "kafka", logs_dir=tmp_path / "logs")
    async with stopped_after(first):
        await first.start()
        await _produce(first.bootstrap)
        await first.stop()
    second = Kafka(tmp_path / "kafka", logs_dir=tmp_path / "logs")
    async with stopped_after(second):
        await second.start()

        assert second.port != first.port
        assert await _consume(second.bootstrap) == RECORDS


async def test_what_mongo_acknowledged_survives_kill_9_on_the_same_port(tmp_path: Path) -> None:
    mongo = Mongo(tmp_path / "mongo", logs_dir=tmp_path / "logs")
    async with stopped_after(mongo):
        await mongo.start()
        before = mongo.uri
        client: AsyncIOMotorClient[dict[str, int]] = AsyncIOMotorClient(before)
        try:
            await client.test.kept.insert_many([{"_id": number} for number in range(100)])

            await mongo.kill9()
            await mongo.start()

            assert mongo.uri == before
            assert await client.test.kept.count_documents({}) == 100
        finally:
            client.close()


@pytest.mark.parametrize("server", [Kafka, Mongo])
async def test_a_server_whose_port_is_taken_says_so(
    server: type[Kafka | Mongo], tmp_path: Path
) -> None:
    with socket.create_server((ports.HOST, 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(LocalError, match=f"port {port} is in use"):
            await server(tmp_path / "state", logs_dir=tmp_path / "logs", port=port).start()


@pytest.mark.parametrize("server", [Kafka, Mongo])
async def test_a_server_whose_state_folder_cannot_be_made_says_so(
    server: type[Kafka | Mongo], tmp_path: Path
) -> None:
    in_the_way = tmp_path / "state"
    in_the_way.write_text("a file, where the folder should be")

    with pytest.raises(LocalError, match="state folder") as refusal:
        await server(in_the_way, logs_dir=tmp_path / "logs").start()

    assert "\n" not in str(refusal.value)


async def test_a_kafka_with_a_broken_log_says_where_to_look(tmp_path: Path) -> None:
    log = tmp_path / "kafka" / "log"
    log.mkdir(parents=True)
    (log / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=other\n")
    kafka = Kafka(tmp_path / "kafka", logs_dir=tmp_path / "logs")

    with pytest.raises(LocalError, match=r"kafka ended with code 1 \(.*kafka\.log\)"):
        await kafka.start()


async def _produce(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        sending = [await producer.send(TOPIC, record) for record in RECORDS]
        await asyncio.gather(*sending)


async def _consume(bootstrap: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with consumer:
        return [(await consumer.getone()).value for _ in RECORDS]
