"""``make bench``, ``python -m bench``: measures the whole of Hooklane. See ``bench/README.md``."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import machine, programs
from bench.errors import BenchError, LostError
from bench.rig import open_rig
from bench.series import catalogue
from bench.series.case import Case, Figures
from bench.table import series_table, verdict_lines
from bench.targets import judge, medians
from deploy.local.errors import LocalError

RESULTS: Final = Path(__file__).with_name("results")
WARM_UP_S: Final = 25.0
QUICK_WARM_UP_S: Final = 8.0


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    root = argparse.ArgumentParser(prog="python -m bench", description="Measures Hooklane")
    names = ", ".join(case.name for case in catalogue.CASES)
    root.add_argument(
        "--series", default="A,B", help=f"cases, or letters for all of a series: {names}"
    )
    root.add_argument("--runs", type=int, default=5, help="medians of so many runs (default 5)")
    root.add_argument("--quick", action="store_true", help="shorter runs and warm-up, rougher")
    root.add_argument("--results", type=Path, default=RESULTS, help="where results are kept")
    return root


class Bench:
    """The selected cases, their runs so far, and what went wrong."""

    def __init__(self, cases: Sequence[Case], runs: int, quick: bool) -> None:
        self._cases = cases
        self._run_count = runs
        self._quick = quick
        self.runs: dict[str, list[Figures]] = {}
        self.problems: list[str] = []

    async def measure(self) -> None:
        """Run everything: one stack for all cases that can share one, runs of them in turn."""
        by_counts = itertools.groupby(self._cases, key=lambda case: dict(case.counts))
        for counts, cases in [(counts, list(cases)) for counts, cases in by_counts]:
            warm_up_s = QUICK_WARM_UP_S if self._quick else WARM_UP_S
            async with open_rig(say=_say, warm_up_s=warm_up_s, counts=counts) as rig:
                for number in range(self._run_count):
                    for case in cases:
                        started_s = time.monotonic()
                        try:
                            figures = await case.measure(rig, self._quick)
                        except (LostError, BenchError) as error:
                            self.problems.append(f"{case.name}: {error}")
                            _say(self.problems[-1])
                            continue
                        self.runs.setdefault(case.name, []).append(figures)
                        took_s = time.monotonic() - started_s
                        _say(f"{case.name} run {number + 1}/{self._run_count}: {took_s:.0f} s")

    def summary(self) -> str:
        """Return the table."""
        found = medians(self.runs)
        titles = {case.name: case.title for case in self._cases}
        letters = dict.fromkeys(name[0] for name in found)
        parts = [series_table(letter, titles, found) for letter in letters]
        parts.append(verdict_lines(judge(found)))
        parts += self.problems
        return "\n\n".join(part for part in parts if part)


def keep(folder: Path, bench: Bench, about: dict[str, Any]) -> Path:
    """Write the results; returns their folder."""
    where = folder / f"{time.strftime('%Y-%m-%d')}-{about['commit']}"
    where.mkdir(parents=True, exist_ok=True)
    content = {**about, "runs": bench.runs, "problems": bench.problems}
    (where / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(content)))
    (where / "table.txt").write_text(bench.summary() + "\n", encoding="utf-8")
    return where


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep; returns the exit code: 1 when a run failed or lost something."""
    given = parser().parse_args(arguments)
    try:
        logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # comments on each retry
        cases = catalogue.select(given.series)
        programs.build()
        about = {**machine.describe(), "quick": given.quick, "load_before": machine.load_average()}
        bench = Bench(cases, given.runs, given.quick)
        asyncio.run(bench.measure())
    except (BenchError, LocalError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    about["load_after"] = machine.load_average()
    print(bench.summary())
    print(f"\nkept in {keep(given.results, bench, about)}")
    return 1 if bench.problems else 0


def _say(line: str) -> None:
    print(f"# {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
