"""One attempt between its start and its outcome: the only mutable thing that belongs to a request.

The transport owns it; the dialler and a connection fill it in. It performs no I/O. It reaches one
outcome: the transport takes it out of the attempts in flight before it tells the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Literal, Protocol

from shared.http.messages import FailureKind, Outcome, OutgoingRequest, Timing, Unanswered

Step = Literal["queue", "dns", "connect", "tls"]

_WAITING_FOR: Final[dict[Step, str]] = {
    "queue": "a free connection",
    "dns": "the addresses of {host}",
    "connect": "a connection to {address} port {port}",
    "tls": "the TLS handshake with {address} port {port}",
}


class Busy(Protocol):
    """The connection that carries an attempt, as far as the attempt is concerned."""

    def progress(self) -> str:
        """Return what the attempt is waiting for, in words."""
        ...

    def abandon(self) -> None:
        """Close the connection at once and forget the attempt."""
        ...


class Exchange:
    """An attempt's state. Names ending in ``_at`` are the clock's seconds, 0 for not yet.

    ``step`` is how far the attempt is while no ``connection`` carries it, and ``step_at`` since
    when. ``resent`` says that a reused connection died under it before the first byte came, and
    that it is on its second one. ``dropped`` tells a connection that opens too late that there is
    nothing left to send.
    """

    __slots__ = (
        "address",
        "connect_ms",
        "connection",
        "deadline_at",
        "dialling",
        "dns_ms",
        "done",
        "dropped",
        "first_byte_at",
        "request",
        "resent",
        "reused",
        "started_at",
        "step",
        "step_at",
        "tls_ms",
    )

    def __init__(
        self, request: OutgoingRequest, done: Callable[[Outcome], None], now: float
    ) -> None:
        self.request = request
        self.done = done
        self.started_at = now
        self.deadline_at = now + request.timeout_ms / 1_000
        self.first_byte_at = 0.0
        self.dns_ms = 0.0
        self.connect_ms = 0.0
        self.tls_ms = 0.0
        self.reused = False
        self.resent = False
        self.dropped = False
        self.address: str | None = None
        self.connection: Busy | None = None
        self.dialling: asyncio.Task[None] | None = None
        self.step: Step = "queue"
        self.step_at = now

    def enter(self, step: Step, now: float) -> None:
        """Note that the attempt goes on to ``step``."""
        self.step = step
        self.step_at = now

    def timing(self, now: float) -> Timing:
        """Return where the time went, up to ``now``."""
        first_byte_at = self.first_byte_at
        return Timing(
            self.dns_ms,
            self.connect_ms,
            self.tls_ms,
            (first_byte_at - self.started_at) * 1_000 if first_byte_at else 0.0,
            (now - self.started_at) * 1_000,
            self.reused,
        )

    def unanswered(self, kind: FailureKind, message: str, now: float) -> Unanswered:
        """Return the outcome of an attempt that has no answer."""
        return Unanswered(kind, message, self.timing(now), self.address)

    def timed_out(self, now: float) -> Unanswered:
        """Return the outcome of an attempt whose deadline has passed."""
        if self.connection is not None:
            waiting_for = self.connection.progress()
        else:
            target = self.request.target
            words = _WAITING_FOR[self.step]
            waiting_for = words.format(host=target.host, address=self.address, port=target.port)
        limit = f"no complete answer within {self.request.timeout_ms:,} ms"
        return self.unanswered("timeout", f"{limit}; waiting for {waiting_for}", now)

    def drop(self) -> None:
        """Give up whatever works for this attempt; nothing reports back about it afterwards."""
        self.dropped = True
        if self.connection is not None:
            self.connection.abandon()
        elif self.dialling is not None:
            self.dialling.cancel()
