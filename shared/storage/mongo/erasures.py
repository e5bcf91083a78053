"""Erased events: the mark that each has, and taking what there is of them out of the log.

``ErasureStore.erase`` is the one place where a payload is erased. MongoDB holds no request bodies
(Kafka does, ``shared.topics``); what receivers answered is in the rows of the log, and may repeat
the payload. The mark comes first: whoever is about to read or to write something of the event finds
it from then on. The recorder looks for new marks every few seconds (``log_rules``), so an answer
that was on its way may still be written; erasing again takes that out, too.

A mark stays for as long as Kafka or the log can have anything of its event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from shared.models.erasures import Erasure
from shared.models.errors import Outage
from shared.storage.chunks import without_answers
from shared.storage.mongo.attempts import CHUNKS
from shared.storage.mongo.client import DAY_MS, Document, Mongo, outages
from shared.storage.mongo.indexes import ASCENDING, Index
from shared.storage.mongo.log_rules import ERASURES

INDEXES: Final = (
    Index(
        collection=ERASURES,
        keys=(("erased_ms", ASCENDING),),
        serves="the recorder: which events were erased lately",
    ),
    Index(
        collection=ERASURES,
        keys=(("expires_at", ASCENDING),),
        serves="marks go when nothing can be left of their events",
        options={"expireAfterSeconds": 0},
    ),
)

MARK_DAYS_MIN: Final = 90
"""Kafka's longest: dead letters after the longest schedule, 30 days, and a week in a segment."""

SECONDS_AT_ONCE: Final = 100
TRIES_MAX: Final = 5


class ErasureStore:
    """The collection ``erasures``, and the log's. Every call may raise Outage."""

    def __init__(self, mongo: Mongo, *, retention_days: int) -> None:
        self._marks = mongo.collection(ERASURES)
        self._chunks = mongo.collection(CHUNKS)
        self._kept_ms = max(MARK_DAYS_MIN, 2 * retention_days) * DAY_MS

    async def erase(self, erasure: Erasure, seconds: Iterable[int]) -> Erasure:
        """Mark an event, and take it out of the log's rows that were due in these seconds.

        Returns the mark that stands: the first one, however often this is repeated.
        """
        standing = await self._mark(erasure)
        due_s = sorted(set(seconds))
        for start in range(0, len(due_s), SECONDS_AT_ONCE):
            await self._take_out(erasure, due_s[start : start + SECONDS_AT_ONCE])
        return standing

    async def get(self, workspace_id: str, event_id: str) -> Erasure | None:
        """Return the mark of an event, None where it is not erased."""
        found = await self.among([(workspace_id, event_id)])
        return found[0] if found else None

    async def among(self, events: Collection[tuple[str, str]]) -> list[Erasure]:
        """Return the marks of those of these events (workspace, event) that have one."""
        with outages():
            found: list[Document] = await self._marks.find(
                {"_id": {"$in": [_mark_id(*event) for event in events]}}
            ).to_list(None)
        return [msgspec.convert(document, Erasure) for document in found]

    async def _mark(self, erasure: Erasure) -> Erasure:
        document: Document = {
            **msgspec.to_builtins(erasure),
            "_id": _mark_id(erasure.workspace_id, erasure.event_id),
            "expires_at": DatetimeMS(erasure.erased_ms + self._kept_ms),
        }
        try:
            with outages():
                await self._marks.insert_one(document)
        except DuplicateKeyError:
            return await self.get(erasure.workspace_id, erasure.event_id) or erasure
        return erasure

    async def _take_out(self, erasure: Erasure, seconds: Sequence[int]) -> None:
        """Rewrite the chunks that hold answers; one that changes meanwhile is read again."""
        where = {"workspace_id": erasure.workspace_id, "due_s": {"$in": list(seconds)}}
        for _ in range(TRIES_MAX):
            with outages():
                chunks: list[Document] = await self._chunks.find(where).to_list(None)
            changes = [
                UpdateOne(
                    {"_id": chunk["_id"], "attempts": chunk["attempts"]},
                    {"$set": {"attempts": packed}},
                )
                for chunk in chunks
                if (packed := without_answers(chunk["attempts"], erasure.event_id)) is not None
            ]
            if not changes:
                return
            with outages():
                await self._chunks.bulk_write(changes, ordered=False)
        raise Outage("the log's rows of this event are changed by somebody else at the same time")


def _mark_id(workspace_id: str, event_id: str) -> str:
    return f"{workspace_id}:{event_id}"
