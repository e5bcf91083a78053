"""What the series have in common: a case, and the figures of one run of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from bench.rig import Measured, Rig

Figures = dict[str, float]


class Case(NamedTuple):
    """One thing to measure. ``counts`` are the processes that its stack needs, by service.

    ``fresh``: each run needs a stack of its own.
    """

    name: str
    title: str
    measure: Callable[[Rig, bool], Awaitable[Figures]]
    counts: Mapping[str, int] = {}
    fresh: bool = False


def cost_figures(measured: Measured, reference_us: float) -> Figures:
    """Return what a delivery cost, absolutely and as a multiple of R."""
    costs = measured.costs_us()
    return {
        **costs,
        "per_cpu_s": 1e6 / costs["all_us"],
        "all_r": costs["all_us"] / reference_us,
        "fanout_r": costs["fanout_us"] / reference_us,
        "r_us": reference_us,
        "settled_s": measured.settled_s,
    }
