"""A receiver made of raw sockets, scripted by the test: it sends whatever bytes a test wants.

    async with RawServer(answers(OK)) as server:
        ...                     # POST to server.url("/in")
        server.requests         # what came in, parsed just enough to assert on

A script is a coroutine function that plays one accepted connection, a ``Peer``; its end closes the
connection. Scripts stop where the client goes away: that is no error of the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Request:
    """One request as it came in: header names and values as sent, in their order."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body
        start, *lines = head.removesuffix(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.start_line = start
        self.headers = [
            (name, value) for name, _, value in (line.partition(": ") for line in lines)
        ]

    def __getitem__(self, name: str) -> str:
        return next(value for key, value in self.headers if key.lower() == name.lower())


class Peer:
    """One accepted connection. ``number`` counts the server's connections from 0."""

    def __init__(
        self,
        server: RawServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self.number = number

    async def head(self) -> bytes:
        """Read a request's head, up to and with the empty line."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def request(self) -> Request:
        """Read one request to its end and add it to the server's list."""
        head = await self.head()
        request = Request(head, b"")
        request.body = await self._reader.readexactly(int(request["Content-Length"]))
        self._server.requests.append(request)
        return request

    async def send(self, data: bytes) -> None:
        """Write ``data``, as fast as the client takes it."""
        self._writer.write(data)
        await self._writer.drain()

    async def drip(self, data: bytes, every_s: float) -> None:
        """Write ``data`` one byte at a time: a receiver that is slow on purpose."""
        for byte in data:
            await self.send(bytes([byte]))
            await asyncio.sleep(every_s)

    async def until_client_closes(self) -> bytes:
        """Read until the client closes the connection; return what it sent before."""
        with contextlib.suppress(ConnectionError):
            return await self._reader.read()
        return b""

    def half_close(self) -> None:
        """Say that nothing more will be sent (FIN), and stay open for reading."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Close with a TCP reset instead of a FIN."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def drop(self) -> None:
        """Close the TCP connection, over TLS without a farewell."""
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


def answers(*replies: bytes) -> Script:
    """Play each reply to one request, the last one to all that follow on the connection."""

    async def play(peer: Peer) -> None:
        for reply in replies[:-1]:
            await peer.request()
            await peer.send(reply)
        while True:
            await peer.request()
            await peer.send(replies[-1])

    return play


def answers_and_closes(reply: bytes) -> Script:
    """Play ``reply`` to one request and close the connection."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply)

    return play


def by_connection(*scripts: Script) -> Script:
    """Play one script per connection, the last one for all that follow."""

    async def play(peer: Peer) -> None:
        await scripts[min(peer.number, len(scripts) - 1)](peer)

    return play


async def silence(peer: Peer) -> None:
    """Take everything and never answer."""
    await peer.until_client_closes()


class RawServer:
    """Listens on a free port of ``host`` and plays ``script`` on each connection.

    ``requests`` are those read by ``Peer.request``; ``names`` the SNI names that clients asked for
    (None where a client named none); ``accepted`` counts connections (with TLS: handshakes done)
    and ``playing`` those whose script runs.
    """

    def __init__(
        self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self._script = script
        self._tls = tls
        self._host = host
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Request] = []
        self.names: list[str | None] = []
        self.accepted = 0
        self.port = 0
        if tls is not None:
            tls.sni_callback = self._note_name

    @property
    def playing(self) -> int:
        """Return how many connections are being served."""
        return len(self._tasks)

    def url(self, path: str = "/", host: str | None = None) -> str:
        """Return a URL of this server, under ``host`` if one is given."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{host or self._host}:{self.port}{path}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        tasks: Sequence[asyncio.Task[None]] = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _note_name(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.names.append(name)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(self, reader, writer, self.accepted)
        self.accepted += 1
        task = asyncio.get_running_loop().create_task(self._play(peer, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _play(self, peer: Peer, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._script(peer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()
