"""Endpoints: the source of truth. Every change is published to ``endpoints`` before it returns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from shared.models.management import (
    ALL_ENDPOINTS,
    Endpoint,
    EndpointFilter,
    EndpointStatus,
)
from shared.storage.mongo.client import Document, Mongo, newest, outages
from shared.storage.mongo.publishing import (
    VISIBLE,
    Clock,
    Entropy,
    Publishing,
    SendState,
    half_deleted,
)

ENDPOINTS: Final = "endpoints"

_NOT_STORED: Final = ("id", "revision", "deleted")  # kept elsewhere in the document


class EndpointStore:
    """The ``endpoints`` collection.

    Calls that change something return when the new state is acknowledged on ``endpoints``, and
    raise Outage when the change may be stored but is not published yet; repeating them is safe.
    """

    def __init__(self, mongo: Mongo, *, send: SendState, now_ms: Clock, entropy: Entropy) -> None:
        self._collection = mongo.collection(ENDPOINTS)
        self._now_ms = now_ms
        self._publishing = Publishing(
            self._collection, _endpoint, send=send, now_ms=now_ms, entropy=entropy
        )

    async def create(self, endpoint: Endpoint) -> Endpoint:
        """Store and publish a new endpoint.

        Raises Outage when that was not possible in time; then it does not exist, and creating it
        again does not make two.
        """
        return await self._publishing.create({"_id": endpoint.id, **_fields(endpoint)})

    async def get(self, workspace_id: str, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint of this workspace; raises Outage."""
        with outages():
            found = await self._collection.find_one(_where(workspace_id, endpoint_id))
        return None if found is None else _endpoint(found)

    async def find(self, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint of whatever workspace; raises Outage."""
        with outages():
            found = await self._collection.find_one({**VISIBLE, "_id": endpoint_id})
        return None if found is None else _endpoint(found)

    async def page(
        self,
        workspace_id: str,
        *,
        limit: int,
        before: str | None = None,
        chosen: EndpointFilter = ALL_ENDPOINTS,
    ) -> list[Endpoint]:
        """Return up to ``limit`` endpoints, newest first, older than the id ``before``."""
        where: Document = {**VISIBLE, "workspace_id": workspace_id, **_chosen(chosen)}
        found = await newest(self._collection, where, limit=limit, before=before)
        return [_endpoint(document) for document in found]

    async def count(self, workspace_id: str) -> int:
        """Return how many endpoints a workspace has; raises Outage."""
        where = {**VISIBLE, "workspace_id": workspace_id}
        with outages():
            return int(await self._collection.count_documents(where))

    async def replace(self, endpoint: Endpoint) -> Endpoint | None:
        """Store ``endpoint`` in place of the stored one if that still has its revision.

        Returns it as published, or None when somebody else has changed or deleted it.
        """
        where = {**_where(endpoint.workspace_id, endpoint.id), "revision": endpoint.revision}
        return await self._publishing.change(where, {"$set": _fields(endpoint)})

    async def delete(
        self, workspace_id: str, endpoint_id: str, *, revision: int | None = None
    ) -> bool:
        """Delete an endpoint, of this ``revision`` if one is given; returns whether there was one.

        An endpoint whose deletion was stored, but not published, is deleted again with success.
        """
        where = _where(workspace_id, endpoint_id)
        if revision is not None:
            where["revision"] = revision
        now = datetime.fromtimestamp(self._now_ms() / 1000, UTC)
        if await self._publishing.change(where, {"$set": {"deleted_at": now}}) is not None:
            return True
        half = {**half_deleted(endpoint_id), "workspace_id": workspace_id}
        return await self._publishing.republish(half) is not None

    async def disable(self, endpoint_id: str, epoch: int, reason: str) -> Endpoint | None:
        """Disable an endpoint that is active in this ``epoch``.

        Returns it as it is disabled for this reason, also when an earlier call has done so: its
        caller may have been cut off. None when it is deleted, enabled again, or disabled otherwise.
        """
        where = {"_id": endpoint_id, "active": True, "epoch": epoch}
        change = {"active": False, "disabled_reason": reason, "updated_ms": self._now_ms()}
        disabled = await self._publishing.change(where, {"$set": change})
        if disabled is not None:
            return disabled
        done = {"_id": endpoint_id, "active": False, "epoch": epoch, "disabled_reason": reason}
        return await self._publishing.republish({**VISIBLE, **done})

    async def sweep(self, *, everything: bool = False) -> int:
        """Publish what others began and did not finish; see ``Publishing.sweep``."""
        return await self._publishing.sweep(everything=everything)


def _where(workspace_id: str, endpoint_id: str) -> Document:
    return {**VISIBLE, "_id": endpoint_id, "workspace_id": workspace_id}


_STATUS: Final[Mapping[EndpointStatus, Document]] = {
    "active": {"active": True, "paused_ms": None},
    "paused": {"active": True, "paused_ms": {"$ne": None}},
    "disabled": {"active": False},
}


def _chosen(chosen: EndpointFilter) -> Document:
    """Return the conditions of a filter; they narrow what the index of a workspace yields."""
    where: Document = {}
    if chosen.status is not None:
        where |= _STATUS[chosen.status]
    if chosen.names is not None:
        where["events"] = {"$in": list(chosen.names)}
    if chosen.text is not None:
        text = {"$regex": re.escape(chosen.text), "$options": "i"}
        where["$or"] = [{"url": text}, {"description": text}]
    return where | {f"metadata.{key}": value for key, value in chosen.metadata.items()}


def _fields(endpoint: Endpoint) -> Document:
    """Return what the document holds besides its id and what publishing keeps in it."""
    fields: Document = msgspec.to_builtins(endpoint)
    return {name: value for name, value in fields.items() if name not in _NOT_STORED}


def _endpoint(document: Document) -> Endpoint:
    fields = {**document, "id": document["_id"], "deleted": "deleted_at" in document}
    return msgspec.convert(fields, Endpoint)
