"""Health of endpoints: what the recorder has counted, and up to which record of ``attempts``.

A document is the fold (``shared.policy.health``) over one endpoint's attempts up to ``offset`` of
``partition``. Records at or before it are never folded again, so that reading a part of the topic
twice changes nothing. Endpoints that never failed have no document.

    {_id: endpoint id, failures, first_failure_ms, epoch, told, partition, offset, healthy_at?}

A document of a healthy endpoint only keeps older failures from being counted again; it goes when
Kafka has forgotten them too (``HEALTHY_KEPT_S`` after ``healthy_at``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from shared.models.errors import Outage
from shared.policy.health import EndpointHealth, Health
from shared.storage.mongo.client import Document, Mongo, outages
from shared.storage.mongo.endpoints import ENDPOINTS
from shared.storage.mongo.indexes import ASCENDING, Index
from shared.topics import ATTEMPTS

HEALTH: Final = "health"
HEALTHY_KEPT_S: Final = ATTEMPTS.retention_ms // 1000 + 86_400

INDEXES: Final = (
    Index(
        collection=HEALTH,
        keys=(("partition", ASCENDING),),  # an endpoint's changes only where the topic grows
        serves="of_partition: a recorder takes a partition over",
    ),
    Index(
        collection=HEALTH,
        keys=(("healthy_at", ASCENDING),),
        serves="healthy endpoints go when no older failure can be read again",
        options={"expireAfterSeconds": HEALTHY_KEPT_S, "sparse": True},
    ),
)

_DUPLICATE_KEY: Final = 11_000


class HealthStore:
    """The ``health`` collection."""

    def __init__(self, mongo: Mongo) -> None:
        self._collection = mongo.collection(HEALTH)
        self._endpoints = mongo.collection(ENDPOINTS)

    async def failures(self, endpoint_id: str, epoch: int) -> int:
        """Return how many attempts in a row have failed in this epoch; raises Outage."""
        with outages():
            found = await self._collection.find_one({"_id": endpoint_id, "epoch": epoch})
        return 0 if found is None else int(found["failures"])

    async def of_partition(
        self, partition: int, *, from_offset: int, limit: int
    ) -> list[EndpointHealth]:
        """Return what matters to somebody who reads ``partition`` from ``from_offset`` on.

        That is the endpoints that are failing and those whose last change may be read again; up
        to ``limit`` of them. Raises Outage.
        """
        matters = [{"failures": {"$gt": 0}}, {"offset": {"$gte": from_offset}}]
        where: Document = {"partition": partition, "$or": matters}
        with outages():
            found = await self._collection.find(where).limit(limit).to_list(limit)
        return [_health(document) for document in found]

    async def of_endpoints(self, endpoint_ids: Collection[str]) -> list[EndpointHealth]:
        """Return what is known of these endpoints; raises Outage."""
        where = {"_id": {"$in": list(endpoint_ids)}}
        with outages():
            found = await self._collection.find(where).to_list(len(endpoint_ids))
        return [_health(document) for document in found]

    async def save(self, changed: Sequence[EndpointHealth]) -> None:
        """Store changes; one that is older than what is stored is left out. Raises Outage.

        The newer document wins even when a worker that has lost the partition writes late.
        """
        if not changed:
            return
        try:
            with outages():
                await self._collection.bulk_write([_update(one) for one in changed], ordered=False)
        except BulkWriteError as error:
            if _is_outage(error):
                raise Outage("MongoDB did not take all changes of health") from error

    async def restart(self, partition: int) -> None:
        """Forget everything about a partition whose records are counted anew; raises Outage."""
        with outages():
            await self._collection.delete_many({"partition": partition})

    async def forget(self, partition: int, endpoint_ids: Collection[str]) -> None:
        """Forget these endpoints' counts where they are of this partition; raises Outage."""
        with outages():
            await self._collection.delete_many(
                {"_id": {"$in": list(endpoint_ids)}, "partition": partition}
            )

    async def profiles(self, endpoint_ids: Collection[str]) -> dict[str, str]:
        """Return the profile's name of each of these endpoints that exists; raises Outage."""
        where = {"_id": {"$in": list(endpoint_ids)}}
        with outages():
            found = await self._endpoints.find(where, {"profile": 1}).to_list(len(endpoint_ids))
        return {document["_id"]: document["profile"] for document in found}


def _update(one: EndpointHealth) -> UpdateOne:
    """Return the change that takes effect unless the document is ahead of it already.

    When it is, the filter finds nothing and the upsert fails with a duplicate key.
    """
    behind = [{"partition": {"$ne": one.partition}}, {"offset": {"$lt": one.offset}}]
    values: Document = {
        **msgspec.structs.asdict(one.health),
        "partition": one.partition,
        "offset": one.offset,
    }
    change: Document = {"$set": values}
    if one.health.failures:
        change["$unset"] = {"healthy_at": ""}
    else:
        change["$currentDate"] = {"healthy_at": True}
    return UpdateOne({"_id": one.endpoint_id, "$or": behind}, change, upsert=True)


def _is_outage(error: BulkWriteError) -> bool:
    failures = error.details["writeErrors"]
    late = all(failure["code"] == _DUPLICATE_KEY for failure in failures)
    return not late or bool(error.details["writeConcernErrors"])


def _health(document: Document) -> EndpointHealth:
    return EndpointHealth(
        endpoint_id=document["_id"],
        health=msgspec.convert(document, Health),
        partition=document["partition"],
        offset=document["offset"],
    )
