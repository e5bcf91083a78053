"""``kill -9`` of every process in turn, under load: nothing is lost, nothing succeeds twice.

Each victim is killed in five rounds; each round publishes 1,000 events with a fan-out of three, of
which one delivery in twenty needs a second attempt. ``CRASH_EVENTS`` sets another number:
the figures in the documentation were made with 5,000.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

import pytest

from services.delivery.outbox import UNRECORDED_MAX
from tests.support.arena import FAN_OUT, Arena, open_arena
from tests.support.polling import until, until_true

ROUNDS: Final = int(os.environ.get("CRASH_ROUNDS", "5"))
EVENTS: Final = int(os.environ.get("CRASH_EVENTS", "1000"))
VICTIMS: Final = ("fanout", "delivery", "retry", "recorder", "gateway", "mongo", "kafka")
PACE_S: Final = 0.001
RECOVERY_S: Final = 90.0
IN_FLIGHT_MAX: Final = FAN_OUT * 32 + UNRECORDED_MAX  # the lanes' caps, and what is unrecorded

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(1_200)]


@pytest.mark.parametrize("victim", VICTIMS)
async def test_every_delivery_succeeds_exactly_once_whatever_is_killed(
    victim: str, tmp_path: Path
) -> None:
    """Each (event, endpoint) succeeds exactly once; repeats are at most those in flight."""
    async with open_arena(tmp_path / "arena") as arena:
        for number in range(ROUNDS):
            before = arena.receiver.repeats
            await _round(arena, victim, f"{victim}{number}")
            repeats = arena.receiver.repeats - before
            print(f"{victim} round {number}: {EVENTS * FAN_OUT} deliveries, {repeats} repeats")
            assert repeats <= IN_FLIGHT_MAX


async def _round(arena: Arena, victim: str, prefix: str) -> None:
    """Publish, kill in the middle, wait until all is well again, and judge."""
    publishing = asyncio.create_task(arena.publish(prefix, EVENTS, pace_s=PACE_S))
    half = EVENTS * FAN_OUT // 2
    await until_true(
        lambda: _accepted(arena, prefix), lambda count: count >= half, what="half the load"
    )
    await arena.stack.children[victim].kill9()
    await publishing
    wanted = EVENTS * FAN_OUT
    await until_true(
        lambda: _accepted(arena, prefix),
        lambda count: count == wanted,
        what="every delivery accepted",
        within_s=RECOVERY_S,
    )
    rows = await until(
        lambda: arena.successes(prefix),
        lambda rows: len(rows) >= wanted,
        what="every delivery in the log",
        within_s=RECOVERY_S,
    )
    assert len(rows) == wanted
    assert set(rows.values()) == {1}
    await until_true(
        lambda: arena.stack.children[victim].is_running, what=f"{victim} running again"
    )


def _accepted(arena: Arena, prefix: str) -> int:
    return sum(1 for _, event_id in arena.receiver.accepted if event_id.startswith(f"{prefix}-"))
