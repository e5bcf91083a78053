"""A write to a closed socket is an error that aiokafka knows; a refusal is told of by its name."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from functools import partial

import pytest
import uvloop
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest, MetadataResponse_v1
from structlog.testing import capture_logs

from shared.kafka import connections, refusals
from shared.seldom import Seldom
from tests.support.certificates import Authority
from tests.support.polling import until_true


@pytest.fixture
def mended() -> Iterator[None]:
    send, connect = AIOKafkaConnection.send, AIOKafkaConnection.connect
    update_metadata = ClusterMetadata.update_metadata
    connections.mend()
    yield
    AIOKafkaConnection.send, AIOKafkaConnection.connect = send, connect
    ClusterMetadata.update_metadata = update_metadata


def _is_closed(transport: object) -> bool:
    return "closed=True" in repr(transport)


async def closed_connection() -> AIOKafkaConnection:
    """Return a connection whose transport is closed and that does not know of it."""
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, peer: accepted.put_nowait(peer), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    peer = await accepted.get()
    server.close()
    peer.transport.abort()
    connection = AIOKafkaConnection(host, port)
    connection._reader, connection._writer = reader, writer
    connection._read_task = asyncio.create_task(asyncio.sleep(0))
    connection._versions = {MetadataRequest([]).API_KEY: (0, 0)}
    writer.transport.abort()
    for transport in (writer.transport, peer.transport):
        await until_true(partial(_is_closed, transport), what="a closed socket")
    return connection


def test_without_mending_aiokafka_is_given_an_error_that_it_does_not_know() -> None:
    """When this fails, uvloop or aiokafka has mended itself, and ``connections`` may go."""

    async def write() -> None:
        connection = await closed_connection()
        with pytest.raises(RuntimeError, match="the handler is closed"):
            connection.send(MetadataRequest([]))
        connection.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(write())


@pytest.mark.usefixtures("mended")
def test_a_write_to_a_closed_socket_closes_the_connection() -> None:
    async def write() -> None:
        connection = await closed_connection()
        with pytest.raises(KafkaConnectionError, match="the connection was closed"):
            connection.send(MetadataRequest([]))
        assert connection._writer is None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(write())


@pytest.mark.usefixtures("mended")
async def test_a_brokers_certificate_that_nobody_vouches_for_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiokafka's clients make "unable to bootstrap" of it."""
    monkeypatch.setattr(refusals, "_seldom", Seldom(refusals.TELL_EVERY_S))
    with Authority.create() as authority:
        tls = authority.server_tls("127.0.0.1")
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=tls)
        host, port = server.sockets[0].getsockname()
        connection = AIOKafkaConnection(
            host, port, security_protocol="SSL", ssl_context=ssl.create_default_context()
        )
        async with server:
            with capture_logs() as logs, pytest.raises(ssl.SSLCertVerificationError):
                await connection.connect()
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("kafka_refuses", "error")
    assert line["broker"] == f"127.0.0.1:{port}"
    assert "HOOKLANE_KAFKA_CA_FILE" in line["fix"]


@pytest.mark.usefixtures("mended")
def test_a_topic_that_we_may_not_see_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer would take it for one without partitions, and wait."""
    monkeypatch.setattr(refusals, "_seldom", Seldom(refusals.TELL_EVERY_S))
    brokers = [(1, "kafka", 9092, None)]
    code = TopicAuthorizationFailedError.errno
    cluster = ClusterMetadata(metadata_max_age_ms=1_000)
    cluster.need_all_topic_metadata = False
    with capture_logs() as logs:
        cluster.update_metadata(MetadataResponse_v1(brokers, 1, [(code, "events", False, [])]))
    (line,) = logs
    assert line["event"] == "kafka_refuses"
    assert "events" in line["error"]
