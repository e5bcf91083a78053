"""Bodies behind the one guard: nothing is given away of an event whose payload was erased.

Kafka cannot forget a single record before its time, so what it still has must not be read. Every
body that the gateway shows or sends again comes through one of these.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.ports import Bodies, BodyErased, BodyUnavailable, Erasures, Kept, Place


class GuardedBodies:
    """Bodies, except those of erased events."""

    def __init__(self, bodies: Bodies, erasures: Erasures) -> None:
        self._bodies = bodies
        self._erasures = erasures

    async def read(self, place: Place) -> Kept:
        """Return that ``deliveries`` record; raises BodyUnavailable, Outage."""
        (found,) = await self.unerased([await self._bodies.read(place)])
        if isinstance(found, BodyUnavailable):
            raise found
        return found

    async def read_many(self, places: Sequence[Place]) -> Sequence[Kept | BodyUnavailable]:
        """Return these records, in order, or why one is not to be had; raises BodyAway, Outage."""
        return await self.unerased(await self._bodies.read_many(places))

    async def unerased(
        self, found: Sequence[Kept | BodyUnavailable]
    ) -> list[Kept | BodyUnavailable]:
        """Return what was read, without what is erased by now; raises Outage."""
        events = {_event(one) for one in found if isinstance(one, Kept)}
        if not events:
            return list(found)
        marks = await self._erasures.among(events)
        erased = {(mark.workspace_id, mark.event_id): mark for mark in marks}
        return [
            BodyErased(erased[_event(one)])
            if isinstance(one, Kept) and _event(one) in erased
            else one
            for one in found
        ]


def _event(kept: Kept) -> tuple[str, str]:
    return kept.meta.workspace_id, kept.meta.event_id
