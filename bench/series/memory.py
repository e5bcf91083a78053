"""G: the memory of a delivery worker while all receivers are dead and everything is open."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bench.audience import SICK, spread
from bench.rig import Load, Rig
from bench.series.case import Case, Figures

DELIVERIES: Final = 100_000
ENDPOINTS: Final = 100
SECONDS: Final = 90.0
QUICK_SECONDS: Final = 40.0
SAMPLE_S: Final = 0.5
OPEN: Final = ("delivery", "hooklane_delivery_open_records")
PARKED: Final = ("delivery", "hooklane_delivery_parked_total")


async def hold(rig: Rig, quick: bool) -> Figures:
    """Publish to endpoints that never answer, and watch the worker's memory."""
    audience = await rig.audience("G1", spread(ENDPOINTS, f"{SICK}/hole"))
    before_mib = _mib(rig)
    await rig.drive(await rig.begin(), audience, Load(DELIVERIES))
    until_s = time.monotonic() + (QUICK_SECONDS if quick else SECONDS)
    samples_mib: list[float] = []
    open_max = 0.0
    while time.monotonic() < until_s:
        samples_mib.append(_mib(rig))
        open_max = max(open_max, await rig.metric(*OPEN))
        await asyncio.sleep(SAMPLE_S)
    half = len(samples_mib) // 2
    return {
        "before_mib": before_mib,
        "first_half_mib": max(samples_mib[:half]),
        "second_half_mib": max(samples_mib[half:]),
        "growth_ratio": max(samples_mib[half:]) / max(samples_mib[:half]),
        "open_max": open_max,
        "parked": await rig.metric(*PARKED),
    }


def _mib(rig: Rig) -> float:
    return rig.meter.memory_bytes()["delivery"] / 2**20


CASES: Final = (Case("G1", f"{DELIVERIES:,} deliveries, nobody answers", hold, fresh=True),)
