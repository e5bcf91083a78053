"""The delivery log of a whole workspace: what is searched across endpoints, and by event.

Chunks of the log (``attempts``) have their workspace and second in an index; a search reads
one span of seconds after the other, the newest first. A span grows while little is found in it, so
that quiet nights are passed quickly, and shrinks where much is. A page reads about
``SEARCH_ROWS_MAX`` rows and ``SPANS_MAX`` spans at most: it may come back short, or even empty, and
still name a next one.

An event's deliveries are found without an index of their own: first attempts are due when Kafka
took the event, and an attempt that is not the last says when the next one is due.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from shared.models import ids
from shared.models.attempts import Attempt
from shared.models.jobs import Resend
from shared.models.searches import ALL_ATTEMPTS, AttemptFilter
from shared.storage.chunks import SLOT_MS, AttemptRow, merge
from shared.storage.mongo.attempts import CHUNKS, Page
from shared.storage.mongo.client import DAY_MS, Document, Mongo, outages
from shared.storage.mongo.indexes import ASCENDING, DESCENDING

SEARCH_ROWS_MAX: Final = 1_000
EVENT_ROWS_MAX: Final = 20_000
SPANS_MAX: Final = 64
SPAN_S_MAX: Final = 86_400
SPAN_CHUNKS_MAX: Final = 100  # where a long span meets a busy hour
SPAN_ROWS: Final = 200
"""A span is to hold about as many rows: more than a page needs are read in vain."""

AHEAD_MS: Final = 60_000  # how far the clock of who made an attempt may be ahead of ours
SECONDS_AT_ONCE: Final = 100
_BEHIND_ALL: Final = "whe"  # behind every delivery id


class Found(NamedTuple):
    """An event's first attempts. Nothing was looked at from ``searched_ms`` on."""

    rows: Sequence[AttemptRow]
    searched_ms: int


class LogSearch:
    """Reads the log's collection. Every call may raise Outage."""

    def __init__(self, mongo: Mongo, *, retention_days: int, now_ms: Callable[[], int]) -> None:
        self._collection = mongo.collection(CHUNKS)
        self._retention_ms = retention_days * DAY_MS
        self._now_ms = now_ms

    async def page(
        self,
        workspace_id: str,
        *,
        limit: int,
        before: str | None = None,
        chosen: AttemptFilter = ALL_ATTEMPTS,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Page:
        """Return a workspace's rows, newest first, that are older than the delivery ``before``.

        ``since_ms`` and ``until_ms`` bound when the attempt was due: from ``since_ms`` on, before
        ``until_ms``. A page may be short although another one follows.
        """
        now_ms = self._now_ms()
        oldest_ms = max(since_ms or 0, now_ms - self._retention_ms)
        newest_ms = now_ms + AHEAD_MS if until_ms is None else min(until_ms, now_ms + AHEAD_MS)
        start = _first_id(oldest_ms)
        end = min(_first_id(newest_ms), before or _BEHIND_ALL)
        stop_s, first_s = _stop_s(end), oldest_ms // SLOT_MS
        rows: list[AttemptRow] = []
        read, span_s = 0, 1
        for spans in itertools.count(1):
            failed = chosen.status == "failed"
            from_s = max(first_s, stop_s - span_s)
            found, from_s = await self._backwards(workspace_id, from_s, stop_s, failed=failed)
            asked = [row for row in found if start <= row.id < end]
            rows += [row for row in asked if chosen.takes(row.attempt)]
            read, stop_s = read + len(found), from_s
            if len(rows) > limit:
                return Page(tuple(rows[:limit]), rows[limit - 1].id)
            if stop_s <= first_s:
                break
            if read >= SEARCH_ROWS_MAX or spans == SPANS_MAX:
                return Page(tuple(rows), _first_id(stop_s * SLOT_MS))
            span_s = next_span_s(span_s, len(found))
        return Page(tuple(rows), None)

    async def of_event(
        self, workspace_id: str, event_id: str, *, since_ms: int, until_ms: int
    ) -> Found:
        """Return the first attempts of an event that were due in this time, by endpoint.

        All of an event's were due in the same second, so the search ends where there are some. It
        gives up after about ``EVENT_ROWS_MAX`` rows.
        """
        from_s, stop_s = since_ms // SLOT_MS, -(-until_ms // SLOT_MS)
        read, span_s = 0, 1
        while from_s < stop_s and read < EVENT_ROWS_MAX:
            to_s = min(stop_s, from_s + span_s)
            found, to_s = await self._forwards(workspace_id, from_s, to_s)
            rows = [row for row in found if _begins(row, event_id)]
            read, from_s = read + len(found), to_s
            if rows:
                rows.sort(key=lambda row: (row.attempt.endpoint_id, row.id))
                return Found(rows, to_s * SLOT_MS)
            span_s = next_span_s(span_s, len(found))
        return Found((), from_s * SLOT_MS)

    async def get(self, workspace_id: str, delivery_id: str) -> AttemptRow | None:
        """Return one row, or None; callers may send anything for an id."""
        time_ms = ids.told_time_ms(ids.DELIVERY, delivery_id)
        if time_ms is None:
            return None
        rows = await self._rows(workspace_id, {delivery_id: time_ms // SLOT_MS})
        return rows[0] if rows else None

    async def known(self, workspace_id: str, delivery_ids: Iterable[str]) -> set[str]:
        """Return which of these rows there are."""
        wanted = {row_id: ids.time_ms_of(row_id) // SLOT_MS for row_id in delivery_ids}
        return {row.id for row in await self._rows(workspace_id, wanted)}

    async def following(self, workspace_id: str, attempts: Iterable[Attempt]) -> list[AttemptRow]:
        """Return the later attempts of the deliveries to which these belong."""
        later: list[AttemptRow] = []
        expected = _next_ids(attempts)
        while expected:
            found = await self._rows(workspace_id, expected)
            later += found
            expected = _next_ids(row.attempt for row in found)
        return later

    async def resent(self, workspace_id: str, resends: Iterable[Resend]) -> list[AttemptRow]:
        """Return all attempts of what was sent again."""
        first = await self._rows(
            workspace_id, {one.first_row_id(): one.due_ms // SLOT_MS for one in resends}
        )
        return [*first, *await self.following(workspace_id, [row.attempt for row in first])]

    async def _backwards(
        self, workspace_id: str, from_s: int, stop_s: int, *, failed: bool
    ) -> tuple[list[AttemptRow], int]:
        """Return the newest rows of these seconds, and from which second on they are all there."""
        where = _span(workspace_id, from_s, stop_s)
        chunks = await self._chunks({**where, "failed": True} if failed else where, DESCENDING)
        if len(chunks) <= SPAN_CHUNKS_MAX:
            return _rows_of(chunks), from_s
        last_s = int(chunks[-1]["due_s"])  # of which not all is here
        whole = [chunk for chunk in chunks if chunk["due_s"] > last_s]
        return _rows_of(whole or await self._second(workspace_id, last_s)), (
            last_s + 1 if whole else last_s
        )

    async def _forwards(
        self, workspace_id: str, from_s: int, stop_s: int
    ) -> tuple[list[AttemptRow], int]:
        """Return the oldest rows of these seconds, and before which second they are all there."""
        chunks = await self._chunks(_span(workspace_id, from_s, stop_s), ASCENDING)
        if len(chunks) <= SPAN_CHUNKS_MAX:
            return _rows_of(chunks), stop_s
        last_s = int(chunks[-1]["due_s"])
        whole = [chunk for chunk in chunks if chunk["due_s"] < last_s]
        return _rows_of(whole or await self._second(workspace_id, last_s)), (
            last_s if whole else last_s + 1
        )

    async def _second(self, workspace_id: str, second: int) -> list[Document]:
        with outages():
            where = _span(workspace_id, second, second + 1)
            chunks: list[Document] = await self._collection.find(where).to_list(None)
        return chunks

    async def _chunks(self, where: Document, order: int) -> list[Document]:
        """Return up to one more than ``SPAN_CHUNKS_MAX`` chunks, by their seconds."""
        limit = SPAN_CHUNKS_MAX + 1
        with outages():
            found = self._collection.find(where).sort("due_s", order).limit(limit)
            chunks: list[Document] = await found.to_list(limit)
        return chunks

    async def _rows(self, workspace_id: str, wanted: Mapping[str, int]) -> list[AttemptRow]:
        """Return the rows with these ids, as far as there are any; ids come with their second."""
        seconds = sorted(set(wanted.values()))
        rows: list[AttemptRow] = []
        for start in range(0, len(seconds), SECONDS_AT_ONCE):
            some = seconds[start : start + SECONDS_AT_ONCE]
            where = {"workspace_id": workspace_id, "due_s": {"$in": some}}
            with outages():
                chunks: list[Document] = await self._collection.find(where).to_list(None)
            rows += [row for row in _rows_of(chunks) if row.id in wanted]
        return rows


def next_span_s(span_s: int, rows: int) -> int:
    """Return how many seconds to read next, after ``rows`` were in the last ``span_s``. Pure."""
    if rows > SPAN_ROWS:
        return max(1, span_s * SPAN_ROWS // rows)
    return min(span_s * 2 if rows < SPAN_ROWS // 4 else span_s, SPAN_S_MAX)


def _next_ids(attempts: Iterable[Attempt]) -> dict[str, int]:
    """Return the ids of the attempts that follow these, with the second in which they are due."""
    following = (attempt.next_id() for attempt in attempts)
    return {row_id: ids.time_ms_of(row_id) // SLOT_MS for row_id in following if row_id}


def _span(workspace_id: str, from_s: int, stop_s: int) -> Document:
    return {"workspace_id": workspace_id, "due_s": {"$gte": from_s, "$lt": stop_s}}


def _rows_of(chunks: Iterable[Document]) -> list[AttemptRow]:
    """Return the rows of whole seconds, newest first."""
    ordered = sorted(chunks, key=lambda chunk: str(chunk["_id"]))
    rows = merge(chunk["attempts"] for chunk in ordered)
    return [AttemptRow(row_id, attempt) for row_id, attempt in rows.items()]


def _begins(row: AttemptRow, event_id: str) -> bool:
    return row.attempt.event_id == event_id and row.attempt.attempt == 1


def _first_id(time_ms: int) -> str:
    return ids.id_floor(ids.DELIVERY, time_ms) + "0" * 20


def _stop_s(end: str) -> int:
    """Return the second before which all rows with an id below ``end`` were due."""
    time_ms = ids.time_ms_of(end)
    behind = time_ms + 1 if end > _first_id(time_ms) else time_ms
    return -(-behind // SLOT_MS)
