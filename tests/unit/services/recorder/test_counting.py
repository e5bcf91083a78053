"""Statistics: each record counts once, however it is repeated, cut into batches or interrupted."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recorder.counting import (
    AGE_S_MAX,
    AGE_S_MIN,
    CELLS_MAX,
    RECORDS_MAX,
    Statistics,
    is_due,
)
from shared.models.attempts import Attempt, encode_attempt
from shared.models.stats import HOUR_MS, Segment
from shared.storage.chunks import Logged
from tests.unit.services.recorder.kit import NOON_MS, PARTITION, Crash, attempt
from tests.unit.services.recorder.ledger import Ledger, check

OTHER = TopicPartition("attempts", 1)
ATTEMPTS = st.builds(
    lambda status, endpoint, event_type, after_ms, answered: attempt(
        status,
        endpoint_id=f"wh_{endpoint}",
        workspace_id=f"ws_{endpoint % 2}",
        event_type=event_type,
        at_ms=NOON_MS + after_ms,
        status_code=200 if answered else None,
        response_time_ms=float(after_ms % 977),
    ),
    status=st.sampled_from(["success", "success", "failed", "discarded"]),
    endpoint=st.integers(0, 3),
    event_type=st.sampled_from(["qr.scanned", "$x.%2E", ""]),
    after_ms=st.integers(0, 2 * HOUR_MS),
    answered=st.booleans(),
)
HISTORIES = st.lists(ATTEMPTS, min_size=1, max_size=25)


def logged(attempts: Sequence[Attempt], start: int = 0) -> list[Logged]:
    """Return attempts as records of a partition; their events tell them apart."""
    return [
        Logged(one, offset, encode_attempt(one))
        for offset, one in enumerate(
            (
                attempt(one.status, **_fields(one), event_id=f"evt_{n}")
                for n, one in enumerate(attempts)
            ),
            start,
        )
    ]


def _fields(one: Attempt) -> dict[str, Any]:
    names = ("endpoint_id", "workspace_id", "event_type", "status_code", "response_time_ms")
    return {"at_ms": one.due_ms, **{name: getattr(one, name) for name in names}}


def statistics_of(ledger: Ledger) -> Statistics:
    return Statistics(ledger=ledger, history=ledger)


async def read(ledger: Ledger, batches: Sequence[Sequence[Logged]], *, each: bool = False) -> None:
    """Read batches as one worker; ``each`` writes after every one of them."""
    statistics = statistics_of(ledger)
    for batch in batches:
        await statistics.count(PARTITION, batch[0].offset, batch)
        if each:
            await statistics.flush()
    await statistics.flush()


class Steps:
    """Crashes the worker at the step that is due; ``left`` None never does."""

    def __init__(self) -> None:
        self.left: int | None = None

    def __call__(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Crash


@settings(max_examples=300, deadline=None)
@given(
    history=HISTORIES,
    crashes=st.lists(st.integers(0, 25), max_size=6),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    flushes=st.lists(st.booleans(), min_size=1, max_size=4),
    back=st.lists(st.integers(0, 9), min_size=1, max_size=4),
)
def test_any_cut_repetition_and_crash_leads_to_the_same_numbers(
    history: list[Attempt],
    crashes: list[int],
    sizes: list[int],
    flushes: list[bool],
    back: list[int],
) -> None:
    reads = logged(history)
    steps = Steps()
    ledger = Ledger(steps)
    ledger.topic = reads

    async def run() -> None:
        position, turn, left = 0, 0, list(crashes)
        done = False
        while not done:
            statistics = statistics_of(ledger)
            steps.left = left.pop() if left else None
            try:
                while position < len(reads):
                    size = sizes[turn % len(sizes)]
                    batch = reads[position : position + size]
                    await statistics.count(PARTITION, position, batch)
                    position += size  # what a commit would be
                    turn += 1
                    if flushes[turn % len(flushes)]:
                        await statistics.flush()
                await statistics.flush()
                done = True
            except Crash:  # the next worker begins at the commit, or somewhat before it
                position = max(0, min(position, len(reads) - 1) - back[turn % len(back)])

    asyncio.run(run())
    check(ledger, reads)


@settings(max_examples=100, deadline=None)
@given(
    left=HISTORIES,
    right=HISTORIES,
    order=st.lists(st.booleans(), min_size=1),
    size=st.integers(1, 5),
)
def test_partitions_may_be_read_in_any_order(
    left: list[Attempt], right: list[Attempt], order: list[bool], size: int
) -> None:
    ledger = Ledger()
    waiting = {PARTITION: logged(left), OTHER: logged(right)}
    everything = [*waiting[PARTITION], *waiting[OTHER]]

    async def run() -> None:
        statistics = statistics_of(ledger)
        turn = 0
        while any(waiting.values()):
            tp = PARTITION if order[turn % len(order)] else OTHER
            tp = tp if waiting[tp] else (OTHER if tp == PARTITION else PARTITION)
            batch, waiting[tp] = waiting[tp][:size], waiting[tp][size:]
            await statistics.count(tp, batch[0].offset, batch)
            if turn % 3 == 0:
                await statistics.flush()
            turn += 1
        await statistics.flush()

    asyncio.run(run())
    check(ledger, everything)


async def test_what_was_read_and_not_written_is_read_again_by_the_next_worker() -> None:
    reads = logged([attempt("failed", at_ms=NOON_MS + n) for n in range(10)])
    ledger = Ledger()
    ledger.topic = reads
    await read(ledger, [reads[:3]])
    lost = statistics_of(ledger)
    await lost.count(PARTITION, 3, reads[3:8])

    await read(ledger, [reads[8:]])
    check(ledger, reads)


async def test_it_is_read_again_although_nothing_new_comes() -> None:
    reads = logged([attempt("failed", at_ms=NOON_MS + n) for n in range(5)])
    ledger = Ledger()
    ledger.topic = reads
    await statistics_of(ledger).count(PARTITION, 0, reads)

    statistics = statistics_of(ledger)
    assert statistics.unopened([PARTITION]) == [PARTITION]
    await statistics.count(PARTITION, 5, ())
    await statistics.flush()
    assert statistics.unopened([PARTITION]) == []
    check(ledger, reads)


async def test_a_worker_that_was_overtaken_writes_nothing_and_goes_on_with_what_stands() -> None:
    reads = logged([attempt(at_ms=NOON_MS + n) for n in range(9)])
    ledger = Ledger()
    ledger.topic = reads
    slow = statistics_of(ledger)
    await slow.count(PARTITION, 0, reads[:5])
    await read(ledger, [reads[:3]])
    await slow.flush()
    check(ledger, reads[:3])

    await slow.count(PARTITION, 5, reads[5:])
    await slow.flush()
    check(ledger, reads)


async def test_a_late_writer_of_an_old_segment_changes_nothing() -> None:
    reads = logged([attempt(at_ms=NOON_MS + n) for n in range(6)])
    ledger = Ledger()
    ledger.topic = reads
    await read(ledger, [reads[:3]])
    old = await ledger.last(0)
    await read(ledger, [reads[3:]])
    assert isinstance(old, Segment)
    assert await ledger.write([old]) == 0

    check(ledger, reads)


async def test_a_topic_that_was_created_again_is_counted_beside_the_one_before() -> None:
    before = logged([attempt(at_ms=NOON_MS + n) for n in range(5)])
    after = logged([attempt("failed", at_ms=NOON_MS + n, endpoint_id="wh_2") for n in range(3)])
    ledger = Ledger()
    ledger.topic = before
    await read(ledger, [before])
    ledger.topic = after
    await read(ledger, [after], each=True)

    check(ledger, [*before, *after])


async def test_what_was_cut_of_a_topic_is_written_although_it_was_created_again() -> None:
    before = logged([attempt(at_ms=NOON_MS + n) for n in range(5)])
    steps = Steps()
    ledger = Ledger(steps)
    ledger.topic = before
    statistics = statistics_of(ledger)
    await statistics.count(PARTITION, 0, before)
    steps.left = 3  # cut, and not all pages written
    with pytest.raises(Crash):
        await statistics.flush()
    steps.left = None
    after = logged([attempt("failed", at_ms=NOON_MS + n, endpoint_id="wh_2") for n in range(3)])
    ledger.topic = after
    await read(ledger, [after])

    check(ledger, [*before, *after])


async def test_a_group_that_lost_its_offsets_counts_nothing_twice() -> None:
    reads = logged([attempt(at_ms=NOON_MS + n) for n in range(7)])
    ledger = Ledger()
    ledger.topic = reads
    await read(ledger, [reads[:4]])
    await read(ledger, [reads[:2], reads[2:]], each=True)

    check(ledger, reads)


async def test_foreign_records_of_any_size_are_passed_over() -> None:
    ours = logged([attempt()])
    foreign = logged([attempt(endpoint_id="x" * 999), attempt(event_type="x" * 9_999)], start=1)
    ledger = Ledger()
    await read(ledger, [[*ours, *foreign]])

    check(ledger, ours)


async def test_counting_costs_the_database_nothing_until_it_is_due() -> None:
    happened: list[None] = []
    ledger = Ledger(lambda: happened.append(None))
    statistics = statistics_of(ledger)
    reads = logged([attempt() for _ in range(9)])
    await statistics.count(PARTITION, 0, reads[:1])
    happened.clear()
    await statistics.count(PARTITION, 1, reads[1:])

    assert happened == []
    assert not statistics.is_due()


@pytest.mark.parametrize(
    ("records", "cells", "age_s", "due"),
    [
        (1, [1], AGE_S_MIN - 1, False),
        (1, [1], AGE_S_MIN, True),
        (900, [200, 200], 39, False),
        (900, [200, 200], 40, True),
        (9_000, [3_000, 3_000], AGE_S_MAX, True),
        (RECORDS_MAX, [1], 0, True),
        (9_000, [CELLS_MAX], 0, True),
    ],
)
def test_the_more_there_is_to_write_the_longer_it_may_wait(
    records: int, cells: list[int], age_s: float, due: bool
) -> None:
    assert is_due(records=records, cells=cells, age_s=age_s) is due


async def test_nothing_is_due_before_anything_was_counted() -> None:
    assert not statistics_of(Ledger()).is_due()
