"""What the figures are to be, and whether they are. Pure.

A *target* bounds one figure of one case, or the ratio of a figure to that of another case. The
figures are medians over the runs.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

Medians = Mapping[str, Mapping[str, float]]


class Target(NamedTuple):
    """``case``'s ``figure``, divided by that of ``over`` where given, is to be within ``bound``."""

    case: str
    figure: str
    bound: Literal["at most", "at least"]
    limit: float
    what: str
    over: str = ""


class Verdict(NamedTuple):
    """A target with what was found."""

    target: Target
    value: float
    met: bool


TARGETS: Final = (
    Target("A1", "all_r", "at most", 9.5, "R of CPU for a delivery, all processes"),
    Target("A10", "all_r", "at most", 7.0, "R of CPU for a delivery, all processes"),
    Target("A10", "fanout_r", "at most", 0.9, "R of CPU for a delivery, fanout"),
    Target("B100", "p50_h", "at most", 1.7, "H, p50"),
    Target("B100", "p99_h", "at most", 1.7, "H, p99"),
    Target("B1000", "p50_h", "at most", 4.0, "H, p50"),
    Target("B1000", "p99_h", "at most", 3.0, "H, p99"),
    Target("B1000", "all_r", "at most", 100.0, "R of CPU for a delivery, all processes"),
    Target("B5000", "p50_h", "at most", 5.0, "H, p50"),
    Target("B5000", "p99_h", "at most", 4.0, "H, p99"),
    Target("B5000", "all_r", "at most", 22.0, "R of CPU for a delivery, all processes"),
    Target("A1-https", "per_cpu_s", "at least", 0.7, "of http, by CPU", over="A1-50"),
    Target("A1-cold", "per_cpu_s", "at least", 0.4, "of http, by CPU", over="A1-50"),
    Target("C1", "rate_per_s", "at least", 1.0, "of the sustained rate", over="A1-50"),
    Target("E2", "capacity_per_s", "at least", 1.8, "of one process, by CPU", over="E1"),
    *(Target(f"D{n}", "p99_ratio", "at most", 1.5, "times the quiet p99") for n in range(1, 7)),
    *(Target(f"D{n}", "rate_ratio", "at least", 0.95, "of the quiet rate") for n in range(1, 7)),
    Target("D3", "sick_rate_ratio", "at least", 0.95, "of the rate that the flood is published at"),
    Target("D6", "sick_rate_ratio", "at least", 0.95, "of the rate that the flood is published at"),
    Target("F1", "fanout_ratio", "at most", 1.3, "times the CPU to match with few endpoints"),
    Target("F1", "mib_max", "at most", 1_536.0, "MiB of a worker with all endpoints"),
    Target("F1", "ready_s_max", "at most", 60.0, "s until a worker is ready again"),
    Target("G1", "growth_ratio", "at most", 1.1, "times the memory of the first half"),
    Target("P1", "per_gateway_cpu_s", "at least", 1_500.0, "events per CPU-second of the gateway"),
    Target(
        "P1000", "per_gateway_cpu_s", "at least", 30_000.0, "events per CPU-second of the gateway"
    ),
    Target("K1", "repeats", "at most", 90, "repeats: as much as arrives in 50 ms"),
)


def medians(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the median of every figure of every case over its runs."""
    return {
        case: {name: statistics.median(run[name] for run in figures) for name in figures[0]}
        for case, figures in runs.items()
    }


def judge(found: Medians, targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """Return a verdict on every target whose figures were measured."""
    verdicts: list[Verdict] = []
    for target in targets:
        value = found.get(target.case, {}).get(target.figure)
        over = found.get(target.over, {}).get(target.figure) if target.over else 1.0
        if value is None or not over:
            continue
        ratio = value / over
        met = ratio <= target.limit if target.bound == "at most" else ratio >= target.limit
        verdicts.append(Verdict(target, ratio, met))
    return verdicts
