"""Lanes: every endpoint has one of its own, and nobody waits in another's. Pure state machine.

A lane holds the deliveries of one endpoint that this worker has read and not finished. A delivery
that the lane cannot send soon is *parked*: put into a short retry tier without counting as an
attempt, so that its partition flows on for the others.

The law of concurrency (additive increase, multiplicative decrease, per endpoint):

* a lane begins with ``START`` requests in flight; each answer while something waits allows one
  more, up to its cap; a request held without an answer, or pushed back (429), halves the number;
* a lane is *sick*, its circuit open, after ``TIMEOUTS_TO_SICK`` requests in a row that the endpoint
  held without an answer: then one delivery at a time probes it (half open) and the others park; the
  first answer, or quick refusal, makes it well, and it begins with ``START`` again.

The law of rates: an endpoint may have a limit of requests a second. Its lane is a token bucket that
holds a second's worth, one at least, and a request takes one; a lane without tokens stands in no
queue until it has one again (``due_ms``).

The law of holds: an endpoint may ask to be sent nothing for some time (``Retry-After``). Then
nothing begins in its lane before that, as if it had no token; what is in flight goes on. What would
wait for more than ``WAIT_MS_MAX`` parks until about the end, without counting as an attempt.

The law of parking (each rule comes from a measurement; queue length alone parks fast bursts and
"nothing completed for a second" alone starves endpoints that are slow but healthy). A delivery that
cannot go at once parks when its lane

* is sick, or held for long;
* is *stalled*: full, and nothing has completed for the larger of ``STALL_MS_MIN``, three times its
  usual response time, and ``OURS`` times our own lag;
* would make it wait for more than ``WAIT_MS_MAX`` at its rate, as what waits holds its partition's
  committed offset back: at the rate that its limit allows, or at the one that was seen, once there
  is one and more than ``SHORT`` wait already. Only where it is the endpoint that takes its time:
  when answers take less than ``OURS`` times our own lag, it is this process that is short of time,
  and parking would only make more work of it;
* or has as much waiting as there is room left for all lanes together, and more than others: one
  flood gets half of the room, two get a third each, and there is always some left for whoever comes
  next (dynamic thresholds: Choudhury and Hahne, 1998). "More than others" is ``UNEQUAL`` times the
  mean of the lanes, or the tenants, that were busy in the last ``BUSY_MS``. Where all of them have
  as much there is nobody to protect: the caller stops reading when the room is full.

Fairness: tenants that may send stand in one queue and are served in turn, one delivery each; a
tenant's lanes take turns likewise. Within a lane fresh deliveries go before retried ones, and these
before replayed ones; every ``LAST_FIRST_EVERY``-th turn goes the other way round, so that none of
them starves.

Times are milliseconds of any steady clock; the caller passes ``now_ms``.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, count
from typing import Final, Generic, TypeVar

from services.delivery.lane import START, WAIT_MS_MAX, Ending, Lane, Priority

AWAY_MS_MAX: Final = 30_000.0  # the rate that was seen says nothing about later
LIMITED_AWAY_MS_MAX: Final = 3_600_000.0  # a limit does, but may be raised
SMOOTHING: Final = 0.2  # weight of the newest response time in the running mean
LAG_KEPT: Final = 0.8  # of the old lag, where the newest one is lower
UNEQUAL: Final = 1.25
BUSY_MS: Final = 5_000.0
LOOK_AROUND_MS: Final = 1_000.0
IDLE_MS_MAX: Final = 60_000.0
IDLE_LOOK_MS: Final = 10_000.0

T = TypeVar("T")


class Lanes(Generic[T]):
    """All lanes of a worker; decides what is sent, what waits and what parks.

    Use: ``offer`` each delivery; call ``next`` until it returns None and send what it returns, and
    again at ``due_ms``; call ``completed`` for each result; call ``sweep`` a few times a second and
    park what it yields.

    ``cap`` bounds the requests in flight of a lane, unless it is configured for fewer,
    ``inflight_max`` those of all; ``waiting_max`` is the room for deliveries that wait.
    """

    def __init__(self, *, cap: int, inflight_max: int, waiting_max: int) -> None:
        self._cap = cap
        self._inflight_max = inflight_max
        self._waiting_max = waiting_max
        self._lanes: dict[str, Lane[T]] = {}
        self._backlogged: dict[str, Lane[T]] = {}  # where something waits, or did a moment ago
        self._turns: dict[str, deque[Lane[T]]] = {}  # by tenant
        self._tenants: deque[str] = deque()
        self._throttled: list[tuple[float, int, Lane[T]]] = []  # a heap: when each may go on
        self._throttled_count = count()
        self._idle_look_ms = 0.0
        self._lag_ms = 0.0
        self._look_around_ms = 0.0
        self._busy_lanes = 1
        self._busy_tenants: dict[str, int] = {}  # with how many deliveries wait for them
        self.inflight = 0
        self.waiting = 0
        self.saturated = 0  # lanes, as of the last look around
        self.sick = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def lane(self, key: str, tenant: str, now_ms: float) -> Lane[T]:
        """Return the endpoint's lane; a new one where there is none."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, tenant, self._cap, now_ms)
        return lane

    def configure(
        self, lane: Lane[T], *, cap: int | None, rate_per_s: float | None, now_ms: float
    ) -> None:
        """Give a lane the limits of its endpoint; None: no other than everybody's."""
        cap = self._cap if cap is None else min(cap, self._cap)
        lane.configure(cap=cap, rate_per_s=rate_per_s, now_ms=now_ms)
        if lane.throttled:  # by a limit that may be another one now
            lane.throttled = False
            self._take_turn(lane)

    def throttled(self) -> Iterator[Lane[T]]:
        """Yield the lanes that wait for a token, or a hold's end; one may be yielded twice."""
        return (lane for _, _, lane in self._throttled)

    @property
    def due_ms(self) -> float | None:
        """Return when the next of the throttled lanes may go on; None when there is none."""
        return self._throttled[0][0] if self._throttled else None

    def offer(self, lane: Lane[T], item: T, now_ms: float, priority: Priority) -> bool:
        """Take ``item`` into its lane; False means: park it."""
        ahead = lane.inflight + lane.waiting
        blocked = ahead >= lane.allowed or lane.throttled or now_ms < lane.held_until_ms
        if blocked and self._must_park(lane, now_ms):
            return False
        if not ahead:
            lane.progressed_ms = now_ms
        if ahead == lane.allowed:
            lane.begin_backlog(now_ms)
        lane.queues[priority].append(item)
        if not lane.waiting:
            self._backlogged[lane.key] = lane
        lane.waiting += 1
        self.waiting += 1
        self._take_turn(lane)
        return True

    def _must_park(self, lane: Lane[T], now_ms: float) -> bool:
        return (
            lane.sick
            or lane.held_long(now_ms)
            or (lane.waiting >= self._waiting_max - self.waiting and self._has_more(lane))
            or lane.overdrawn(self._lag_ms)
            or lane.stalled(now_ms, self._lag_ms)
        )

    def _has_more(self, lane: Lane[T]) -> bool:
        """Return whether more waits for an endpoint, or its tenant, than for others."""
        fair = UNEQUAL * self.waiting
        of_tenant = self._busy_tenants.get(lane.tenant, 0)
        return lane.waiting * self._busy_lanes > fair or of_tenant * len(self._busy_tenants) > fair

    def book(self, lane: Lane[T], now_ms: float) -> float | None:
        """Return how long a delivery that parks now is to stay away, None when nobody can tell.

        A slow lane's capacity is booked in advance: each parked delivery comes back about when its
        turn would have been, so that the lane neither idles nor reads the same records over and
        over. A lane that has stalled, or has no rate yet, may move again in a moment, as it may
        have been this process that was short of time: 0. Of a sick one nothing can be foretold. Of
        one that is held for long the end of that is known, and no rate.
        """
        if lane.held_long(now_ms):
            return lane.held_ms(now_ms)
        if lane.sick:
            return None
        if not lane.pace_per_ms or lane.stalled(now_ms, self._lag_ms):
            return 0.0
        away_ms_max = LIMITED_AWAY_MS_MAX if lane.limit_per_ms else AWAY_MS_MAX
        free_ms = max(lane.booked_ms, now_ms + lane.expected_wait_ms())
        if free_ms - now_ms > away_ms_max:
            return away_ms_max
        lane.booked_ms = free_ms + 1 / lane.pace_per_ms
        return free_ms - now_ms

    def next(self, now_ms: float) -> tuple[Lane[T], T] | None:
        """Return the next delivery to send, or None when nothing may be sent now."""
        while self._throttled and self._throttled[0][0] <= now_ms:
            _, _, lane = heapq.heappop(self._throttled)
            lane.throttled = False
            self._take_turn(lane)
        while self._tenants and self.inflight < self._inflight_max:
            tenant = self._tenants.popleft()
            turns = self._turns[tenant]
            lane = turns.popleft()
            lane.has_turn = False
            may_send = lane.waiting > 0 and lane.inflight < lane.allowed
            if may_send and not lane.take_token(now_ms):
                self._throttle(lane)
                may_send = False
            if may_send:
                item = lane.pick()
                self.waiting -= 1
                lane.inflight += 1
                self.inflight += 1
                if lane.waiting and lane.inflight < lane.allowed:
                    lane.has_turn = True
                    turns.append(lane)
            if turns:
                self._tenants.append(tenant)
            else:
                del self._turns[tenant]
            if may_send:
                return lane, item
        return None

    def completed(
        self, lane: Lane[T], ending: Ending, *, duration_ms: float, now_ms: float
    ) -> None:
        """Note the end of a request."""
        if lane.waiting:
            lane.count(now_ms)
        if ending is Ending.TIMED_OUT:
            lane.timeouts_in_row += 1
            lane.allowed = 1 if lane.sick else max(1, lane.allowed // 2)
        else:
            if lane.sick:
                lane.allowed = min(START, lane.cap)
            elif ending is Ending.PUSHED_BACK:
                lane.allowed = max(1, lane.allowed // 2)
            elif lane.waiting and lane.allowed < lane.cap:
                lane.allowed += 1
            lane.timeouts_in_row = 0
            lane.progressed_ms = now_ms
            if lane.response_ms:
                lane.response_ms += SMOOTHING * (duration_ms - lane.response_ms)
            else:
                lane.response_ms = duration_ms
        self.released(lane)

    def released(self, lane: Lane[T]) -> None:
        """Give back the turn of a delivery that was sent, or was not to be sent after all."""
        lane.inflight -= 1
        self.inflight -= 1
        self._take_turn(lane)

    def sweep(self, now_ms: float) -> list[tuple[T, float | None]]:
        """Return what waits in lanes that stalled, fell sick, are held or slowed down: park it.

        With each comes how long it is to stay away, as ``book`` has it. Lanes without work are
        forgotten after ``IDLE_MS_MAX``.
        """
        parked: list[tuple[T, float | None]] = []
        for lane in list(self._backlogged.values()):
            held = lane.held_long(now_ms)
            if lane.waiting and (held or lane.sick or lane.stalled(now_ms, self._lag_ms)):
                keep = 0 if held or lane.inflight else 1  # a sick lane needs one to probe with
                away_ms = self.book(lane, now_ms)
                parked.extend((item, away_ms) for item in self._cut(lane, keep))
            elif lane.limit_per_ms and lane.waiting > 1 + lane.limit_per_ms * WAIT_MS_MAX:
                keep = 1 + int(lane.limit_per_ms * WAIT_MS_MAX)
                cut = list(self._cut(lane, keep))
                parked.extend((item, self.book(lane, now_ms)) for item in reversed(cut))
            if not lane.waiting:
                del self._backlogged[lane.key]
        if now_ms - self._look_around_ms > LOOK_AROUND_MS:
            self._look_around_ms = now_ms
            self._look_around(now_ms)
        if now_ms - self._idle_look_ms > IDLE_LOOK_MS:
            self._idle_look_ms = now_ms
            self._forget_idle(now_ms)
        return parked

    def note_lag(self, lag_ms: float) -> None:
        """Note how late this process was to do something that was due."""
        self._lag_ms = max(lag_ms, LAG_KEPT * self._lag_ms)

    def _look_around(self, now_ms: float) -> None:
        """Find out between whom the room is to be shared, and how many lanes are in trouble."""
        self._busy_tenants = {}
        self._busy_lanes = self.saturated = self.sick = 0
        for lane in self._lanes.values():
            self.sick += lane.sick
            self.saturated += lane.waiting > 0 and lane.inflight >= lane.allowed
            if lane.waiting or lane.inflight or now_ms - lane.progressed_ms < BUSY_MS:
                self._busy_lanes += 1
                of_tenant = self._busy_tenants.get(lane.tenant, 0)
                self._busy_tenants[lane.tenant] = of_tenant + lane.waiting

    def _cut(self, lane: Lane[T], keep: int) -> Iterator[T]:
        """Yield what waits in a lane beyond ``keep``, the last first."""
        for queue in reversed(lane.queues):
            while queue and lane.waiting > keep:
                lane.waiting -= 1
                self.waiting -= 1
                yield queue.pop()

    def _forget_idle(self, now_ms: float) -> None:
        idle = [
            lane.key
            for lane in self._lanes.values()
            if not (lane.waiting or lane.inflight or lane.has_turn)
            and now_ms - max(lane.progressed_ms, lane.held_until_ms) > IDLE_MS_MAX
        ]
        for key in idle:
            del self._lanes[key]

    def items(self) -> Iterator[T]:
        """Yield what waits."""
        return chain.from_iterable(
            queue for lane in self._backlogged.values() for queue in lane.queues
        )

    def withdraw(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Remove and return waiting deliveries (their partitions are given up)."""
        removed: list[T] = []
        for lane in self._backlogged.values():
            for queue in lane.queues:
                kept: list[T] = []
                for item in queue:
                    (removed if unwanted(item) else kept).append(item)
                gone = len(queue) - len(kept)
                lane.waiting -= gone
                self.waiting -= gone
                queue.clear()
                queue.extend(kept)
        return removed

    def _throttle(self, lane: Lane[T]) -> None:
        lane.throttled = True
        entry = (lane.token_ms(), next(self._throttled_count), lane)
        heapq.heappush(self._throttled, entry)

    def _take_turn(self, lane: Lane[T]) -> None:
        if lane.has_turn or lane.throttled or not lane.waiting or lane.inflight >= lane.allowed:
            return
        lane.has_turn = True
        turns = self._turns.get(lane.tenant)
        if turns is None:
            turns = self._turns[lane.tenant] = deque()
            self._tenants.append(lane.tenant)
        turns.append(lane)
