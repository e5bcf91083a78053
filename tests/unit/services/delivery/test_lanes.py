"""The lanes' laws, as examples."""

from __future__ import annotations

from itertools import pairwise

from services.delivery.lane import (
    LAST_FIRST_EVERY,
    RATE_KEPT,
    STALL_MS_MIN,
    START,
    TIMEOUTS_TO_SICK,
    WAIT_MS_MAX,
    Ending,
    Lane,
    Priority,
)
from services.delivery.lanes import (
    AWAY_MS_MAX,
    IDLE_LOOK_MS,
    IDLE_MS_MAX,
    Lanes,
)
from tests.unit.services.delivery.lanes_kit import CAP, FRESH, answer, make, start_all, time_out


def test_at_most_cap_deliveries_of_an_endpoint_are_in_flight() -> None:
    """The rest waits in the lane."""
    lanes = make()
    lane = lanes.lane("a", "t", 0)
    assert all(lanes.offer(lane, item, 0, FRESH) for item in range(CAP + 3))

    assert [item for _, item in start_all(lanes)] == list(range(CAP))
    assert lane.waiting == 3


def test_lanes_take_turns_whatever_their_queues() -> None:
    """A lane with a long queue does not push others back."""
    lanes = make(inflight_max=4)
    flood, small = lanes.lane("flood", "t", 0), lanes.lane("small", "t", 0)
    for item in range(40):
        lanes.offer(flood, item, 0, FRESH)
    lanes.offer(small, 100, 0, FRESH)

    assert 100 in [item for _, item in start_all(lanes)][:2]


def test_tenants_take_turns_whatever_the_number_of_their_endpoints() -> None:
    """A tenant with many endpoints gets no more turns than one with a single endpoint."""
    lanes = make(inflight_max=8)
    for number in range(20):
        lane = lanes.lane(f"big-{number}", "big", 0)
        for item in range(10):
            lanes.offer(lane, item, 0, FRESH)
    small = lanes.lane("small", "small", 0)
    for item in range(4):
        lanes.offer(small, 100 + item, 0, FRESH)

    assert [lane.tenant for lane, _ in start_all(lanes)] == ["big", "small"] * 4


def test_fresh_deliveries_go_before_retried_and_replayed_ones_and_starve_neither() -> None:
    lanes = make(cap=1)
    lane = lanes.lane("a", "t", 0)
    for priority in reversed(Priority):
        for item in range(10 * priority, 10 * priority + 6):
            lanes.offer(lane, item, 0, priority)
    order = []
    while (turn := lanes.next(0)) is not None:
        order.append(turn[1])
        answer(lanes, lane)

    fresh, retried, replayed = ([10 * p + n for n in range(6)] for p in Priority)
    assert [order.index(item) for item in fresh] == [0, 1, 2, 4, 5, 6]
    assert order[LAST_FIRST_EVERY - 1] == replayed[0]
    assert order.index(retried[0]) < order.index(replayed[3])
    assert sorted(order) == fresh + retried + replayed


def test_answers_open_a_lane_up_to_its_cap_while_something_waits() -> None:
    lanes = make(cap=3 * START)
    lane = lanes.lane("fast", "t", 0)
    for item in range(100):
        lanes.offer(lane, item, 0, FRESH)
    assert len(start_all(lanes)) == START
    for _ in range(START):
        answer(lanes, lane)
    assert len(start_all(lanes)) == 2 * START
    for _ in range(2 * START):
        answer(lanes, lane)
    assert len(start_all(lanes)) == lane.allowed == 3 * START


def test_a_lane_that_is_pushed_back_sends_half_as_much_at_once() -> None:
    lanes = make(cap=START)
    lane = lanes.lane("busy", "t", 0)
    for item in range(3 * START):
        lanes.offer(lane, item, 0, FRESH)
    start_all(lanes)
    lanes.completed(lane, Ending.PUSHED_BACK, duration_ms=1, now_ms=1)
    assert lane.allowed == START // 2
    for _ in range(10):
        lanes.completed(lane, Ending.PUSHED_BACK, duration_ms=1, now_ms=1)
        start_all(lanes)
    assert lane.allowed == 1, "never none at all"


def busy(lanes: Lanes[int], *names: str, tenant: str = "t") -> None:
    """Let endpoints be seen as busy, with nothing waiting for them."""
    for name in names:
        lanes.lane(name, tenant, 1_500)
    lanes.sweep(2_000)


def test_a_flood_leaves_room_for_whoever_comes_next() -> None:
    """The first gets half of the room, the second half of what is left."""
    lanes = make(waiting_max=80)
    busy(lanes, *"abcdefgh", "first", "second")
    held = []
    for name in ("first", "second"):
        lane = lanes.lane(name, "t", 0)
        while lanes.offer(lane, 0, 2_000, FRESH):
            start_all(lanes)
        held.append(lane.waiting)
    assert held == [40, 20]


def test_a_tenant_s_flood_over_many_endpoints_leaves_room_for_another_tenant() -> None:
    lanes = make(waiting_max=80)
    flooded = [lanes.lane(f"{number}", "flood", 1_500) for number in range(10)]
    busy(lanes, "calm", tenant="other")
    for lane in flooded * 6:
        lanes.offer(lane, 0, 2_001, FRESH)
    lanes.sweep(3_002)
    for lane in flooded * 20:
        lanes.offer(lane, 0, 3_002, FRESH)
    assert 60 < lanes.waiting < 80
    assert lanes.offer(lanes.lane("calm", "other", 3_002), 0, 3_002, FRESH)


def test_a_backlog_that_all_share_does_not_park() -> None:
    """There is nobody to protect; whoever reads stops when the room is full."""
    lanes = make(waiting_max=80)
    shared = [lanes.lane(f"{number}", "t", 1_500) for number in range(10)]
    lanes.sweep(2_000)
    assert all(lanes.offer(lane, 0, 2_000, FRESH) for _ in range(12) for lane in shared)


def test_a_completed_delivery_makes_room_for_the_next_of_its_lane() -> None:
    """What waits goes out as soon as something comes back."""
    lanes = make()
    lane = lanes.lane("a", "t", 0)
    for item in range(CAP + 1):
        lanes.offer(lane, item, 0, FRESH)
    start_all(lanes)

    answer(lanes, lane)

    assert [item for _, item in start_all(lanes)] == [CAP]


def backlogged(*, per_second: int) -> tuple[Lanes[int], Lane[int]]:
    """Return a lane that has always had something waiting and has worked at a rate, for 2 s."""
    lanes = make(waiting_max=4_000)
    lane = lanes.lane("busy", "t", 0)
    assert all(lanes.offer(lane, item, 0, FRESH) for item in range(CAP + 1))
    for number in range(2 * per_second):
        assert lanes.offer(lane, number, 0, FRESH)
        start_all(lanes)
        answer(lanes, lane, at_ms=(number + 1) * 1_000 / per_second)
    return lanes, lane


def fill(lanes: Lanes[int], lane: Lane[int], now_ms: float) -> None:
    """Offer deliveries until the lane takes no more."""
    while lanes.offer(lane, 0, now_ms, FRESH):
        pass


def test_a_burst_for_a_fast_endpoint_waits_and_does_not_park() -> None:
    """The queue's length alone says nothing: 1,000 deliveries at 1,000 a second are a second."""
    lanes, lane = backlogged(per_second=1_000)

    assert all(lanes.offer(lane, item, 2_000, FRESH) for item in range(1_000))


def test_a_delivery_parks_when_it_would_wait_too_long() -> None:
    """A slow endpoint keeps as much as it can send in ``WAIT_MS_MAX``, and no more."""
    lanes, lane = backlogged(per_second=4)
    fill(lanes, lane, 2_000)

    assert lane.waiting == WAIT_MS_MAX / 1_000 * 4


def test_parked_deliveries_come_back_one_after_the_other() -> None:
    """A slow lane's capacity is booked in advance: no two turns fall together, none is left out."""
    lanes, lane = backlogged(per_second=4)
    fill(lanes, lane, 2_000)

    away_ms = [lanes.book(lane, 2_000) or 0.0 for _ in range(8)]

    assert away_ms[0] > WAIT_MS_MAX
    assert [later - earlier for earlier, later in pairwise(away_ms)] == [250.0] * 7


def test_what_this_process_is_too_slow_for_does_not_park() -> None:
    """Its own lag is in the times that it takes for its endpoints'."""
    lanes, lane = backlogged(per_second=4)
    lane.response_ms = 300.0
    lanes.note_lag(100.0)
    assert all(lanes.offer(lane, item, 2_000, FRESH) for item in range(1_000))

    lane.response_ms = 600.0
    assert not lanes.offer(lane, 1_000, 2_000, FRESH)


def test_what_this_process_does_not_get_to_has_not_stalled() -> None:
    lanes = make()
    lane = lanes.lane("late", "t", 0)
    for item in range(CAP + 2):
        lanes.offer(lane, item, 0, FRESH)
    start_all(lanes)
    lanes.note_lag(STALL_MS_MIN)

    assert not lanes.sweep(STALL_MS_MIN + 1)


def test_nothing_is_booked_for_later_than_a_rate_can_tell() -> None:
    """A backlog of hours comes back to look every half minute."""
    lanes, lane = backlogged(per_second=4)
    fill(lanes, lane, 2_000)

    assert max(lanes.book(lane, 2_000) or 0.0 for _ in range(1_000)) == AWAY_MS_MAX


def test_one_bad_second_does_not_make_an_endpoint_slow() -> None:
    """It may have been ours."""
    lanes, lane = backlogged(per_second=1_000)
    answer(lanes, lane, at_ms=4_000)

    assert lane.rate_per_ms == RATE_KEPT


def test_what_an_endpoint_took_long_ago_does_not_count() -> None:
    """Its next burst waits until there is a new rate."""
    lanes, lane = backlogged(per_second=4)
    while lane.inflight:
        answer(lanes, lane, at_ms=3_000)
        start_all(lanes)

    assert all(lanes.offer(lane, item, 60_000, FRESH) for item in range(1_000))


def test_nobody_knows_when_a_sick_lane_has_a_turn() -> None:
    """Its deliveries stay away longer each time instead."""
    lanes = make()
    lane = lanes.lane("hole", "t", 0)
    lane.timeouts_in_row = TIMEOUTS_TO_SICK

    assert lanes.book(lane, 0) is None


def test_a_lane_that_has_stalled_may_move_again_in_a_moment() -> None:
    """Perhaps it was this process that was short of time: its deliveries are soon back."""
    lanes = make()
    lane = lanes.lane("late", "t", 0)
    for item in range(CAP + 2):
        lanes.offer(lane, item, 0, FRESH)
    start_all(lanes)

    assert {away_ms for _, away_ms in lanes.sweep(STALL_MS_MIN + 1)} == {0.0}


def test_an_endpoint_that_holds_requests_is_probed_one_at_a_time() -> None:
    """After some timeouts the lane is sick: new deliveries park while one probes."""
    lanes = make()
    lane = lanes.lane("hole", "t", 0)
    for item in range(CAP):
        lanes.offer(lane, item, 0, FRESH)
    start_all(lanes)
    for _ in range(TIMEOUTS_TO_SICK):
        time_out(lanes, lane)

    assert not lanes.offer(lane, 10, 15_000, FRESH), "one is still in flight: that is the probe"
    time_out(lanes, lane, at_ms=15_001)
    assert lanes.offer(lane, 11, 15_002, FRESH)
    assert not lanes.offer(lane, 12, 15_003, FRESH) or len(start_all(lanes)) == 1


def test_the_first_answer_makes_a_sick_lane_well() -> None:
    """Any answer counts, a 500 too: the endpoint is there."""
    lanes = make()
    lane = lanes.lane("back", "t", 0)
    lane.timeouts_in_row = TIMEOUTS_TO_SICK
    lanes.offer(lane, 0, 0, FRESH)
    start_all(lanes)

    answer(lanes, lane)

    assert not lane.sick
    assert lane.allowed == CAP


def test_a_stalled_lane_is_swept() -> None:
    """What waits behind requests that do not come back is parked, not kept in memory."""
    lanes = make()
    lane = lanes.lane("hang", "t", 0)
    for item in range(CAP + 5):
        lanes.offer(lane, item, 0, FRESH)
    start_all(lanes)

    assert lanes.sweep(STALL_MS_MIN - 1) == []
    swept = [item for item, _ in lanes.sweep(STALL_MS_MIN + 1)]
    assert sorted(swept) == list(range(CAP, CAP + 5))


def test_a_slow_but_steady_endpoint_is_not_swept() -> None:
    """2 s for an answer is slow, not stalled: patience follows the usual response time."""
    lanes = make()
    lane = lanes.lane("slow", "t", 0)
    lane.response_ms = 2_000.0
    for item in range(CAP + 5):
        lanes.offer(lane, item, 0, FRESH)
    start_all(lanes)

    assert lanes.sweep(5_000) == []


def test_lanes_without_work_are_forgotten() -> None:
    """Memory follows the endpoints that are being sent to."""
    lanes = make()
    lanes.lane("idle", "t", 0)

    lanes.sweep(IDLE_LOOK_MS + 1)
    assert len(lanes) == 1
    lanes.sweep(IDLE_MS_MAX + IDLE_LOOK_MS + 2)
    assert len(lanes) == 0


def test_withdrawn_deliveries_are_returned_and_not_sent() -> None:
    """A partition that is given up takes its waiting deliveries along."""
    lanes = make()
    lane = lanes.lane("a", "t", 0)
    for item in range(CAP + 4):
        lanes.offer(lane, item, 0, FRESH)
    start_all(lanes)

    assert lanes.withdraw(lambda item: item % 2 == 0) == [4, 6]
    for _ in range(CAP):
        answer(lanes, lane)
    assert [item for _, item in start_all(lanes)] == [5, 7]


def limited(*, rate_per_s: float, waiting: int) -> tuple[Lanes[int], Lane[int]]:
    """Return a lane in which something waited already when it was limited."""
    lanes = make(waiting_max=10_000, cap=100)
    lane = lanes.lane("limited", "t", 0)
    for item in range(waiting):
        lanes.offer(lane, item, 0, FRESH)
    lanes.configure(lane, cap=None, rate_per_s=rate_per_s, now_ms=0)
    return lanes, lane


def test_a_rate_limit_lets_a_second_s_worth_begin_and_then_one_at_a_time() -> None:
    lanes, _ = limited(rate_per_s=4, waiting=8)

    assert len(start_all(lanes)) == 4
    assert lanes.due_ms == 250
    assert start_all(lanes, 249) == []
    assert len(start_all(lanes, 250)) == 1
    assert lanes.due_ms == 500


def test_a_lane_that_waits_for_its_rate_limit_holds_up_nobody() -> None:
    lanes, _ = limited(rate_per_s=1, waiting=3)
    other = lanes.lane("other", "t", 0)
    for item in range(10, 15):
        lanes.offer(other, item, 0, FRESH)

    assert sorted(item for _, item in start_all(lanes)) == [0, *range(10, 15)]


def test_what_a_rate_limit_makes_wait_too_long_parks_until_its_turn() -> None:
    """A limit is known in advance, so a backlog is read again a few times only, however long."""
    lanes, lane = limited(rate_per_s=2, waiting=1_000)
    start_all(lanes)

    swept = lanes.sweep(0)

    kept = 1 + WAIT_MS_MAX / 1_000 * 2
    assert lane.waiting == kept
    assert [item for item, _ in swept] == list(range(1_000 - len(swept), 1_000))
    away_ms = [away or 0.0 for _, away in swept]
    assert away_ms[0] >= WAIT_MS_MAX
    assert [later - earlier for earlier, later in pairwise(away_ms)] == [500.0] * (len(swept) - 1)
    assert not lanes.offer(lane, 1_000, 0, FRESH)


def test_a_limit_that_is_raised_holds_at_once() -> None:
    lanes, lane = limited(rate_per_s=0.01, waiting=3)
    assert len(start_all(lanes)) == 1
    lanes.configure(lane, cap=None, rate_per_s=None, now_ms=1)

    assert len(start_all(lanes, 1)) == 2


def test_an_endpoint_may_ask_for_fewer_at_once_than_others_and_not_for_more() -> None:
    lanes = make(cap=3 * START)
    for wanted, allowed in ((2, 2), (100, 3 * START)):
        lane = lanes.lane(f"{wanted}", "t", 0)
        lanes.configure(lane, cap=wanted, rate_per_s=None, now_ms=0)
        for item in range(90):
            lanes.offer(lane, item, 0, FRESH)
        for _ in range(50):
            for started, _ in start_all(lanes):
                answer(lanes, started)
            lanes.offer(lane, 0, 0, FRESH)
        assert lane.allowed == allowed
