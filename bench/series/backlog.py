"""C: how fast a backlog drains. E: what a second delivery process adds."""

from __future__ import annotations

from functools import partial
from typing import Final

from bench.audience import HEALTHY, spread
from bench.rig import Load, Measured, Rig
from bench.series.case import Case, Figures, cost_figures

EVENTS: Final = 200_000
QUICK_EVENTS: Final = 50_000
SCALING_EVENTS: Final = 60_000
QUICK_SCALING_EVENTS: Final = 20_000
ENDPOINTS: Final = 50  # as A1-50, whose rate a backlog is compared with


async def _published_at_once(rig: Rig, name: str, events: int) -> tuple[Measured, float]:
    """Publish a backlog; returns what it did, and R."""
    audience = await rig.audience(name, spread(ENDPOINTS))
    before_us = await rig.reference_us(300)
    measured = await rig.measure(audience, Load(events))
    return measured, (before_us + await rig.reference_us(300)) / 2


async def drain(rig: Rig, quick: bool) -> Figures:
    """Measure the drain from the moment when all of the backlog is on Kafka."""
    events = QUICK_EVENTS if quick else EVENTS
    measured, reference_us = await _published_at_once(rig, "C1", events)
    drained_s = (measured.report.groups[HEALTHY].last_us - measured.published_us) / 1e6
    return {
        "rate_per_s": measured.backlog / drained_s,
        "backlog": measured.backlog,
        **cost_figures(measured, reference_us),
    }


async def scale(rig: Rig, quick: bool, *, name: str, processes: int) -> Figures:
    """Measure what so many delivery processes could do if each had a core of its own.

    The machine may have too few free cores to show it, so it is counted: a process is full when it
    uses a CPU-second each second.
    """
    events = QUICK_SCALING_EVENTS if quick else SCALING_EVENTS
    measured, reference_us = await _published_at_once(rig, name, events)
    costs = cost_figures(measured, reference_us)
    return {
        "rate_per_s": measured.report.groups[HEALTHY].rate_per_s,
        "capacity_per_s": processes * 1e6 / costs["delivery_us"],
        **costs,
    }


CASES: Final = (
    Case("C1", f"drain of {EVENTS:,} events", drain),
    Case("E1", "one delivery process", partial(scale, name="E1", processes=1)),
    Case("E2", "two delivery processes", partial(scale, name="E2", processes=2), {"delivery": 2}),
)
