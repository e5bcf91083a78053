"""All cases, in the order in which they are measured."""

from __future__ import annotations

from typing import Final

from bench.errors import BenchError
from bench.series import backlog, latency, neighbours, throughput
from bench.series.case import Case

CASES: Final[tuple[Case, ...]] = (
    *throughput.CASES,
    *latency.CASES,
    *neighbours.CASES,
    *backlog.CASES,
)


def select(text: str) -> list[Case]:
    """Return the cases that ``text`` names (``A1,B``): a letter means all of its series.

    Raises BenchError for a name that is neither.
    """
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    known = {case.name for case in CASES} | {case.name[0] for case in CASES}
    for name in wanted:
        if name not in known:
            raise BenchError(f"there is no series {name!r}; there are {', '.join(sorted(known))}")
    return [case for case in CASES if case.name in wanted or case.name[0] in wanted]
