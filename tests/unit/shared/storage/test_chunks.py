"""Chunks: however batches are cut, read again or interleaved, each row is there once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.models.attempts import Attempt, decode_attempt, encode_attempt
from shared.storage.chunks import SLOT_MS, Chunk, Logged, chunk_up, merge, unpack
from tests.unit.services.recorder.kit import attempt

START_MS = 1_790_000_000_000

ATTEMPTS = st.builds(
    lambda endpoint, after_ms, failed, event: attempt(
        "failed" if failed else "success",
        endpoint_id=f"wh_{endpoint}",
        event_id=f"evt_{event}",
        at_ms=START_MS + after_ms,
    ),
    endpoint=st.integers(0, 2),
    after_ms=st.integers(0, 2_500),
    failed=st.booleans(),
    event=st.integers(0, 5),
)


def told(batches: list[list[Logged]]) -> dict[str, Attempt]:
    """Return what the log tells after these batches: a document's first insert stays."""
    stored: dict[str, Chunk] = {}
    for batch in batches:
        for chunk in chunk_up(batch):
            stored.setdefault(chunk.id, chunk)
    in_order = [stored[chunk_id] for chunk_id in sorted(stored)]
    rows: dict[str, bytes] = {}
    merge(rows, (record for chunk in in_order for record in unpack(chunk.packed)))
    return {row_id: decode_attempt(record) for row_id, record in rows.items()}


@given(
    attempts=st.lists(ATTEMPTS, max_size=30),
    cuts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=5),
)
def test_each_attempt_is_told_once_and_as_it_was_first(
    attempts: list[Attempt], cuts: list[tuple[int, int]]
) -> None:
    records = [Logged(one, at, encode_attempt(one)) for at, one in enumerate(attempts)]
    expected: dict[str, Attempt] = {}
    for one in attempts:
        expected.setdefault(one.delivery_id(), one)

    assert told([*(records[min(cut) : max(cut)] for cut in cuts), records]) == expected


@given(st.lists(ATTEMPTS, min_size=1, max_size=30))
def test_chunks_know_what_is_in_them(attempts: list[Attempt]) -> None:
    chunks = chunk_up(Logged(one, at, encode_attempt(one)) for at, one in enumerate(attempts))

    assert sum(chunk.rows for chunk in chunks) == len(attempts)
    for chunk in chunks:
        inside = [decode_attempt(record) for record in unpack(chunk.packed)]
        assert {one.endpoint_id for one in inside} == {chunk.endpoint_id}
        assert {one.due_ms // SLOT_MS for one in inside} == {chunk.due_s}
        assert chunk.failed or all(one.status == "success" for one in inside)
        assert chunk.newest_ms >= max(one.started_ms for one in inside)
