"""API keys: a document for each, found by the SHA-256 of any secret that it has or had.

``_id`` is the digest of the key as it was made; ``digests`` are those that may open it now, which a
rotation changes. Documents from before rotations were possible have neither ``digests`` nor ``id``:
they are found by ``_id``, and their id derives from it. A revoked key stays for a month, so that
whoever still uses it is told so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from shared.models import ids
from shared.models.management import ApiKey
from shared.storage.mongo.client import Document, Mongo, outages

API_KEYS: Final = "api_keys"
REVOKED_KEPT_S: Final = 30 * 86_400


class ApiKeyStore:
    """The ``api_keys`` collection. Every call may raise Outage."""

    def __init__(self, mongo: Mongo) -> None:
        self._collection = mongo.collection(API_KEYS)

    async def add(self, key: ApiKey) -> None:
        """Store a key; adding the same key again changes nothing."""
        try:
            with outages():
                await self._collection.insert_one({"_id": key.digest, **_fields(key)})
        except DuplicateKeyError:
            return  # the write arrived the first time

    async def find(self, digest: str) -> ApiKey | None:
        """Return the key that this SHA-256 (hex) opens, or has opened."""
        with outages():
            found = await self._collection.find_one(_opened_by(digest))
        return None if found is None else _api_key(found)

    async def of_workspace(self, workspace_id: str) -> list[ApiKey]:
        """Return the keys of a workspace that were not revoked, newest first."""
        where = {"workspace_id": workspace_id, "revoked_ms": None}
        with outages():
            found: list[Document] = await self._collection.find(where).to_list(None)
        keys = [_api_key(document) for document in found]
        return sorted(keys, key=lambda key: key.id, reverse=True)

    async def replace(self, standing: ApiKey, key: ApiKey) -> ApiKey | None:
        """Put ``key`` in the place of ``standing``; returns None when that was changed meanwhile.

        When it was last used is kept.
        """
        revision = standing.revision
        where = {
            **_opened_by(standing.digest),
            "workspace_id": standing.workspace_id,
            "revision": {"$in": [revision, None] if revision == 1 else [revision]},
        }
        fields = _fields(msgspec.structs.replace(key, revision=revision + 1))
        del fields["last_used_ms"]
        change: Document = {"$set": fields}
        if key.revoked_ms is None:
            change["$unset"] = {"revoked_at": ""}
        else:
            fields["revoked_at"] = DatetimeMS(key.revoked_ms)
        with outages():
            found: Document | None = await self._collection.find_one_and_update(
                where, change, return_document=ReturnDocument.AFTER
            )
        return None if found is None else _api_key(found)

    async def used(self, times_ms: Mapping[str, int]) -> None:
        """Note when keys were last used, by digest."""
        if not times_ms:
            return
        notes = [
            UpdateOne(_opened_by(digest), {"$max": {"last_used_ms": used_ms}})
            for digest, used_ms in times_ms.items()
        ]
        with outages():
            await self._collection.bulk_write(notes, ordered=False)


def _opened_by(digest: str) -> Document:
    return {"$or": [{"_id": digest}, {"digests": digest}]}


def _fields(key: ApiKey) -> Document:
    """Return what the document holds besides its ``_id``."""
    fields: Document = msgspec.to_builtins(key)
    return {**fields, "digests": [key.digest, *(old.digest for old in key.earlier)]}


def _api_key(document: Document) -> ApiKey:
    first = document["_id"]
    fields = {"digest": first, **document}
    fields["id"] = document.get("id") or ids.derived_id(ids.API_KEY, document["created_ms"], first)
    return msgspec.convert(fields, ApiKey)
