"""The rules of a move: never early, in order, and nobody is left behind."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from services.retry.planner import Limits, due_at, plan, wake_ms

NOW_MS = 1_000
MEGABYTE = 1_000_000


class Waiting(NamedTuple):
    due_ms: int
    size_bytes: int = 1


waiting = st.builds(
    Waiting, st.integers(NOW_MS - 50, NOW_MS + 50), st.sampled_from([1, 10, 1_000, MEGABYTE])
)
queues_of = st.dictionaries(st.integers(0, 9), st.lists(waiting, max_size=8), max_size=5)
limits_of = st.builds(Limits, st.integers(1, 12), st.integers(1, 2 * MEGABYTE))


@given(queues_of, limits_of)
def test_what_moves_is_the_due_beginning_of_its_queue(
    queues: dict[int, list[Waiting]], limits: Limits
) -> None:
    counts = plan(queues, NOW_MS, limits)

    for key, count in counts.items():
        assert count >= 1
        assert all(held.due_ms <= NOW_MS for held in queues[key][:count])


@given(queues_of, limits_of)
def test_a_move_keeps_its_limits_unless_one_record_alone_is_larger(
    queues: dict[int, list[Waiting]], limits: Limits
) -> None:
    counts = plan(queues, NOW_MS, limits)

    moved = [held for key, count in counts.items() for held in queues[key][:count]]
    assert len(moved) <= limits.records_max
    assert len(moved) == 1 or sum(held.size_bytes for held in moved) <= limits.bytes_max


@given(queues_of, limits_of)
def test_something_moves_whenever_a_head_is_due(
    queues: dict[int, list[Waiting]], limits: Limits
) -> None:
    is_due = any(queue and queue[0].due_ms <= NOW_MS for queue in queues.values())

    assert bool(plan(queues, NOW_MS, limits)) == is_due


@given(queues_of, limits_of)
def test_moving_again_and_again_empties_every_queue_up_to_its_first_head_that_is_not_due(
    queues: dict[int, list[Waiting]], limits: Limits
) -> None:
    moved: dict[int, list[Waiting]] = {key: [] for key in queues}
    left = {key: list(queue) for key, queue in queues.items()}
    while counts := plan(left, NOW_MS, limits):
        for key, count in counts.items():
            moved[key] += left[key][:count]
            del left[key][:count]

    for key, queue in queues.items():
        assert moved[key] + left[key] == queue
        assert not left[key] or left[key][0].due_ms > NOW_MS


@given(queues_of, limits_of)
def test_the_queue_whose_head_is_due_the_longest_always_moves(
    queues: dict[int, list[Waiting]], limits: Limits
) -> None:
    due = {key: queue[0].due_ms for key, queue in queues.items() if queue}
    counts = plan(queues, NOW_MS, limits)

    if counts:
        earliest = min(due.values())
        assert any(due[key] == earliest for key in counts)


def test_a_deep_backlog_leaves_a_share_to_a_queue_with_one_record() -> None:
    queues = {"backlog": [Waiting(1)] * 5_000, "other": [Waiting(NOW_MS)]}

    assert plan(queues, NOW_MS, Limits(100, MEGABYTE)) == {"backlog": 50, "other": 1}


def test_large_records_leave_a_share_of_the_bytes_to_others() -> None:
    queues = {"large": [Waiting(1, MEGABYTE)] * 9, "small": [Waiting(2)] * 9}

    assert plan(queues, NOW_MS, Limits(100, 4 * MEGABYTE)) == {"large": 2, "small": 9}


def test_what_one_queue_does_not_need_another_may_take() -> None:
    queues = {"short": [Waiting(1)], "long": [Waiting(2)] * 500}

    assert plan(queues, NOW_MS, Limits(100, MEGABYTE)) == {"short": 1, "long": 99}


@given(queues_of)
def test_the_wake_up_is_the_earliest_head(queues: dict[int, list[Waiting]]) -> None:
    heads = [queue[0].due_ms for queue in queues.values() if queue]

    assert wake_ms(queues) == (min(heads) if heads else None)


def test_a_record_waits_for_the_time_that_its_writer_set() -> None:
    assert due_at(5_000, seen_ms=1_000, delay_ms=4_000) == 5_000


def test_a_writer_whose_clock_is_ahead_stops_a_tier_for_twice_its_delay_at_most() -> None:
    assert due_at(90_000_000, seen_ms=1_000, delay_ms=4_000) == 9_000
