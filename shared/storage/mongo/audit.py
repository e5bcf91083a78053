"""The audit log: entries go in, get their outcome once, and go with their retention.

There is no call that changes or removes an entry otherwise. Values before and after are kept as
JSON text: a caller's object may have names and numbers that BSON does not take.
"""

from __future__ import annotations

from typing import Final

import msgspec
from bson.datetime_ms import DatetimeMS

from shared.models import ids
from shared.models.audit import ALL_ENTRIES, Entry, EntryFilter
from shared.storage.mongo.client import DAY_MS, Document, Mongo, newest, outages

AUDIT_LOG: Final = "audit_log"
_VALUES: Final = ("before", "after")


class AuditStore:
    """The ``audit_log`` collection. Every call may raise Outage."""

    def __init__(self, mongo: Mongo, *, retention_days: int) -> None:
        self._collection = mongo.collection(AUDIT_LOG)
        self._retention_ms = retention_days * DAY_MS

    async def begin(self, entry: Entry) -> None:
        """Store an entry whose outcome is not known yet."""
        document = _document(entry)
        document["_id"] = document.pop("id")
        document["expires_at"] = DatetimeMS(entry.time_ms + self._retention_ms)
        with outages():
            await self._collection.insert_one(document)

    async def settle(self, entry: Entry) -> None:
        """Store how it came out, unless that was stored before."""
        told = _document(entry)
        fields = {name: told[name] for name in ("object_id", "outcome", "status", "changes")}
        with outages():
            await self._collection.update_one(
                {"_id": entry.id, "outcome": "unknown"}, {"$set": fields}
            )

    async def page(
        self,
        workspace_id: str,
        *,
        limit: int,
        before: str | None = None,
        chosen: EntryFilter = ALL_ENTRIES,
    ) -> list[Entry]:
        """Return up to ``limit`` entries, newest first, older than the id ``before``."""
        where: Document = {"workspace_id": workspace_id, **_chosen(chosen)}
        found = await newest(self._collection, where, limit=limit, before=before)
        return [_entry(document) for document in found]


def _chosen(chosen: EntryFilter) -> Document:
    equal = {
        "actor.id": chosen.actor,
        "action": chosen.action,
        "object_id": chosen.object_id,
    }
    where: Document = {name: value for name, value in equal.items() if value is not None}
    times = {"$gte": chosen.since_ms, "$lt": chosen.until_ms}
    bounds = [
        {"_id": {operator: ids.id_floor(ids.AUDIT, time_ms)}}
        for operator, time_ms in times.items()
        if time_ms is not None
    ]
    return {**where, "$and": bounds} if bounds else where


def _document(entry: Entry) -> Document:
    document: Document = msgspec.to_builtins(entry)
    for change in document["changes"]:
        change |= {name: msgspec.json.encode(change[name]).decode() for name in _VALUES}
    return document


def _entry(document: Document) -> Entry:
    changes = [
        change | {name: msgspec.json.decode(change[name]) for name in _VALUES}
        for change in document["changes"]
    ]
    return msgspec.convert({**document, "id": document["_id"], "changes": changes}, Entry)
