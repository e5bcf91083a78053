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
        for number, address in enumerate(tried):
            exchange.address = str(address)
            share_s = (exchange.deadline_at - self._clock()) / (len(tried) - number)
            connection = connection_to(exchange.address)
            try:
                async with asyncio.timeout(share_s):
                    await self._open(exchange, address, connection)
            except OSError as error:
                if connection.opened_at:
                    return None  # it opened, and has told the attempt what became of it
                failure = _explain(error, exchange)
                if failure.kind in _FINAL_KINDS:
                    return failure
            else:
                return None
        return failure

    async def _open(self, exchange: Exchange, address: IPAddress, connection: Connection) -> None:
        """Open ``connection``; raises OSError (which ssl.SSLError and TimeoutError are)."""
        loop = asyncio.get_running_loop()
        target = exchange.request.target
        exchange.step = "connect"
        began_at = self._clock()
        sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, (str(address), target.port))
            exchange.connected_at = self._clock()
            exchange.connect_ms = (exchange.connected_at - began_at) * 1_000
            if target.scheme == "http":
                await loop.create_connection(lambda: connection, sock=sock)
                return
            exchange.step = "tls"
            await loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._tls,
                server_hostname=target.host,
                ssl_shutdown_timeout=TLS_SHUTDOWN_S,
            )
        except BaseException:
            sock.close()
            raise


def _explain(error: OSError, exchange: Exchange) -> Refusal:
    place = f"{exchange.address} port {exchange.request.target.port}"
    in_handshake = exchange.step == "tls"
    match error:
        case TimeoutError():
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
