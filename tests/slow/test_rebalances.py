"""Several workers of each consuming service: they leave, join and are killed under load.

Nothing is lost, nothing succeeds twice. How long the stream stood still is printed, as the time
between two requests at the receiver; the operations guide says what to expect of it.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.support.arena import FAN_OUT, Arena, open_arena
from tests.support.polling import until, until_true

WORKERS: Final = {"fanout": 2, "delivery": 4, "retry": 2, "recorder": 2}
CHUNK: Final = 100
PACE_S: Final = 0.005
RECOVERY_S: Final = 120.0

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(600)]


async def test_workers_may_leave_join_and_die_under_load(tmp_path: Path) -> None:
    """Each (event, endpoint) succeeds exactly once while every service loses and gains a worker."""
    async with open_arena(tmp_path / "arena", counts=WORKERS) as arena:
        disturbed = asyncio.Event()
        publishing = asyncio.create_task(_publish_until(arena, disturbed))
        for service, count in WORKERS.items():
            others = [f"{service}-{number}" for number in range(2, count + 1)]
            await asyncio.gather(*(_leave_and_join(arena, name) for name in others))
            await _die_and_come_back(arena, service)
        disturbed.set()
        wanted = await publishing * FAN_OUT
        rows = await until(
            lambda: arena.successes("rebalance"),
            lambda rows: len(rows) >= wanted,
            what="every delivery in the log",
            within_s=RECOVERY_S,
        )
        assert len(rows) == wanted
        assert set(rows.values()) == {1}
        still_s = max(later - earlier for earlier, later in pairwise(arena.receiver.arrivals_s))
        print(f"{wanted} deliveries, {arena.receiver.repeats} repeats, stood still {still_s:.1f} s")


async def _publish_until(arena: Arena, enough: asyncio.Event) -> int:
    """Publish at a steady pace; returns how many events."""
    count = 0
    while not enough.is_set():
        count += len(await arena.publish(f"rebalance-{count}", CHUNK, pace_s=PACE_S))
    return count


async def _leave_and_join(arena: Arena, name: str) -> None:
    """Stop a worker as a rolling update does; the supervisor starts it again."""
    before = len(arena.receiver.arrivals_s)
    await arena.stack.children[name].stop()
    await _moves_on(arena, name, before)


async def _die_and_come_back(arena: Arena, name: str) -> None:
    before = len(arena.receiver.arrivals_s)
    await arena.stack.children[name].kill9()
    await _moves_on(arena, name, before)


async def _moves_on(arena: Arena, name: str, before: int) -> None:
    child = arena.stack.children[name]
    await until_true(lambda: child.is_running, what=f"{name} running again")
    await until(child.is_ready, bool, what=f"{name} ready", within_s=60)
    await until_true(
        lambda: len(arena.receiver.arrivals_s),
        lambda count: count > before,
        what=f"deliveries after {name} had gone",
        within_s=60,
    )
