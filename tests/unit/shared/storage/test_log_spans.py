"""Pages of the log: what is written between two of them hides no row and repeats none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.models.attempts import Attempt, encode_attempt
from shared.models.searches import ALL_ATTEMPTS, Asked, AttemptFilter
from shared.storage.chunks import Logged, chunk_up
from shared.storage.mongo import log_spans
from shared.storage.mongo.log_spans import Page, next_span_s, page_of
from tests.unit.services.recorder.kit import attempt

NOW_MS = 1_790_000_000_000
OWNER = {"workspace_id": "ws_1"}
FAILED = AttemptFilter(status="failed")
PAGES_MAX = 1_000


class Collection:
    """Chunks in memory, as far as a page asks for them."""

    def __init__(self) -> None:
        self._chunks: dict[str, dict[str, Any]] = {}
        self._written = 0

    def write(self, attempts: Sequence[Attempt]) -> None:
        records = [
            Logged(one, offset, encode_attempt(one))
            for offset, one in enumerate(attempts, self._written)
        ]
        self._written += len(records)
        for chunk in chunk_up(records):
            document = {**chunk._asdict(), "_id": chunk.id, "attempts": chunk.packed}
            self._chunks.setdefault(chunk.id, document)

    def find(self, where: dict[str, Any]) -> Cursor:
        def takes(chunk: dict[str, Any]) -> bool:
            asked = dict(where)
            due_s = asked.pop("due_s")
            span = due_s if isinstance(due_s, dict) else {"$gte": due_s, "$lt": due_s + 1}
            inside = span["$gte"] <= chunk["due_s"] < span["$lt"]
            return inside and all(chunk[name] == value for name, value in asked.items())

        return Cursor([chunk for chunk in self._chunks.values() if takes(chunk)])


class Cursor:
    def __init__(self, found: list[dict[str, Any]]) -> None:
        self._found = found

    def sort(self, name: str, order: int) -> Cursor:
        return Cursor(sorted(self._found, key=lambda chunk: order * int(chunk[name])))

    def limit(self, count: int) -> Cursor:
        return Cursor(self._found[:count])

    async def to_list(self, _: int | None) -> list[dict[str, Any]]:
        return self._found


ROWS = st.lists(
    st.builds(
        lambda endpoint, ago_ms, failed, event: attempt(
            "failed" if failed else "success",
            endpoint_id=f"wh_{endpoint}",
            event_id=f"evt_{event}",
            at_ms=NOW_MS - ago_ms,
        ),
        endpoint=st.integers(0, 3),
        ago_ms=st.one_of(st.integers(0, 3_000), st.integers(0, 400_000)),
        failed=st.booleans(),
        event=st.integers(0, 1_000_000),
    ),
    max_size=12,
    unique_by=Attempt.delivery_id,
)


async def next_page(collection: Collection, wanted: Asked, before: str | None) -> Page:
    asked = replace(wanted, before=before, since_ms=NOW_MS - 500_000)
    return await page_of(collection, OWNER, asked, now_ms=NOW_MS, kept_ms=NOW_MS)  # type: ignore[arg-type]


@settings(max_examples=50)
@given(
    batches=st.lists(ROWS, min_size=1, max_size=6),
    wanted=st.builds(
        Asked,
        limit=st.integers(1, 6),
        chosen=st.sampled_from([ALL_ATTEMPTS, FAILED]),
        whole_seconds=st.booleans(),
    ),
    bounds=st.fixed_dictionaries(
        {
            "SPAN_CHUNKS_MAX": st.integers(1, 4),
            "ROWS_MAX": st.integers(1, 12),
            "AT_ONCE": st.integers(1, 4),
            "WHOLE_ROWS_MAX": st.integers(6, 8),
        }
    ),
)
def test_what_is_written_between_two_pages_hides_nothing_and_repeats_nothing(
    batches: list[list[Attempt]], wanted: Asked, bounds: dict[str, int]
) -> None:
    first, *later = batches
    takes = wanted.chosen.takes
    expected = {one.delivery_id() for one in first if takes(one)}
    every = {one.delivery_id() for batch in batches for one in batch if takes(one)}

    async def read_all() -> list[str]:
        collection = Collection()
        collection.write(first)
        seen: list[str] = []
        before: str | None = None
        for _ in range(PAGES_MAX):
            page = await next_page(collection, wanted, before)
            whole_max = bounds["WHOLE_ROWS_MAX"]
            assert len(page.rows) <= (whole_max if wanted.whole_seconds else wanted.limit)
            if page.next is not None and wanted.whole_seconds:
                assert page.next.endswith("0" * 20) or len(page.rows) == whole_max
            seen += [row.id for row in page.rows]
            before = page.next
            if before is None:
                return seen
            if later:
                collection.write(later.pop(0))
        raise AssertionError("it comes to no end")

    with patch.dict(vars(log_spans), bounds):
        seen = asyncio.run(read_all())

    assert seen == sorted(set(seen), reverse=True)
    assert expected <= set(seen) <= every


async def test_a_page_of_whole_seconds_goes_on_to_the_end_of_one() -> None:
    collection = Collection()
    seconds = [3, 3, 2, 2, 2, 1]
    collection.write(
        [attempt(event_id=f"evt_{n}", at_ms=NOW_MS - 1_000 * s) for n, s in enumerate(seconds)]
    )
    first = await next_page(collection, Asked(limit=2, whole_seconds=True), None)
    second = await next_page(collection, Asked(limit=2, whole_seconds=True), first.next)

    assert (len(first.rows), len(second.rows), second.next) == (4, 2, None)


async def test_a_row_that_is_written_twice_is_told_as_it_was_first() -> None:
    collection = Collection()
    first = attempt(at_ms=NOW_MS - 1_000, response_body=b"no")
    collection.write([first])
    collection.write([first.without_answer()])

    with patch.object(log_spans, "AT_ONCE", 1):
        page = await next_page(collection, Asked(limit=10), None)

    assert [row.attempt for row in page.rows] == [first]


async def test_others_get_their_turn_while_a_busy_second_is_read() -> None:
    collection, pieces = Collection(), 5
    collection.write(
        [attempt(event_id=f"evt_{n}", at_ms=NOW_MS) for n in range(pieces * log_spans.AT_ONCE)]
    )
    reading = asyncio.create_task(next_page(collection, Asked(limit=10), None))
    turns = 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)

    assert len((await reading).rows) == 10
    assert turns >= pieces


@pytest.mark.parametrize("until_ms", [0, NOW_MS - 1_000, NOW_MS])
async def test_nothing_is_shown_from_the_end_on(until_ms: int) -> None:
    collection = Collection()
    rows = [attempt(event_id=f"evt_{n}", at_ms=NOW_MS - 1_000 * n) for n in range(3)]
    collection.write(rows)
    asked = Asked(limit=9, chosen=ALL_ATTEMPTS, since_ms=0, until_ms=until_ms)

    page = await page_of(collection, OWNER, asked, now_ms=NOW_MS, kept_ms=NOW_MS)  # type: ignore[arg-type]

    expected = [one.delivery_id() for one in rows if one.due_ms < until_ms]
    assert [one.id for one in page.rows] == expected


@pytest.mark.parametrize("since_ms", [NOW_MS - 1_500, NOW_MS - 1_000, NOW_MS])
async def test_nothing_is_shown_from_before_the_beginning(since_ms: int) -> None:
    collection = Collection()
    rows = [attempt(event_id=f"evt_{n}", at_ms=NOW_MS - 250 * n) for n in range(9)]
    collection.write(rows)
    asked = Asked(limit=9, since_ms=since_ms)

    page = await page_of(collection, OWNER, asked, now_ms=NOW_MS, kept_ms=NOW_MS)  # type: ignore[arg-type]

    expected = [one.delivery_id() for one in rows if one.due_ms >= since_ms]
    assert [one.id for one in page.rows] == expected


@pytest.mark.parametrize(
    ("span_s", "rows", "following_s"),
    [(2, 0, 6), (2, 50, 8), (2, 200, 2), (10, 400, 5), (1, 5_000, 1), (604_800, 1, 604_800)],
)
def test_a_span_is_to_hold_what_a_page_needs(span_s: int, rows: int, following_s: int) -> None:
    assert next_span_s(span_s, rows) == following_s
