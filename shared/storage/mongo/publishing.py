"""Changing a document so that the LAST record of its key on ``endpoints`` is its newest state.

MongoDB and Kafka have no common transaction, several processes change the same document, and each
of them may stop anywhere. Compaction keeps the last record of a key, so an old state that arrives
late would be believed for ever. The protocol, for every change:

1. one ``find_one_and_update`` increments ``revision`` and pushes a fresh *token* onto
   ``publishers``: "somebody is about to write this key's state";
2. the document's state (a tombstone when it is deleted) is produced and acknowledged;
3. if ``revision`` is still the one that was produced, one ``find_one_and_update`` pulls the token
   and sets ``published_revision``; else the document is read again and step 2 is repeated.

The call returns after step 3 only. A writer that is overtaken between 1 and 2 therefore repairs its
own late record. One that dies leaves its token behind; ``sweep`` (the gateway runs it every few
seconds) finds tokens older than ``TOKEN_STALE_MS`` and publishes the state again, under a token of
its own. A dead writer's record may still be on its way, in the buffer of a process that waits for
Kafka to come back; so the stale token is pulled only by a second such publication, at least
``TOKEN_GRACE_MS`` after the first.

Creating is the same with one addition: a document is visible only once ``published_revision`` is at
least 1. A creation that stopped half-way was never seen by anybody; the sweep deletes it, and the
caller, who got an error, may simply try again.

Deleting sets ``deleted_at``. The document itself goes a day after its tombstone was acknowledged
(TTL index on ``tombstone_at``), so that a late writer finds out that it is late.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Final, Generic, Protocol, TypeVar

from pymongo import ReturnDocument

from shared.models.endpoints import EndpointState, WorkspaceState, encode_state
from shared.models.errors import Outage
from shared.storage.mongo.client import Collection, Document, outages

TOKEN_STALE_MS: Final = 10_000
TOKEN_GRACE_MS: Final = 60_000
SWEEP_DOCUMENTS_MAX: Final = 500
TOMBSTONE_KEPT_S: Final = 86_400
_TOKEN_ENTROPY_BYTES: Final = 8

VISIBLE: Final[Document] = {"published_revision": {"$gte": 1}, "deleted_at": None}
"""What every read asks for: created completely, not deleted."""


Clock = Callable[[], int]
Entropy = Callable[[int], bytes]
SendState = Callable[[str, bytes | None], Awaitable[object]]
"""Produces a key's state (None: tombstone); returns when acknowledged, raises Outage."""


class Stateful(Protocol):
    """A record that has a state on the ``endpoints`` topic."""

    @property
    def deleted(self) -> bool:
        """Return whether the record is deleted."""

    def state(self) -> EndpointState | WorkspaceState | None:
        """Return the state to publish; None is a tombstone."""


R = TypeVar("R", bound=Stateful)


def half_deleted(key: str) -> Document:
    """Return what finds a document whose deletion was stored, but not published."""
    return {
        "_id": key,
        "published_revision": {"$gte": 1},
        "deleted_at": {"$ne": None},
        "tombstone_at": None,
    }


class Publishing(Generic[R]):
    """Changes documents of one collection and publishes their states.

    Cancelling a call leaves the change where it is; the sweep finishes it. ``now_ms`` and
    ``entropy`` are the clock and the source of random bytes.
    """

    def __init__(
        self,
        collection: Collection,
        record_of: Callable[[Document], R],
        *,
        send: SendState,
        now_ms: Clock,
        entropy: Entropy,
    ) -> None:
        self._collection = collection
        self._record_of = record_of
        self._send = send
        self._now_ms = now_ms
        self._entropy = entropy
        self._republished_ms: dict[str, int] = {}  # stale token -> when we first published for it

    async def create(self, document: Document) -> R:
        """Store a new document and publish its state; it is visible when this returns.

        Raises Outage when it could not be published in time: then it will never be visible.
        """
        token = self._new_token()
        fresh = {**document, "revision": 1, "published_revision": 0, "publishers": [token]}
        with outages():
            await self._collection.insert_one(fresh)
        record = await self._publish(fresh, [token])
        if record.deleted:
            raise Outage("it was not created in time and is withdrawn")
        return record

    async def change(self, where: Document, update: Document) -> R | None:
        """Apply ``update`` to the visible document that ``where`` finds and publish its state.

        Returns the record as published, which may hold later changes of others, or None when
        nothing matches. Raises Outage when the change may be stored but is not published: the
        sweep will publish it, and the caller may repeat the call.
        """
        return await self._change({**VISIBLE, **where}, update)

    async def republish(self, where: Document) -> R | None:
        """Publish the state of the document that ``where`` finds again, deleted ones included."""
        token = self._new_token()
        document = await self._updated(where, {"$push": {"publishers": token}})
        return None if document is None else await self._publish(document, [token])

    async def sweep(self, *, everything: bool = False) -> int:
        """Publish what others began and did not finish; returns how many documents that were.

        With ``everything`` also documents that have no token although their published revision is
        behind (a restored backup): that reads the whole collection. Raises Outage.
        """
        cutoff = _token(self._now_ms() - TOKEN_STALE_MS)
        where: Document = {"publishers": {"$lt": cutoff}}
        if everything:
            behind = {"publishers": [], "$expr": {"$ne": ["$revision", "$published_revision"]}}
            where = {"$or": [where, behind]}
        with outages():
            found = await self._collection.find(where).to_list(SWEEP_DOCUMENTS_MAX)
        stale = {doc["_id"]: [t for t in doc["publishers"] if t < cutoff] for doc in found}
        self._forget_all_but(token for tokens in stale.values() for token in tokens)
        due = [doc for doc in found if self._is_due(stale[doc["_id"]])]
        for document in due:
            await self._repair(document, stale[document["_id"]])
        return len(due)

    async def _repair(self, document: Document, stale: list[str]) -> None:
        """Publish for the writers behind the ``stale`` tokens; pull those whose grace is over."""
        token = self._new_token()
        where = {"_id": document["_id"], "revision": document["revision"]}
        update: Document = {"$push": {"publishers": token}}
        if stale and document["published_revision"] == 0 and "deleted_at" not in document:
            # A creation that stopped half-way: its caller got an error and may have tried again.
            update |= {"$set": {"deleted_at": self._now()}, "$inc": {"revision": 1}}
        current = await self._updated(where, update)
        if current is None:
            return  # somebody changed it meanwhile; the next sweep looks again
        over = [known for known in stale if self._grace_is_over(known)]
        await self._publish(current, [token, *over])
        for known in stale:
            self._republished_ms.setdefault(known, self._now_ms())

    async def _change(self, where: Document, update: Document) -> R | None:
        token = self._new_token()
        merged = {
            **update,
            "$inc": {**update.get("$inc", {}), "revision": 1},
            "$push": {**update.get("$push", {}), "publishers": token},
        }
        document = await self._updated(where, merged)
        return None if document is None else await self._publish(document, [token])

    async def _publish(self, document: Document, tokens: list[str]) -> R:
        """Do steps 2 and 3 until the state that was produced is the newest one."""
        key = document["_id"]
        while True:
            record = self._record_of(document)
            state = record.state()
            await self._send(key, None if state is None else encode_state(state))
            settled = await self._settle(document, tokens, record.deleted)
            if settled is not None:
                return self._record_of(settled)
            with outages():
                newer = await self._collection.find_one({"_id": key})
            if newer is None:  # purged: we are a day late, and our record is the last one
                await self._send(key, None)
                raise Outage("it was deleted meanwhile")
            document = newer

    async def _settle(
        self, document: Document, tokens: list[str], deleted: bool
    ) -> Document | None:
        """Do step 3; returns None when the document has moved on."""
        published: Document = {"published_revision": document["revision"]}
        if deleted:
            published["tombstone_at"] = self._now()
        return await self._updated(
            {"_id": document["_id"], "revision": document["revision"]},
            {"$pull": {"publishers": {"$in": tokens}}, "$set": published},
        )

    async def _updated(self, where: Document, update: Document) -> Document | None:
        with outages():
            found: Document | None = await self._collection.find_one_and_update(
                where, update, return_document=ReturnDocument.AFTER
            )
        return found

    def _is_due(self, stale: list[str]) -> bool:
        unseen = any(token not in self._republished_ms for token in stale)
        return unseen or all(self._grace_is_over(token) for token in stale)

    def _grace_is_over(self, token: str) -> bool:
        first_ms = self._republished_ms.get(token)
        return first_ms is not None and self._now_ms() - first_ms >= TOKEN_GRACE_MS

    def _forget_all_but(self, tokens: Iterable[str]) -> None:
        kept = set(tokens)
        self._republished_ms = {t: at for t, at in self._republished_ms.items() if t in kept}

    def _new_token(self) -> str:
        return f"{_token(self._now_ms())}{self._entropy(_TOKEN_ENTROPY_BYTES).hex()}"

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ms() / 1000, UTC)


def _token(time_ms: int) -> str:
    """Return a token's beginning; tokens sort by time, and this one is below all of its time."""
    return f"{time_ms:015d}-"
