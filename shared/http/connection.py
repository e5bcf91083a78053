"""HTTP/1.1 on one connection to one vetted address: a request goes out, one answer comes in.

An ``asyncio.Protocol`` that calls back into its owner, so that no Task or Future exists per
request. It carries one attempt at a time; bytes that arrive while it carries none, or behind an
answer's end, are nobody's: the connection is closed.

Whatever bytes come, an attempt gets exactly one report: ``settled`` with its outcome, or
``orphaned`` where a reused connection died before the first byte of an answer, so that sending it
again on a fresh connection is the owner's to decide.

It knows nothing of the pool, of names, deadlines or policies; ``answer`` reads the bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from shared.http.answer import AnswerReader
from shared.http.exchange import Exchange
from shared.http.limits import BODY_BYTES_WHOLE_MAX
from shared.http.messages import Answered, Outcome, OutgoingRequest


class Owner(Protocol):
    """Who is told what becomes of a connection and of the attempts on it."""

    def opened(self, connection: Connection, /) -> None:
        """Take note of an open connection; called once, before its first attempt is sent."""
        ...

    def free(self, connection: Connection, now: float, /) -> None:
        """Take a connection that may carry another attempt; called before ``settled``."""
        ...

    def settled(self, exchange: Exchange, outcome: Outcome, /) -> None:
        """Take an attempt's outcome."""
        ...

    def orphaned(self, exchange: Exchange, /) -> None:
        """Take back an attempt whose reused connection died before the first byte came."""
        ...

    def lost(self, connection: Connection, /) -> None:
        """Take note that an opened connection is closed and its socket gone; called once."""
        ...


class Connection(asyncio.Protocol):
    """One connection. ``first`` is the attempt that it is dialled for.

    ``usable`` says that an attempt may begin: open, and no end in sight. ``opened_at`` is the
    clock's time, 0 until it is open.
    """

    __slots__ = (
        "_answer",
        "_clock",
        "_exchange",
        "_first",
        "_lost",
        "_owner",
        "_paused",
        "_transport",
        "_unsent",
        "address",
        "opened_at",
        "origin",
        "usable",
    )

    _transport: asyncio.Transport

    def __init__(
        self, owner: Owner, first: Exchange, address: str, clock: Callable[[], float]
    ) -> None:
        self.origin = first.request.target.origin
        self.address = address
        self.opened_at = 0.0
        self.usable = False
        self._owner = owner
        self._first: Exchange | None = first
        self._clock = clock
        self._answer = AnswerReader()
        self._exchange: Exchange | None = None
        self._lost = False
        self._paused = False
        self._unsent: memoryview | None = None

    # --- what the owner does with it -------------------------------------------------------------

    def begin(self, exchange: Exchange) -> None:
        """Send the attempt's request; the owner hears of its end."""
        self._exchange = exchange
        exchange.connection = self
        exchange.address = self.address
        self._answer.room = exchange.request.response_bytes_max
        self._send(exchange.request)

    def close(self) -> None:
        """Close in good order where nothing is left to be written, at once otherwise."""
        self.usable = False
        if self._unsent is not None or self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, without a TLS farewell."""
        self.usable = False
        self._transport.abort()

    def abandon(self) -> None:
        """Close at once and report nothing about the attempt."""
        self._exchange = None
        self.abort()

    def forget(self) -> None:
        """Take the connection for lost, if it opened at all: its opening was interrupted.

        uvloop closes such a transport without telling its protocol, even if it is open already.
        """
        if self.opened_at:
            self.abort()
            self.connection_lost(None)

    def progress(self) -> str:
        """Return what the attempt is waiting for, in words."""
        if self._answer.status:
            status = self._answer.status
            return f"the rest of the answer's body (status {status}) from {self.address}"
        if self._answer.received:
            return f"the rest of the answer's header from {self.address}"
        if self._unsent is not None:
            return f"{self.address} to read the request"
        return f"an answer from {self.address}"

    # --- what the event loop tells it ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the first attempt at once, so that a receiver that speaks first is heard."""
        self._transport = cast("asyncio.Transport", transport)
        self.opened_at = self._clock()
        self.usable = True
        self._owner.opened(self)
        first, self._first = self._first, None
        if first is None or first.dropped:
            self.abort()
            return
        step_ms = (self.opened_at - first.step_at) * 1_000
        if first.step == "tls":
            first.tls_ms = step_ms
        else:
            first.connect_ms = step_ms
        self.begin(first)

    def data_received(self, data: bytes) -> None:
        """Read on, and settle the attempt when there is nothing left to read."""
        exchange = self._exchange
        if exchange is None:
            self.close()
            return
        now = self._clock()
        if not exchange.first_byte_at:
            exchange.first_byte_at = now
        if self._answer.feed(data):
            self._settle(exchange, now)

    def eof_received(self) -> None:
        """Take the receiver's end of the connection as the end of the connection."""
        self.usable = False
        if self._exchange is not None:
            self._cut_off(self._exchange, "closed")

    def connection_lost(self, exc: Exception | None) -> None:
        """Report an attempt that was under way, then that the socket is gone."""
        if self._lost:
            return
        self._lost = True
        self.usable = False
        if self._exchange is not None:
            self._cut_off(self._exchange, "closed" if exc is None else "reset")
        self._answer.release()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        """Hold the body back: the receiver reads more slowly than we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on with the body."""
        self._paused = False
        self._pump()

    # --- the details -----------------------------------------------------------------------------

    def _send(self, request: OutgoingRequest) -> None:
        target, body = request.target, request.body
        start = f"POST {target.path} HTTP/1.1\r\nHost: {target.authority}\r\n".encode("ascii")
        whole = len(body) <= BODY_BYTES_WHOLE_MAX
        self._transport.write(
            b"%b%bContent-Length: %d\r\n\r\n%b"
            % (start, request.headers, len(body), body if whole else b"")
        )
        if not whole:
            self._unsent = memoryview(body)
            self._pump()

    def _pump(self) -> None:
        """Write the body on, piece by piece, until the receiver's side is full or all is out."""
        size = BODY_BYTES_WHOLE_MAX
        while self._unsent is not None and not self._paused and not self._transport.is_closing():
            piece, rest = self._unsent[:size], self._unsent[size:]
            self._unsent = rest or None
            self._transport.write(piece)

    def _settle(self, exchange: Exchange, now: float) -> None:
        """Report what was read, and offer the connection for reuse or close it."""
        self._exchange = None
        exchange.connection = None
        answer = self._answer
        outcome: Outcome
        if answer.fault is not None:
            outcome = exchange.unanswered("protocol", answer.fault, now)
        else:
            outcome = self._answered(exchange, now, cut=not answer.complete)
        keep, complete = answer.keep_alive and self._is_quiet(), answer.complete
        answer.reset()
        if keep:
            self._owner.free(self, now)
        elif complete:
            self.close()
        else:
            self.abort()
        self._owner.settled(exchange, outcome)

    def _is_quiet(self) -> bool:
        """Return whether the connection is open and all of the request is on its way."""
        return self.usable and self._unsent is None and not self._transport.get_write_buffer_size()

    def _cut_off(self, exchange: Exchange, how: str) -> None:
        """Report an attempt whose connection ended before the answer's end was seen."""
        self._exchange = None
        exchange.connection = None
        self.abort()
        now = self._clock()
        answer = self._answer
        if answer.ends_with_connection():
            self._owner.settled(exchange, self._answered(exchange, now, cut=False))
        elif exchange.reused and not answer.received and not exchange.resent:
            exchange.resent = True
            self._owner.orphaned(exchange)
        else:
            where = "without an answer"
            if answer.received:
                where = f"within the answer's {'body' if answer.status else 'header'}"
            message = f"{self.address} {how} the connection {where}"
            self._owner.settled(exchange, exchange.unanswered("closed", message, now))

    def _answered(self, exchange: Exchange, now: float, *, cut: bool) -> Answered:
        answer = self._answer
        return Answered(
            answer.status,
            answer.headers(),
            answer.body(),
            answer.body_truncated or cut,
            exchange.timing(now),
            self.address,
        )
