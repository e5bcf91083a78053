"""How many lanes are saturated, and how many circuits open, as of the last look around."""

from __future__ import annotations

from services.delivery.lane import TIMEOUTS_TO_SICK
from services.delivery.lanes import LOOK_AROUND_MS
from tests.unit.services.delivery.lanes_kit import CAP, FRESH, answer, make, start_all, time_out


def test_a_lane_is_saturated_while_more_waits_than_may_be_in_flight() -> None:
    lanes = make()
    busy, calm = lanes.lane("wh_busy", "ws_1", 0), lanes.lane("wh_calm", "ws_1", 0)
    for number in range(CAP + 2):
        lanes.offer(busy, number, 0, FRESH)
    lanes.offer(calm, 0, 0, FRESH)
    start_all(lanes)
    answer(lanes, busy, at_ms=LOOK_AROUND_MS - 1)  # it moves: else the sweep would park the rest
    start_all(lanes)
    lanes.sweep(LOOK_AROUND_MS + 1)
    assert (lanes.saturated, lanes.sick) == (1, 0)

    answer(lanes, busy, at_ms=LOOK_AROUND_MS + 2)
    start_all(lanes)
    lanes.sweep(2 * LOOK_AROUND_MS + 2)
    assert lanes.saturated == 0


def test_a_circuit_is_open_from_the_last_time_out_to_the_first_answer() -> None:
    lanes = make()
    lane = lanes.lane("wh_1", "ws_1", 0)
    for number in range(TIMEOUTS_TO_SICK + 1):
        lanes.offer(lane, number, 0, FRESH)
    start_all(lanes)
    for _ in range(TIMEOUTS_TO_SICK):
        time_out(lanes, lane, at_ms=100)
    lanes.sweep(LOOK_AROUND_MS + 1)
    assert lanes.sick == 1

    answer(lanes, lane, at_ms=LOOK_AROUND_MS + 2)
    lanes.sweep(2 * LOOK_AROUND_MS + 3)
    assert lanes.sick == 0
