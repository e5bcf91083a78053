"""The transport: takes requests, gives each an outcome, and keeps connections for the next ones.

    start ─▶ idle connection to the origin? ─yes─▶ request out ─▶ answer in ─▶ done(outcome)
                     │ no                                            └─▶ connection idle again
                     └─▶ room for one more? ─▶ names ─▶ dial ─▶ (as above)
                              └─ no ─▶ the oldest idle one makes room; wait in line

On a warm connection no Task, Future or timer exists per request: the response parser calls back
through here into the caller. ``done`` is called once for every ``start``, from the event loop and
never from within ``start``, also when the deadline passes and when the transport is closed. An
exception in ``done`` goes to the loop's exception handler and harms no other attempt.

**Sending again.** A server may close an idle connection at the very moment a request is written to
it; that is the normal end of a kept connection, not a failure. So an attempt on a *reused*
connection that ends before *any* byte of an answer is sent once more on a fresh connection, within
the same deadline (RFC 9110, 9.2.2 leaves it to those who know that the request may be repeated:
webhooks are delivered at least once and carry an id). All else is the retry schedule's business.

**Reuse and names.** Idle connections are kept per origin. Each is pinned to the vetted address it
was dialled at; taking it again asks nobody, so a name that moved is followed when its connections
have reached their age limit. A connection's TLS settings are the transport's: other settings
(a private CA, client certificates) are another ``Transport``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import msgspec

from shared.http.connection import Connection
from shared.http.dial import Dialler
from shared.http.exchange import Exchange
from shared.http.idle import IdlePool
from shared.http.limits import CLOSE_S, SWEEP_S, Limits
from shared.http.messages import FailureKind, Outcome, OutgoingRequest, Refusal
from shared.http.names import Names, Resolver
from shared.policy.addresses import EgressPolicy


class Stats(msgspec.Struct, frozen=True):
    """A moment's numbers. ``opening`` and those ending in ``_total`` count connections.

    ``open`` includes ``idle``; ``queued`` attempts wait for a connection and are ``in_flight`` too.
    """

    open: int
    opening: int
    idle: int
    in_flight: int
    queued: int
    opened_total: int
    reused_total: int
    resent_total: int


class Transport:
    """Sends webhooks. To be made within the running event loop, and closed in it.

    ``tls`` is how https is spoken, by default with the system's authorities and names checked. The
    transport closes ``resolver`` when it is closed.
    """

    def __init__(
        self,
        *,
        policy: EgressPolicy,
        resolver: Resolver,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self._limits = limits or Limits()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._names = Names(resolver, policy, self._limits, clock)
        self._dialler = Dialler(tls or default_tls(), clock)
        self._idle = IdlePool(self._limits.idle_max)
        self._open: set[Connection] = set()
        self._opening = 0
        self._in_flight: set[Exchange] = set()
        self._queue: OrderedDict[Exchange, None] = OrderedDict()
        self._sweeping: asyncio.TimerHandle | None = None
        self._pruning: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied = asyncio.Event()
        self._opened_total = 0
        self._reused_total = 0
        self._resent_total = 0

    # --- what callers do with it -----------------------------------------------------------------

    def start(self, request: OutgoingRequest, done: Callable[[Outcome], None]) -> None:
        """Send ``request``; ``done`` gets its outcome, once, within the deadline (+ 50 ms)."""
        self._submit(Exchange(request, done, self._clock()))

    async def send(self, request: OutgoingRequest) -> Outcome:
        """Send ``request`` and return its outcome. Cancelling it gives the attempt up."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        exchange = Exchange(request, partial(_resolve, future), self._clock())
        self._submit(exchange)
        try:
            return await future
        except asyncio.CancelledError:
            if exchange in self._in_flight:
                self._in_flight.remove(exchange)
                self._give_up(exchange)
            raise

    async def close(self) -> None:
        """End every attempt as ``local``, close every connection, then the resolver.

        Returns when all sockets are closed, after 3 s at the latest. What is started afterwards
        ends as ``local`` too.
        """
        self._closed = True
        for exchange in list(self._in_flight):
            self._give_up(exchange)
            self._fail(exchange, "local", "the sender was closed")
        for connection in list(self._open):
            connection.close()
        for timer in (self._sweeping, self._pruning):
            if timer is not None:
                timer.cancel()
        self._note_emptied()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._emptied.wait()
        await self._names.close()

    @property
    def stats(self) -> Stats:
        """Return the numbers of this moment."""
        return Stats(
            open=len(self._open),
            opening=self._opening,
            idle=len(self._idle),
            in_flight=len(self._in_flight),
            queued=len(self._queue),
            opened_total=self._opened_total,
            reused_total=self._reused_total,
            resent_total=self._resent_total,
        )

    # --- what connections tell it (connection.Owner) ---------------------------------------------

    def opened(self, connection: Connection) -> None:
        """Count a connection that is open."""
        self._open.add(connection)
        self._opened_total += 1

    def free(self, connection: Connection, now: float) -> None:
        """Give a connection to who waits in line for its origin, or keep it for later."""
        if self._queue:
            self._hand_over(connection)
            return
        if (now - connection.opened_at) * 1_000 > self._limits.connection_age_ms_max:
            connection.close()
            return
        too_many = self._idle.put(connection, now)
        if too_many is not None:
            too_many.close()
        if self._pruning is None:
            delay_s = self._limits.idle_ttl_ms / 1_000
            self._pruning = self._loop.call_later(delay_s, self._prune)

    def settled(self, exchange: Exchange, outcome: Outcome) -> None:
        """Tell the caller."""
        self._in_flight.remove(exchange)
        try:
            exchange.done(outcome)
        except Exception as error:  # the caller's bug: to be seen, and to end here
            self._report(error, "an outcome's callback failed")

    def orphaned(self, exchange: Exchange) -> None:
        """Send an attempt again on a fresh connection, once."""
        exchange.reused = False
        self._resent_total += 1
        self._open_for(exchange)

    def lost(self, connection: Connection) -> None:
        """Forget a closed connection and give its place to who waits in line."""
        self._open.discard(connection)
        self._idle.discard(connection)
        self._serve_queue()
        self._note_emptied()

    # --- attempts --------------------------------------------------------------------------------

    def _submit(self, exchange: Exchange) -> None:
        self._in_flight.add(exchange)
        if self._closed:
            self._loop.call_soon(self._fail, exchange, "local", "the sender is closed")
            return
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)
        connection = self._idle.take(exchange.request.target.origin)
        if connection is None:
            self._open_for(exchange)
        else:
            self._reuse(connection, exchange)

    def _reuse(self, connection: Connection, exchange: Exchange) -> None:
        exchange.reused = True
        self._reused_total += 1
        connection.begin(exchange)

    def _fail(self, exchange: Exchange, kind: FailureKind, message: str) -> None:
        if exchange in self._in_flight:
            self.settled(exchange, exchange.unanswered(kind, message, self._clock()))

    def _give_up(self, exchange: Exchange) -> None:
        """Stop all that works for an attempt; its outcome is the caller's of this to settle."""
        self._queue.pop(exchange, None)
        exchange.drop()

    def _sweep(self) -> None:
        """Settle the attempts whose deadline has passed."""
        now = self._clock()
        for exchange in [late for late in self._in_flight if late.deadline_at <= now]:
            outcome = exchange.timed_out(now)
            self._give_up(exchange)
            self.settled(exchange, outcome)
        self._sweeping = None
        if self._in_flight:
            self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)

    # --- connections -----------------------------------------------------------------------------

    def _open_for(self, exchange: Exchange) -> None:
        """Dial for an attempt, or put it in line and close what is idle to make room."""
        if self._has_room():
            self._start_dialling(exchange)
            return
        exchange.enter("queue", self._clock())
        self._queue[exchange] = None
        oldest = self._idle.pop_oldest()
        if oldest is not None:
            oldest.abort()

    def _has_room(self) -> bool:
        return len(self._open) + self._opening < self._limits.connections_max

    def _start_dialling(self, exchange: Exchange) -> None:
        self._opening += 1
        exchange.dialling = self._loop.create_task(self._dial(exchange))
        exchange.dialling.add_done_callback(self._dialled)

    def _dialled(self, _: asyncio.Task[None]) -> None:
        self._opening -= 1
        self._serve_queue()
        self._note_emptied()

    async def _dial(self, exchange: Exchange) -> None:
        """Open a connection for an attempt, which begins by itself, or fail the attempt."""
        try:
            refusal = await self._connect(exchange)
        except Exception as error:  # a resolver's bug, say: ours, not the receiver's
            self._report(error, "opening a connection failed in an unexpected way")
            refusal = Refusal("local", "the sender failed to open a connection")
        if refusal is not None:
            self._fail(exchange, refusal.kind, refusal.message)

    async def _connect(self, exchange: Exchange) -> Refusal | None:
        exchange.enter("dns", self._clock())
        vetted = await self._names.resolve(exchange.request.target)
        exchange.dns_ms = (self._clock() - exchange.step_at) * 1_000
        if isinstance(vetted, Refusal):
            return vetted
        return await self._dialler.dial(
            exchange, vetted, lambda address: Connection(self, exchange, address, self._clock)
        )

    def _hand_over(self, connection: Connection) -> None:
        """Serve the first in line with a connection that fits, or with its place."""
        first = next(iter(self._queue))
        if first.request.target.origin == connection.origin:
            del self._queue[first]
            self._reuse(connection, first)
        else:
            connection.abort()

    def _serve_queue(self) -> None:
        while self._queue and self._has_room():
            exchange, _ = self._queue.popitem(last=False)
            self._start_dialling(exchange)

    def _prune(self) -> None:
        """Close the connections that nobody used for long enough."""
        now, ttl_s = self._clock(), self._limits.idle_ttl_ms / 1_000
        self._pruning = None
        while (released_at := self._idle.oldest_released_at()) is not None:
            if released_at + ttl_s > now:
                delay_s = released_at + ttl_s - now
                self._pruning = self._loop.call_later(delay_s, self._prune)
                return
            oldest = self._idle.pop_oldest()
            if oldest is not None:
                oldest.close()

    def _note_emptied(self) -> None:
        if self._closed and not self._open and not self._opening:
            self._emptied.set()

    def _report(self, error: Exception, message: str) -> None:
        self._loop.call_exception_handler({"message": message, "exception": error})


def default_tls() -> ssl.SSLContext:
    """Return the settings of production: the system's authorities, names checked, TLS 1.2+."""
    tls = ssl.create_default_context()
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def _resolve(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
