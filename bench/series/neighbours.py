"""D: what healthy endpoints feel of sick ones, and K: what a crash beside sick ones repeats.

Two of twenty endpoints never answer, or answer after two seconds, or get a hundred times the load.
Each noisy run has a quiet one before it in the same sitting: the same endpoints with the same load,
all of them well. An attempt's limit is 5 s here (15 s in production), so that a run is longer than
several of them: parked records are to be seen coming back.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, NamedTuple

from bench.audience import HEALTHY, OK, SICK, Audience, Subscription
from bench.programs import GroupCounts, Report
from bench.rig import ARRIVE_WITHIN_S, Load, Rig, check
from bench.series.case import Case, Figures

ENDPOINTS: Final = 20
SICK_ENDPOINTS: Final = 2
FLOOD: Final = 100
SECONDS: Final = 40
QUICK_SECONDS: Final = 15
WELL: Final = f"{SICK}/ok"
HOLE: Final = f"{SICK}/hole"
SLOW: Final = f"{SICK}/slow-2000"
PARKED: Final = ("delivery", "hooklane_delivery_parked_total")
MOVED: Final = ("retry", "hooklane_retry_moved_total")
WAITING: Final = ("retry", "hooklane_retry_waiting")
IN_FLIGHT: Final = ("delivery", "hooklane_delivery_in_flight")


class Sitting(NamedTuple):
    """Twenty endpoints and their load. ``total_per_s`` is what the driver publishes.

    ``complete`` are the groups that are to get everything, if not in time.
    """

    subscriptions: tuple[Subscription, ...]
    total_per_s: float
    complete: tuple[str, ...]


def together(rate_per_s: int, place: str) -> Sitting:
    """Every event goes to all twenty."""
    places = (OK,) * (ENDPOINTS - SICK_ENDPOINTS) + (place,) * SICK_ENDPOINTS
    return Sitting((Subscription(places),), rate_per_s, _complete(place))


def apart(rate_per_s: int, place: str) -> Sitting:
    """Every event goes to one of the twenty, in turn."""
    healthy = (Subscription((OK,)),) * (ENDPOINTS - SICK_ENDPOINTS)
    sick = (Subscription((place,)),) * SICK_ENDPOINTS
    return Sitting((*healthy, *sick), rate_per_s, _complete(place))


def flooded(rate_per_s: int, times: int) -> Sitting:
    """As ``apart``, but one endpoint is another tenant's, who publishes so many times as much."""
    healthy = (Subscription((OK,)),) * (ENDPOINTS - 1)
    flood = Subscription((WELL,), weight=times, tenant=1)
    total_per_s = rate_per_s / ENDPOINTS * (ENDPOINTS - 1 + times)
    return Sitting((*healthy, flood), total_per_s, _complete(WELL))


def _complete(place: str) -> tuple[str, ...]:
    return (HEALTHY, SICK) if place == WELL else (HEALTHY,)


class Seen(NamedTuple):
    """One run: what both groups saw when those that are to be complete were.

    Of the records that came back, as many are left out as were waiting before the run.
    """

    healthy: GroupCounts
    sick: GroupCounts | None
    sick_wanted: int
    sick_published_per_s: float
    parked: float
    came_back: float


async def observe(rig: Rig, name: str, sitting: Sitting, seconds: int) -> Seen:
    """Publish for some seconds and see what arrived; raises LostError."""
    audience = await rig.audience(name, sitting.subscriptions)
    run = await rig.begin()
    parked, moved = await rig.metric(*PARKED), await rig.metric(*MOVED)
    waiting = await rig.metric(*WAITING)
    load = Load(int(sitting.total_per_s * seconds), sitting.total_per_s)
    driven = await rig.drive(run, audience, load)
    for group in sitting.complete:
        wanted = audience.expected(driven.events, group)
        await rig.receiver.wait(group, wanted, within_s=ARRIVE_WITHIN_S)
    report = await rig.receiver.report()
    check(audience, driven.events, report, groups=sitting.complete)
    sick_wanted = audience.expected(driven.events, SICK)
    return Seen(
        healthy=report.groups[HEALTHY],
        sick=report.groups.get(SICK),
        sick_wanted=sick_wanted,
        sick_published_per_s=sick_wanted / seconds,
        parked=await rig.metric(*PARKED) - parked,
        came_back=max(await rig.metric(*MOVED) - moved - waiting, 0.0),
    )


async def compare(rig: Rig, quick: bool, *, name: str, quiet: Sitting, noisy: Sitting) -> Figures:
    """Make a quiet run and a noisy one, and set them against each other."""
    seconds = QUICK_SECONDS if quick else SECONDS
    well = await observe(rig, name, quiet, seconds)
    await rig.remove_endpoints()
    sick = await observe(rig, name, noisy, seconds)
    await rig.remove_endpoints()
    sick_per_s = sick.sick.rate_per_s if sick.sick else 0.0
    before, during = well.healthy.latency_us, sick.healthy.latency_us
    return {
        "quiet_p50_ms": before.p50 / 1000,
        "quiet_p99_ms": before.p99 / 1000,
        "noisy_p50_ms": during.p50 / 1000,
        "noisy_p99_ms": during.p99 / 1000,
        "p99_ratio": during.p99 / before.p99,
        "rate_ratio": sick.healthy.rate_per_s / well.healthy.rate_per_s,
        "sick_wanted": sick.sick_wanted,
        "sick_arrived": sick.sick.distinct if sick.sick else 0,
        "sick_per_s": sick_per_s,
        "sick_rate_ratio": sick_per_s / sick.sick_published_per_s,
        "parked": sick.parked,
        "came_back": sick.came_back,
    }


async def crash(rig: Rig, quick: bool) -> Figures:
    """Kill the delivery worker beside two black holes, halfway through a load."""
    seconds = QUICK_SECONDS if quick else SECONDS
    rate_per_s = 100
    audience = await rig.audience("K1", together(rate_per_s, HOLE).subscriptions)
    run = await rig.begin()
    driving = asyncio.create_task(rig.drive(run, audience, Load(rate_per_s * seconds, rate_per_s)))
    await rig.receiver.wait(
        HEALTHY, rate_per_s * seconds // 2 * (ENDPOINTS - SICK_ENDPOINTS), within_s=2 * seconds
    )
    in_flight = await rig.metric(*IN_FLIGHT)
    await rig.stack.children["delivery"].kill9()
    driven = await driving
    wanted = audience.expected(driven.events, HEALTHY)
    await rig.receiver.wait(HEALTHY, wanted, within_s=ARRIVE_WITHIN_S)
    await rig.meter.settled()
    report = await rig.receiver.report()
    check(audience, driven.events, report, repeats=True)
    await rig.remove_endpoints()
    return {
        "repeats": _repeats(audience, report),
        "in_flight": in_flight,
        "wait_ms_max": report.groups[HEALTHY].latency_us.max / 1000,
    }


def _repeats(audience: Audience, report: Report) -> int:
    """Return how many answered deliveries were made again."""
    seen = [report.paths[where.path] for where in audience.endpoints if where.answers]
    return sum(counts.repeats + counts.retries for counts in seen)


def _case(number: int, title: str, quiet: Sitting, noisy: Sitting) -> Case:
    name = f"D{number}"
    return Case(name, title, partial(compare, name=name, quiet=quiet, noisy=noisy))


CASES: Final = (
    _case(1, "2 of 20 never answer, 100/s to all", together(100, WELL), together(100, HOLE)),
    _case(2, "2 of 20 take 2 s, 100/s to all", together(100, WELL), together(100, SLOW)),
    _case(3, "1 of 20 gets 100x, 100/s", flooded(100, 1), flooded(100, FLOOD)),
    _case(4, "2 of 20 never answer, 1,000/s", apart(1_000, WELL), apart(1_000, HOLE)),
    _case(5, "2 of 20 take 2 s, 1,000/s", apart(1_000, WELL), apart(1_000, SLOW)),
    _case(6, "1 of 20 gets 100x, 1,000/s", flooded(1_000, 1), flooded(1_000, FLOOD)),
    Case("K1", "kill -9 of delivery, 2 of 20 never answer, 100/s to all", crash),
)
