"""The delivery log: one row for each attempt, which is the record of ``attempts`` as it came.

Rows are kept in chunks (``shared.storage.chunks``), whose ``_id`` begins with the endpoint and the
second in which the attempts were due: the main list (an endpoint's rows, newest first) is a range
of ``_id`` and needs no secondary index. ``docs/decisions/0012-log-chunks.md`` has the figures.

Whatever is filtered for, a page reads about ``SCAN_ROWS_MAX`` rows at most: it may come back short,
or even empty, and still name a next one. No call takes longer because an endpoint has many rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo.errors import BulkWriteError

from shared.models import ids
from shared.models.attempts import Attempt
from shared.models.errors import Outage
from shared.models.searches import ALL_ATTEMPTS, AttemptFilter
from shared.storage.chunks import (
    SLOT_MS,
    AttemptRow,
    Chunk,
    Logged,
    chunk_up,
    merge,
    slot_of,
    slot_start,
)
from shared.storage.mongo.client import DAY_MS, DUPLICATE_KEY, Document, Mongo, outages
from shared.storage.mongo.indexes import ASCENDING, DESCENDING, Index

CHUNKS: Final = "log_chunks"

SCAN_ROWS_MAX: Final = 20_000
READ_CHUNKS: Final = 64  # fetched at a time

INDEXES: Final = (
    Index(
        collection=CHUNKS,
        keys=(("expires_at", ASCENDING),),
        serves="retention: chunks go when their newest row's time is over",
        options={"expireAfterSeconds": 0},
    ),
    Index(
        collection=CHUNKS,
        # Read backwards. Not DESCENDING: the development server loses rows of such a range when a
        # bound is the beginning of their ids.
        keys=(("failed", ASCENDING), ("_id", ASCENDING)),
        serves="GET /v1/webhooks/{id}/deliveries?status=failed; successes cost nothing here",
        options={"partialFilterExpression": {"failed": True}},
    ),
    Index(
        collection=CHUNKS,
        keys=(("workspace_id", ASCENDING), ("due_s", ASCENDING)),
        serves="GET /v1/deliveries, GET /v1/events/{id}: a workspace's rows by time",
    ),
    Index(
        collection=CHUNKS,
        keys=(("workspace_id", ASCENDING), ("failed", ASCENDING), ("due_s", ASCENDING)),
        serves="GET /v1/deliveries?status=failed; successes cost nothing here",
        options={"partialFilterExpression": {"failed": True}},
    ),
)

_LAST: Final = "whe"  # behind every delivery id
_FAR_MS: Final = (1 << 48) - 2 * SLOT_MS
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


class Page(msgspec.Struct, frozen=True):
    """Rows, newest first. ``next`` is the ``before`` of the page after it, None on the last one."""

    rows: tuple[AttemptRow, ...]
    next: str | None


class AttemptLog:
    """The log's collection. ``retention_days`` counts from a chunk's newest attempt."""

    def __init__(self, mongo: Mongo, *, retention_days: int) -> None:
        self._collection = mongo.collection(CHUNKS)
        self._retention_ms = retention_days * DAY_MS

    async def insert(self, records: Sequence[Logged]) -> Stored:
        """Store the records of a batch; returns when they are journalled.

        What is there already stays as it is. Raises Outage when the server is away or could not
        take some of them for a reason that is not theirs; inserting all of them again is right
        then.
        """
        chunks = chunk_up(records)
        if not chunks:
            return Stored(fresh=0, known=0)
        documents = [self._document(chunk) for chunk in chunks]
        try:
            with outages():
                await self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return _judge(error, chunks)
        return Stored(fresh=len(records), known=0)

    async def page(
        self,
        endpoint_id: str,
        *,
        limit: int,
        before: str | None = None,
        chosen: AttemptFilter = ALL_ATTEMPTS,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Page:
        """Return an endpoint's rows, newest first, that are older than the delivery ``before``.

        ``since_ms`` and ``until_ms`` bound when the attempt was due: from ``since_ms`` on, before
        ``until_ms``. A page with a filter may be short although another one follows. Raises Outage.
        """
        start = _floor(since_ms or 0)
        end = min(before or _LAST, _LAST if until_ms is None else _floor(until_ms))
        where: Document = {"_id": _span(endpoint_id, start, end)}
        if chosen.status == "failed":
            where["failed"] = True
        rows: list[AttemptRow] = []
        read, oldest = 0, end
        async for second in self._seconds(endpoint_id, where):
            if read >= SCAN_ROWS_MAX or len(rows) > limit:
                break
            asked = {row_id: one for row_id, one in second.items() if start <= row_id < end}
            read += len(asked)
            oldest = min(asked, default=oldest)
            rows += [AttemptRow(row_id, one) for row_id, one in asked.items() if chosen.takes(one)]
        else:
            oldest = ""
        if len(rows) > limit:
            return Page(tuple(rows[:limit]), rows[limit - 1].id)
        return Page(tuple(rows), oldest or None)

    async def get(self, endpoint_id: str, delivery_id: str) -> AttemptRow | None:
        """Return one row, or None; raises Outage."""
        if _time_ms(delivery_id, -1) < 0:
            return None
        where = {"_id": _span(endpoint_id, delivery_id, delivery_id)}
        async for second in self._seconds(endpoint_id, where):
            if delivery_id in second:
                return AttemptRow(delivery_id, second[delivery_id])
        return None

    async def _seconds(
        self, endpoint_id: str, where: Document
    ) -> AsyncIterator[Mapping[str, Attempt]]:
        """Yield an endpoint's rows of one second after the other, the newest first."""
        span: Document = dict(where["_id"])
        group: list[Document] = []
        while True:
            chunks = self._collection.find({**where, "_id": span}).sort("_id", DESCENDING)
            with outages():
                found: list[Document] = await chunks.limit(READ_CHUNKS).to_list(READ_CHUNKS)
            for chunk in found:
                if group and slot_of(group[-1]["_id"]) != slot_of(chunk["_id"]):
                    yield _rows(endpoint_id, group)
                    group = []
                group.append(chunk)
            if len(found) < READ_CHUNKS:
                break
            span["$lt"] = found[-1]["_id"]
        if group:
            yield _rows(endpoint_id, group)

    def _document(self, chunk: Chunk) -> Document:
        document: Document = {
            "_id": chunk.id,
            "expires_at": DatetimeMS(chunk.newest_ms + self._retention_ms),
            "workspace_id": chunk.workspace_id,
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


def _floor(time_ms: int) -> str:
    return ids.id_floor(ids.DELIVERY, time_ms)


def _span(endpoint_id: str, start: str, end: str) -> Document:
    """Return the range of ``_id`` in which rows from ``start`` up to ``end`` can be."""
    return {
        "$gte": slot_start(endpoint_id, _time_ms(start, 0)),
        "$lt": slot_start(endpoint_id, _time_ms(end, _FAR_MS) + SLOT_MS),
    }


def _time_ms(delivery_id: str, otherwise: int) -> int:
    """Return the time in an id; callers may send anything for one."""
    try:
        return ids.time_ms_of(delivery_id)
    except ValueError:
        return otherwise


def _rows(endpoint_id: str, group: list[Document]) -> Mapping[str, Attempt]:
    """Return the rows of chunks that come newest first; foreign ids may fall into the range."""
    rows = merge(chunk["attempts"] for chunk in reversed(group))
    return {row_id: one for row_id, one in rows.items() if one.endpoint_id == endpoint_id}
