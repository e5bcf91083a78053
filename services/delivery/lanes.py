"""Lanes: every endpoint has one of its own, and nobody waits in another's. Pure state machine.

A lane holds the deliveries of one endpoint that this worker has read and not finished. At most
``cap`` of them are in flight. A delivery that the lane cannot send soon is *parked*: put into a
short retry tier without counting as an attempt, so that its partition flows on for the others.

The law of parking (each rule comes from a measurement; queue length alone parks fast bursts and
"nothing completed for a second" alone starves endpoints that are slow but healthy):

* a lane is *sick* after ``TIMEOUTS_TO_SICK`` attempts in a row that the endpoint held without an
  answer: then one delivery at a time probes it and the others park; the first answer, or quick
  refusal, makes it well;
* a lane is *stalled* when it is full and nothing has completed for the larger of
  ``STALL_MS_MIN`` and three times its usual response time;
* a delivery parks when its expected wait (queue times usual response time, by cap) exceeds
  ``WAIT_MS_MAX``, or when the lane's queue is at its bound.

Fairness: lanes that may send stand in one queue and are served in turn, one delivery each.
Times are milliseconds of any steady clock; the caller passes ``now_ms``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

TIMEOUTS_TO_SICK: Final = 3
STALL_MS_MIN: Final = 1_000.0
WAIT_MS_MAX: Final = 5_000.0
IDLE_MS_MAX: Final = 60_000.0
SMOOTHING: Final = 0.2  # weight of the newest response time in the running mean

T = TypeVar("T")


class Lane(Generic[T]):
    """The deliveries of one endpoint. ``data`` is the caller's (what it takes to send)."""

    __slots__ = (
        "booked_ms",
        "cap",
        "data",
        "inflight",
        "key",
        "progressed_ms",
        "queue",
        "queued_for_turn",
        "response_ms",
        "timeouts_in_row",
    )

    def __init__(self, key: str, cap: int, now_ms: float) -> None:
        self.key = key
        self.cap = cap
        self.queue: deque[T] = deque()
        self.inflight = 0
        self.response_ms = 0.0
        self.booked_ms = 0.0
        self.progressed_ms = now_ms
        self.timeouts_in_row = 0
        self.queued_for_turn = False
        self.data: object = None

    @property
    def sick(self) -> bool:
        """Return whether the endpoint has stopped answering."""
        return self.timeouts_in_row >= TIMEOUTS_TO_SICK

    @property
    def limit(self) -> int:
        """Return how many deliveries may be in flight now."""
        return 1 if self.sick else self.cap

    @property
    def can_send(self) -> bool:
        """Return whether something waits and may be sent."""
        return bool(self.queue) and self.inflight < self.limit

    def stalled(self, now_ms: float) -> bool:
        """Return whether the lane is full and does not move."""
        patience_ms = max(STALL_MS_MIN, 3 * self.response_ms)
        return self.inflight >= self.limit and now_ms - self.progressed_ms > patience_ms

    def expected_wait_ms(self) -> float:
        """Return how long one more delivery would wait."""
        return (len(self.queue) + 1) * self.response_ms / self.limit


class Lanes(Generic[T]):
    """All lanes of a worker; decides what is sent, what waits and what parks.

    Use: ``offer`` each delivery; call ``next`` until it returns None and send what it returns;
    call ``completed`` for each result; call ``sweep`` a few times a second and park what it yields.
    """

    def __init__(self, *, cap: int, inflight_max: int, queue_max: int) -> None:
        self._cap = cap
        self._inflight_max = inflight_max
        self._queue_max = queue_max
        self._lanes: dict[str, Lane[T]] = {}
        self._turns: deque[Lane[T]] = deque()
        self.inflight = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def lane(self, key: str, now_ms: float) -> Lane[T]:
        """Return the endpoint's lane; a new one where there is none."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, self._cap, now_ms)
        return lane

    def offer(self, lane: Lane[T], item: T, now_ms: float) -> bool:
        """Take ``item`` into its lane; False means: park it."""
        if lane.inflight >= lane.limit and (
            lane.sick
            or lane.stalled(now_ms)
            or lane.expected_wait_ms() > WAIT_MS_MAX
            or len(lane.queue) >= self._queue_max
        ):
            return False
        if not lane.inflight and not lane.queue:
            lane.progressed_ms = now_ms
        lane.queue.append(item)
        self._take_turn(lane)
        return True

    @staticmethod
    def book(lane: Lane[T], now_ms: float) -> float:
        """Return how long a delivery that parks now is to stay away, 0 when nobody can tell.

        A slow lane's capacity is booked in advance: each parked delivery comes back about when its
        turn would have been, so that the lane neither idles nor reads the same records over and
        over. Of a lane that does not move nothing can be foretold.
        """
        if lane.sick or lane.stalled(now_ms):
            return 0.0
        free_ms = max(lane.booked_ms, now_ms + lane.expected_wait_ms())
        lane.booked_ms = free_ms + lane.response_ms / lane.limit
        return free_ms - now_ms

    def next(self) -> tuple[Lane[T], T] | None:
        """Return the next delivery to send, or None when nothing may be sent now."""
        while self._turns and self.inflight < self._inflight_max:
            lane = self._turns.popleft()
            lane.queued_for_turn = False
            if not lane.can_send:
                continue
            item = lane.queue.popleft()
            lane.inflight += 1
            self.inflight += 1
            self._take_turn(lane)
            return lane, item
        return None

    def completed(
        self, lane: Lane[T], *, timed_out: bool, duration_ms: float, now_ms: float
    ) -> None:
        """Note the end of an attempt; ``timed_out``: the endpoint held it and did not answer."""
        lane.inflight -= 1
        self.inflight -= 1
        if timed_out:
            lane.timeouts_in_row += 1
        else:
            lane.timeouts_in_row = 0
            lane.progressed_ms = now_ms
            if lane.response_ms:
                lane.response_ms += SMOOTHING * (duration_ms - lane.response_ms)
            else:
                lane.response_ms = duration_ms
        self._take_turn(lane)

    def released(self, lane: Lane[T]) -> None:
        """Give back the turn of a delivery that was not sent after all."""
        lane.inflight -= 1
        self.inflight -= 1
        self._take_turn(lane)

    def sweep(self, now_ms: float) -> list[T]:
        """Return what waits in lanes that have stalled or fallen sick: it is to be parked.

        Lanes without work are forgotten after ``IDLE_MS_MAX``.
        """
        parked: list[T] = []
        idle: list[str] = []
        for lane in self._lanes.values():
            if lane.queue:
                if lane.sick or lane.stalled(now_ms):
                    keep = 0 if lane.inflight else 1  # a sick lane needs one to probe with
                    while len(lane.queue) > keep:
                        parked.append(lane.queue.pop())
            elif not lane.inflight and now_ms - lane.progressed_ms > IDLE_MS_MAX:
                idle.append(lane.key)
        for key in idle:
            del self._lanes[key]
        return parked

    def queues(self) -> Iterator[deque[T]]:
        """Yield the queues of the lanes in which something waits."""
        return (lane.queue for lane in self._lanes.values() if lane.queue)

    def withdraw(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Remove and return waiting deliveries (their partitions are given up)."""
        removed: list[T] = []
        for lane in self._lanes.values():
            if lane.queue:
                kept: deque[T] = deque()
                for item in lane.queue:
                    (removed if unwanted(item) else kept).append(item)
                lane.queue = kept
        return removed

    def _take_turn(self, lane: Lane[T]) -> None:
        if lane.can_send and not lane.queued_for_turn:
            lane.queued_for_turn = True
            self._turns.append(lane)
