"""An endpoint that asks to be sent nothing for some time is sent nothing: the law of holds."""

from __future__ import annotations

from services.delivery.lane import STALL_MS_MIN, WAIT_MS_MAX
from services.delivery.lanes import IDLE_MS_MAX, Lanes
from tests.unit.services.delivery.lanes_kit import CAP, FRESH, make, start_all


def held(*, for_ms: float, waiting: int = 3, rate_per_s: float | None = None) -> Lanes[int]:
    """Return lanes of which one, ``held``, is asked for nothing while some wait in it."""
    lanes = make()
    lane = lanes.lane("held", "t", 0)
    lanes.configure(lane, cap=None, rate_per_s=rate_per_s, now_ms=0)
    for item in range(waiting):
        lanes.offer(lane, item, 0, FRESH)
    lane.hold(for_ms)
    return lanes


def test_nothing_begins_in_a_lane_before_the_end_of_its_hold() -> None:
    """What waits already waits on, what comes meanwhile too, and others go on."""
    lanes = held(for_ms=10_000)
    assert lanes.offer(lanes.lane("held", "t", 0), 3, 0, FRESH)
    assert lanes.offer(lanes.lane("other", "t", 0), 10, 0, FRESH)

    assert [item for _, item in start_all(lanes)] == [10]
    assert lanes.due_ms == 10_000
    assert start_all(lanes, 9_999) == []
    assert [item for _, item in start_all(lanes, 10_000)] == [0, 1, 2, 3]


def test_a_hold_is_never_shortened_by_another() -> None:
    lanes = held(for_ms=10_000)
    assert start_all(lanes) == []
    lanes.lane("held", "t", 0).hold(12_000)
    lanes.lane("held", "t", 0).hold(1_000)

    assert start_all(lanes, 11_999) == []
    assert len(start_all(lanes, 12_000)) == 3


def test_what_would_wait_long_for_the_end_of_a_hold_parks_until_then() -> None:
    lanes = held(for_ms=60_000)
    lane = lanes.lane("held", "t", 0)

    assert not lanes.offer(lane, 3, 0, FRESH)
    assert lanes.book(lane, 0) == 60_000
    assert sorted(lanes.sweep(5_000)) == [(item, 55_000) for item in range(3)]
    assert lanes.offer(lane, 3, 60_000 - WAIT_MS_MAX, FRESH), "now it may wait"
    assert start_all(lanes, 59_999) == []
    assert len(start_all(lanes, 60_000)) == 1


def test_a_held_lane_without_work_is_not_forgotten() -> None:
    """Or its endpoint would be sent the next delivery at once."""
    hour_ms = 3_600_000
    lanes = held(for_ms=hour_ms, waiting=0)

    lanes.sweep(hour_ms)
    assert not lanes.offer(lanes.lane("held", "t", 0), 0, hour_ms - WAIT_MS_MAX - 1, FRESH)
    lanes.sweep(hour_ms + IDLE_MS_MAX + 1)
    assert len(lanes) == 0


def test_a_lane_whose_hold_has_just_ended_has_not_stalled() -> None:
    lanes = held(for_ms=15_000, waiting=CAP + 2)
    assert len(start_all(lanes, 15_000)) == CAP

    assert lanes.sweep(15_000 + STALL_MS_MIN) == []
    assert len(lanes.sweep(15_000 + STALL_MS_MIN + 1)) == 2


def test_a_hold_and_a_rate_limit_both_hold() -> None:
    lanes = held(for_ms=10_000, rate_per_s=1)

    assert start_all(lanes, 9_999) == []
    assert len(start_all(lanes, 10_000)) == 1
    assert lanes.due_ms == 11_000


def test_a_new_receiver_has_asked_for_nothing() -> None:
    lanes = held(for_ms=10_000)
    assert start_all(lanes) == []
    lane = lanes.lane("held", "t", 0)
    lane.end_hold()
    lanes.configure(lane, cap=None, rate_per_s=None, now_ms=1)

    assert len(start_all(lanes, 1)) == 3
