"""All cases, in the order in which they are measured."""

from __future__ import annotations

from typing import Final

from bench.errors import BenchError
from bench.series import backlog, latency, memory, neighbours, publishing, registry, throughput
from bench.series.case import Case

ALL: Final = "all"
CASES: Final[tuple[Case, ...]] = (
    *throughput.CASES,
    *latency.CASES,
    *neighbours.CASES,
    *backlog.CASES,
    *registry.CASES,
    *memory.CASES,
    *publishing.CASES,
)


def select(text: str) -> list[Case]:
    """Return the cases that ``text`` names (``A1,B``): a letter means all of its series.

    ``all`` is every case. Raises BenchError for a name that there is not.
    """
    wanted = {name.strip() for name in text.split(",")}
    letters = {case.name[0] for case in CASES}
    unknown = sorted(wanted - {case.name for case in CASES} - letters - {ALL})
    if unknown:
        names = ", ".join((ALL, *sorted(letters), *(case.name for case in CASES)))
        raise BenchError(f"there is no series {unknown[0]!r}; there are {names}")
    return [case for case in CASES if wanted & {ALL, case.name, case.name[0]}]
