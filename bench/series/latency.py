"""B: how long an event takes from the moment it was due to its arrival, at a steady pace.

The driver does not wait for anything (open loop), and an event's stamp is the moment at which it
was to be sent, so that a stall delays every event that falls into it. H is measured before and
after each case, on the same broker.

Each event is sent at once, the hardest case: a request for each is most of what Kafka does then.
Kafka's own producer lets an event wait for others (``linger.ms``, 5 since Kafka 4.0), so the same
is measured with that; the wait is in the latency.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Final

from bench.audience import HEALTHY, spread
from bench.programs import ask, module
from bench.references import Hops, HopsOptions
from bench.rig import Load, Rig
from bench.series.case import Case, Figures, cost_figures

ENDPOINTS: Final = 20
HOPS_PER_S: Final = 100
BURST_EVENTS: Final = 20_000
KAFKA_LINGER_MS: Final = 5
_numbers = itertools.count(1)


async def reference_hops(rig: Rig, quick: bool) -> Hops:
    """Return H."""
    seconds = 5.0 if quick else 10.0
    options = HopsOptions(rig.bootstrap, HOPS_PER_S, seconds, f"bench-hops-{next(_numbers)}")
    return await ask(module("bench.references", "hops"), options, Hops, within_s=seconds + 60)


async def paced(
    rig: Rig, quick: bool, *, name: str, rate_per_s: int, linger_ms: int = 0
) -> Figures:
    """Publish at a steady rate to endpoints with a type of their own each."""
    audience = await rig.audience(name, spread(ENDPOINTS))
    seconds = (8 if quick else 20) if rate_per_s <= 1_000 else (5 if quick else 10)
    hops = [await reference_hops(rig, quick)]
    references_us = [await rig.reference_us(300)]
    load = Load(rate_per_s * seconds, rate_per_s, linger_ms=linger_ms)
    measured = await rig.measure(audience, load)
    references_us.append(await rig.reference_us(300))
    hops.append(await reference_hops(rig, quick))
    latency = measured.report.groups[HEALTHY].latency_us
    h50_ms = sum(h.p50_ms for h in hops) / len(hops)
    h99_ms = sum(h.p99_ms for h in hops) / len(hops)
    return {
        "events_per_s": rate_per_s,
        "p50_ms": latency.p50 / 1000,
        "p99_ms": latency.p99 / 1000,
        "p999_ms": latency.p999 / 1000,
        "p50_h": latency.p50 / 1000 / h50_ms,
        "p99_h": latency.p99 / 1000 / h99_ms,
        "h50_ms": h50_ms,
        "h99_ms": h99_ms,
        "late_ms": measured.driven.late_ms_max,
        **cost_figures(measured, sum(references_us) / len(references_us)),
    }


async def half(rig: Rig, quick: bool) -> Figures:
    """Find out what can be sustained, and publish at half of it."""
    audience = await rig.audience("B50", spread(ENDPOINTS))
    measured = await rig.measure(audience, Load(BURST_EVENTS))
    rate_per_s = int(measured.report.groups[HEALTHY].rate_per_s / 2)
    return await paced(rig, quick, name="B50", rate_per_s=rate_per_s)


def _case(rate_per_s: int, linger_ms: int = 0) -> Case:
    name, title = f"B{rate_per_s}", f"{rate_per_s:,} events/s"
    if linger_ms:
        name, title = f"{name}-linger", f"{title}, a linger of {linger_ms} ms"
    measure = partial(paced, name=name, rate_per_s=rate_per_s, linger_ms=linger_ms)
    return Case(name, title, measure)


CASES: Final = (
    _case(100),
    _case(1_000),
    _case(1_000, KAFKA_LINGER_MS),
    _case(5_000),
    _case(5_000, KAFKA_LINGER_MS),
    Case("B50%", "50 % of the maximum", half),
)
