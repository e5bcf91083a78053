"""Claims of idempotency keys: one document for each key, gone a day after it was claimed.

The unique ``_id`` arbitrates between gateways. Whoever changes a claim names its holder, so that a
holder that was overtaken changes nothing any more.
"""

from __future__ import annotations

from typing import Final

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo.errors import DuplicateKeyError

from shared.models.claims import Answer, Claim
from shared.storage.mongo.client import Document, Mongo, outages

CLAIMS: Final = "idempotency"


class ClaimStore:
    """The ``idempotency`` collection. Every call may raise Outage."""

    def __init__(self, mongo: Mongo) -> None:
        self._collection = mongo.collection(CLAIMS)

    async def add(self, claim: Claim) -> bool:
        """Store a claim of a key that nobody has claimed; returns whether that was so."""
        try:
            with outages():
                await self._collection.insert_one(_document(claim))
        except DuplicateKeyError:
            return False
        return True

    async def get(self, claim_id: str) -> Claim | None:
        """Return the claim that stands."""
        with outages():
            found = await self._collection.find_one({"_id": claim_id})
        return None if found is None else msgspec.convert({**found, "id": found["_id"]}, Claim)

    async def replace(self, standing: Claim, claim: Claim) -> bool:
        """Put ``claim`` in the place of ``standing``; returns False when that has moved on."""
        with outages():
            done = await self._collection.replace_one(_held(standing), _document(claim))
        return bool(done.matched_count)

    async def settle(self, claim: Claim, answer: Answer) -> None:
        """Keep the answer of the call that holds ``claim``."""
        with outages():
            await self._collection.update_one(
                _held(claim), {"$set": {"answer": msgspec.to_builtins(answer)}}
            )

    async def abandon(self, claim: Claim) -> None:
        """Let the next request with the key and the same body go on at once."""
        with outages():
            await self._collection.update_one(_held(claim), {"$set": {"held_until_ms": 0}})

    async def release(self, claim: Claim) -> None:
        """Give the key back as if it had never been used."""
        with outages():
            await self._collection.delete_one(_held(claim))


def _held(claim: Claim) -> Document:
    return {"_id": claim.id, "holder": claim.holder}


def _document(claim: Claim) -> Document:
    document: Document = msgspec.to_builtins(claim)
    document["_id"] = document.pop("id")
    return {**document, "expires_at": DatetimeMS(claim.expires_ms)}
