"""Deletions of workspaces, and the deletion of what belongs to one, kind by kind.

``KINDS`` lists every collection that holds something of a workspace, but for its endpoints and
itself, which are deleted through their stores because their states are on Kafka, and for the claims
of idempotency keys, which go within a day by themselves. Whoever adds a collection adds it here;
``tests/integration/gateway/test_deletions.py`` fails otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from shared.models.deletions import HELD_MS, Deletion
from shared.storage.mongo.api_keys import API_KEYS
from shared.storage.mongo.attempts import CHUNKS
from shared.storage.mongo.audit import AUDIT_LOG
from shared.storage.mongo.client import DAY_MS, Document, Mongo, outages
from shared.storage.mongo.counters import COUNTERS
from shared.storage.mongo.health import HEALTH
from shared.storage.mongo.indexes import ASCENDING, Index
from shared.storage.mongo.jobs import JOBS, RESENDS
from shared.storage.mongo.log_rules import ERASURES
from shared.storage.mongo.rejected import REJECTED
from shared.storage.mongo.stats import PAGES

DELETIONS: Final = "deletions"
AT_ONCE: Final = 1_000
"""How many documents one call deletes: well within an operation's time."""


class Kind(NamedTuple):
    """Things of one kind: where they are, and what finds those of a workspace."""

    collection: str
    where: Callable[[str], Document]


def _owned(workspace_id: str) -> Document:
    return {"workspace_id": workspace_id}


def _named(workspace_id: str) -> Document:
    return {"_id": {"$gte": f"{workspace_id}/", "$lt": f"{workspace_id}0"}}  # "0" follows "/"


KINDS: Final[Mapping[str, Kind]] = {
    "api_keys": Kind(API_KEYS, _owned),
    "audit_log": Kind(AUDIT_LOG, _owned),
    "jobs": Kind(JOBS, _owned),
    "resends": Kind(RESENDS, _owned),
    "rejected_events": Kind(REJECTED, _owned),
    "log_chunks": Kind(CHUNKS, _owned),
    "erasures": Kind(ERASURES, _owned),
    "stats": Kind(PAGES, _owned),
    "counters": Kind(COUNTERS, _named),
}

INDEXES: Final = (
    *(
        Index(
            collection=collection,
            keys=(("workspace_id", ASCENDING),),
            serves="deleting a workspace",
        )
        for collection in (ERASURES, PAGES)
    ),
    Index(
        collection=DELETIONS,
        keys=(("expires_at", ASCENDING),),
        serves="deletions that are done go with the log's retention",
        options={"expireAfterSeconds": 0},
    ),
)


class DeletionStore:
    """The ``deletions`` collection. Every call may raise Outage."""

    kinds: Final = tuple(KINDS)

    def __init__(self, mongo: Mongo, *, retention_days: int) -> None:
        self._mongo = mongo
        self._collection = mongo.collection(DELETIONS)
        self._retention_ms = retention_days * DAY_MS

    async def add(self, deletion: Deletion) -> Deletion:
        """Store a new one; returns the one that stands, which may be from before."""
        try:
            with outages():
                await self._collection.insert_one(_document(deletion))
        except DuplicateKeyError:
            return await self.get(deletion.workspace_id) or deletion
        return deletion

    async def get(self, workspace_id: str) -> Deletion | None:
        """Return the deletion of a workspace."""
        with outages():
            found = await self._collection.find_one({"_id": workspace_id})
        return None if found is None else _deletion(found)

    async def claim(self, holder: str, now_ms: int) -> Deletion | None:
        """Return one that is to be worked at, held by ``holder`` from now on."""
        due = {"state": {"$in": ["running", "waiting"]}, "due_ms": {"$lte": now_ms}}
        taken = {"holder": holder, "due_ms": now_ms + HELD_MS}
        with outages():
            found: Document | None = await self._collection.find_one_and_update(
                due, {"$set": taken}, return_document=ReturnDocument.AFTER
            )
        return None if found is None else _deletion(found)

    async def save(self, deletion: Deletion) -> bool:
        """Store how far it is; returns False when its holder was overtaken."""
        document = _document(deletion)
        if deletion.finished_ms is not None:
            document["expires_at"] = DatetimeMS(deletion.finished_ms + self._retention_ms)
        where = {"_id": deletion.workspace_id, "holder": deletion.holder}
        with outages():
            done = await self._collection.update_one(where, {"$set": document})
        return bool(done.matched_count)

    async def purge(self, kind: str, workspace_id: str) -> int:
        """Delete up to ``AT_ONCE`` things of a kind; returns how many, 0 when none is left."""
        return await self._purge(KINDS[kind].collection, KINDS[kind].where(workspace_id))

    async def purge_health(self, endpoint_ids: Collection[str]) -> None:
        """Delete what is counted of these endpoints."""
        await self._purge(HEALTH, {"_id": {"$in": list(endpoint_ids)}})

    async def _purge(self, name: str, where: Document) -> int:
        collection = self._mongo.collection(name)
        with outages():
            found: list[Document] = await collection.find(where, {"_id": 1}).to_list(AT_ONCE)
            if not found:
                return 0
            done = await collection.delete_many({"_id": {"$in": [one["_id"] for one in found]}})
        return int(done.deleted_count)


def _document(deletion: Deletion) -> Document:
    document: Document = msgspec.to_builtins(deletion)
    document["_id"] = document.pop("workspace_id")
    return document


def _deletion(document: Document) -> Deletion:
    return msgspec.convert({**document, "workspace_id": document["_id"]}, Deletion)
