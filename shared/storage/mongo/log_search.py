"""The delivery log of a whole workspace: what is searched across endpoints, and by event.

Chunks of the log (``attempts``) have their workspace and second in an index; pages are read as
``log_spans`` says.

An event's deliveries are found without an index of their own: first attempts are due when Kafka
took the event, and an attempt that is not the last says when the next one is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from shared.models import ids
from shared.models.attempts import Attempt
from shared.models.jobs import Resend
from shared.models.searches import Asked, AttemptFilter
from shared.storage.chunks import SLOT_MS, AttemptRow, row_of
from shared.storage.mongo.attempts import CHUNKS
from shared.storage.mongo.client import DAY_MS, Document, Mongo, outages
from shared.storage.mongo.log_spans import (
    SPAN_S_MIN,
    Page,
    newest_first,
    next_span_s,
    oldest_chunks,
    page_of,
    records_of,
)

EVENT_ROWS_MAX: Final = 20_000
SECONDS_AT_ONCE: Final = 100


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

    async def page(self, workspace_id: str, asked: Asked) -> Page:
        """Return a page of a workspace's rows."""
        return await page_of(
            self._collection,
            {"workspace_id": workspace_id},
            asked,
            now_ms=self._now_ms(),
            kept_ms=self._retention_ms,
        )

    async def of_event(
        self, workspace_id: str, event_id: str, *, since_ms: int, until_ms: int
    ) -> Found:
        """Return the first attempts of an event that were due in this time, by endpoint.

        All of an event's were due in the same second, so the search ends where there are some. It
        gives up after about ``EVENT_ROWS_MAX`` rows.
        """
        from_s, stop_s = since_ms // SLOT_MS, -(-until_ms // SLOT_MS)
        owner, (mark,) = {"workspace_id": workspace_id}, AttemptFilter(event_id=event_id).marks()
        read, span_s = 0, SPAN_S_MIN
        while from_s < stop_s and read < EVENT_ROWS_MAX:
            to_s = min(stop_s, from_s + span_s)
            chunks, to_s = await oldest_chunks(self._collection, owner, from_s, to_s)
            found = records_of(chunks)
            marked = await newest_first([record for record in found if mark in record])
            rows = [row for one in marked if _begins(row := row_of(*one), event_id)]
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

    async def _rows(self, workspace_id: str, wanted: Mapping[str, int]) -> list[AttemptRow]:
        """Return the rows with these ids, as far as there are any; ids come with their second."""
        seconds = sorted(set(wanted.values()))
        rows: list[AttemptRow] = []
        for start in range(0, len(seconds), SECONDS_AT_ONCE):
            some = seconds[start : start + SECONDS_AT_ONCE]
            where = {"workspace_id": workspace_id, "due_s": {"$in": some}}
            with outages():
                chunks: list[Document] = await self._collection.find(where).to_list(None)
            stored = await newest_first(records_of(chunks))
            rows += [row_of(*one) for one in stored if one[0] in wanted]
        return rows


def _next_ids(attempts: Iterable[Attempt]) -> dict[str, int]:
    """Return the ids of the attempts that follow these, with the second in which they are due."""
    following = (attempt.next_id() for attempt in attempts)
    return {row_id: ids.time_ms_of(row_id) // SLOT_MS for row_id in following if row_id}


def _begins(row: AttemptRow, event_id: str) -> bool:
    return row.attempt.event_id == event_id and row.attempt.attempt == 1
