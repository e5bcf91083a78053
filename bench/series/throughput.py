"""A: sustained deliveries a second, and what a delivery costs in every process.

All events are published at once, so that nobody waits for the driver; the rate is that of arrivals,
from the first to the last. R is measured before and after each case.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from bench.audience import Subscription, fan_out, spread
from bench.programs import ask, module
from bench.references import Ceiling, CeilingOptions
from bench.rig import Load, Rig
from bench.series.case import Case, Figures, cost_figures

DELIVERIES: Final = 60_000
LARGE_DELIVERIES: Final = 20_000
WARMING_DELIVERIES: Final = 10_000  # opens as many connections as the lanes want
QUICK_SHARE: Final = 3
LARGE: Final = 10 * 1024
CEILING_IN_FLIGHT: Final = 64
CEILING_WITHIN_S: Final = 120.0
COLD: Final = "healthy/cold-5"


class Shape(NamedTuple):
    """Who gets the events, how large they are, over what, and whether connections are warm."""

    subscriptions: tuple[Subscription, ...]
    size: int = 300
    https: bool = False
    warm: bool = False


async def sustained(rig: Rig, quick: bool, *, name: str, shape: Shape) -> Figures:
    """Publish a backlog and measure its way through everything."""
    audience = await rig.audience(name, shape.subscriptions, https=shape.https)
    deliveries = LARGE_DELIVERIES if shape.size == LARGE else DELIVERIES
    deliveries //= QUICK_SHARE if quick else 1
    events = deliveries // len(shape.subscriptions[0].places)
    if shape.warm:
        await rig.measure(audience, Load(WARMING_DELIVERIES, size=shape.size))
    before_us = await rig.reference_us(shape.size)
    measured = await rig.measure(audience, Load(events, size=shape.size))
    reference_us = (before_us + await rig.reference_us(shape.size)) / 2
    return {
        "rate_per_s": measured.report.groups["healthy"].rate_per_s,
        **cost_figures(measured, reference_us),
    }


async def ceiling(rig: Rig, quick: bool) -> Figures:
    """Post with nothing but the transport: what is left of R's distance when Kafka is not there."""
    requests = DELIVERIES // (QUICK_SHARE if quick else 1)
    before_us = await rig.reference_us(300)
    url = rig.receiver.url(0, "/ceiling/ok/0")
    options = CeilingOptions(url, await rig.begin(), requests, CEILING_IN_FLIGHT, 300)
    before = await rig.receiver.report()
    command = module("bench.references", "ceiling")
    posted = await ask(command, options, Ceiling, within_s=CEILING_WITHIN_S)
    receiver_s = (await rig.receiver.report()).cpu_s - before.cpu_s
    reference_us = (before_us + await rig.reference_us(300)) / 2
    cost_us = posted.cpu_s * 1e6 / requests
    return {
        "rate_per_s": requests / posted.seconds,
        "per_cpu_s": requests / posted.cpu_s,
        "all_us": cost_us,
        "all_r": cost_us / reference_us,
        "r_us": reference_us,
        "delivery_us": cost_us,
        "receiver_us": receiver_s * 1e6 / requests,
    }


def _case(name: str, title: str, shape: Shape) -> Case:
    return Case(name, title, partial(sustained, name=name, shape=shape))


CASES: Final = (
    _case("A1", "fan-out 1", Shape(fan_out(1))),
    _case("A10", "fan-out 10", Shape(fan_out(10))),
    _case("A100", "fan-out 100", Shape(fan_out(100))),
    _case("A1-10KB", "fan-out 1, 10 KB", Shape(fan_out(1), size=LARGE)),
    _case("A10-10KB", "fan-out 10, 10 KB", Shape(fan_out(10), size=LARGE)),
    _case("A1-50", "fan-out 1, 50 endpoints", Shape(spread(50), warm=True)),
    _case("A1-2000", "fan-out 1, 2,000 endpoints", Shape(spread(2_000))),
    _case("A1-https", "fan-out 1, 50 endpoints, https", Shape(spread(50), https=True, warm=True)),
    _case("A1-cold", "the same, 5 % cold", Shape(spread(50, COLD), https=True, warm=True)),
    Case("A0", "ceiling: the transport alone", ceiling),
)
