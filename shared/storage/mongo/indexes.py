"""Every index of the management collections, with the query that it serves.

The delivery log's own are in ``attempts``: they depend on the deployment's retention. Indexes cost
more than the documents (110 instead of 23 µs an insert with several), so each one says what it is
for. Creating one that exists is free.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from shared.storage.mongo.api_keys import API_KEYS, REVOKED_KEPT_S
from shared.storage.mongo.audit import AUDIT_LOG
from shared.storage.mongo.claims import CLAIMS
from shared.storage.mongo.client import Mongo, outages
from shared.storage.mongo.endpoints import ENDPOINTS
from shared.storage.mongo.jobs import JOBS, RESENDS
from shared.storage.mongo.publishing import TOMBSTONE_KEPT_S
from shared.storage.mongo.workspaces import WORKSPACES

ASCENDING: Final = 1


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """An index: its keys with their direction, what it is for, the driver's options."""

    collection: str
    keys: tuple[tuple[str, int], ...]
    serves: str
    options: dict[str, Any] = {}


INDEXES: Final = (
    Index(
        collection=ENDPOINTS,
        keys=(("workspace_id", ASCENDING), ("_id", ASCENDING)),
        serves="GET /v1/webhooks: a workspace's endpoints, newest first (read backwards)",
    ),
    Index(
        collection=ENDPOINTS,
        keys=(("publishers", ASCENDING),),
        serves="sweep: documents with a token that is older than ...",
    ),
    Index(
        collection=ENDPOINTS,
        keys=(("tombstone_at", ASCENDING),),
        serves="deleted endpoints go a day after their tombstone was acknowledged",
        options={"expireAfterSeconds": TOMBSTONE_KEPT_S, "sparse": True},
    ),
    Index(
        collection=WORKSPACES,
        keys=(("publishers", ASCENDING),),
        serves="sweep: documents with a token that is older than ...",
    ),
    Index(
        collection=WORKSPACES,
        keys=(("tombstone_at", ASCENDING),),
        serves="withdrawn workspaces go a day after their tombstone was acknowledged",
        options={"expireAfterSeconds": TOMBSTONE_KEPT_S, "sparse": True},
    ),
    Index(
        collection=API_KEYS,
        keys=(("workspace_id", ASCENDING), ("hint", ASCENDING)),
        serves="the keys of a workspace, and revoking one by its hint",
    ),
    Index(
        collection=API_KEYS,
        keys=(("digests", ASCENDING),),
        serves="who calls: a key by the digest of any secret that opens it",
    ),
    Index(
        collection=API_KEYS,
        keys=(("revoked_at", ASCENDING),),
        serves="revoked keys go a month later",
        options={"expireAfterSeconds": REVOKED_KEPT_S, "sparse": True},
    ),
    *(
        Index(
            collection=AUDIT_LOG,
            keys=(("workspace_id", ASCENDING), *narrowed, ("_id", ASCENDING)),
            serves="GET /v1/audit-log: newest first (read backwards), all or by one filter",
        )
        for narrowed in ((), *(((field, ASCENDING),) for field in ("actor.id", "object_id")))
    ),
    Index(
        collection=CLAIMS,
        keys=(("expires_at", ASCENDING),),
        serves="idempotency keys are free again after a day",
        options={"expireAfterSeconds": 0},
    ),
    Index(
        collection=JOBS,
        keys=(("state", ASCENDING), ("held_until_ms", ASCENDING)),
        serves="claim: jobs that nobody works at",
    ),
    Index(
        collection=JOBS,
        keys=(("workspace_id", ASCENDING), ("_id", ASCENDING)),
        serves="GET /v1/jobs: a workspace's jobs, newest first (read backwards)",
    ),
    Index(
        collection=RESENDS,
        keys=(("workspace_id", ASCENDING), ("event_id", ASCENDING)),
        serves="GET /v1/events/{id}: what was sent again of an event",
    ),
    *(
        Index(
            collection=collection,
            keys=(("expires_at", ASCENDING),),
            serves="retention",
            options={"expireAfterSeconds": 0},
        )
        for collection in (AUDIT_LOG, JOBS, RESENDS)
    ),
)


async def ensure_indexes(mongo: Mongo, indexes: tuple[Index, ...] = INDEXES) -> None:
    """Create what is missing; raises Outage."""
    for index in indexes:
        with outages():
            await mongo.collection(index.collection).create_index(list(index.keys), **index.options)
