"""The lanes' laws in random histories."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.delivery.lane import (
    WAIT_MS_MAX,
    Ending,
    Lane,
    Priority,
)
from services.delivery.lanes import (
    Lanes,
)
from tests.unit.services.delivery.lanes_kit import CAP, answer, make, start_all

LIMITS = {"a": 0.0, "b": 2.0, "c": 0.5}  # 0: none


class LanesMachine(RuleBasedStateMachine):
    """Random histories: limits hold, nothing is lost, nothing that may be sent is left waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes[int] = make(inflight_max=6, waiting_max=12)
        self.now_ms = 0.0
        self.count = 0
        self.parked: set[int] = set()
        self.done: set[int] = set()
        self.flying: list[tuple[Lane[int], int]] = []
        self.started_ms: dict[str, list[float]] = {key: [] for key in LIMITS}
        self.held_until_ms = dict.fromkeys(LIMITS, 0.0)

    def lane(self, key: str) -> Lane[int]:
        return self.lanes.lane(key, "ab" if key in "ab" else "c", self.now_ms)

    @precondition(lambda self: self.lanes.waiting < 12)
    @rule(key=st.sampled_from("abc"), priority=st.sampled_from(Priority))
    def arrives(self, key: str, priority: Priority) -> None:
        lane = self.lane(key)
        self.lanes.configure(lane, cap=None, rate_per_s=LIMITS[key] or None, now_ms=self.now_ms)
        item, self.count = self.count, self.count + 1
        if not self.lanes.offer(lane, item, self.now_ms, priority):
            self.parked.add(item)

    @rule()
    def starts(self) -> None:
        for lane, item in start_all(self.lanes, self.now_ms):
            self.flying.append((lane, item))
            self.started_ms[lane.key].append(self.now_ms)
            assert self.now_ms >= self.held_until_ms[lane.key], "an endpoint asked for nothing"

    @rule(key=st.sampled_from("abc"), for_ms=st.sampled_from([0.5, 900, 19_000, 90_000, 9e6]))
    def is_held(self, key: str, for_ms: float) -> None:
        self.lane(key).hold(self.now_ms + for_ms)
        self.held_until_ms[key] = max(self.held_until_ms[key], self.now_ms + for_ms)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), ending=st.sampled_from(Ending))
    def completes(self, data: st.DataObject, ending: Ending) -> None:
        lane, item = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        duration_ms = 15_000.0 if ending is Ending.TIMED_OUT else 20.0
        self.lanes.completed(lane, ending, duration_ms=duration_ms, now_ms=self.now_ms)
        self.done.add(item)

    @rule(odd=st.booleans())
    def is_withdrawn(self, odd: bool) -> None:
        self.parked.update(self.lanes.withdraw(lambda item: item % 2 == odd))

    @rule(step_ms=st.one_of(st.floats(0, 1_000), st.floats(0, 30_000)))
    def time_passes(self, step_ms: float) -> None:
        self.now_ms += step_ms
        self.parked.update(item for item, _ in self.lanes.sweep(self.now_ms))
        for key, until_ms in self.held_until_ms.items():
            if until_ms - self.now_ms > WAIT_MS_MAX:
                assert not self.lane(key).waiting, "it would hold back its partition's offset"

    @invariant()
    def limits_hold(self) -> None:
        assert self.lanes.inflight == len(self.flying) <= 6
        for key in "abc":
            assert sum(lane.key == key for lane, _ in self.flying) <= CAP

    @invariant()
    def rates_hold(self) -> None:
        """In no span of time begins more than the bucket and what came into it meanwhile.

        A lane that was idle for long enough to be forgotten begins with a full bucket again, as it
        would have anyway.
        """
        for key, limit in LIMITS.items():
            times = self.started_ms[key]
            for first, begin_ms in enumerate(times if limit else ()):
                for count, end_ms in enumerate(times[first:], 1):
                    assert count <= max(1, limit) + limit * (end_ms - begin_ms) / 1_000 + 0.01

    @invariant()
    def every_delivery_is_somewhere_exactly_once(self) -> None:
        waiting = list(self.lanes.items())
        assert len(waiting) == self.lanes.waiting <= 12
        flying = [item for _, item in self.flying]
        everywhere = [*waiting, *flying, *self.parked, *self.done]
        assert sorted(everywhere) == list(range(self.count))

    def teardown(self) -> None:
        """Nothing starves: with answers coming back, all that waits is sent."""
        for _ in range(10_000):
            self.flying.extend(start_all(self.lanes, self.now_ms))
            if not self.flying:
                if self.lanes.due_ms is None:
                    break
                self.now_ms = self.lanes.due_ms
                continue
            lane, item = self.flying.pop()
            answer(self.lanes, lane, at_ms=self.now_ms)
            self.done.add(item)
        assert not list(self.lanes.items())


TestLanes = LanesMachine.TestCase
