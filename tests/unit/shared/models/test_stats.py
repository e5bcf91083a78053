"""Counts add up, and a percentile that is told from slots is as near as promised."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models.stats import (
    SLOT_MAX,
    SLOT_UNIT_MS,
    TIME_ERROR,
    Counts,
    Key,
    Segment,
    decode_segment,
    encode_segment,
    percentile,
    slot_ms,
    slot_of,
    total,
)
from tests.unit.services.recorder.kit import attempt

TIMES_MS = st.floats(SLOT_UNIT_MS, 400_000)
COUNTS = st.builds(
    Counts,
    succeeded=st.integers(0, 9),
    failed=st.integers(0, 9),
    exhausted=st.integers(0, 9),
    discarded=st.integers(0, 9),
    times=st.dictionaries(st.integers(0, SLOT_MAX), st.integers(1, 9), max_size=5),
)


@given(times_ms=st.lists(TIMES_MS, min_size=1, max_size=60), percent=st.integers(1, 100))
def test_a_percentile_is_off_by_the_promised_part_of_it_at_most(
    times_ms: list[float], percent: int
) -> None:
    counts = total(_one_answer(time_ms) for time_ms in times_ms)
    rank = math.ceil(Fraction(percent, 100) * len(times_ms))
    exact = sorted(times_ms)[rank - 1]

    told = percentile(counts.times, percent)
    assert told is not None
    assert abs(told - exact) <= exact * (TIME_ERROR + 1e-9)


def _one_answer(time_ms: float) -> Counts:
    counts = Counts()
    counts.count(attempt(status_code=200, response_time_ms=time_ms))
    return counts


@given(TIMES_MS, TIMES_MS)
def test_slots_are_in_the_order_of_their_times(one_ms: float, other_ms: float) -> None:
    if one_ms <= other_ms:
        assert slot_of(one_ms) <= slot_of(other_ms)


@pytest.mark.parametrize(("time_ms", "slot"), [(0.0, 0), (0.1, 0), (0.11, 2), (1e12, SLOT_MAX)])
def test_the_shortest_and_the_longest_times_have_a_slot(time_ms: float, slot: int) -> None:
    assert slot_of(time_ms) == slot
    assert slot_ms(0) == SLOT_UNIT_MS


def test_nobody_has_answered() -> None:
    assert percentile({}, 50) is None


@given(st.lists(COUNTS, max_size=4), st.lists(COUNTS, max_size=4))
def test_the_sum_of_parts_is_the_sum_of_the_whole(some: list[Counts], others: list[Counts]) -> None:
    assert total([total(some), total(others)]) == total([*some, *others])
    assert total([*others, *some]) == total([*some, *others])


def test_each_outcome_is_counted_as_what_it_is() -> None:
    counts = Counts()
    for one in (
        attempt("success", status_code=200, response_time_ms=10.0),
        attempt("failed", final=False, status_code=500, response_time_ms=10.0),
        attempt("failed", final=False, error="timeout", response_time_ms=20_000.0),
        attempt("failed", reason="exhausted", error="connect"),
        attempt("failed", reason="gone", status_code=410, response_time_ms=10.0),
        attempt("discarded", reason="endpoint_disabled"),
    ):
        counts.count(one)

    assert counts == Counts(1, 4, 2, 1, times={slot_of(10.0): 3})
    assert counts.attempts == 5


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=5), COUNTS), max_size=3))
def test_a_segment_is_read_as_it_was_written(cells: list[tuple[str, Counts]]) -> None:
    keyed = tuple((Key("ws_1", "wh_1", name, 5), counts) for name, counts in cells)
    segment = Segment(partition=3, era=1, start=10, end=20, last_id="whd_1", cells=keyed)

    assert decode_segment(encode_segment(segment)) == segment
