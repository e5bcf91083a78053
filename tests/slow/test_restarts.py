"""Processes are told to stop under load, one after the other, and replicas come and go.

Nothing is lost, and nothing is sent twice: the receiver sees each attempt once, also what was in
flight to an endpoint that takes its time. Every process ends with 0, which it does only within its
drain deadline. How long the stream stands still is what ``python -m bench.rolling`` measures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from deploy.local.fleet import Fleet
from tests.support.arena import Arena, Caller, open_arena
from tests.support.polling import until, until_true

CHUNK: Final = 50
ANSWER_S: Final = 0.1
RECOVERY_S: Final = 120.0
SCALED: Final = ("fanout", "delivery")
REPLICAS: Final = {"fanout": 2, "delivery": 2}  # retry and recorder are alone in their groups

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(600)]


async def _publish_until(arena: Arena, prefix: str, enough: asyncio.Event, pace_s: float) -> int:
    """Publish straight to Kafka at a steady pace; returns how many events."""
    count = 0
    while not enough.is_set():
        count += len(await arena.publish(f"{prefix}-{count}", CHUNK, pace_s=pace_s))
    return count


async def _judge(arena: Arena, prefix: str, events: int) -> None:
    """Wait until everything is in the log, and hold that each attempt was made once."""
    wanted = events * arena.fan_out
    rows = await until(
        lambda: arena.successes(prefix),
        lambda rows: len(rows) >= wanted,
        what="every delivery in the log",
        within_s=RECOVERY_S,
        every_s=0.5,
    )
    assert len(rows) == wanted
    assert set(rows.values()) == {1}
    assert arena.receiver.repeats == 0
    assert set(arena.receiver.accepted.values()) == {1}


@asynccontextmanager
async def _fleet(arena: Arena) -> AsyncIterator[Fleet]:
    fleet = Fleet(arena.stack)
    try:
        yield fleet
    finally:
        await fleet.close()


async def test_every_process_restarts_in_turn_and_nothing_is_lost_or_sent_twice(
    tmp_path: Path,
) -> None:
    """Workers from the highest number down; a new gateway is ready before the old one goes."""
    async with open_arena(tmp_path / "arena", counts=REPLICAS) as arena, _fleet(arena) as fleet:
        arena.receiver.takes_s["/2"] = ANSWER_S
        enough, caller = asyncio.Event(), Caller(arena)
        publishing = asyncio.create_task(_publish_until(arena, "rolling-k", enough, 0.005))
        calling = asyncio.create_task(caller.run("rolling-h", enough, pace_s=0.02))
        codes = {}
        for worker in fleet.in_rolling_order():
            codes[worker.name] = await fleet.restart(worker)
            await _moves_on(arena)
        (old,) = fleet.replicas("gateway")
        new = await fleet.add("gateway")
        caller.urls = [fleet.url(new)]
        codes[old.name] = await fleet.restart(old)
        caller.urls = [fleet.url(old)]
        codes[new.name] = await fleet.remove("gateway")
        await _moves_on(arena)
        enough.set()
        events = await publishing
        await calling
        assert codes == dict.fromkeys(codes, 0)
        assert caller.count
        await _judge(arena, "rolling", events + caller.count)


async def test_four_of_each_come_and_go_and_nothing_is_lost_or_sent_twice(tmp_path: Path) -> None:
    """Fan-out and delivery go from one process to four, and back, on 24 partitions."""
    settings = {"HOOKLANE_PARTITIONS": "24"}
    async with (
        open_arena(tmp_path / "arena", fan_out=24, settings=settings) as arena,
        _fleet(arena) as fleet,
    ):
        enough = asyncio.Event()
        publishing = asyncio.create_task(_publish_until(arena, "scaled", enough, 0.03))
        codes: list[int | None] = []
        await asyncio.gather(*(fleet.add(service) for service in SCALED * 3))
        await _moves_on(arena)
        for _ in range(3):
            codes += await asyncio.gather(*(fleet.remove(service) for service in SCALED))
            await _moves_on(arena)
        enough.set()
        await _judge(arena, "scaled", await publishing)
        assert codes == [0] * 6


async def _moves_on(arena: Arena) -> None:
    """Wait until every endpoint gets something again."""
    before = arena.receiver.arrivals.copy()
    await until_true(
        lambda: arena.receiver.arrivals - before,
        lambda new: len(new) == arena.fan_out,
        what="a delivery to every endpoint",
        within_s=60,
    )
