"""Statistics on the real server: segments stand once, and pages hold each of them once."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import UpdateOne

from shared.models.stats import DAY_MS, HOUR_MS, MINUTE_MS, Cells, Counts, Reading, Segment, total
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.stats import PAGES, StatsReader, StatsStore
from tests.support.statistics import segment_of
from tests.unit.services.recorder.kit import attempt

pytestmark = pytest.mark.integration

START_MS = 4_000_000_000_000 // DAY_MS * DAY_MS  # retention must leave the pages alone


def segment(number: int, *, partition: int = 0, count: int = 3, **given: Any) -> Segment:
    """Return a segment of this many attempts of one endpoint, in the minute of its number."""
    at_ms = START_MS + number * MINUTE_MS
    attempts = [attempt(at_ms=at_ms, **given) for _ in range(count)]
    return segment_of(attempts, partition=partition, start=number * count)


async def read(mongo: Mongo, series: str, bucket_ms: int) -> Cells:
    (cells,) = await reads(mongo, bucket_ms, [series], by_type=True)
    return cells


async def reads(
    mongo: Mongo, bucket_ms: int, series: Sequence[str], *, by_type: bool
) -> Sequence[Cells]:
    reader = StatsReader(mongo)
    found = await reader.read(series, Reading(bucket_ms, START_MS, START_MS + DAY_MS, by_type))
    return list(found.values())


async def numbers(mongo: Mongo, series: str) -> dict[int, int]:
    """Return the successes of each minute in which there are some."""
    return {
        (start_ms - START_MS) // MINUTE_MS: counts.succeeded
        for start_ms, types in (await read(mongo, series, MINUTE_MS)).items()
        for counts in types.values()
    }


async def cut(store: StatsStore, previous: Segment | None, following: Segment) -> bool:
    (stands,) = await store.cut([(previous, following)])
    return stands


async def test_a_segment_counts_once_for_its_workspace_and_its_endpoint(mongo: Mongo) -> None:
    store = StatsStore(mongo, retention_days=30)
    assert await store.write([segment(0)]) == 4
    assert await store.write([segment(1)]) == 4
    assert await store.write([segment(1)]) == 0
    assert await store.write([segment(0)]) == 0

    for series in ("ws_1", "wh_1"):
        assert await numbers(mongo, series) == {0: 3, 1: 3}
        assert await read(mongo, series, HOUR_MS) == {START_MS: {"qr.scanned": Counts(6)}}
        assert await read(mongo, series, DAY_MS) == {START_MS: {"qr.scanned": Counts(6)}}
    assert await numbers(mongo, "wh_2") == {}


async def test_a_writer_that_is_overtaken_between_reading_and_writing_changes_nothing(
    mongo: Mongo,
) -> None:
    other = StatsStore(mongo, retention_days=30)

    class Overtaken(StatsStore):
        async def _store(self, updates: Sequence[UpdateOne]) -> None:
            await other.write([segment(0)])
            await other.write([segment(1)])
            await super()._store(updates)

    await Overtaken(mongo, retention_days=30).write([segment(0)])
    assert await numbers(mongo, "wh_1") == {0: 3, 1: 3}


async def test_partitions_and_lives_of_the_topic_add_up_in_one_page(mongo: Mongo) -> None:
    store = StatsStore(mongo, retention_days=30)
    await store.write([segment(5)])
    await store.write([segment(0, partition=1, endpoint_id="wh_2")])
    late = segment_of([attempt(at_ms=START_MS)], era=1)
    await store.write([late])
    await store.write([late])

    assert await numbers(mongo, "ws_1") == {0: 4, 5: 3}
    assert await numbers(mongo, "wh_1") == {0: 1, 5: 3}


async def test_segments_of_several_partitions_are_written_together(mongo: Mongo) -> None:
    store = StatsStore(mongo, retention_days=30)
    await store.write([segment(0)])
    both = [segment(1), segment(1, partition=1)]
    assert await store.cut([(None, one) for one in both]) == [True, True]
    assert await store.write(both) == 4
    assert await store.write([segment(0), *both]) == 0

    assert await numbers(mongo, "wh_1") == {0: 3, 1: 6}


async def test_a_window_reads_the_pages_it_touches_and_nothing_outside(mongo: Mongo) -> None:
    store = StatsStore(mongo, retention_days=30)
    for number in (0, 59, 60, 61, 200):
        await store.write([segment(number)])
    since_ms, until_ms = START_MS + 59 * MINUTE_MS, START_MS + 61 * MINUTE_MS
    found = await StatsReader(mongo).read(
        ["ws_1", "wh_9"], Reading(MINUTE_MS, since_ms, until_ms, by_type=True)
    )

    assert sorted(found["ws_1"]) == [since_ms, START_MS + HOUR_MS]
    assert found["wh_9"] == {}
    hours = await read(mongo, "ws_1", HOUR_MS)
    assert {at_ms: one["qr.scanned"].succeeded for at_ms, one in hours.items()} == {
        START_MS: 6,
        START_MS + HOUR_MS: 6,
        START_MS + 3 * HOUR_MS: 3,
    }


async def test_who_does_not_ask_by_type_gets_the_sum_of_all_types(mongo: Mongo) -> None:
    store = StatsStore(mongo, retention_days=30)
    await store.write([segment(0)])
    await store.write([segment(1, count=2, event_type="qr.created")])
    await store.write([segment(1, partition=1, event_type="qr.created")])

    for bucket_ms in (MINUTE_MS, HOUR_MS, DAY_MS):
        (cells,) = await reads(mongo, bucket_ms, ["ws_1"], by_type=False)
        (by_type,) = await reads(mongo, bucket_ms, ["ws_1"], by_type=True)
        assert {at_ms: total(types.values()) for at_ms, types in cells.items()} == {
            at_ms: total(types.values()) for at_ms, types in by_type.items()
        }
        assert sum(total(types.values()).succeeded for types in cells.values()) == 8


async def test_pages_go_with_their_time(mongo: Mongo) -> None:
    await StatsStore(mongo, retention_days=30).write([segment(0)])
    documents = [one async for one in mongo.collection(PAGES).find({"workspace_id": "ws_1"})]
    ends_s = sorted(
        int((one["expires_at"] - datetime.fromtimestamp(START_MS / 1000, UTC)).total_seconds())
        for one in documents
    )

    day_s = 86_400
    assert ends_s == [2 * day_s + 3_600] * 2 + [31 * day_s] * 2


async def test_a_segment_stands_in_the_place_of_the_one_before_it_and_of_no_other(
    mongo: Mongo,
) -> None:
    store = StatsStore(mongo, retention_days=30)
    first, second = segment(0), segment(1)
    assert await store.last(0) is None
    assert await cut(store, None, first)
    assert await cut(store, None, first), "a repetition, after an outage"
    assert not await cut(store, None, segment(0, count=2))
    assert await cut(store, first, second)
    assert await cut(store, first, second), "a repetition, after an outage"
    assert not await cut(store, first, segment(1, count=4))
    assert await store.last(0) == second
    assert await cut(store, None, segment(7, partition=1))


async def test_event_types_are_kept_as_they_are_spelt(mongo: Mongo) -> None:
    names = ["qr.scanned", "$set", "a.$b", "", "é\u0000"]
    store = StatsStore(mongo, retention_days=30)
    await store.write([segment_of([attempt(at_ms=START_MS, event_type=name) for name in names])])

    assert sorted((await read(mongo, "wh_1", HOUR_MS))[START_MS]) == sorted(names)
