"""The order of the steps, outages, and above all: a crash anywhere changes nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.recorder import handler, patience
from services.recorder.announcing import of_exhausted, of_finding
from services.recorder.book import ENDPOINTS_MAX
from services.recorder.counting import Statistics
from services.recorder.handler import Recorder
from services.recorder.reading import read
from shared.kafka.partitioner import partition_for
from shared.models.attempts import Attempt, encode_attempt
from shared.observe.traces import OFF, Context, Span, Tracer
from shared.policy.health import HEALTHY, EndpointHealth, Health, Rule, judge
from tests.unit.services.recorder.kit import (
    NOON_MS,
    PARTITION,
    Crash,
    Store,
    attempt,
    record,
    records,
)
from tests.unit.services.recorder.ledger import check

RULES = {"three": Rule(failures_max=3)}
NAMES = [f"wh_{number}" for number in range(100)]


def recorder_of(
    store: Store, *, endpoints_max: int = ENDPOINTS_MAX, traces: Tracer = OFF
) -> Recorder:
    return Recorder(
        group=store,
        log=store,
        healths=store,
        disable=store.disable,
        announce=store.announce,
        statistics=Statistics(ledger=store.ledger, history=store.ledger),
        rules=RULES,
        endpoints_max=endpoints_max,
        traces=traces,
    )


def store_of(*endpoint_ids: str) -> Store:
    store = Store()
    store.profile_of = dict.fromkeys(endpoint_ids, "three")
    return store


async def handle(store: Store, *attempts: Attempt) -> None:
    await recorder_of(store).handle({PARTITION: records(attempts)})


def told(store: Store) -> list[str]:
    """Return the types of the operational events that were published."""
    return [msgspec.json.decode(value)["type"] for value in store.announced.values()]


def failures(count: int, **given: Any) -> list[Attempt]:
    return [attempt("failed", event_id=f"evt_{n}", **given) for n in range(count)]


async def test_rows_first_then_disabling_and_telling_then_the_count_and_the_commit_last() -> None:
    store = store_of("wh_1")
    store.committed_offsets[PARTITION] = 0
    await handle(store, *failures(3))

    steps = [call for call in store.calls if call not in {"of_partition", "profiles", "committed"}]
    assert steps == ["insert", "disable", "announce", "save", "commit"]
    assert store.disabled == {"wh_1": "consecutive_failures"}
    assert store.healths["wh_1"].health == Health(3, NOON_MS, 1, told=100)
    assert store.committed_offsets == {PARTITION: 3}


async def test_the_successes_of_healthy_endpoints_cost_one_insert_and_one_commit() -> None:
    store = store_of()
    recorder = recorder_of(store)
    await recorder.handle({PARTITION: records([attempt()])})
    store.calls.clear()
    many = [attempt(endpoint_id=f"wh_{n}") for n in range(500)]
    await recorder.handle(
        {PARTITION: [record(1 + n, encode_attempt(one)) for n, one in enumerate(many)]}
    )

    assert store.calls == ["insert", "commit"]
    assert store.healths == {}


async def test_an_endpoint_is_disabled_once_although_it_goes_on_failing() -> None:
    store = store_of("wh_1")
    recorder = recorder_of(store)
    for batch in range(3):
        more = failures(4, at_ms=NOON_MS + batch)
        await recorder.handle(
            {PARTITION: [record(4 * batch + n, encode_attempt(a)) for n, a in enumerate(more)]}
        )

    assert store.calls.count("disable") == 1
    assert store.calls.count("profiles") == 1
    assert store.healths["wh_1"].health.failures == 12


async def test_an_endpoint_that_somebody_else_has_disabled_is_not_counted_as_ours() -> None:
    store = store_of("wh_1")
    store.disabled["wh_1"] = "by its owner"
    reason = {"reason": "consecutive_failures"}
    before = REGISTRY.get_sample_value("hooklane_recorder_disabled_total", reason) or 0.0
    with capture_logs() as logs:
        await handle(store, *failures(3))

    assert store.calls.count("disable") == 1
    assert "endpoint_disabled" not in [line["event"] for line in logs]
    assert "endpoint.disabled" not in told(store)
    assert (REGISTRY.get_sample_value("hooklane_recorder_disabled_total", reason) or 0.0) == before


async def test_an_endpoint_that_nobody_knows_any_more_is_logged_and_not_disabled() -> None:
    store = store_of()
    await handle(store, *failures(5))

    assert len(store.rows) == 5
    assert store.disabled == {}


async def test_a_receiver_that_is_gone_is_disabled_at_its_first_answer() -> None:
    store = store_of("wh_1")
    await handle(store, attempt("failed", reason="gone"))

    assert store.disabled == {"wh_1": "gone"}


async def test_an_outage_is_waited_out_and_nothing_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "BACKOFF_MIN_S", 0.0)
    store = store_of("wh_1")
    store.away = 40
    await handle(store, *failures(3))

    assert len(store.rows) == 3
    assert store.disabled == {"wh_1": "consecutive_failures"}
    assert store.committed_offsets == {PARTITION: 3}


async def test_an_undecodable_record_is_passed_over_and_committed() -> None:
    store = store_of()
    await recorder_of(store).handle({PARTITION: [record(0, b"?"), record(1, None)]})

    assert store.committed_offsets == {PARTITION: 2}


async def test_a_large_batch_is_inserted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    size_bytes = len(encode_attempt(attempt(event_id="evt_0")))
    monkeypatch.setattr(handler, "INSERT_BYTES_MAX", 2 * size_bytes)
    store = store_of()
    await handle(store, *[attempt(event_id=f"evt_{n}") for n in range(5)])

    assert store.calls.count("insert") == 3
    assert len(store.rows) == 5


async def test_a_partition_that_is_not_ours_any_more_is_not_committed() -> None:
    store = store_of("wh_1")
    store.committed_offsets[PARTITION] = 0
    store.ours = False
    await handle(store, *failures(2))

    assert store.committed_offsets == {PARTITION: 0}


async def test_a_group_without_a_committed_offset_counts_from_nothing() -> None:
    store = store_of("wh_1")
    store.healths["wh_1"] = EndpointHealth("wh_1", Health(2, NOON_MS, 1), 0, 5_000)
    store.healths["wh_2"] = EndpointHealth("wh_2", Health(2, NOON_MS, 1), 1, 5_000)
    await handle(store, attempt("failed"))

    assert store.healths["wh_1"].health.failures == 1
    assert store.healths["wh_2"].health.failures == 2  # another partition's
    assert store.disabled == {}


async def test_a_topic_that_was_created_again_while_we_read_it_is_counted_from_nothing() -> None:
    store = store_of("wh_1")
    recorder = recorder_of(store)
    old = [record(5_000 + n, encode_attempt(one)) for n, one in enumerate(failures(2))]
    await recorder.handle({PARTITION: old})
    await recorder.handle({PARTITION: records(failures(1, at_ms=NOON_MS + 9))})

    assert store.healths["wh_1"] == EndpointHealth("wh_1", Health(1, NOON_MS + 9, 1), 0, 0)
    assert store.committed_offsets == {PARTITION: 1}


async def test_the_first_offset_is_committed_before_anything_is_counted() -> None:
    store = store_of("wh_1")
    await recorder_of(store).handle({PARTITION: [record(7, encode_attempt(failures(1)[0]))]})

    steps = [call for call in store.calls if call in {"restart", "save", "commit"}]
    assert steps == ["restart", "commit", "save", "commit"]
    assert store.committed_offsets == {PARTITION: 8}


async def test_a_count_from_another_partition_is_not_carried_over() -> None:
    store = store_of("wh_1")
    store.committed_offsets[PARTITION] = 80
    store.healths["wh_1"] = EndpointHealth("wh_1", Health(2, NOON_MS, 1), 5, 77)
    recorder = recorder_of(store, endpoints_max=0)
    first, second = failures(2, endpoint_id="wh_2"), failures(1)
    await recorder.handle({PARTITION: [record(80, encode_attempt(first[0]))]})
    await recorder.handle({PARTITION: [record(81, encode_attempt(second[0]))]})

    assert "of_endpoints" in store.calls  # wh_2 had no room, so everybody is looked up now
    assert store.healths["wh_1"] == EndpointHealth("wh_1", Health(1, NOON_MS, 1), 0, 81)


async def test_more_failing_endpoints_than_the_book_has_room_for_are_looked_up() -> None:
    names = [f"wh_{n}" for n in range(5)]
    store = store_of(*names)
    store.committed_offsets[PARTITION] = 10
    store.healths = {n: EndpointHealth(n, Health(2, NOON_MS, 1), 0, 9) for n in names}
    third = [failures(1, endpoint_id=name)[0] for name in names]
    await recorder_of(store, endpoints_max=2).handle(
        {PARTITION: [record(10 + n, encode_attempt(one)) for n, one in enumerate(third)]}
    )

    assert set(store.disabled) == set(names)


# --- crashes ------------------------------------------------------------------------------------

endpoints = st.sampled_from(["wh_1", "wh_2", "wh_3"])
histories = st.lists(
    st.tuples(
        endpoints,
        st.sampled_from(["failed", "failed", "failed", "success", "discarded"]),
        st.sampled_from([None, None, None, "exhausted", "exhausted", "gone"]),
        st.sampled_from([1, 1, 1, 2]),
    ),
    min_size=1,
    max_size=30,
)


def attempts_of(history: list[tuple[str, Any, str | None, int]]) -> list[Attempt]:
    return [
        attempt(
            status,
            at_ms=NOON_MS + n,
            endpoint_id=endpoint_id,
            event_id=f"evt_{n}",
            reason=reason if status == "failed" else None,
            epoch=epoch,
        )
        for n, (endpoint_id, status, reason, epoch) in enumerate(history)
    ]


class Expected(NamedTuple):
    """What attempts lead to that are counted one by one, without a crash."""

    failing: dict[str, Health]
    disabled: dict[str, str]
    announced: set[str]


def expected_of(attempts: Sequence[Attempt]) -> Expected:
    healths: dict[str, Health] = {}
    disabled: dict[str, str] = {}
    announced: set[str] = set()
    for one in attempts:
        before = healths.get(one.endpoint_id, HEALTHY)
        healths[one.endpoint_id], finding = judge(before, one, RULES["three"])
        exhausted = of_exhausted(one)
        if exhausted is not None:
            announced.add(exhausted.id)
        if finding is None:
            continue
        if finding.reason is not None:
            first = disabled.setdefault(one.endpoint_id, finding.reason)
            if first != finding.reason:
                continue
        announced.add(of_finding(finding, one).id)
    failing = {name: health for name, health in healths.items() if health.failures}
    return Expected(failing, disabled, announced)


async def run_with_crashes(
    store: Store, attempts: Sequence[Attempt], crashes: list[int], sizes: list[int], most: int
) -> None:
    """Read everything; each crash loses the process and goes on from the committed offset."""
    log = records(attempts)
    store.ledger.topic, _ = read(log)
    left = list(crashes)
    turn = 0
    written = False
    while not written:
        recorder = recorder_of(store, endpoints_max=most)
        store.calls_left = left.pop() if left else None
        position = store.committed_offsets.get(PARTITION, 0)
        try:
            while position < len(log):
                size = sizes[turn % len(sizes)]
                turn += 1
                await recorder.handle({PARTITION: log[position : position + size]})
                position += size
                if turn % 3 == 0:
                    await recorder.write_statistics()
            await recorder.write_statistics()
            written = True
        except Crash:
            continue


@settings(max_examples=300, deadline=None)
@given(
    history=histories,
    crashes=st.lists(st.integers(0, 14), max_size=8),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    most=st.sampled_from([0, 1, 2, ENDPOINTS_MAX]),
)
def test_crashes_anywhere_lose_no_row_and_count_no_failure_twice(
    history: list[tuple[str, Any, str | None, int]],
    crashes: list[int],
    sizes: list[int],
    most: int,
) -> None:
    attempts = attempts_of(history)
    store = store_of("wh_1", "wh_2", "wh_3")
    asyncio.run(run_with_crashes(store, attempts, crashes, sizes, most))

    failing, disabled, announced = expected_of(attempts)
    assert sorted(store.rows.values()) == sorted(map(encode_attempt, attempts))
    counted = {name: one.health for name, one in store.healths.items() if one.health.failures}
    assert counted == failing
    assert store.disabled == disabled
    assert store.announced.keys() == announced
    check(store.ledger, store.ledger.topic)


@settings(max_examples=100, deadline=None)
@given(history=histories, first=st.integers(0, 30), second=st.integers(0, 30))
def test_reading_again_from_any_earlier_offset_leads_to_the_same_counts(
    history: list[tuple[str, Any, str | None, int]], first: int, second: int
) -> None:
    attempts = attempts_of(history)
    log = records(attempts)
    again_from, ended_at = sorted((min(first, len(log) - 1), min(second, len(log) - 1)))
    store = store_of("wh_1", "wh_2", "wh_3")
    store.committed_offsets[PARTITION] = 0

    async def read_twice() -> None:
        await recorder_of(store).handle({PARTITION: log[: ended_at + 1]})
        store.committed_offsets[PARTITION] = again_from
        await recorder_of(store).handle({PARTITION: log[again_from:]})

    asyncio.run(read_twice())
    failing, _, announced = expected_of(attempts)
    assert store.announced.keys() == announced
    counted = {name: one.health for name, one in store.healths.items() if one.health.failures}
    assert counted == failing


async def test_the_count_of_an_endpoint_that_has_moved_is_forgotten_where_it_was_made() -> None:
    """Nothing comes here any more that could end it, and people would be shown it for ever."""
    count = 8
    stays, moves = (
        next(name for name in NAMES if (partition_for(name.encode(), count) == 0) is here)
        for here in (True, False)
    )
    store = store_of(stays, moves)
    store.committed_offsets[PARTITION] = 0
    recorder = recorder_of(store)
    for offset, name in enumerate((stays, moves)):
        failed = attempt("failed", endpoint_id=name)
        await recorder.handle({PARTITION: [record(offset, encode_attempt(failed))]})
    assert store.healths.keys() == {stays, moves}
    store.count = count
    recorder.release()  # the group has changed, as the topic has more partitions
    again = attempt("failed", endpoint_id=stays, event_id="evt_2")
    await recorder.handle({PARTITION: [record(2, encode_attempt(again))]})

    assert {name: one.health.failures for name, one in store.healths.items()} == {stays: 2}


async def test_nothing_is_forgotten_while_it_is_not_known_how_many_partitions_there_are() -> None:
    other = TopicPartition(PARTITION.topic, 5)
    store = store_of("wh_1")
    store.committed_offsets[other] = 0
    for offset, store.count in enumerate((None, 4)):
        failed = attempt("failed", event_id=f"evt_{offset}")
        batch = {other: [record(offset, encode_attempt(failed), other)]}
        await recorder_of(store).handle(batch)

    assert store.healths["wh_1"].health.failures == 2


async def test_the_log_is_as_far_behind_as_the_batch_at_hand_is_old() -> None:
    store = store_of()
    seen: list[int] = []
    recorder = recorder_of(store)
    insert = store.insert

    async def slowly(records: Any) -> Any:
        seen.append(recorder.behind_ms(NOON_MS + 90_000))
        return await insert(records)

    store.insert = slowly  # type: ignore[method-assign]
    await recorder.handle({PARTITION: records([attempt()])})

    assert seen == [90_000]
    assert recorder.behind_ms(NOON_MS + 90_000) == 0


async def test_a_traced_attempt_has_the_writing_of_its_batch_below_it() -> None:
    spans: list[Span] = []
    parent = Context("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    traces = Tracer(ratio=0.0, sink=spans.append, now_ms=lambda: NOON_MS)
    traced = attempt(traceparent=str(parent))
    recorder = recorder_of(store_of(), traces=traces)
    await recorder.handle({PARTITION: records([traced, attempt(event_id="evt_2")])})

    (span,) = spans
    assert (span.name, span.parent) == ("record", parent)
    assert dict(span.attributes)["hooklane.delivery.id"] == traced.delivery_id()


async def test_the_partitions_of_a_batch_are_counted_apart() -> None:
    other = TopicPartition("attempts", 1)
    store = store_of("wh_1", "wh_2")
    left = failures(2)
    right = failures(3, endpoint_id="wh_2")
    await recorder_of(store).handle(
        {
            PARTITION: records(left),
            other: [record(n, encode_attempt(one), other) for n, one in enumerate(right)],
        }
    )

    assert store.disabled == {"wh_2": "consecutive_failures"}
    assert store.committed_offsets == {PARTITION: 2, other: 3}
