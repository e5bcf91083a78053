"""``make bench``, ``python -m bench``: measures the whole of Hooklane. See ``bench/README.md``."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import machine, programs
from bench.errors import BenchError, LostError
from bench.plots import plots
from bench.rig import Rig, open_rig
from bench.series import catalogue
from bench.series.case import Case, Figures
from bench.table import series_table, verdict_lines
from bench.targets import judge, medians
from deploy.local.errors import LocalError

RESULTS: Final = Path(__file__).with_name("results")
WARM_UP_S: Final = 60.0  # Java compiles for most of a minute, with up to a core
QUICK_WARM_UP_S: Final = 20.0


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    root = argparse.ArgumentParser(prog="python -m bench", description="Measures Hooklane")
    names = ", ".join(case.name for case in catalogue.CASES).replace("%", "%%")  # for argparse
    root.add_argument(
        "--series", default="all", help=f"cases, or letters for all of a series: {names}"
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
        """Run everything, the runs of the cases that can share a stack in turn."""
        for counts, shared in itertools.groupby(
            (case for case in self._cases if not case.fresh), key=lambda case: dict(case.counts)
        ):
            cases = list(shared)
            async with self._rig(counts) as rig:
                for _ in range(self._run_count):
                    for case in cases:
                        await self._run(rig, case)
        for case in self._cases:
            for _ in range(self._run_count if case.fresh else 0):
                async with self._rig(case.counts) as rig:
                    await self._run(rig, case)

    def _rig(self, counts: Mapping[str, int]) -> AbstractAsyncContextManager[Rig]:
        warm_up_s = QUICK_WARM_UP_S if self._quick else WARM_UP_S
        return open_rig(say=_say, warm_up_s=warm_up_s, counts=counts)

    async def _run(self, rig: Rig, case: Case) -> None:
        """Make one run of a case; what goes wrong is noted, and the next one goes on."""
        started_s = time.monotonic()
        try:
            figures = await case.measure(rig, self._quick)
        except (LostError, BenchError) as error:
            self.problems.append(f"{case.name}: {error}")
            _say(self.problems[-1])
            return
        runs = self.runs.setdefault(case.name, [])
        runs.append(figures)
        took_s = time.monotonic() - started_s
        _say(f"{case.name} run {len(runs)}/{self._run_count}: {took_s:.0f} s")

    @property
    def _titles(self) -> dict[str, str]:
        return {case.name: case.title for case in self._cases}

    def plots(self) -> dict[str, str]:
        """Return the pictures by file name."""
        return plots(self._titles, medians(self.runs))

    def summary(self) -> str:
        """Return the tables, the verdicts and what went wrong."""
        found = medians(self.runs)
        letters = dict.fromkeys(name[0] for name in found)
        parts = [series_table(letter, self._titles, found) for letter in letters]
        parts.append(verdict_lines(judge(found)))
        parts += self.problems
        return "\n\n".join(part for part in parts if part)


def keep(folder: Path, series: str, bench: Bench, about: Mapping[str, Any]) -> Path:
    """Write the results to files that begin with the names of what was measured."""
    where = folder / f"{time.strftime('%Y-%m-%d')}-{about['commit']}"
    where.mkdir(parents=True, exist_ok=True)
    start = series.replace(",", "+")
    content = {**about, "runs": bench.runs, "problems": bench.problems}
    (where / f"{start}.json").write_bytes(msgspec.json.encode(content) + b"\n")
    (where / f"{start}.txt").write_text(bench.summary() + "\n", encoding="utf-8")
    for name, svg in bench.plots().items():
        (where / f"{start}-{name}").write_text(svg, encoding="utf-8")
    return where


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep; returns the exit code: 1 when a run failed or lost something."""
    given = parser().parse_args(arguments)
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # it comments on each retry
    try:
        cases = catalogue.select(given.series)
        programs.build()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    about = {**machine.describe(), "quick": given.quick, "load_before": machine.load_average()}
    bench = Bench(cases, given.runs, given.quick)
    try:
        asyncio.run(bench.measure())
    except LocalError as error:
        bench.problems.append(str(error))
    about["load_after"] = machine.load_average()
    where = keep(given.results, given.series, bench, about)
    print(f"{bench.summary()}\n\n{_about_line(about)}\nkept in {where}")
    return 1 if bench.problems else 0


def _about_line(about: Mapping[str, Any]) -> str:
    loads = " and ".join(str(about[name][0]) for name in ("load_before", "load_after"))
    return (
        f"{about['processor']}, {about['cpus']} cores; Python {about['python']}, {about['go']}; "
        f"load before and after: {loads}"
    )


def _say(line: str) -> None:
    print(f"# {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
