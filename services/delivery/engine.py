"""The engine: takes records of ``deliveries``, sends them in their lanes, hands on what follows.

No Task and no Future belongs to a delivery: the transport calls back, and the callback starts the
next delivery of a lane. What came of it leaves through the ``Outbox``.

Must not import aiokafka: records come in as ``Arrival`` and go out through the publisher.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec
import structlog

from services.delivery import metrics
from services.delivery.destination import Destination, Destinations, Sent
from services.delivery.lane import STALL_MS_MIN, Ending, Lane, Priority
from services.delivery.lanes import Lanes
from services.delivery.outbox import Delivery, Names, Outbox, Result, Sink
from services.delivery.partition import Partition
from services.delivery.settle import (
    DiscardReason,
    FollowUp,
    Origin,
    asked_hold_ms,
    discard,
    park,
    settle,
)
from services.delivery.trail import Trail
from shared.http.messages import Answered, Outcome, OutgoingRequest, Timing, Unanswered
from shared.models import ids
from shared.models.attempts import RETRY_DISCARDED
from shared.models.deliveries import (
    REASON_HEADER,
    TRIGGER_EVENT,
    TRIGGER_PING,
    DeliveryMeta,
    meta_of,
)
from shared.models.endpoints import EndpointState, WorkspaceState
from shared.topics import Tiers, duration_ms

PARK_DELAYS_MS: Final = tuple(duration_ms(text) for text in ("5s", "30s", "1m", "5m"))
"""How long a delivery is put aside, by how often it was before."""

SWEEP_EVERY_S: Final = 0.25
TOO_MANY_REQUESTS: Final = 429
_NO_TIMING: Final = Timing(0.0, 0.0, 0.0, 0.0, 0.0, False)

_log = structlog.get_logger("delivery")


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A record as fetched."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Sender(Protocol):
    """Sends a request and calls back with its outcome, exactly once."""

    def start(self, request: OutgoingRequest, done: Callable[[Outcome], None]) -> None:
        """Send."""


class View(Protocol):
    """The endpoints as this worker knows them, and whose they are."""

    endpoints: dict[str, EndpointState]
    workspaces: dict[str, WorkspaceState]


class Barrier(Protocol):
    """Waits until the endpoint view holds everything acknowledged so far."""

    async def catch_up(self) -> None:
        """Return when it does."""


class Engine:
    """Everything between a fetched record and its acknowledged consequences."""

    def __init__(
        self,
        *,
        lanes: Lanes[Delivery],
        destinations: Destinations,
        view: View,
        barrier: Barrier,
        sender: Sender,
        sink: Sink,
        names: Names,
        tiers: Tiers,
        response_bytes_max: int,
        trail: Trail,
    ) -> None:
        self._trail = trail
        self._lanes = lanes
        self._destinations = destinations
        self._view = view
        self._barrier = barrier
        self._sender = sender
        self._outbox = Outbox(sink=sink, names=names, closed=self._closed)
        self._tiers = tiers
        self._response_bytes_max = response_bytes_max
        self._sending: dict[tuple[int, int], Delivery] = {}
        self._moved = asyncio.Event()
        self._stopping = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0.0
        self.open_records = 0
        self.open_bytes = 0

    @property
    def in_flight(self) -> int:
        """Return how many requests are in flight."""
        return len(self._sending)

    async def take(self, arrivals: Sequence[Arrival]) -> None:
        """Take fetched records into their lanes.

        Waits for the endpoint view when a record was matched with a newer state than we know, and
        while too much waits to be put aside.
        """
        await self._outbox.room()
        readable = [(arrival, _read(arrival)) for arrival in arrivals]
        if any(origin is not None and self._is_ahead_of_view(origin) for _, origin in readable):
            await self._barrier.catch_up()
        now_ms, steady_ms = _now_ms(), _steady_ms()
        for arrival, origin in readable:
            if not arrival.partition.closing:
                self._take_one(arrival, origin, now_ms, steady_ms)
        self._pump()

    def forget(self, closing: set[Partition]) -> None:
        """Give up what waits for these partitions; what is in flight may still finish."""
        for delivery in self._lanes.withdraw(lambda item: item.partition in closing):
            delivery.partition.memory.withdrawn(delivery.origin.endpoint_id, delivery.origin.meta)
            self._closed(delivery)

    async def quiet(self, partitions: set[Partition], timeout_s: float) -> bool:
        """Wait until nothing of these partitions is in flight or unpublished; False on timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._busy(partitions):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def stop_starting(self) -> None:
        """Start no further request."""
        self._stopping = True

    async def run_outbox(self) -> None:
        """Publish what came of deliveries, for ever."""
        await self._outbox.run(self._on_flushed)

    async def run_sweeper(self) -> None:
        """Park what waits in lanes that do not move, a few times a second, for ever."""
        while True:
            due_ms = _steady_ms() + SWEEP_EVERY_S * 1000
            await asyncio.sleep(SWEEP_EVERY_S)
            self._lanes.note_lag(_steady_ms() - due_ms)
            for delivery, away_ms in self._lanes.sweep(_steady_ms()):
                self._park(delivery, _now_ms(), away_ms)
            self._renew_limits()
            self._pump()
            metrics.IN_FLIGHT.set(self.in_flight)
            metrics.OPEN.set(self.open_records)
            metrics.LANES.set(len(self._lanes))
            metrics.WAITING.set(self._lanes.waiting)
            metrics.SATURATED.set(self._lanes.saturated)
            metrics.CIRCUIT_OPEN.set(self._lanes.sick)

    def _renew_limits(self) -> None:
        """Let lanes that wait for their rate limit know when it has changed."""
        for lane in list(self._lanes.throttled()):
            endpoint = self._view.endpoints.get(lane.key)
            if endpoint is not None:
                self._prepare(lane, endpoint)

    def _is_ahead_of_view(self, origin: Origin) -> bool:
        endpoint = self._view.endpoints.get(origin.endpoint_id)
        if endpoint is None or endpoint.revision < origin.meta.revision:
            return True
        workspace = self._view.workspaces.get(origin.meta.workspace_id)
        return workspace is not None and workspace.revision < origin.meta.workspace_revision

    def _take_one(
        self, arrival: Arrival, origin: Origin | None, now_ms: int, steady_ms: float
    ) -> None:
        partition, offset = arrival.partition, arrival.offset
        still_sending = self._sending.get((partition.number, offset))
        if not partition.open(offset):
            metrics.REPEATED.inc()
            return
        if origin is None:
            self._quarantine(arrival)
            return
        if not partition.memory.is_new(origin.endpoint_id, origin.meta):
            metrics.REPEATED.inc()
            partition.finish(offset)
            return
        if still_sending is not None:
            # The partition was taken away and came back while this very request was in flight.
            still_sending.partition = partition
            return
        delivery = Delivery(partition, origin)
        self.open_records += 1
        self.open_bytes += delivery.size
        endpoint = self._view.endpoints.get(origin.endpoint_id)
        reason = self._obstacle(endpoint, origin.meta)
        if endpoint is None or reason is not None:
            self._discard(delivery, reason or "endpoint_deleted", now_ms)
        else:
            self._enter_lane(delivery, endpoint, now_ms, steady_ms)

    def _obstacle(self, endpoint: EndpointState | None, meta: DeliveryMeta) -> DiscardReason | None:
        """Return why nothing is to be sent, None where it is.

        A ping tests whatever can be tested.
        """
        if endpoint is None:
            return "endpoint_deleted"
        if meta.trigger == TRIGGER_PING:
            return None
        workspace = self._view.workspaces.get(endpoint.workspace_id)
        if workspace is not None and workspace.suspended:
            return "workspace_suspended"
        if not endpoint.active:
            return "endpoint_disabled"
        if endpoint.paused_ms is not None:
            return "endpoint_paused"
        return RETRY_DISCARDED if meta.attempt > 1 and _is_unwanted(endpoint, meta) else None

    def _enter_lane(
        self, delivery: Delivery, endpoint: EndpointState, now_ms: int, steady_ms: float
    ) -> None:
        lane = self._lanes.lane(endpoint.id, endpoint.workspace_id, steady_ms)
        if not self._prepare(lane, endpoint):
            self._park(delivery, now_ms)
        elif not self._lanes.offer(lane, delivery, steady_ms, _priority(delivery.origin.meta)):
            self._park(delivery, now_ms, self._lanes.book(lane, steady_ms))

    def _prepare(self, lane: Lane[Delivery], endpoint: EndpointState) -> bool:
        """Have the lane's destination made for the endpoint's revision; False if we cannot."""
        current = lane.data
        if isinstance(current, Destination) and current.endpoint is endpoint:
            return True
        self._lanes.configure(
            lane, cap=endpoint.concurrency, rate_per_s=endpoint.rate_limit, now_ms=_steady_ms()
        )
        if isinstance(current, Destination) and current.endpoint.url != endpoint.url:
            lane.end_hold()  # whoever answers at the new URL has asked for nothing yet
        try:
            lane.data = self._destinations.make(endpoint)
        except (ValueError, LookupError) as error:
            _log.error("endpoint_unusable", endpoint_id=endpoint.id, error=str(error))
            return False
        return True

    def _pump(self) -> None:
        """Start what the lanes allow."""
        while not self._stopping and not self._outbox.full:
            turn = self._lanes.next(_steady_ms())
            if turn is None:
                self._pump_when_due()
                return
            self._start(*turn)

    def _pump_when_due(self) -> None:
        """See to it that lanes go on when their rate limits allow it."""
        due_ms = self._lanes.due_ms
        if due_ms is None or (self._timer is not None and self._timer_ms <= due_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ms = due_ms
        delay_s = max(0.0, due_ms - _steady_ms()) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        self._pump()

    def _start(self, lane: Lane[Delivery], delivery: Delivery) -> None:
        """Send, unless the endpoint was disabled, deleted or spoilt while the delivery waited."""
        endpoint = self._view.endpoints.get(lane.key)
        reason = self._obstacle(endpoint, delivery.origin.meta)
        if endpoint is None or reason is not None:
            self._lanes.released(lane)
            self._discard(delivery, reason or "endpoint_deleted", _now_ms())
            return
        if not self._prepare(lane, endpoint):
            self._lanes.released(lane)
            self._park(delivery, _now_ms())
            return
        destination = lane.data
        assert isinstance(destination, Destination)
        origin = delivery.origin
        started_ms = _now_ms()
        headers = destination.headers(origin.meta, origin.body, started_ms // 1000)
        sent = Sent(headers, started_ms)
        self._sending[origin.partition, origin.offset] = delivery
        done = partial(self._on_outcome, lane, delivery, destination, sent)
        if destination.refused is not None:
            asyncio.get_running_loop().call_soon(
                done, Unanswered("url", destination.refused, _NO_TIMING, None)
            )
            return
        self._sender.start(
            destination.request(headers, origin.body, self._response_bytes_max), done
        )

    def _on_outcome(
        self,
        lane: Lane[Delivery],
        delivery: Delivery,
        destination: Destination,
        sent: Sent,
        outcome: Outcome,
    ) -> None:
        """Take the result of a request and start what may follow in its lane."""
        origin = delivery.origin
        del self._sending[origin.partition, origin.offset]
        steady_ms, now_ms = _steady_ms(), _now_ms()
        hold_ms = asked_hold_ms(destination, outcome, now_ms)
        ending = Ending.PUSHED_BACK if hold_ms else _ending(outcome)
        self._lanes.completed(lane, ending, duration_ms=outcome.timing.total_ms, now_ms=steady_ms)
        if hold_ms and _is_still_at(lane, destination):
            metrics.HELD.inc()
            lane.hold(steady_ms + hold_ms)
        if isinstance(outcome, Unanswered) and outcome.kind == "local":
            self._on_local_failure(delivery, outcome)
        else:
            self._settle(delivery, destination, sent, outcome, now_ms)
        self._moved.set()
        self._pump()

    def _settle(
        self,
        delivery: Delivery,
        destination: Destination,
        sent: Sent,
        outcome: Outcome,
        now_ms: int,
    ) -> None:
        """Have what follows published; a fault of ours must not leave a delivery open for ever."""
        try:
            settlement = settle(delivery.origin, destination, sent, outcome, now_ms)
        except Exception:
            _log.exception("settling_failed", endpoint_id=delivery.origin.endpoint_id)
            self._park(delivery, now_ms)
            return
        attempt = self._trail.leave(delivery.origin.meta, settlement.attempt)
        self._outbox.put(Result(delivery, attempt, settlement.follow_up))

    def _on_local_failure(self, delivery: Delivery, outcome: Unanswered) -> None:
        """Our own fault (no socket left, or the worker stops): no attempt counts."""
        if self._stopping:
            self._closed(delivery)  # its offset stays open: whoever comes next reads it again
            return
        _log.error("sender_failed", error=outcome.message)
        self._park(delivery, _now_ms())

    def _park(self, delivery: Delivery, now_ms: int, away_ms: float | None = None) -> None:
        """Put a delivery aside: for ``away_ms`` where that is known, else longer each time."""
        meta = delivery.origin.meta
        if away_ms is not None:
            tier = self._tiers.at_most(max(int(away_ms), PARK_DELAYS_MS[0]))
        else:
            tier = self._tiers.at_least(PARK_DELAYS_MS[min(meta.parks, len(PARK_DELAYS_MS) - 1)])
        metrics.PARKED.inc()
        delivery.partition.memory.parked(delivery.origin.endpoint_id, meta)
        self._outbox.put(Result(delivery, None, park(meta, tier, now_ms)))

    def _discard(self, delivery: Delivery, reason: DiscardReason, now_ms: int) -> None:
        metrics.DISCARDED.inc()
        self._outbox.put(Result(delivery, discard(delivery.origin, reason, now_ms), None))

    def _quarantine(self, arrival: Arrival) -> None:
        """Put a record that is none of ours where it is kept."""
        metrics.POISON.inc()
        meta = DeliveryMeta("", "", "", 0, "", 0, 0, 0)
        origin = Origin("", arrival.partition.number, arrival.offset, arrival.value or b"", meta)
        delivery = Delivery(arrival.partition, origin)
        self.open_records += 1
        self.open_bytes += delivery.size
        reason = (REASON_HEADER, b"unreadable")
        self._outbox.put(
            Result(
                delivery, None, FollowUp("deliveries.dead", (*_present(arrival.headers), reason))
            )
        )

    def _on_flushed(self) -> None:
        self._moved.set()
        self._pump()

    def _closed(self, delivery: Delivery) -> None:
        self.open_records -= 1
        self.open_bytes -= delivery.size

    def _busy(self, partitions: set[Partition]) -> bool:
        return self._outbox.busy or any(
            delivery.partition in partitions for delivery in self._sending.values()
        )


def _is_unwanted(endpoint: EndpointState, meta: DeliveryMeta) -> bool:
    """Return whether somebody has discarded this retry, or all that there were at the time."""
    discarded_ms = endpoint.retries_discarded_ms
    if discarded_ms is not None and meta.failed_ms <= discarded_ms:
        return True
    unwanted = endpoint.discarded_retries
    return bool(unwanted) and meta.row_id(endpoint.id) in unwanted


def _priority(meta: DeliveryMeta) -> Priority:
    if meta.trigger not in (TRIGGER_EVENT, TRIGGER_PING):
        return Priority.REPLAYED
    return Priority.FRESH if meta.attempt == 1 else Priority.RETRIED


def _ending(outcome: Outcome) -> Ending:
    """Return what a lane has to know; a request that was held for long was not answered."""
    if isinstance(outcome, Answered):
        return Ending.PUSHED_BACK if outcome.status == TOO_MANY_REQUESTS else Ending.ANSWERED
    return Ending.TIMED_OUT if outcome.timing.total_ms >= STALL_MS_MIN else Ending.ANSWERED


def _is_still_at(lane: Lane[Delivery], destination: Destination) -> bool:
    """Return whether the lane's endpoint has the URL that a request was sent to."""
    current = lane.data
    return isinstance(current, Destination) and current.endpoint.url == destination.endpoint.url


def _read(arrival: Arrival) -> Origin | None:
    """Return what a record says, None where it is no delivery that we can read.

    The event id becomes a header: what is not visible ASCII would break out of its line.
    """
    if not arrival.key or arrival.value is None:
        return None
    try:
        meta = meta_of(arrival.headers)
    except (msgspec.DecodeError, TypeError):
        return None
    if meta is None or not meta.event_id or not ids.is_visible_ascii(meta.event_id):
        return None
    endpoint_id = arrival.key.decode("ascii", "replace")
    return Origin(endpoint_id, arrival.partition.number, arrival.offset, arrival.value, meta)


def _present(headers: Sequence[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value or b"") for name, value in headers)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _steady_ms() -> float:
    return time.monotonic() * 1000
