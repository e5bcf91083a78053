"""Who gets what in a measurement, and whether everybody got it: values in, values out.

A *place* is what an endpoint is like: the group that it is reported with and its behaviour, as in
``healthy/ok`` or ``sick/slow-2000`` (``bench/tools/receiver.go`` lists the behaviours). An endpoint
subscribes to one type, so the numbers of the events at its path have no gaps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from bench.programs import Part, PathCounts

HEALTHY: Final = "healthy"
SICK: Final = "sick"
OK: Final = f"{HEALTHY}/ok"
_COMPLAINTS_MAX: Final = 5
_ANSWERS_200: Final = ("ok", "cold", "slow")


class Subscription(NamedTuple):
    """An event type: its endpoints' places, its share of the events, and whose it is."""

    places: tuple[str, ...]
    weight: int = 1
    tenant: int = 0


class Endpoint(NamedTuple):
    """An endpoint at the receiver. ``part`` is the index of its type in the driver's mix."""

    path: str
    part: int

    @property
    def group(self) -> str:
        """Return the group that the receiver reports it with."""
        return self.path.split("/")[1]

    @property
    def answers(self) -> bool:
        """Return whether it answers everything with 200, sooner or later."""
        return self.path.split("/")[2].partition("-")[0] in _ANSWERS_200


class Audience(NamedTuple):
    """The endpoints of a measurement and what is published to them."""

    parts: tuple[Part, ...]
    endpoints: tuple[Endpoint, ...]

    def expected(self, events: Sequence[int], group: str) -> int:
        """Return how many deliveries a group gets from so many events of each part."""
        return sum(events[where.part] for where in self.endpoints if where.group == group)


def spread(endpoints: int, behaviour: str = OK) -> tuple[Subscription, ...]:
    """Return so many endpoints, each with a type of its own: a fan-out of one."""
    return (Subscription((behaviour,)),) * endpoints


def fan_out(endpoints: int, behaviour: str = OK) -> tuple[Subscription, ...]:
    """Return one type that goes to all of so many endpoints."""
    return (Subscription((behaviour,) * endpoints),)


def complaints(
    audience: Audience,
    events: Sequence[int],
    seen: Mapping[str, PathCounts],
    *,
    groups: Collection[str],
    repeats: bool,
) -> list[str]:
    """Return what is wrong at the endpoints that answer 200: losses in these groups, duplicates.

    With ``repeats``, attempts that come again are no complaint: a worker was killed.
    """
    wrong: list[str] = []
    for endpoint in audience.endpoints:
        if not endpoint.answers:
            continue
        wanted = events[endpoint.part]
        counts = seen.get(endpoint.path, PathCounts())
        twice = counts.repeats + counts.retries
        if endpoint.group in groups and counts.distinct != wanted:
            wrong.append(f"{endpoint.path} got {counts.distinct} of {wanted} events")
        if twice and not repeats:
            wrong.append(f"{endpoint.path} got {twice} of {wanted} events again")
    if len(wrong) > _COMPLAINTS_MAX:
        wrong[_COMPLAINTS_MAX:] = [f"and {len(wrong) - _COMPLAINTS_MAX} more"]
    return wrong
