"""Workspaces. The API keys that open them are in ``api_keys``."""

from __future__ import annotations

import msgspec

from shared.models.management import Workspace
from shared.storage.mongo.client import Document, Mongo, outages
from shared.storage.mongo.publishing import VISIBLE, Clock, Entropy, Publishing, SendState

WORKSPACES = "workspaces"

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


def _workspace(document: Document) -> Workspace:
    fields = {**document, "id": document["_id"], "deleted": "deleted_at" in document}
    return msgspec.convert(fields, Workspace)
