"""``python -m bench.rolling``: what a rolling restart costs, and what replicas that come and go do.

Events are published at a steady pace while the processes change. First two of each worker are
restarted one by one, as a rolling update does, with a pause after each; the p99 of that time is set
against one without restarts. Then fan-out and delivery go from one process to four on 24
partitions, one of each at a time, and back. The longest wait of any event in a change is printed:
the stream stood still for no longer than that (a process that starts takes a core from the others
on a small machine, which is in the figure; when one leaves nothing starts).

It fails where a delivery is lost or made twice, or a process ends with anything but 0.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from bench.audience import HEALTHY, Audience, spread
from bench.errors import BenchError
from bench.programs import Latency, build
from bench.rig import Load, Rig, check, open_rig
from deploy.local.fleet import WORKERS, Fleet

ENDPOINTS: Final = 240  # ten for each partition
PARTITIONS: Final = 24
SCALED: Final = ("fanout", "delivery")
MOST: Final = 4
QUIET_S: Final = 60
RESTART_S_MAX: Final = 12  # of one process, until it is ready
LEAD_S: Final = 2.0  # of the load, before anything is changed
WARM_UP_S: Final = 20.0
ARRIVE_WITHIN_S: Final = 60.0

Change = Callable[[], Awaitable[object]]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    root = argparse.ArgumentParser(prog="python -m bench.rolling", description=__doc__)
    root.add_argument("--rate", type=int, default=100, help="events a second (default 100)")
    root.add_argument("--pause", type=float, default=20.0, help="seconds after each restart")
    root.add_argument("--quiet", type=int, default=QUIET_S, help="seconds without a restart")
    root.add_argument("--change", type=int, default=20, help="seconds for adding or removing")
    root.add_argument("--only", choices=("restart", "scale"), help="leave the other one out")
    root.add_argument("--warm-up", type=float, default=WARM_UP_S)
    return root


class RollingBench:
    """A stack whose processes change under load."""

    def __init__(self, rig: Rig, fleet: Fleet, given: argparse.Namespace) -> None:
        self._rig = rig
        self._fleet = fleet
        self._rate = given.rate
        self._pause_s = given.pause
        self._quiet_s = given.quiet
        self._change_s = given.change
        self._only = given.only

    async def run(self) -> None:
        """Measure and say."""
        audience = await self._rig.audience("rolling", spread(ENDPOINTS))
        if self._only != "scale":
            await self._roll(audience)
        if self._only != "restart":
            await self._scale(audience)

    async def _roll(self, audience: Audience) -> None:
        for service in WORKERS:
            await self._fleet.add(service)
        quiet = await self._live(audience, self._quiet_s, _nothing)
        self._say(f"quiet: {_shown(quiet)}")
        workers = len(self._fleet.in_rolling_order())
        seconds = round(workers * (self._pause_s + RESTART_S_MAX))
        rolling = await self._live(audience, seconds, self._restart_all)
        self._say(f"rolling restart: {_shown(rolling)}; p99 {rolling.p99 / quiet.p99:.1f} times")
        for service in WORKERS:
            await self._ended(service)

    async def _scale(self, audience: Audience) -> None:
        for count in range(2, MOST + 1):
            out = await self._live(audience, self._change_s, self._add_one_of_each)
            self._say(f"{count - 1} to {count} of each: {_shown(out)}")
        for count in range(MOST, 1, -1):
            back = await self._live(audience, self._change_s, self._remove_one_of_each)
            self._say(f"{count} to {count - 1} of each: {_shown(back)}")

    async def _restart_all(self) -> None:
        for worker in self._fleet.in_rolling_order():
            began_s = time.monotonic()
            _require_clean(worker.name, await self._fleet.restart(worker))
            self._say(f"{worker.name} was away for {time.monotonic() - began_s:.1f} s")
            await asyncio.sleep(self._pause_s)

    async def _add_one_of_each(self) -> None:
        await asyncio.gather(*(self._fleet.add(service) for service in SCALED))

    async def _remove_one_of_each(self) -> None:
        await asyncio.gather(*(self._ended(service) for service in SCALED))

    async def _ended(self, service: str) -> None:
        _require_clean(service, await self._fleet.remove(service))

    async def _live(self, audience: Audience, seconds: int, change: Change) -> Latency:
        """Publish at a steady pace, make the change meanwhile; return how long events took."""
        run = await self._rig.begin()
        load = Load(self._rate * seconds, self._rate)
        driving = asyncio.create_task(self._rig.drive(run, audience, load))
        try:
            await asyncio.sleep(LEAD_S)
            await change()
            if driving.done():
                raise BenchError("the change took longer than the load: nothing was measured")
            driven = await driving
        finally:
            driving.cancel()
        wanted = audience.expected(driven.events, HEALTHY)
        await self._rig.receiver.wait(HEALTHY, wanted, within_s=ARRIVE_WITHIN_S)
        report = await self._rig.receiver.report()
        check(audience, driven.events, report)
        return report.groups[HEALTHY].latency_us

    def _say(self, text: str) -> None:
        self._rig.say(text)


async def _nothing() -> None:
    """Change nothing."""


def _require_clean(name: str, code: int | None) -> None:
    if code != 0:
        raise BenchError(f"{name} ended with {code}")


def _shown(latency: Latency) -> str:
    return (
        f"p50 {latency.p50 / 1e3:.1f} ms, p99 {latency.p99 / 1e3:.1f} ms, "
        f"longest wait {latency.max / 1e3:.0f} ms"
    )


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


async def run(given: argparse.Namespace) -> None:
    """Measure on a stack of its own."""
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # it comments on each retry
    build()
    os.environ.setdefault("HOOKLANE_PARTITIONS", str(PARTITIONS))
    async with AsyncExitStack() as closing:
        rig = await closing.enter_async_context(
            open_rig(say=say, warm_up_s=given.warm_up, counts={})
        )
        fleet = Fleet(rig.stack)
        closing.push_async_callback(fleet.close)
        await RollingBench(rig, fleet, given).run()


if __name__ == "__main__":
    asyncio.run(run(parser().parse_args()))
