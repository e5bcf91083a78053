"""Workspaces and the API keys that open them."""

from __future__ import annotations

import msgspec
from pymongo.errors import DuplicateKeyError

from shared.models.management import ApiKey, Workspace
from shared.storage.mongo.client import Document, Mongo, outages
from shared.storage.mongo.publishing import VISIBLE, Clock, Entropy, Publishing, SendState

WORKSPACES = "workspaces"
API_KEYS = "api_keys"

_NAMES_ONLY: Document = {"types.description": 0, "types.example": 0}


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
        """Return a workspace, its event types by name only; raises Outage."""
        return await self._found(workspace_id, _NAMES_ONLY)

    async def whole(self, workspace_id: str) -> Workspace | None:
        """Return a workspace with all that its event types say; raises Outage."""
        return await self._found(workspace_id, None)

    async def set_types(self, workspace: Workspace) -> Workspace | None:
        """Store and publish the event types, if the stored workspace still has this revision.

        Returns None when it was changed meanwhile. Raises Outage when the change may be stored but
        is not published yet; repeating is safe.
        """
        where = {"_id": workspace.id, "revision": workspace.revision}
        types = [msgspec.to_builtins(one) for one in workspace.types]
        return await self._publishing.change(where, {"$set": {"types": types}})

    async def set_retention(self, workspace_id: str, days: int | None) -> Workspace | None:
        """Store for how many days the log is kept, None for the deployment's.

        Returns None where there is no such workspace. Raises Outage; repeating is safe.
        """
        where = {"_id": workspace_id}
        return await self._publishing.change(where, {"$set": {"retention_days": days}})

    async def _found(self, workspace_id: str, fields: Document | None) -> Workspace | None:
        with outages():
            found = await self._collection.find_one({**VISIBLE, "_id": workspace_id}, fields)
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
