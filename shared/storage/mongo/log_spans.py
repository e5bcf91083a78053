"""Reading the delivery log backwards: whoever owns the rows, one span of seconds after the other.

The owner is an endpoint or a workspace; both have an index with the second behind them. A span is
a range of that index with both ends named, because the embedded server reads a range to its end
before it sorts and cuts (about 7 µs a chunk), while MongoDB walks the index backwards and stops at
the limit. A span grows while little is found in it, so that quiet nights are passed quickly, and
shrinks where much is. Rows are put in order second by second, until there are enough: those that
have the marks of what is looked for. Only what a page needs is decoded as a whole. A second may
hold tens of thousands, so whoever shares the event loop gets a turn after each ``AT_ONCE`` of them.

A page reads about ``ROWS_MAX`` rows and ``SPANS_MAX`` spans at most: it may come back short, or
even empty, and still name a next one. A cursor is a place in the log (a row's id, or the beginning
of a second), so that what is written meanwhile moves nothing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from pymongo import ASCENDING, DESCENDING

from shared.models import ids
from shared.models.searches import Asked
from shared.storage.chunks import SLOT_MS, AttemptRow, merge, row_of, unpack
from shared.storage.mongo.client import Collection, Document, outages

ROWS_MAX: Final = 1_000
SPANS_MAX: Final = 64
SPAN_S_MIN: Final = 2  # the first one's length
SPAN_S_MAX: Final = 604_800
SPAN_CHUNKS_MAX: Final = 100  # where a long span meets a busy hour
SPAN_ROWS: Final = 200
"""A span is to hold about as many rows: more than a page needs are read in vain."""

SPAN_GROWTH_MAX: Final = 4
AT_ONCE: Final = 200  # rows in one go: a millisecond or two
WHOLE_ROWS_MAX: Final = 10_000
"""Rows of a page of whole seconds, which ends within a second that has more: some 30 MB."""
AHEAD_MS: Final = 60_000  # how far the clock of who made an attempt may be ahead of ours
_BEHIND_ALL: Final = "whe"  # behind every delivery id


class Page(msgspec.Struct, frozen=True):
    """Rows, newest first. ``next`` is the ``before`` of the page after it, None on the last one."""

    rows: tuple[AttemptRow, ...]
    next: str | None


async def page_of(
    collection: Collection, owner: Document, asked: Asked, *, now_ms: int, kept_ms: int
) -> Page:
    """Return a page of the rows of ``owner`` that were due within ``kept_ms``; raises Outage."""
    since_ms = max(asked.since_ms or 0, now_ms - kept_ms)
    where = {**owner, "failed": True} if asked.chosen.status == "failed" else owner
    latest_ms = now_ms + AHEAD_MS
    newest_ms = latest_ms if asked.until_ms is None else min(asked.until_ms, latest_ms)
    start = first_id(since_ms)
    end = min(first_id(newest_ms), asked.before or _BEHIND_ALL)
    stop_s, first_s = _stop_s(end), since_ms // SLOT_MS
    marks = asked.chosen.marks()
    rows_max = WHOLE_ROWS_MAX if asked.whole_seconds else asked.limit
    rows: list[AttemptRow] = []
    read, span_s = 0, SPAN_S_MIN
    ahead_s = max(0, stop_s - now_ms // SLOT_MS)  # where there is hardly anything
    for spans in itertools.count(1):
        from_s = max(first_s, stop_s - span_s - ahead_s)
        chunks, stop_s = await newest_chunks(collection, where, from_s, stop_s)
        found = 0
        for records in _seconds(chunks):
            found += len(records)
            marked = [record for record in records if all(mark in record for mark in marks)]
            rows += await _taken(marked, asked, start, end, rows_max + 1 - len(rows))
            if len(rows) > rows_max:
                return Page(tuple(rows[:-1]), rows[-2].id)
            if len(rows) > asked.limit:
                return Page(tuple(rows), first_id(_second(rows[-1]) * SLOT_MS))
        if stop_s <= first_s:
            return Page(tuple(rows), None)
        read, ahead_s = read + found, 0
        if read >= ROWS_MAX or spans == SPANS_MAX:
            break
        span_s = next_span_s(span_s, found)
    return Page(tuple(rows), first_id(stop_s * SLOT_MS))


async def newest_chunks(
    collection: Collection, where: Document, from_s: int, stop_s: int
) -> tuple[list[Document], int]:
    """Return the newest chunks of these seconds, and from which second on they are all there."""
    chunks = await _chunks(collection, where, from_s, stop_s, DESCENDING)
    if len(chunks) <= SPAN_CHUNKS_MAX:
        return chunks, from_s
    last_s = int(chunks[-1]["due_s"])  # of which not all is here
    whole = [chunk for chunk in chunks if chunk["due_s"] > last_s]
    if whole:
        return whole, last_s + 1
    return await of_second(collection, where, last_s), last_s


async def oldest_chunks(
    collection: Collection, where: Document, from_s: int, stop_s: int
) -> tuple[list[Document], int]:
    """Return the oldest chunks of these seconds, and before which second they are all there."""
    chunks = await _chunks(collection, where, from_s, stop_s, ASCENDING)
    if len(chunks) <= SPAN_CHUNKS_MAX:
        return chunks, stop_s
    last_s = int(chunks[-1]["due_s"])
    whole = [chunk for chunk in chunks if chunk["due_s"] < last_s]
    if whole:
        return whole, last_s
    return await of_second(collection, where, last_s), last_s + 1


async def of_second(collection: Collection, where: Document, second: int) -> list[Document]:
    """Return all chunks of a second; raises Outage."""
    with outages():
        found: list[Document] = await collection.find({**where, "due_s": second}).to_list(None)
    return found


def records_of(chunks: Iterable[Document]) -> list[bytes]:
    """Return the records in these chunks, in the chunks' order."""
    ordered = sorted(chunks, key=lambda chunk: str(chunk["_id"]))
    return [record for chunk in ordered for record in unpack(chunk["attempts"])]


async def newest_first(records: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Return the rows of some seconds by id, each as it comes first, the newest row first."""
    rows: dict[str, bytes] = {}
    for start in range(0, len(records), AT_ONCE):
        if start:
            await asyncio.sleep(0)
        merge(rows, records[start : start + AT_ONCE])
    return sorted(rows.items(), reverse=True)


def next_span_s(span_s: int, rows: int) -> int:
    """Return how many seconds to read next, after ``rows`` were in the last ``span_s``. Pure.

    Where nothing was, a busy hour may begin: the embedded server reads in vain what is too much.
    """
    growth = 3.0 if rows == 0 else min(SPAN_ROWS / rows, SPAN_GROWTH_MAX)
    return min(max(1, int(span_s * growth)), SPAN_S_MAX)


def first_id(time_ms: int) -> str:
    """Return the first delivery id that there can be at ``time_ms``."""
    return ids.id_floor(ids.DELIVERY, time_ms) + "0" * 20


async def _chunks(
    collection: Collection, where: Document, from_s: int, stop_s: int, order: int
) -> list[Document]:
    """Return up to one more than ``SPAN_CHUNKS_MAX`` chunks, by their seconds."""
    limit = SPAN_CHUNKS_MAX + 1
    span = {**where, "due_s": {"$gte": from_s, "$lt": stop_s}}
    with outages():
        found: list[Document] = (
            await collection.find(span).sort("due_s", order).limit(limit).to_list(limit)
        )
    return found


def _seconds(chunks: Iterable[Document]) -> Iterator[list[bytes]]:
    """Yield the records of each second; the chunks come with their newest second first."""
    for _, group in itertools.groupby(chunks, key=lambda chunk: int(chunk["due_s"])):
        yield records_of(group)


async def _taken(
    records: Sequence[bytes], asked: Asked, start: str, end: str, most: int
) -> list[AttemptRow]:
    """Return the newest rows of a second that are asked for, of ``start`` to ``end``."""
    inside = [one for one in await newest_first(records) if start <= one[0] < end]
    taken: list[AttemptRow] = []
    for number, one in enumerate(inside, 1):
        row = row_of(*one)
        if asked.chosen.takes(row.attempt):
            taken.append(row)
            if len(taken) == most:
                break
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    return taken


def _second(row: AttemptRow) -> int:
    return ids.time_ms_of(row.id) // SLOT_MS


def _stop_s(end: str) -> int:
    """Return the second before which all rows with an id below ``end`` were due."""
    time_ms = ids.time_ms_of(end)
    behind = time_ms + 1 if end > first_id(time_ms) else time_ms
    return -(-behind // SLOT_MS)
