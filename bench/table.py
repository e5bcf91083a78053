"""The results as text: a table for each series, then the targets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bench.targets import Medians, Verdict


class Column(NamedTuple):
    """A figure, its heading, and how many decimals it is shown with."""

    figure: str
    heading: str
    decimals: int = 1


PROCESSES: Final = tuple(
    Column(f"{name}_us", name)
    for name in ("kafka", "mongo", "gateway", "fanout", "delivery", "retry", "recorder")
)
OURS: Final = (Column("driver_us", "(driver"), Column("receiver_us", "receiver)"))
COST: Final = (
    Column("per_cpu_s", "per CPU-s", 0),
    Column("all_us", "CPU µs"),
    Column("all_r", "= R"),
    Column("r_us", "(R µs)"),
    Column("settled_s", "settled s"),
)
COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    "A": (Column("rate_per_s", "/s", 0), *COST, *PROCESSES, *OURS),
    "B": (
        Column("events_per_s", "events/s", 0),
        Column("p50_ms", "p50 ms"),
        Column("p99_ms", "p99 ms"),
        Column("p999_ms", "p99.9 ms"),
        Column("p50_h", "p50 = H", 2),
        Column("p99_h", "p99 = H", 2),
        Column("h50_ms", "(H p50 ms"),
        Column("h99_ms", "H p99 ms)"),
        Column("late_ms", "driver late ms"),
        *COST,
        *PROCESSES,
    ),
    "C": (Column("rate_per_s", "/s", 0), Column("backlog", "backlog", 0), *COST, *PROCESSES, *OURS),
    "E": (
        Column("rate_per_s", "/s", 0),
        Column("capacity_per_s", "capacity/s", 0),
        *COST,
        *PROCESSES,
        *OURS,
    ),
    "D": (
        Column("quiet_p50_ms", "quiet p50 ms"),
        Column("noisy_p50_ms", "noisy p50 ms"),
        Column("quiet_p99_ms", "quiet p99 ms"),
        Column("noisy_p99_ms", "noisy p99 ms"),
        Column("p99_ratio", "ratio", 2),
        Column("rate_ratio", "rate ratio", 3),
        Column("sick_wanted", "sick: events", 0),
        Column("sick_arrived", "arrived", 0),
        Column("sick_per_s", "/s", 0),
        Column("sick_rate_ratio", "of published", 2),
        Column("parked", "parked", 0),
        Column("came_back", "came back", 0),
    ),
    "F": (
        Column("endpoints", "endpoints", 0),
        Column("fanout_us", "fanout µs"),
        Column("fanout_mib", "fanout MiB", 0),
        Column("delivery_mib", "delivery MiB", 0),
        Column("fanout_ready_s", "fanout ready s"),
        Column("delivery_ready_s", "delivery ready s"),
    ),
    "G": (
        Column("before_mib", "MiB before"),
        Column("first_half_mib", "at most, 1st half"),
        Column("second_half_mib", "2nd half"),
        Column("growth_ratio", "ratio", 2),
        Column("open_max", "open at most", 0),
        Column("parked", "parked", 0),
    ),
    "P": (
        Column("events_per_s", "events/s", 0),
        Column("per_gateway_cpu_s", "per CPU-s of the gateway", 0),
        Column("gateway_us", "gateway µs"),
        Column("kafka_us", "kafka µs"),
    ),
    "K": (
        Column("repeats", "repeats", 0),
        Column("in_flight", "in flight", 0),
        Column("wait_ms_max", "longest wait ms", 0),
    ),
}


STEPS: Final = ("small", "middle", "large")
"""A case that measures in steps has these before its figures' names: a line for each."""


def series_table(letter: str, titles: Mapping[str, str], found: Medians) -> str:
    """Return the table of one series: a line for each of its cases that was measured."""
    columns = COLUMNS[letter]
    rows = [["", "", *(column.heading for column in columns)]]
    for name, title in titles.items():
        if name not in found or name[0] != letter:
            continue
        for figures in _steps(found[name]):
            cells = (_cell(figures.get(column.figure), column.decimals) for column in columns)
            rows.append([name, title, *cells])
    return _aligned(rows)


def _steps(figures: Mapping[str, float]) -> list[Mapping[str, float]]:
    """Return the figures of each step, or all of them where there are no steps."""
    steps: list[Mapping[str, float]] = []
    for step in STEPS:
        start = f"{step}_"
        mine = {
            name.removeprefix(start): value
            for name, value in figures.items()
            if name.startswith(start)
        }
        if mine:
            steps.append(mine)
    return steps or [figures]


def verdict_lines(verdicts: Sequence[Verdict]) -> str:
    """Return the targets with what was found, one a line."""
    rows = [
        [
            verdict.target.case + (f" : {verdict.target.over}" if verdict.target.over else ""),
            f"{verdict.value:,.2f}",
            f"{verdict.target.bound} {verdict.target.limit:g}",
            "met" if verdict.met else "NOT MET",
            verdict.target.what,
        ]
        for verdict in verdicts
    ]
    return _aligned(rows, left=(0, 3, 4))


def _cell(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:,.{decimals}f}"


def _aligned(rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0, 1)) -> str:
    """Return the rows with columns of one width each; numbers stand to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)
