"""One lane: an endpoint's deliveries, how many may be sent at once, and how fast. Pure.

``lanes`` has the laws, and decides between lanes.

Times are milliseconds of any steady clock; the caller passes ``now_ms``.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, IntEnum
from typing import Final, Generic, TypeVar

START: Final = 8
SHORT: Final = 64
OURS: Final = 5.0
RATE_KEPT: Final = 0.8  # of the old rate, where the newest one is lower
RATE_MS: Final = 1_000.0  # a lane's rate is known after so much time with something waiting
TIMEOUTS_TO_SICK: Final = 3
STALL_MS_MIN: Final = 1_000.0
WAIT_MS_MAX: Final = 20_000.0
LAST_FIRST_EVERY: Final = 4
_ROUNDING: Final = 1e-6  # of a token: what adding up fractions may lose

T = TypeVar("T")


class Priority(IntEnum):
    """Which deliveries of a lane go first."""

    FRESH = 0
    RETRIED = 1
    REPLAYED = 2


class Ending(Enum):
    """How a request ended, as far as its lane is concerned."""

    ANSWERED = "answered"  # or refused quickly: the endpoint does not hold our requests
    PUSHED_BACK = "pushed back"  # it asks for fewer
    TIMED_OUT = "timed out"  # it held the request and did not answer


class Lane(Generic[T]):
    """The deliveries of one endpoint. ``data`` is the caller's (what it takes to send)."""

    __slots__ = (
        "allowed",
        "booked_ms",
        "cap",
        "data",
        "filled_ms",
        "has_turn",
        "held_until_ms",
        "inflight",
        "key",
        "limit_per_ms",
        "progressed_ms",
        "queues",
        "rate_count",
        "rate_from_ms",
        "rate_per_ms",
        "response_ms",
        "tenant",
        "throttled",
        "timeouts_in_row",
        "tokens",
        "turns",
        "waiting",
    )

    def __init__(self, key: str, tenant: str, cap: int, now_ms: float) -> None:
        self.key = key
        self.tenant = tenant
        self.cap = cap
        self.allowed = min(START, cap)
        self.queues: tuple[deque[T], ...] = tuple(deque() for _ in Priority)
        self.waiting = 0
        self.inflight = 0
        self.turns = 0
        self.response_ms = 0.0
        self.booked_ms = 0.0
        self.progressed_ms = now_ms
        self.rate_per_ms = 0.0
        self.rate_count = 0
        self.rate_from_ms = now_ms
        self.limit_per_ms = 0.0  # 0: as fast as it answers
        self.tokens = 0.0
        self.filled_ms = now_ms
        self.throttled = False
        self.held_until_ms = 0.0
        self.timeouts_in_row = 0
        self.has_turn = False
        self.data: object = None

    def configure(self, *, cap: int, rate_per_s: float | None, now_ms: float) -> None:
        """Set how many requests may be in flight and, if at all, how many may begin in a second.

        With another limit the bucket begins full.
        """
        self.cap = cap
        self.allowed = min(self.allowed, cap)
        limit_per_ms = (rate_per_s or 0.0) / 1000
        if limit_per_ms != self.limit_per_ms:
            self.limit_per_ms = limit_per_ms
            self.tokens = self._bucket
            self.filled_ms = now_ms

    @property
    def _bucket(self) -> float:
        return max(1.0, self.limit_per_ms * 1000)

    def hold(self, until_ms: float) -> None:
        """Begin nothing before ``until_ms``: the endpoint asks for that. The latest one counts."""
        self.held_until_ms = max(self.held_until_ms, until_ms)

    def end_hold(self) -> None:
        """Forget what was asked for."""
        self.held_until_ms = 0.0

    def held_ms(self, now_ms: float) -> float:
        """Return for how long nothing may begin yet."""
        return max(0.0, self.held_until_ms - now_ms)

    def held_long(self, now_ms: float) -> bool:
        """Return whether what would wait for the end of the hold would wait for too long."""
        return self.held_until_ms - now_ms > WAIT_MS_MAX

    def take_token(self, now_ms: float) -> bool:
        """Take a token; False when there is none, or the lane is held."""
        if now_ms < self.held_until_ms:
            return False
        if not self.limit_per_ms:
            return True
        gained = (now_ms - self.filled_ms) * self.limit_per_ms
        self.tokens = min(self._bucket, self.tokens + gained)
        self.filled_ms = now_ms
        if self.tokens < 1.0 - _ROUNDING:
            return False
        self.tokens -= 1.0
        return True

    def token_ms(self) -> float:
        """Return when there will be a token that may be taken."""
        if not self.limit_per_ms:
            return self.held_until_ms
        return max(self.held_until_ms, self.filled_ms + (1.0 - self.tokens) / self.limit_per_ms)

    @property
    def sick(self) -> bool:
        """Return whether the endpoint has stopped answering: its circuit is open."""
        return self.timeouts_in_row >= TIMEOUTS_TO_SICK

    def stalled(self, now_ms: float, lag_ms: float) -> bool:
        """Return whether the lane is full and does not move."""
        patience_ms = max(STALL_MS_MIN, 3 * self.response_ms, OURS * lag_ms)
        since_ms = max(self.progressed_ms, self.held_until_ms)
        return self.inflight >= self.allowed and now_ms - since_ms > patience_ms

    @property
    def pace_per_ms(self) -> float:
        """Return how fast what waits is sent: by its limit, or as was seen; 0: nobody can tell."""
        return self.limit_per_ms or self.rate_per_ms

    def expected_wait_ms(self) -> float:
        """Return how long one more delivery would wait, 0 while nobody can tell."""
        pace = self.pace_per_ms
        return (self.waiting + 1) / pace if pace else 0.0

    def overdrawn(self, lag_ms: float) -> bool:
        """Return whether one more delivery would wait for its endpoint for too long."""
        slow = self.waiting >= SHORT and self.response_ms > OURS * lag_ms
        return bool(self.limit_per_ms or slow) and self.expected_wait_ms() > WAIT_MS_MAX

    def begin_backlog(self, now_ms: float) -> None:
        """Forget the rate: what an endpoint took an hour ago says little about now."""
        self.rate_per_ms = 0.0
        self.rate_count = 0
        self.rate_from_ms = now_ms

    def count(self, now_ms: float) -> None:
        """Count a request that ended while something waits."""
        self.rate_count += 1
        elapsed_ms = now_ms - self.rate_from_ms
        if elapsed_ms >= RATE_MS:
            newest = self.rate_count / elapsed_ms
            self.rate_per_ms = max(newest, RATE_KEPT * self.rate_per_ms)
            self.rate_count = 0
            self.rate_from_ms = now_ms

    def pick(self) -> T:
        """Take the delivery whose turn it is; there must be one."""
        self.turns += 1
        in_order = self.turns % LAST_FIRST_EVERY != 0
        for queue in self.queues if in_order else reversed(self.queues):
            if queue:
                self.waiting -= 1
                return queue.popleft()
        raise LookupError("nothing waits in this lane")
