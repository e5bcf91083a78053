"""Losses and duplicates, as the receiver's counts show them."""

from __future__ import annotations

from bench.audience import HEALTHY, SICK, Audience, Endpoint, complaints
from bench.programs import Part, PathCounts

WELL = Endpoint("/healthy/ok/1", 0)
SLOW = Endpoint("/sick/slow-2000/2", 1)
DEAD = Endpoint("/sick/dead/3", 1)
AUDIENCE = Audience((Part("a", "ws_1"), Part("b", "ws_1")), (WELL, SLOW, DEAD))
EVENTS = (10, 4)


def _complaints(
    seen: dict[str, PathCounts], *, groups: tuple[str, ...] = (HEALTHY,), repeats: bool = False
) -> list[str]:
    return complaints(AUDIENCE, EVENTS, seen, groups=groups, repeats=repeats)


def test_everything_once_is_no_complaint() -> None:
    assert _complaints({WELL.path: PathCounts(distinct=10)}) == []


def test_a_delivery_that_never_arrived_is_a_loss() -> None:
    assert _complaints({WELL.path: PathCounts(distinct=9)}) == ["/healthy/ok/1 got 9 of 10 events"]


def test_an_endpoint_that_saw_nothing_has_lost_everything() -> None:
    assert _complaints({}) == ["/healthy/ok/1 got 0 of 10 events"]


def test_the_same_attempt_again_and_a_later_one_are_both_duplicates() -> None:
    seen = {WELL.path: PathCounts(distinct=10, repeats=1, retries=2)}

    assert _complaints(seen) == ["/healthy/ok/1 got 3 of 10 events again"]
    assert _complaints(seen, repeats=True) == []


def test_slow_endpoints_may_be_behind_but_get_nothing_twice() -> None:
    well = {WELL.path: PathCounts(distinct=10)}

    assert _complaints({**well, SLOW.path: PathCounts(distinct=1)}) == []
    assert _complaints({**well, SLOW.path: PathCounts(distinct=1)}, groups=(HEALTHY, SICK)) == [
        "/sick/slow-2000/2 got 1 of 4 events"
    ]
    assert _complaints({**well, SLOW.path: PathCounts(distinct=1, repeats=1)}) == [
        "/sick/slow-2000/2 got 1 of 4 events again"
    ]


def test_what_refuses_is_tried_again_and_nobody_complains() -> None:
    seen = {
        WELL.path: PathCounts(distinct=10),
        SLOW.path: PathCounts(distinct=4),
        DEAD.path: PathCounts(distinct=4, retries=4),
    }

    assert _complaints(seen, groups=(HEALTHY, SICK)) == []


def test_a_long_list_of_complaints_is_cut_and_says_so() -> None:
    many = Audience(AUDIENCE.parts, tuple(Endpoint(f"/healthy/ok/{n}", 0) for n in range(8)))

    wrong = complaints(many, EVENTS, {}, groups=(HEALTHY,), repeats=False)

    assert len(wrong) == 6
    assert wrong[-1] == "and 3 more"


def test_a_group_gets_the_events_of_the_types_that_its_endpoints_subscribed_to() -> None:
    assert AUDIENCE.expected(EVENTS, HEALTHY) == 10
    assert AUDIENCE.expected(EVENTS, SICK) == 8
