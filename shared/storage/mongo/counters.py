"""What workspaces have used of their limits: one counter for each limit and window.

A counter is how many units gateways have taken, spent or not. It is only ever changed by adding, so
two gateways never get the same unit. A counter goes by itself when its window is long over.
"""

from __future__ import annotations

from typing import Final

from bson.datetime_ms import DatetimeMS
from pymongo import ReturnDocument

from shared.storage.mongo.client import Document, Mongo, outages
from shared.storage.mongo.indexes import ASCENDING, Index

COUNTERS: Final = "counters"
KEPT_MS: Final = 60_000
"""How much longer than its window: clocks differ, and a gateway gives back what it has left."""

INDEXES: Final = (
    Index(
        collection=COUNTERS,
        keys=(("expires_at", ASCENDING),),
        serves="counters go when their window is over",
        options={"expireAfterSeconds": 0},
    ),
)


class CounterStore:
    """The ``counters`` collection. Every call may raise Outage."""

    def __init__(self, mongo: Mongo) -> None:
        self._collection = mongo.collection(COUNTERS)

    async def take(
        self, workspace_id: str, limit: str, *, start_ms: int, end_ms: int, units: int, quota: int
    ) -> int:
        """Count ``units`` more; returns the count with all of them, also those over ``quota``.

        What is over ``quota`` is not counted in the end.
        """
        key = {"_id": _key(workspace_id, limit, start_ms)}
        with outages():
            found: Document = await self._collection.find_one_and_update(
                key,
                {
                    "$inc": {"units": units},
                    "$setOnInsert": {"expires_at": DatetimeMS(end_ms + KEPT_MS)},
                },
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        counted = int(found["units"])
        over = min(units, counted - quota)
        if over > 0:
            await self.give_back(workspace_id, limit, start_ms=start_ms, units=over)
        return counted

    async def give_back(self, workspace_id: str, limit: str, *, start_ms: int, units: int) -> None:
        """Count ``units`` less: they were taken and not spent."""
        with outages():
            await self._collection.update_one(
                {"_id": _key(workspace_id, limit, start_ms)}, {"$inc": {"units": -units}}
            )


def _key(workspace_id: str, limit: str, start_ms: int) -> str:
    return f"{workspace_id}/{limit}/{start_ms}"
