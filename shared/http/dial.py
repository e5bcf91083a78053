"""Connects to a vetted address itself: nothing here can turn an address into another one.

The addresses of a name are tried one after the other, each with its share of the time that is left;
the first connection that opens begins its attempt by itself. The TLS handshake checks the
certificate against the host, whatever the address.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final

from shared.http.connection import Connection
from shared.http.exchange import Exchange
from shared.http.limits import ADDRESSES_TRIED_MAX, TLS_SHUTDOWN_S
from shared.http.messages import FailureKind, Refusal
from shared.policy.addresses import IPAddress

_OUR_FAULT: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
)
"""No socket, no memory, no port left on this machine: says nothing about the receiver."""

_FINAL_KINDS: Final = frozenset({"tls", "local"})
"""Failures that the name's other addresses would share."""

_HANDSHAKE_S_MIN: Final = 0.001  # the event loops refuse 0


class Dialler:
    """Opens connections for attempts."""

    def __init__(self, tls: ssl.SSLContext, clock: Callable[[], float]) -> None:
        self._tls = tls
        self._clock = clock

    async def dial(
        self,
        exchange: Exchange,
        addresses: tuple[IPAddress, ...],
        connection_to: Callable[[str], Connection],
    ) -> Refusal | None:
        """Open a connection to the first address that takes one, or return why none did.

        ``connection_to`` makes the protocol object for an address. Cancelling it closes what was
        being opened.
        """
        failure = Refusal("local", "no address was given")
        tried = addresses[:ADDRESSES_TRIED_MAX]
        for left, address in zip(range(len(tried), 0, -1), tried, strict=True):
            exchange.address = str(address)
            connection = connection_to(exchange.address)
            try:
                if left == 1 and exchange.request.target.scheme == "http":
                    await self._open_plain(exchange, connection)
                else:
                    share_s = (exchange.deadline_at - self._clock()) / left
                    await self._open(exchange, address, connection, share_s)
            except OSError as error:
                if connection.opened_at:
                    return None  # it opened, and has told the attempt what became of it
                failure = _explain(error, exchange)
                if failure.kind in _FINAL_KINDS:
                    return failure
            else:
                return None
        return failure

    async def _open_plain(self, exchange: Exchange, connection: Connection) -> None:
        """Open ``connection``, without TLS and a time of its own: half the cost of ``_open``.

        For a name's last address, which has all of the time that is left: the attempt's deadline.
        """
        exchange.enter("connect", self._clock())
        loop, port = asyncio.get_running_loop(), exchange.request.target.port
        try:
            await loop.create_connection(lambda: connection, connection.address, port)
        except BaseException:
            connection.forget()
            raise

    async def _open(
        self, exchange: Exchange, address: IPAddress, connection: Connection, share_s: float
    ) -> None:
        """Open ``connection``; raises OSError (which ssl.SSLError and TimeoutError are)."""
        exchange.enter("connect", self._clock())
        target = exchange.request.target
        sock = await _connect(address, target.port, share_s)
        try:
            if target.scheme == "http":
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: connection, sock=sock)
            else:
                await self._start_tls(exchange, sock, connection, share_s)
        except BaseException:
            connection.forget()
            raise

    async def _start_tls(
        self, exchange: Exchange, sock: socket.socket, connection: Connection, share_s: float
    ) -> None:
        """Shake hands on ``sock`` and make ``connection`` its protocol.

        No timeout cancels this from outside: it could strike when the connection has just opened
        and sent its request. The handshake's own timeout cannot.
        """
        connected_at = self._clock()
        connected_s = connected_at - exchange.step_at
        exchange.connect_ms = connected_s * 1_000
        exchange.enter("tls", connected_at)
        await asyncio.get_running_loop().create_connection(
            lambda: connection,
            sock=sock,
            ssl=self._tls,
            server_hostname=exchange.request.target.host,
            ssl_handshake_timeout=max(share_s - connected_s, _HANDSHAKE_S_MIN),
            ssl_shutdown_timeout=TLS_SHUTDOWN_S,
        )


async def _connect(address: IPAddress, port: int, share_s: float) -> socket.socket:
    """Return a connected socket; whoever gets it hands it to the event loop, which closes it."""
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(share_s):
            await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock


def _explain(error: OSError, exchange: Exchange) -> Refusal:
    place = f"{exchange.address} port {exchange.request.target.port}"
    in_handshake = exchange.step == "tls"
    match error:
        case TimeoutError() | ConnectionAbortedError(errno=None):  # the latter: the handshake's own
            what = "the TLS handshake with" if in_handshake else "a connection to"
            return Refusal("timeout", f"no time left while waiting for {what} {place}")
        case ssl.SSLCertVerificationError():
            return Refusal("tls", f"the certificate of {place}: {error.verify_message}")
        case ssl.SSLError():
            reason = (error.reason or str(error)).replace("_", " ").lower()
            return Refusal("tls", f"the TLS handshake with {place} failed: {reason}")
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if in_handshake:
        return Refusal("tls", f"{place} broke the TLS handshake off: {reason}")
    kind: FailureKind = "local" if error.errno in _OUR_FAULT else "connect"
    return Refusal(kind, f"cannot connect to {place}: {reason}")
