"""The delivery log: one row for each attempt, which is the record of ``attempts`` as it came.

Rows are kept in chunks (``shared.storage.chunks``), one endpoint's of one second each. Every list
is read by who owns the rows (an endpoint, or a workspace) and by second (``log_spans``): those two
are indexed, ``_id`` only tells chunks apart. ``docs/decisions/0026-log-lists.md`` has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo.errors import BulkWriteError

from shared.models import ids
from shared.models.errors import Outage
from shared.models.searches import Asked
from shared.storage.chunks import SLOT_MS, AttemptRow, Chunk, Logged, chunk_up, row_of
from shared.storage.mongo.client import DAY_MS, DUPLICATE_KEY, Document, Mongo, outages
from shared.storage.mongo.indexes import ASCENDING, Index
from shared.storage.mongo.log_rules import LogRules
from shared.storage.mongo.log_spans import Page, newest_first, of_second, page_of, records_of

CHUNKS: Final = "log_chunks"

INDEXES: Final = (
    Index(
        collection=CHUNKS,
        keys=(("expires_at", ASCENDING),),
        serves="retention: chunks go when their newest row's time is over",
        options={"expireAfterSeconds": 0},
    ),
    # Read backwards. Not DESCENDING: the development server loses rows of such a range when a bound
    # is the beginning of a key.
    *(
        index
        for owner, lists in (
            ("endpoint_id", "GET /v1/webhooks/{id}/deliveries"),
            ("workspace_id", "GET /v1/deliveries, GET /v1/events/{id}"),
        )
        for index in (
            Index(
                collection=CHUNKS,
                keys=((owner, ASCENDING), ("due_s", ASCENDING)),
                serves=f"{lists}: by time",
            ),
            Index(
                collection=CHUNKS,
                keys=((owner, ASCENDING), ("failed", ASCENDING), ("due_s", ASCENDING)),
                serves=f"{lists}, status=failed; successes cost nothing here",
                options={"partialFilterExpression": {"failed": True}},
            ),
        )
    ),
)

_ROW_AT_FAULT: Final = frozenset(
    {
        2,  # BadValue
        9,  # FailedToParse
        22,  # InvalidBSON
        121,  # DocumentValidationFailure
        10_334,  # BSONObjectTooLarge
        17_280,  # KeyTooLong
        17_420,  # the document is larger than the server's limit
    }
)
"""Codes that blame the row itself. Whatever else the server says is an outage and waited out."""


class Stored(msgspec.Struct, frozen=True):
    """What became of an insert. ``refused`` says which rows the server will never take, and why."""

    fresh: int
    known: int
    refused: tuple[str, ...] = ()


class AttemptLog:
    """The log's collection. Retention counts from a chunk's newest attempt.

    ``retention_days`` is the deployment's; ``LogRules`` knows which workspaces keep their rows for
    less, and what of a new row must not be kept.
    """

    def __init__(self, mongo: Mongo, *, retention_days: int, now_ms: Callable[[], int]) -> None:
        self._collection = mongo.collection(CHUNKS)
        self._retention_ms = retention_days * DAY_MS
        self._now_ms = now_ms
        self._rules = LogRules(mongo, retention_days=retention_days, now_ms=now_ms)

    async def insert(self, records: Sequence[Logged]) -> Stored:
        """Store the records of a batch; returns when they are journalled.

        What is there already stays as it is. Raises Outage when the server is away or could not
        take some of them for a reason that is not theirs; inserting all of them again is right
        then.
        """
        if not records:
            return Stored(fresh=0, known=0)
        rules = await self._rules.of({record.attempt.workspace_id for record in records})
        chunks = chunk_up(rules.kept(record) for record in records)
        documents = [_document(chunk, rules.retention_ms[chunk.workspace_id]) for chunk in chunks]
        try:
            with outages():
                await self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return _judge(error, chunks)
        return Stored(fresh=len(records), known=0)

    async def page(self, endpoint_id: str, asked: Asked) -> Page:
        """Return a page of an endpoint's rows. Raises Outage."""
        return await page_of(
            self._collection,
            {"endpoint_id": endpoint_id},
            asked,
            now_ms=self._now_ms(),
            kept_ms=self._retention_ms,
        )

    async def get(self, endpoint_id: str, delivery_id: str) -> AttemptRow | None:
        """Return one row, or None; callers may send anything for an id. Raises Outage."""
        due_ms = ids.told_time_ms(ids.DELIVERY, delivery_id)
        if due_ms is None:
            return None
        owner = {"endpoint_id": endpoint_id}
        chunks = await of_second(self._collection, owner, due_ms // SLOT_MS)
        rows = await newest_first(records_of(chunks))
        return next((row_of(*one) for one in rows if one[0] == delivery_id), None)


def _document(chunk: Chunk, retention_ms: int) -> Document:
    document: Document = {
        "_id": chunk.id,
        "expires_at": DatetimeMS(chunk.newest_ms + retention_ms),
        "workspace_id": chunk.workspace_id,
        "endpoint_id": chunk.endpoint_id,
        "due_s": chunk.due_s,
        "attempts": chunk.packed,
    }
    return {**document, "failed": True} if chunk.failed else document


def _judge(error: BulkWriteError, chunks: Sequence[Chunk]) -> Stored:
    """Return what an unordered insert with errors has stored; raises Outage to have it repeated."""
    failures: list[dict[str, Any]] = error.details["writeErrors"]
    refused = [failure for failure in failures if failure["code"] in _ROW_AT_FAULT]
    known = [failure for failure in failures if failure["code"] == DUPLICATE_KEY]
    if len(known) + len(refused) < len(failures) or error.details["writeConcernErrors"]:
        raise Outage("MongoDB did not take all rows of the log") from error
    rows = sum(chunk.rows for chunk in chunks)
    known_rows = sum(chunks[failure["index"]].rows for failure in known)
    return Stored(
        fresh=rows - known_rows - sum(chunks[failure["index"]].rows for failure in refused),
        known=known_rows,
        refused=tuple(str(failure["errmsg"])[:500] for failure in refused),
    )
