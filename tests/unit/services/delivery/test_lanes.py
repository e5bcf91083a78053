"""The lanes' laws, as examples and as properties of random histories."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.delivery.lanes import (
    IDLE_MS_MAX,
    STALL_MS_MIN,
    TIMEOUTS_TO_SICK,
    WAIT_MS_MAX,
    Lane,
    Lanes,
)

CAP = 4


def make(inflight_max: int = 100, queue_max: int = 50) -> Lanes[int]:
    return Lanes(cap=CAP, inflight_max=inflight_max, queue_max=queue_max)


def start_all(lanes: Lanes[int]) -> list[tuple[Lane[int], int]]:
    started = []
    while (turn := lanes.next()) is not None:
        started.append(turn)
    return started


def test_at_most_cap_deliveries_of_an_endpoint_are_in_flight() -> None:
    """The rest waits in the lane."""
    lanes = make()
    lane = lanes.lane("a", 0)
    assert all(lanes.offer(lane, item, 0) for item in range(CAP + 3))

    assert [item for _, item in start_all(lanes)] == list(range(CAP))
    assert len(lane.queue) == 3


def test_lanes_take_turns_whatever_their_queues() -> None:
    """A lane with a long queue does not push others back."""
    lanes = make(inflight_max=4)
    flood, small = lanes.lane("flood", 0), lanes.lane("small", 0)
    for item in range(40):
        lanes.offer(flood, item, 0)
    lanes.offer(small, 100, 0)

    assert 100 in [item for _, item in start_all(lanes)][:2]


def test_a_completed_delivery_makes_room_for_the_next_of_its_lane() -> None:
    """What waits goes out as soon as something comes back."""
    lanes = make()
    lane = lanes.lane("a", 0)
    for item in range(CAP + 1):
        lanes.offer(lane, item, 0)
    start_all(lanes)

    lanes.completed(lane, timed_out=False, duration_ms=5, now_ms=5)

    assert [item for _, item in start_all(lanes)] == [CAP]


def test_a_burst_for_a_fast_endpoint_waits_and_does_not_park() -> None:
    """The queue's length alone says nothing: 40 deliveries of 1 ms are 10 ms of waiting."""
    lanes = make(queue_max=1000)
    lane = lanes.lane("fast", 0)
    lane.response_ms = 1.0

    assert all(lanes.offer(lane, item, 0) for item in range(1000))


def test_a_delivery_parks_when_it_would_wait_too_long() -> None:
    """A slow endpoint keeps as much as it can send in ``WAIT_MS_MAX``, and no more."""
    lanes = make(queue_max=1000)
    lane = lanes.lane("slow", 0)
    lane.response_ms = 1_000.0
    taken = 0
    while lanes.offer(lane, taken, 0):
        taken += 1
        start_all(lanes)

    assert taken == CAP + WAIT_MS_MAX / 1_000 * CAP


def test_parked_deliveries_come_back_one_after_the_other() -> None:
    """A slow lane's capacity is booked in advance: no two turns fall together, none is left out."""
    lanes = make(queue_max=1000)
    lane = lanes.lane("slow", 0)
    lane.response_ms = 1_000.0
    while lanes.offer(lane, 0, 0):
        start_all(lanes)

    away_ms = [lanes.book(lane, 0) for _ in range(8)]

    assert away_ms[0] > WAIT_MS_MAX
    assert [later - earlier for earlier, later in pairwise(away_ms)] == [1_000.0 / CAP] * 7


def test_nobody_knows_when_a_sick_lane_has_a_turn() -> None:
    """Its deliveries stay away longer each time instead."""
    lanes = make()
    lane = lanes.lane("hole", 0)
    lane.timeouts_in_row = TIMEOUTS_TO_SICK

    assert lanes.book(lane, 0) == 0


def test_an_endpoint_that_holds_requests_is_probed_one_at_a_time() -> None:
    """After some timeouts the lane is sick: new deliveries park while one probes."""
    lanes = make()
    lane = lanes.lane("hole", 0)
    for item in range(CAP):
        lanes.offer(lane, item, 0)
    start_all(lanes)
    for _ in range(TIMEOUTS_TO_SICK):
        lanes.completed(lane, timed_out=True, duration_ms=15_000, now_ms=15_000)

    assert not lanes.offer(lane, 10, 15_000), "one is still in flight: that is the probe"
    lanes.completed(lane, timed_out=True, duration_ms=15_000, now_ms=15_001)
    assert lanes.offer(lane, 11, 15_002)
    assert not lanes.offer(lane, 12, 15_003) or len(start_all(lanes)) == 1


def test_the_first_answer_makes_a_sick_lane_well() -> None:
    """Any answer counts, a 500 too: the endpoint is there."""
    lanes = make()
    lane = lanes.lane("back", 0)
    lane.timeouts_in_row = TIMEOUTS_TO_SICK
    lanes.offer(lane, 0, 0)
    start_all(lanes)

    lanes.completed(lane, timed_out=False, duration_ms=3, now_ms=3)

    assert not lane.sick
    assert lane.limit == CAP


def test_a_stalled_lane_is_swept() -> None:
    """What waits behind requests that do not come back is parked, not kept in memory."""
    lanes = make()
    lane = lanes.lane("hang", 0)
    for item in range(CAP + 5):
        lanes.offer(lane, item, 0)
    start_all(lanes)

    assert lanes.sweep(STALL_MS_MIN - 1) == []
    assert sorted(lanes.sweep(STALL_MS_MIN + 1)) == list(range(CAP, CAP + 5))


def test_a_slow_but_steady_endpoint_is_not_swept() -> None:
    """2 s for an answer is slow, not stalled: patience follows the usual response time."""
    lanes = make()
    lane = lanes.lane("slow", 0)
    lane.response_ms = 2_000.0
    for item in range(CAP + 5):
        lanes.offer(lane, item, 0)
    start_all(lanes)

    assert lanes.sweep(5_000) == []


def test_lanes_without_work_are_forgotten() -> None:
    """Memory follows the endpoints that are being sent to."""
    lanes = make()
    lanes.lane("idle", 0)

    lanes.sweep(IDLE_MS_MAX + 1)

    assert len(lanes) == 0


def test_withdrawn_deliveries_are_returned_and_not_sent() -> None:
    """A partition that is given up takes its waiting deliveries along."""
    lanes = make()
    lane = lanes.lane("a", 0)
    for item in range(CAP + 4):
        lanes.offer(lane, item, 0)
    start_all(lanes)

    assert lanes.withdraw(lambda item: item % 2 == 0) == [4, 6]
    for _ in range(CAP):
        lanes.completed(lane, timed_out=False, duration_ms=1, now_ms=1)
    assert [item for _, item in start_all(lanes)] == [5, 7]


class LanesMachine(RuleBasedStateMachine):
    """Random histories: limits hold, nothing is lost, nothing that may be sent is left waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes[int] = make(inflight_max=6, queue_max=8)
        self.now_ms = 0.0
        self.count = 0
        self.parked: set[int] = set()
        self.done: set[int] = set()
        self.flying: list[tuple[Lane[int], int]] = []

    @rule(key=st.sampled_from("abc"))
    def arrives(self, key: str) -> None:
        lane = self.lanes.lane(key, self.now_ms)
        item, self.count = self.count, self.count + 1
        if not self.lanes.offer(lane, item, self.now_ms):
            self.parked.add(item)

    @rule()
    def starts(self) -> None:
        self.flying.extend(start_all(self.lanes))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), timed_out=st.booleans())
    def completes(self, data: st.DataObject, timed_out: bool) -> None:
        lane, item = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        duration_ms = 15_000.0 if timed_out else 20.0
        self.lanes.completed(lane, timed_out=timed_out, duration_ms=duration_ms, now_ms=self.now_ms)
        self.done.add(item)

    @rule(step_ms=st.floats(0, 3_000))
    def time_passes(self, step_ms: float) -> None:
        self.now_ms += step_ms
        self.parked.update(self.lanes.sweep(self.now_ms))

    @invariant()
    def limits_hold(self) -> None:
        assert self.lanes.inflight == len(self.flying) <= 6
        for key in "abc":
            assert sum(lane.key == key for lane, _ in self.flying) <= CAP

    @invariant()
    def every_delivery_is_somewhere_exactly_once(self) -> None:
        waiting = [item for queue in self.lanes.queues() for item in queue]
        flying = [item for _, item in self.flying]
        everywhere = [*waiting, *flying, *self.parked, *self.done]
        assert sorted(everywhere) == list(range(self.count))

    def teardown(self) -> None:
        """Nothing starves: with answers coming back, all that waits is sent."""
        for _ in range(10_000):
            self.flying.extend(start_all(self.lanes))
            if not self.flying:
                break
            lane, item = self.flying.pop()
            self.lanes.completed(lane, timed_out=False, duration_ms=1, now_ms=self.now_ms)
            self.done.add(item)
        assert not list(self.lanes.queues())


TestLanes = LanesMachine.TestCase
