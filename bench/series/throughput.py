"""A: sustained deliveries a second, and what a delivery costs in every process.

All events are published at once, so that nobody waits for the driver; the rate is that of arrivals,
from the first to the last. R is measured before and after each case.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from bench.audience import Subscription, fan_out
from bench.rig import Load, Rig
from bench.series.case import Case, Figures, cost_figures

DELIVERIES: Final = 60_000
QUICK_SHARE: Final = 3
COLD: Final = "healthy/cold-5"


class Shape(NamedTuple):
    """Who gets the events, how large they are, and over what."""

    subscriptions: tuple[Subscription, ...]
    size: int = 300
    https: bool = False


async def sustained(rig: Rig, quick: bool, *, name: str, shape: Shape) -> Figures:
    """Publish a backlog and measure its way through everything."""
    audience = await rig.audience(name, shape.subscriptions, https=shape.https)
    deliveries = DELIVERIES // (QUICK_SHARE if quick else 1)
    events = deliveries // len(shape.subscriptions[0].places)
    before_us = await rig.reference_us(shape.size)
    measured = await rig.measure(audience, Load(events, size=shape.size))
    reference_us = (before_us + await rig.reference_us(shape.size)) / 2
    return {
        "rate_per_s": measured.report.groups["healthy"].rate_per_s,
        **cost_figures(measured, reference_us),
    }


def _case(name: str, title: str, shape: Shape) -> Case:
    return Case(name, title, partial(sustained, name=name, shape=shape))


CASES: Final = (
    _case("A1", "fan-out 1", Shape(fan_out(1))),
    _case("A10", "fan-out 10", Shape(fan_out(10))),
)
