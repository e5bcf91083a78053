"""A write to a socket that has just been closed is an error that aiokafka knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from shared.kafka import connections
from tests.support.polling import until_true


@pytest.fixture
def mended() -> Iterator[None]:
    before = AIOKafkaConnection.send
    connections.mend()
    yield
    AIOKafkaConnection.send = before


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
