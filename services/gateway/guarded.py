"""Bodies behind the one guard: nothing is given away of an event whose payload was erased.

Kafka cannot forget a single record before its time, so what it still has must not be read. Every
body that the gateway shows or sends again comes through ``ports.bodies``, which is this.
"""

from __future__ import annotations

from services.gateway.ports import Bodies, BodyErased, Erasures, Kept


class GuardedBodies:
    """Bodies, except those of erased events."""

    def __init__(self, bodies: Bodies, erasures: Erasures) -> None:
        self._bodies = bodies
        self._erasures = erasures

    async def read(self, *, partition: int, offset: int, endpoint_id: str, event_id: str) -> Kept:
        """Return that ``deliveries`` record; raises BodyUnavailable, Outage."""
        kept = await self._bodies.read(
            partition=partition, offset=offset, endpoint_id=endpoint_id, event_id=event_id
        )
        erasure = await self._erasures.get(kept.meta.workspace_id, kept.meta.event_id)
        if erasure is not None:
            raise BodyErased(erasure)
        return kept
