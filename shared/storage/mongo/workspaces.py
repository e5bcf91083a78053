"""Workspaces. The API keys that open them are in ``api_keys``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec
from pymongo.errors import DuplicateKeyError

from shared.models.errors import Conflict
from shared.models.management import Workspace
from shared.storage.mongo.client import Document, Mongo, newest, outages
from shared.storage.mongo.publishing import (
    VISIBLE,
    Clock,
    Entropy,
    Publishing,
    SendState,
    half_deleted,
)

WORKSPACES = "workspaces"

_NAMES_ONLY: Document = {"types.description": 0, "types.example": 0}
_OWN: Final = ("name", "limits", "suspended_ms", "deleting_ms", "updated_ms")


class WorkspaceStore:
    """The ``workspaces`` collection; every change is published to ``endpoints``."""

    def __init__(self, mongo: Mongo, *, send: SendState, now_ms: Clock, entropy: Entropy) -> None:
        self._collection = mongo.collection(WORKSPACES)
        self._now_ms = now_ms
        self._publishing = Publishing(
            self._collection, _workspace, send=send, now_ms=now_ms, entropy=entropy
        )

    async def create(self, workspace: Workspace) -> Workspace:
        """Store and publish a new workspace.

        Raises Conflict where there is one with this id, or was lately, and Outage when it could not
        be published in time: then it does not exist.
        """
        document: Document = {
            "_id": workspace.id,
            "name": workspace.name,
            "profile": workspace.profile,
            "created_ms": workspace.created_ms,
            "limits": msgspec.to_builtins(workspace.limits),
        }
        try:
            return await self._publishing.create(document)
        except DuplicateKeyError:
            raise Conflict(f"there is, or was, a workspace {workspace.id!r}", field="id") from None

    async def get(self, workspace_id: str) -> Workspace | None:
        """Return a workspace, its event types by name only; raises Outage."""
        return await self._found(workspace_id, _NAMES_ONLY)

    async def whole(self, workspace_id: str) -> Workspace | None:
        """Return a workspace with all that its event types say; raises Outage."""
        return await self._found(workspace_id, None)

    async def page(self, *, limit: int, before: str | None = None) -> list[Workspace]:
        """Return up to ``limit`` workspaces, by id from the highest, below the id ``before``."""
        found = await newest(self._collection, VISIBLE, limit=limit, before=before)
        return [_workspace(document) for document in found]

    async def replace(self, workspace: Workspace) -> Workspace | None:
        """Store what the operator decides of a workspace, if it still has this revision.

        Returns it as published, or None when it was changed meanwhile; raises as ``set_types``.
        """
        where = {"_id": workspace.id, "revision": workspace.revision}
        fields: Document = msgspec.to_builtins(workspace)
        return await self._publishing.change(where, {"$set": {name: fields[name] for name in _OWN}})

    async def delete(self, workspace_id: str) -> None:
        """Delete a workspace; what has begun is gone on with, what is done is left alone."""
        deletion = {"deleted_at": datetime.fromtimestamp(self._now_ms() / 1000, UTC)}
        if await self._publishing.change({"_id": workspace_id}, {"$set": deletion}) is None:
            await self._publishing.republish(half_deleted(workspace_id))

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


def _workspace(document: Document) -> Workspace:
    fields = {**document, "id": document["_id"], "deleted": "deleted_at" in document}
    return msgspec.convert(fields, Workspace)
