"""Copies of rejected events: a document for each, gone with the deployment's log retention.

Ids derive from where the event was, so a record that is read twice is one document, and one that
has been discarded stays discarded until its time is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo.errors import BulkWriteError

from shared.models.rejected import Rejected
from shared.storage.mongo.client import (
    DAY_MS,
    Document,
    Mongo,
    known_already,
    newest,
    outages,
)
from shared.storage.mongo.indexes import ASCENDING, Index

REJECTED: Final = "rejected"

INDEXES: Final = (
    Index(
        collection=REJECTED,
        keys=(("workspace_id", ASCENDING), ("state", ASCENDING), ("_id", ASCENDING)),
        serves="GET /v1/rejected-events: a workspace's open ones, newest first (read backwards)",
    ),
    Index(
        collection=REJECTED,
        keys=(("expires_at", ASCENDING),),
        serves="retention",
        options={"expireAfterSeconds": 0},
    ),
)


class RejectedStore:
    """The ``rejected`` collection. Every call may raise Outage."""

    def __init__(self, mongo: Mongo, *, retention_days: int) -> None:
        self._collection = mongo.collection(REJECTED)
        self._retention_ms = retention_days * DAY_MS

    async def insert(self, rejected: Sequence[Rejected]) -> None:
        """Store copies; what is there already stays as it is."""
        if not rejected:
            return
        try:
            with outages():
                await self._collection.insert_many(
                    [self._document(one) for one in rejected], ordered=False
                )
        except BulkWriteError as error:
            known_already(error, "rejected events")

    async def page(
        self, workspace_id: str, *, limit: int, before: str | None = None
    ) -> list[Rejected]:
        """Return up to ``limit`` open ones, newest first, older than the id ``before``."""
        where: Document = {"workspace_id": workspace_id, "state": "open"}
        found = await newest(self._collection, where, limit=limit, before=before)
        return [_rejected(document) for document in found]

    async def get(self, workspace_id: str, rejected_id: str) -> Rejected | None:
        """Return one that was not discarded."""
        where = {"_id": rejected_id, "workspace_id": workspace_id, "state": {"$ne": "discarded"}}
        with outages():
            found = await self._collection.find_one(where)
        return None if found is None else _rejected(found)

    async def resubmitted(self, rejected: Rejected, event_id: str) -> None:
        """Take note of the event that it has become."""
        await self._set(rejected, {"state": "resubmitted", "event_id": event_id})

    async def discarded(self, rejected: Rejected) -> None:
        """Forget what was in it; only that it was discarded is kept."""
        await self._set(rejected, {"state": "discarded", "value": b"", "headers": []})

    async def _set(self, rejected: Rejected, fields: Document) -> None:
        with outages():
            await self._collection.update_one({"_id": rejected.id}, {"$set": fields})

    def _document(self, rejected: Rejected) -> Document:
        document: Document = msgspec.to_builtins(rejected, builtin_types=(bytes,))
        document["_id"] = document.pop("id")
        return {
            **document,
            "expires_at": DatetimeMS(rejected.received_ms + self._retention_ms),
        }


def _rejected(document: Document) -> Rejected:
    return msgspec.convert({**document, "id": document["_id"]}, Rejected)
