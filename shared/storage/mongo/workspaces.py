"""Workspaces and the API keys that open them."""

from __future__ import annotations

import msgspec
from pymongo.errors import DuplicateKeyError

from shared.models.management import ApiKey, Workspace
from shared.storage.mongo.client import Document, Mongo, outages
from shared.storage.mongo.publishing import VISIBLE, Clock, Entropy, Publishing, SendState

WORKSPACES = "workspaces"
API_KEYS = "api_keys"


class WorkspaceStore:
    """The ``workspaces`` collection; every change is published to ``endpoints``."""

    def __init__(self, mongo: Mongo, *, send: SendState, now_ms: Clock, entropy: Entropy) -> None:
        self._collection = mongo.collection(WORKSPACES)
        self._publishing = Publishing(
            self._collection, _workspace, send=send, now_ms=now_ms, entropy=entropy
        )

    async def create(self, workspace: Workspace) -> Workspace:
        """Store and publish a new workspace; raises Outage when that was not possible."""
        return await self._publishing.create(
            {
                "_id": workspace.id,
                "name": workspace.name,
                "profile": workspace.profile,
                "created_ms": workspace.created_ms,
            }
        )

    async def get(self, workspace_id: str) -> Workspace | None:
        """Return a workspace; raises Outage."""
        with outages():
            found = await self._collection.find_one({**VISIBLE, "_id": workspace_id})
        return None if found is None else _workspace(found)

    async def sweep(self, *, everything: bool = False) -> int:
        """Publish what others began and did not finish; see ``Publishing.sweep``."""
        return await self._publishing.sweep(everything=everything)


class ApiKeyStore:
    """The ``api_keys`` collection: ``_id`` is the SHA-256 of a key, the key itself is nowhere."""

    def __init__(self, mongo: Mongo) -> None:
        self._collection = mongo.collection(API_KEYS)

    async def add(self, key: ApiKey) -> None:
        """Store a key; adding the same key again changes nothing. Raises Outage."""
        document = msgspec.structs.asdict(key)
        document["_id"] = document.pop("digest")
        try:
            with outages():
                await self._collection.insert_one(document)
        except DuplicateKeyError:
            return  # the write arrived the first time

    async def find(self, digest: str) -> ApiKey | None:
        """Return the key with this SHA-256 (hex); raises Outage."""
        with outages():
            found = await self._collection.find_one({"_id": digest})
        return None if found is None else _api_key(found)

    async def revoke(self, workspace_id: str, hint: str) -> int:
        """Delete the workspace's keys that begin with ``hint``; returns how many there were."""
        with outages():
            done = await self._collection.delete_many({"workspace_id": workspace_id, "hint": hint})
        return int(done.deleted_count)


def _workspace(document: Document) -> Workspace:
    fields = {**document, "id": document["_id"], "deleted": "deleted_at" in document}
    return msgspec.convert(fields, Workspace)


def _api_key(document: Document) -> ApiKey:
    return msgspec.convert({**document, "digest": document["_id"]}, ApiKey)
