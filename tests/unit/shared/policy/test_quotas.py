"""Limits that gateways share: windows of UTC, shares of them, never more than the limit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models.limits import WorkspaceLimits
from shared.policy.quotas import (
    ASK_AGAIN_MS,
    RULES,
    Period,
    Purse,
    Window,
    granted,
    share_of,
    standing_of,
    window_of,
)

NOW_MS = 1_773_568_800_250  # 2026-03-15T10:00:00.250Z
SECOND = Window(NOW_MS - 250, NOW_MS + 750)
BY_NAME = {rule.name: rule for rule in RULES}
PERIODS: tuple[Period, ...] = ("second", "day", "month")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("period", "now", "start", "end"),
    [
        ("second", "2026-03-15T10:00:00.250", "2026-03-15T10:00:00", "2026-03-15T10:00:01"),
        ("day", "2026-03-15T23:59:59.999", "2026-03-15", "2026-03-16"),
        ("day", "2026-03-16T00:00:00", "2026-03-16", "2026-03-17"),
        ("month", "2026-02-28T23:59:59.999", "2026-02-01", "2026-03-01"),
        ("month", "2026-12-31T12:00:00", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T00:00:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_windows_are_seconds_days_and_months_of_utc(
    period: Period, now: str, start: str, end: str
) -> None:
    assert window_of(period, ms(now)) == Window(ms(start), ms(end))


@given(st.sampled_from(PERIODS), st.integers(0, 4_102_444_800_000))
def test_every_moment_is_in_one_window_and_the_next_one_begins_where_it_ends(
    period: Period, now_ms: int
) -> None:
    window = window_of(period, now_ms)

    assert window.start_ms <= now_ms < window.end_ms
    assert window_of(period, window.start_ms) == window == window_of(period, window.end_ms - 1)
    assert window_of(period, window.end_ms).start_ms == window.end_ms
    assert 1 <= window.left_s(now_ms) <= window.length_s


def test_every_limit_that_is_counted_is_a_field_of_the_workspaces_limits() -> None:
    limits = WorkspaceLimits(**{rule.name: 1 for rule in RULES})

    assert [rule.quota(limits) for rule in RULES] == [1] * len(RULES)
    assert {rule.quota(WorkspaceLimits()) for rule in RULES} == {None}


def test_a_share_is_a_small_part_of_the_limit_and_never_less_than_is_needed() -> None:
    assert share_of("second", 100, 1) == 10
    assert share_of("second", 5, 1) == 1
    assert share_of("day", 100_000, 1) == 100
    assert share_of("month", 100_000, 1_000) == 1_000


class Counter:
    """The counter of one window, as MongoDB keeps it; ``late`` give-backs come in later."""

    def __init__(self, quota: int) -> None:
        self.quota = quota
        self.units = 0
        self.late: list[int] = []

    def take(self, units: int) -> int:
        self.units += units
        counted = self.units
        over = min(units, counted - self.quota)
        if over > 0:
            self.late.append(over)
        return counted

    def settle(self) -> None:
        self.units -= sum(self.late)
        self.late.clear()


def spend(purse: Purse, counter: Counter, count: int, now_ms: int) -> bool:
    """Do what a gateway does with a request."""
    if purse.spend(count):
        return True
    if count > purse.quota or not purse.may_ask(now_ms):
        return False
    units = purse.wanted(count)
    unused = purse.fill(units, counter.take(units), count=count, now_ms=now_ms)
    if unused:
        counter.late.append(unused)
    return purse.spend(count)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(("spend", "spend", "spend", "fail", "settle", "stop", "crash")),
        st.integers(1, 12),
        st.integers(0, 2_000),
    ),
    max_size=80,
)


@given(st.sampled_from(RULES), st.integers(1, 60), STEPS)
def test_gateways_together_never_let_more_pass_in_a_window_than_the_limit(
    rule: object, quota: int, steps: list[tuple[int, str, int, int]]
) -> None:
    """Whatever fails, stops or crashes; and what was spent and is not is counted once."""
    assert rule in RULES
    chosen = next(one for one in RULES if one == rule)
    counter, passed, lost, now_ms = Counter(quota), 0, 0, NOW_MS

    def fresh() -> Purse:
        return Purse(chosen, quota, SECOND)

    purses = [fresh(), fresh(), fresh()]
    for number, what, count, later_ms in steps:
        now_ms += later_ms
        purse = purses[number]
        if what == "settle":
            counter.settle()
        elif what in ("stop", "crash"):
            left = purse.empty()
            purses[number] = fresh()
            if what == "stop":
                counter.late.append(left)
            else:
                lost += left
        elif spend(purse, counter, count, now_ms):
            if what == "fail":
                purse.give_back(count)
            else:
                passed += count
        assert passed <= quota
        assert 0 <= standing_of(purse, now_ms).remaining <= quota
    for purse in purses:
        counter.late.append(purse.empty())
    counter.settle()

    assert counter.units == passed + lost


@given(st.integers(1, 1_000), st.lists(st.integers(1, 100), max_size=60))
def test_one_gateway_lets_all_of_the_limit_pass(quota: int, counts: list[int]) -> None:
    """Whatever its share is: a request is refused only if it does not fit any more."""
    purse, counter, passed = Purse(BY_NAME["events_per_day"], quota, SECOND), Counter(quota), 0
    for count in counts:
        fits = passed + count <= quota
        assert spend(purse, counter, count, NOW_MS) is fits
        counter.settle()
        passed += count * fits


def test_what_is_all_given_out_is_asked_for_again_after_a_while() -> None:
    purse, counter = Purse(BY_NAME["events_per_day"], 10, SECOND), Counter(10)
    other = counter.take(10)
    assert granted(10, other, 10) == 10

    assert not spend(purse, counter, 1, NOW_MS)
    counter.settle()
    counter.units -= 4  # the other gateway stops and gives back
    assert not spend(purse, counter, 1, NOW_MS + ASK_AGAIN_MS - 1)
    assert spend(purse, counter, 1, NOW_MS + ASK_AGAIN_MS)


def test_a_share_that_is_too_small_for_a_batch_is_left_for_others() -> None:
    purse, counter = Purse(BY_NAME["events_per_day"], 10, SECOND), Counter(10)
    counter.take(7)

    assert not spend(purse, counter, 5, NOW_MS)
    counter.settle()
    assert counter.units == 7
    assert spend(Purse(BY_NAME["events_per_day"], 10, SECOND), counter, 3, NOW_MS)


def test_a_caller_is_told_how_it_stands() -> None:
    purse, counter = Purse(BY_NAME["requests_per_second"], 50, SECOND), Counter(50)
    assert spend(purse, counter, 1, NOW_MS)
    assert standing_of(purse, NOW_MS).remaining == 49
    counter.take(20)  # another gateway
    for _ in range(5):
        assert spend(purse, counter, 1, NOW_MS)
    told = standing_of(purse, NOW_MS)

    assert (told.name, told.quota, told.window_s) == ("requests_per_second", 50, 1)
    assert (told.remaining, told.reset_s) == (24, 1)
