"""CPU time and memory of processes, and waiting until the work behind a load is done.

A delivery is not paid for when it has arrived: its log row, the commits and the broker's own work
follow. So a reading that ends a measurement is taken when CPU use has fallen to what the stack
needs for doing nothing; the idle time spent on finding that out is not in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import psutil

WINDOW_S: Final = 0.5
QUIET_WINDOWS: Final = 2  # so many in a row
IDLE_WINDOW_S: Final = 1.0
IDLE_WINDOWS: Final = 4
SETTLE_S_MAX: Final = 20.0
NOISE_CORES: Final = 0.06  # three ticks of the kernel's CPU clock in a window


class Reading(NamedTuple):
    """CPU seconds by process, and the moment (monotonic seconds)."""

    at_s: float
    cpu_s: Mapping[str, float]

    def since(self, before: Reading) -> dict[str, float]:
        """Return the CPU seconds of each process since an earlier reading."""
        return {name: used - before.cpu_s.get(name, 0.0) for name, used in self.cpu_s.items()}

    def cores_since(self, before: Reading) -> float:
        """Return how many cores were busy since an earlier reading."""
        return sum(self.since(before).values()) / max(self.at_s - before.at_s, 1e-9)


class Meter:
    """Reads the processes that ``pids`` names."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self._idle_cores = 0.0

    def read(self) -> Reading:
        """Return the CPU used so far; a process that has just ended is left out."""
        used: dict[str, float] = {}
        for name, pid in self._pids().items():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = psutil.Process(pid).cpu_times()
                used[name] = times.user + times.system
        return Reading(time.monotonic(), used)

    def memory_bytes(self) -> dict[str, int]:
        """Return the resident memory of each process."""
        return {name: psutil.Process(pid).memory_info().rss for name, pid in self._pids().items()}

    async def learn_idle(self) -> float:
        """Measure what the stack uses for doing nothing; returns cores, of the quietest second."""
        seen: list[float] = []
        for _ in range(IDLE_WINDOWS):
            before = self.read()
            await asyncio.sleep(IDLE_WINDOW_S)
            seen.append(self.read().cores_since(before))
        self._idle_cores = min(seen)
        return self._idle_cores

    async def settled(self) -> Reading:
        """Wait until nothing more is done than when idle; returns the reading of that moment.

        After ``SETTLE_S_MAX`` the last reading has to do.
        """
        quiet_cores = 1.25 * self._idle_cores + NOISE_CORES
        deadline_s = time.monotonic() + SETTLE_S_MAX
        began = last = self.read()
        windows = 0
        while windows < QUIET_WINDOWS and time.monotonic() < deadline_s:
            await asyncio.sleep(WINDOW_S)
            now = self.read()
            windows = windows + 1 if now.cores_since(last) <= quiet_cores else 0
            last = now
            if windows == 0:
                began = now
        return began
