"""Counting against a limit that several gateways share: windows, shares of them, who may pass.

A limit lets so many units pass in each window: a second, a day or a month of UTC. What has passed
is counted in one place for all gateways (``shared.storage.mongo.counters``), but not one by one: a
gateway takes a *share* of what is left of a window at a time and lets its callers have that without
asking again. A share is taken once and spent once, so all gateways together never let more pass in
a window than the limit says, whatever their clocks say (a window goes by when it starts, not by
when it is asked about). What a gateway has not spent by the end of a window is nobody's.

How large a share is decides what is asked how often, and how much a gateway can keep from the
others: a tenth of a second's limit, a thousandth of a day's or a month's.

Pure: no I/O, the time is an argument.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec

from shared.models.limits import WorkspaceLimits

Unit = Literal["requests", "events"]
Period = Literal["second", "day", "month"]

SHARES: Final = {"second": 10, "day": 1_000, "month": 1_000}
"""Into how many shares a window's limit is divided."""

ASK_AGAIN_MS: Final = 5_000
"""How long nobody asks again once all was given out: some may have been given back by then."""

_SECOND_MS: Final = 1_000


class Rule(NamedTuple):
    """A limit that is counted: its name in ``WorkspaceLimits``, what it counts, in which time."""

    name: str
    unit: Unit
    period: Period

    def quota(self, limits: WorkspaceLimits) -> int | None:
        """Return how many units it lets pass in a window, None for any number."""
        quota: int | None = getattr(limits, self.name)
        return quota


RULES: Final = (
    Rule("requests_per_second", "requests", "second"),
    Rule("events_per_second", "events", "second"),
    Rule("events_per_day", "events", "day"),
    Rule("events_per_month", "events", "month"),
)


class Window(NamedTuple):
    """A time in which a limit counts, from ``start_ms`` until before ``end_ms``."""

    start_ms: int
    end_ms: int

    @property
    def length_s(self) -> int:
        """Return how long it is."""
        return (self.end_ms - self.start_ms) // _SECOND_MS

    def left_s(self, now_ms: int) -> int:
        """Return in how many whole seconds it is over, 1 at least."""
        return max(1, -(-(self.end_ms - now_ms) // _SECOND_MS))


def window_of(period: Period, now_ms: int) -> Window:
    """Return the window of UTC in which ``now_ms`` is."""
    if period == "second":
        start_ms = now_ms // _SECOND_MS * _SECOND_MS
        return Window(start_ms, start_ms + _SECOND_MS)
    now = datetime.fromtimestamp(now_ms // _SECOND_MS, UTC)
    start = now.replace(hour=0, minute=0, second=0, day=now.day if period == "day" else 1)
    end = start + timedelta(days=1 if period == "day" else 32)
    if period == "month":
        end = end.replace(day=1)
    return Window(int(start.timestamp()) * _SECOND_MS, int(end.timestamp()) * _SECOND_MS)


def share_of(period: Period, quota: int, wanted: int) -> int:
    """Return how many units to take at once by a gateway that needs ``wanted`` now."""
    return max(wanted, quota // SHARES[period])


def granted(taken: int, counted: int, quota: int) -> int:
    """Return how many of ``taken`` units may pass; ``counted`` is the count with all of them."""
    return max(0, min(taken, quota - (counted - taken)))


class Purse:
    """What one gateway may let pass of one limit in one window. Not for several threads."""

    __slots__ = ("_ask_ms", "_counted", "_left", "quota", "rule", "window")

    def __init__(self, rule: Rule, quota: int, window: Window) -> None:
        self.rule = rule
        self.quota = quota
        self.window = window
        self._left = 0
        self._counted = 0
        self._ask_ms = 0

    def spend(self, count: int) -> bool:
        """Let ``count`` units pass if they are here."""
        if self._left < count:
            return False
        self._left -= count
        return True

    def may_ask(self, now_ms: int) -> bool:
        """Return whether there may be more to take; what was all given out is not asked for."""
        return now_ms >= self._ask_ms

    def wanted(self, count: int) -> int:
        """Return how many units to take so that ``count`` can pass."""
        return share_of(self.rule.period, self.quota, count - self._left)

    def fill(self, taken: int, counted: int, *, count: int, now_ms: int) -> int:
        """Put what was granted of ``taken`` units in, so that ``count`` can pass.

        ``counted`` is the count with all that was taken. Returns how many units are to be given
        back: where they are not enough, others may have a use for them.
        """
        given = granted(taken, counted, self.quota)
        if self._left + given >= count:
            self._left += given
            self._counted = min(counted, self.quota)
            return 0
        self._counted = min(counted - taken, self.quota)
        if given == 0:
            self._ask_ms = now_ms + ASK_AGAIN_MS
        return given

    def give_back(self, count: int) -> None:
        """Put back what did not pass after all."""
        self._left += count

    def empty(self) -> int:
        """Take out what is left, to be counted as never taken."""
        left, self._left = self._left, 0
        return left

    @property
    def remaining(self) -> int:
        """Return how many units may still pass in the window, as far as is known here."""
        return max(0, self._left + self.quota - self._counted)


class Standing(msgspec.Struct, frozen=True):
    """How a caller stands with a limit: what its answers say of it."""

    name: str
    unit: Unit
    quota: int
    window_s: int
    remaining: int
    reset_s: int


def standing_of(purse: Purse, now_ms: int) -> Standing:
    """Return what a caller is told of a purse's limit."""
    return Standing(
        name=purse.rule.name,
        unit=purse.rule.unit,
        quota=purse.quota,
        window_s=purse.window.length_s,
        remaining=purse.remaining,
        reset_s=purse.window.left_s(now_ms),
    )
