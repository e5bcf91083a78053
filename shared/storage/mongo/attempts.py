"""The delivery log: one row for each attempt, which is the record of ``attempts`` as it came.

A row's ``_id`` is ``<endpoint id>:<delivery id>``. Delivery ids sort by time, so the main list
(an endpoint's rows, newest first) is a range of ``_id`` and needs no secondary index; and they are
derived, so that a record which is read twice is one row. The record itself is kept as the bytes
that Kafka has (``attempt``), decoded only when somebody looks at it; beside it stand just the
fields that queries need. ``docs/decisions/0005-log-rows.md`` has the figures.

A filter that has no index reads at most ``SCAN_ROWS_MAX`` rows of the endpoint for one page: a page
may come back short, or even empty, and still name a next one. No call takes longer because an
endpoint has many rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo.errors import BulkWriteError

from shared.models import ids
from shared.models.attempts import Attempt, decode_attempt
from shared.models.errors import Outage
from shared.storage.mongo.client import Document, Mongo, outages
from shared.storage.mongo.indexes import ASCENDING, DESCENDING, Index

ATTEMPTS: Final = "attempts"

SCAN_ROWS_MAX: Final = 20_000
DAY_MS: Final = 86_400_000

INDEXES: Final = (
    Index(
        collection=ATTEMPTS,
        keys=(("expires_at", ASCENDING),),
        serves="retention: rows go when their time is over",
        options={"expireAfterSeconds": 0},
    ),
    Index(
        collection=ATTEMPTS,
        # Read backwards. Not DESCENDING: the development server loses rows of such a range when a
        # bound is the beginning of their ids.
        keys=(("status", ASCENDING), ("_id", ASCENDING)),
        serves="GET /v1/webhooks/{id}/deliveries?status=failed; a success costs nothing here",
        options={"partialFilterExpression": {"status": "failed"}},
    ),
)

_DUPLICATE_KEY: Final = 11_000
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


class AttemptRow(msgspec.Struct, frozen=True):
    """One row of the log; ``id`` is the delivery id, ``whd_…``."""

    id: str
    attempt: Attempt


class Page(msgspec.Struct, frozen=True):
    """Rows, newest first. ``next`` is the ``before`` of the page after it, None on the last one."""

    rows: tuple[AttemptRow, ...]
    next: str | None


class AttemptLog:
    """The ``attempts`` collection. ``retention_days`` counts from the attempt's start."""

    def __init__(self, mongo: Mongo, *, retention_days: int) -> None:
        self._collection = mongo.collection(ATTEMPTS)
        self._retention_ms = retention_days * DAY_MS

    async def insert(self, rows: Sequence[tuple[Attempt, bytes]]) -> Stored:
        """Store attempts, each with the bytes of its record; returns when they are journalled.

        A row that is there already stays as it is. Raises Outage when the server is away or could
        not take some of them for a reason that is not theirs; inserting all of them again is right
        then.
        """
        if not rows:
            return Stored(fresh=0, known=0)
        documents = [self._document(attempt, value) for attempt, value in rows]
        try:
            with outages():
                await self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return _judge(error, len(rows))
        return Stored(fresh=len(rows), known=0)

    async def page(
        self,
        endpoint_id: str,
        *,
        limit: int,
        before: str | None = None,
        status: str | None = None,
        event_type: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Page:
        """Return an endpoint's rows, newest first, that are older than the delivery ``before``.

        ``since_ms`` and ``until_ms`` bound when the attempt was due: from ``since_ms`` on, before
        ``until_ms``. A page with a filter may be short although another one follows. Raises Outage.
        """
        span = _span(endpoint_id, before, since_ms, until_ms)
        where: Document = {"_id": span}
        if status == "failed":
            where["status"] = status  # indexed, so it is no filter that rows are read for
            status = None
        wanted = {"status": status, "event_type": event_type}
        filters = {name: value for name, value in wanted.items() if value is not None}
        read_to = await self._scan_end(where) if filters else None
        if read_to is not None:
            span["$gte"] = read_to["_id"]
        found = await self._newest({**where, **filters}, limit + 1)
        rows = tuple(_row(document) for document in found[:limit])
        if len(found) > limit:
            return Page(rows, rows[-1].id)
        return Page(rows, None if read_to is None else _delivery_id(read_to))

    async def get(self, endpoint_id: str, delivery_id: str) -> AttemptRow | None:
        """Return one row, or None; raises Outage."""
        with outages():
            found = await self._collection.find_one({"_id": f"{endpoint_id}:{delivery_id}"})
        return None if found is None else _row(found)

    async def _newest(self, where: Document, limit: int) -> list[Document]:
        rows = self._collection.find(where).sort("_id", DESCENDING)
        with outages():
            found: list[Document] = await rows.limit(limit).to_list(limit)
        return found

    async def _scan_end(self, where: Document) -> Document | None:
        """Return the last row that one page may read, None when all of them are few enough."""
        rows = self._collection.find(where, {"_id": 1}).sort("_id", DESCENDING)
        with outages():
            last: list[Document] = await rows.skip(SCAN_ROWS_MAX - 1).limit(1).to_list(1)
        return last[0] if last else None

    def _document(self, attempt: Attempt, value: bytes) -> Document:
        return {
            "_id": f"{attempt.endpoint_id}:{attempt.delivery_id()}",
            "expires_at": DatetimeMS(attempt.started_ms + self._retention_ms),
            "workspace_id": attempt.workspace_id,
            "event_id": attempt.event_id,
            "event_type": attempt.event_type,
            "status": attempt.status,
            "attempt": value,
        }


def _judge(error: BulkWriteError, count: int) -> Stored:
    """Return what an unordered insert with errors has stored; raises Outage to have it repeated."""
    failures: list[dict[str, Any]] = error.details["writeErrors"]
    refused = [failure for failure in failures if failure["code"] in _ROW_AT_FAULT]
    known = sum(failure["code"] == _DUPLICATE_KEY for failure in failures)
    if known + len(refused) < len(failures) or error.details["writeConcernErrors"]:
        raise Outage("MongoDB did not take all rows of the log") from error
    return Stored(
        fresh=count - len(failures),
        known=known,
        refused=tuple(str(failure["errmsg"])[:500] for failure in refused),
    )


def _span(
    endpoint_id: str, before: str | None, since_ms: int | None, until_ms: int | None
) -> Document:
    """Return the range of ``_id`` that holds an endpoint's rows in the given time."""
    ends: Iterable[str | None] = (
        "whe",  # behind every delivery id
        before,
        None if until_ms is None else ids.id_floor(ids.DELIVERY, until_ms),
    )
    start = ids.id_floor(ids.DELIVERY, since_ms or 0)
    end = min(end for end in ends if end is not None)
    return {"$gte": f"{endpoint_id}:{start}", "$lt": f"{endpoint_id}:{end}"}


def _row(document: Document) -> AttemptRow:
    return AttemptRow(_delivery_id(document), decode_attempt(document["attempt"]))


def _delivery_id(document: Document) -> str:
    return str(document["_id"]).rpartition(":")[2]
