"""Short ways to drive lanes."""

from __future__ import annotations

from services.delivery.lane import (
    Ending,
    Lane,
    Priority,
)
from services.delivery.lanes import (
    Lanes,
)

CAP = 4
FRESH = Priority.FRESH


def make(inflight_max: int = 100, waiting_max: int = 100, cap: int = CAP) -> Lanes[int]:
    return Lanes(cap=cap, inflight_max=inflight_max, waiting_max=waiting_max)


def answer(lanes: Lanes[int], lane: Lane[int], *, after_ms: float = 1, at_ms: float = 1) -> None:
    lanes.completed(lane, Ending.ANSWERED, duration_ms=after_ms, now_ms=at_ms)


def time_out(lanes: Lanes[int], lane: Lane[int], *, at_ms: float = 15_000) -> None:
    lanes.completed(lane, Ending.TIMED_OUT, duration_ms=15_000, now_ms=at_ms)


def start_all(lanes: Lanes[int], now_ms: float = 0.0) -> list[tuple[Lane[int], int]]:
    started = []
    while (turn := lanes.next(now_ms)) is not None:
        started.append(turn)
    return started
