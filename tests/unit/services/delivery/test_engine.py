"""The engine: from fetched records to what follows, in the order that a crash asks for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.delivery import engine, outbox
from services.delivery.memory import Memory
from services.delivery.partition import Commit, JournalEntry, Partition
from shared.models.deliveries import (
    META_HEADER,
    REASON_HEADER,
    encode_meta,
)
from shared.models.endpoints import EndpointState, WorkspaceState
from tests.unit.services.delivery.builders import (
    answered,
    endpoint,
    finished,
    meta,
    unanswered,
)
from tests.unit.services.delivery.kit import CAP, PATIENCE_S, Worker

OWNER = "ws_1"


async def test_a_delivery_is_sent_recorded_and_then_finished(worker: Worker) -> None:
    await worker.read(0)
    assert worker.engine.open_records == 1
    assert worker.engine.open_bytes == len(b'{"a":1}')
    request = worker.sender.answer(answered(200))
    await worker.settle()
    assert request.body == b'{"a":1}'
    (record,) = worker.sink.asked
    assert (record.topic, record.key, record.partition) == ("p.attempts", b"wh_1", 0)
    assert worker.sink.attempts[0].status == "success"
    assert worker.committed() == 1
    assert (worker.engine.open_records, worker.engine.open_bytes) == (0, 0)


async def test_nothing_is_finished_before_its_record_is_acknowledged(worker: Worker) -> None:
    worker.sink.open.clear()
    await worker.read(0)
    worker.sender.answer(answered(200))
    await asyncio.wait_for(worker.sink.called.wait(), PATIENCE_S)
    assert worker.committed() == 0
    worker.sink.open.set()
    await worker.settle()
    assert worker.committed() == 1


async def test_what_continues_a_delivery_is_acknowledged_before_its_attempt_is_written(
    worker: Worker,
) -> None:
    """A record in ``attempts`` says that the delivery is finished to whoever takes over."""
    worker.sink.open.clear()
    await worker.read(0)
    worker.sender.answer(answered(500))
    await asyncio.wait_for(worker.sink.called.wait(), PATIENCE_S)
    assert worker.sink.topics() == ["p.retry.1m"]
    worker.sink.open.set()
    await worker.settle()
    assert worker.sink.topics() == ["p.retry.1m", "p.attempts"]
    topic, following = worker.continued()
    times = {"due_ms": following.due_ms, "failed_ms": following.due_ms - 60_000}
    assert (topic, following) == ("p.retry.1m", meta("evt_0", attempt=2, **times))
    assert worker.sink.asked[0].value == b'{"a":1}'


async def test_only_the_contiguous_prefix_is_committed(worker: Worker) -> None:
    await worker.read(0)
    await worker.read(1)
    worker.sender.waiting.reverse()
    worker.sender.answer(answered(200))
    await asyncio.wait_for(worker.sink.called.wait(), PATIENCE_S)
    await asyncio.sleep(0)
    assert worker.partition.commit_due() == Commit(0, "0")
    worker.sender.answer(answered(200))
    await worker.settle()
    assert worker.committed() == 2


async def test_a_repeat_is_finished_and_not_sent(worker: Worker) -> None:
    """Fan-out wrote it twice, after a crash."""
    await worker.read(0, event_id="evt_1")
    await worker.read(1, event_id="evt_1")
    worker.sender.answer(answered(200))
    await worker.settle()
    await worker.read(2, event_id="evt_1")
    assert worker.sender.started == 1
    assert worker.committed() == 3
    assert worker.engine.open_records == 0


async def test_a_delivery_that_has_ended_is_not_tried_again(worker: Worker) -> None:
    """A repeat of its first attempt has succeeded; the retry of the first copy comes too late."""
    await worker.read(0, event_id="evt_1")
    worker.sender.answer(answered(200))
    await worker.settle()
    await worker.read(1, event_id="evt_1", attempt=2)
    assert worker.sender.started == 1
    assert worker.committed() == 2


async def test_what_the_journal_knows_is_not_sent(worker: Worker) -> None:
    known = [JournalEntry(5, finished("evt_0", offset=0))]
    worker.partition = Partition(0, start=0, journal=known, journal_end=6, memory=Memory(100))
    await worker.read(0)
    assert worker.sender.started == 0
    assert worker.committed() == 1


async def test_an_endpoint_has_no_more_in_flight_than_its_lane_allows(worker: Worker) -> None:
    for offset in range(CAP + 1):
        await worker.read(offset)
    assert worker.engine.in_flight == CAP
    worker.sender.answer(answered(200))
    assert worker.engine.in_flight == CAP
    assert worker.sender.started == CAP + 1


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (endpoint(active=False), "endpoint_disabled"),
        (endpoint(paused_ms=1), "endpoint_paused"),
        (endpoint(active=False, paused_ms=1), "endpoint_disabled"),
        (None, "endpoint_deleted"),
    ],
)
async def test_what_has_nowhere_to_go_is_discarded_with_the_reason(
    worker: Worker, state: EndpointState | None, reason: str
) -> None:
    worker.view.endpoints = {} if state is None else {state.id: state}
    await worker.read(0)
    await worker.settle()
    assert worker.sender.started == 0
    (attempt,) = worker.sink.attempts
    assert (attempt.status, attempt.final, attempt.reason) == ("discarded", True, reason)
    assert worker.committed() == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wh_1": endpoint(active=False, revision=2)}, "endpoint_disabled"),
        ({"wh_1": endpoint(paused_ms=1, revision=2)}, "endpoint_paused"),
        ({}, "endpoint_deleted"),
    ],
)
async def test_what_waits_when_its_endpoint_goes_is_discarded(
    worker: Worker, change: dict[str, EndpointState], reason: str
) -> None:
    for offset in range(CAP + 1):
        await worker.read(offset)
    worker.view.endpoints = change
    for _ in range(CAP):
        worker.sender.answer(answered(200))
    await worker.settle()
    assert worker.sender.started == CAP
    assert [attempt.reason for attempt in worker.sink.attempts].count(reason) == 1
    assert worker.committed() == CAP + 1


async def test_a_suspended_workspace_gets_nothing_sent_and_every_delivery_is_recorded(
    worker: Worker,
) -> None:
    for offset in range(CAP + 1):
        await worker.read(offset)
    worker.view.workspaces = {OWNER: suspended(revision=2)}
    for _ in range(CAP):
        worker.sender.answer(answered(200))
    await worker.read(CAP + 1, attempt=2)
    await worker.settle()
    assert worker.sender.started == CAP
    reasons = [attempt.reason for attempt in worker.sink.attempts if attempt.final]
    assert reasons.count("workspace_suspended") == 2
    assert worker.committed() == CAP + 2


async def test_what_was_matched_after_the_suspension_ended_waits_for_that_to_be_known(
    worker: Worker,
) -> None:
    """An event that is published once the resume call has returned counts (invariant 7)."""
    worker.view.workspaces = {OWNER: suspended(revision=2)}
    worker.view.workspace_topic = {OWNER: WorkspaceState(id=OWNER, profile="qr3", revision=3)}
    await worker.read(0, workspace_id=OWNER, workspace_revision=2)
    assert worker.view.caught_up == 0
    await worker.read(1, workspace_id=OWNER, workspace_revision=3)
    assert worker.view.caught_up == 1
    worker.sender.answer(answered(200))
    await worker.settle()
    assert [one.status for one in worker.sink.attempts] == ["discarded", "success"]


def suspended(revision: int) -> WorkspaceState:
    return WorkspaceState(id=OWNER, profile="qr3", revision=revision, suspended=True)


@pytest.mark.parametrize("changes", [{"active": False}, {"paused_ms": 1}])
async def test_a_ping_tests_a_disabled_or_paused_endpoint_too(
    worker: Worker, changes: dict[str, Any]
) -> None:
    worker.view.know(endpoint(**changes))
    await worker.read(0, trigger="ping")
    worker.sender.answer(answered(200))
    await worker.settle()
    assert worker.sink.attempts[0].status == "success"


async def test_a_record_that_is_ahead_of_our_view_waits_for_it(worker: Worker) -> None:
    worker.view.topic = {"wh_1": endpoint(revision=9, url="https://new.example/")}
    await worker.read(0, revision=9)
    assert worker.view.caught_up == 1
    assert worker.sender.answer(answered(200)).target.host == "new.example"
    await worker.settle()
    assert worker.sink.attempts[0].revision == 9


async def test_a_change_of_the_endpoint_holds_from_the_next_request_on(worker: Worker) -> None:
    for offset in range(CAP + 1):
        await worker.read(offset)
    worker.view.know(endpoint(revision=2, url="https://moved.example/"))
    hosts = [worker.sender.answer(answered(200)).target.host for _ in range(CAP + 1)]
    assert hosts == ["receiver.example"] * CAP + ["moved.example"]
    await worker.settle()


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"wh_1", b"{}", ()),
        (b"wh_1", b"{}", ((META_HEADER, b"nonsense"),)),
        (b"wh_1", b"{}", ((META_HEADER, b"\x98\xa1\xff" + bytes(7)),)),  # not UTF-8
        (b"wh_1", b"{}", ((META_HEADER, None),)),
        (b"wh_1", b"{}", ((META_HEADER, encode_meta(meta(event_id="evt_1\r\nX: y"))),)),
        (b"wh_1", None, ((META_HEADER, encode_meta(meta())),)),
        (None, b"{}", ((META_HEADER, encode_meta(meta())),)),
        (None, None, (("hooklane-damaged", b"offsets 0 to 0"),)),
    ],
)
async def test_a_record_that_is_none_of_ours_is_kept_where_people_look(
    worker: Worker, key: bytes | None, value: bytes | None, headers: Any
) -> None:
    await worker.read(0, key, value=value, headers=headers)
    await worker.settle()
    (record,) = worker.sink.asked
    assert record.topic == "p.deliveries.dead"
    assert record.value == (value or b"")
    assert (REASON_HEADER, b"unreadable") in record.headers
    assert worker.committed() == 1
    assert worker.engine.open_records == 0


async def test_a_secret_that_does_not_open_puts_the_delivery_aside(worker: Worker) -> None:
    """It is ours to mend: no attempt counts against the endpoint."""
    worker.view.know(endpoint(secret="gone:AAAA"))
    await worker.read(0)
    await worker.settle()
    assert not worker.sink.attempts
    topic, parked = worker.continued()
    assert (topic, parked.attempt, parked.parks) == ("p.retry.5s", 1, 1)
    assert worker.committed() == 1


async def test_parking_again_and_again_takes_longer(worker: Worker) -> None:
    worker.view.know(endpoint(secret="gone:AAAA"))
    for offset in range(6):
        await worker.read(offset, event_id="evt_1", parks=offset)
    await worker.settle()
    names = ["5s", "30s", "1m", "5m", "5m", "5m"]
    assert worker.sink.topics() == [f"p.retry.{name}" for name in names]


async def test_a_url_that_is_refused_is_a_failed_attempt(worker: Worker) -> None:
    worker.view.know(endpoint(url="http://receiver.example/"))
    await worker.read(0)
    await worker.settle()
    assert worker.sender.started == 0
    (attempt,) = worker.sink.attempts
    assert (attempt.status, attempt.error) == ("failed", "url")
    assert "https" in (attempt.error_message or "")
    assert worker.continued()[0] == "p.retry.1m"


async def test_our_own_failure_to_send_counts_no_attempt(worker: Worker) -> None:
    await worker.read(0)
    worker.sender.answer(unanswered("local"))
    await worker.settle()
    assert not worker.sink.attempts
    assert worker.continued()[1].parks == 1


async def test_what_was_not_sent_when_the_worker_stops_stays_open(worker: Worker) -> None:
    """Whoever comes next reads it again."""
    for offset in range(CAP + 1):
        await worker.read(offset)
    worker.engine.stop_starting()
    worker.sender.answer(answered(200))
    worker.sender.answer(unanswered("local"))
    await worker.settle()
    assert worker.sender.started == CAP
    assert worker.committed() == 1
    assert len(worker.sink.asked) == 1


async def test_a_partition_that_is_given_up_takes_its_waiting_deliveries_along(
    worker: Worker,
) -> None:
    for offset in range(CAP + 2):
        await worker.read(offset)
    worker.partition.closing = True
    worker.engine.forget({worker.partition})
    await worker.read(9)  # fetched before, handed over after
    assert worker.engine.open_records == CAP
    for _ in range(CAP):
        worker.sender.answer(answered(200))
    await worker.settle()
    assert worker.sender.started == CAP
    assert worker.committed() == CAP
    assert worker.engine.open_records == 0


async def test_a_partition_that_comes_back_with_its_memory_sends_what_was_given_up_and_no_more(
    worker: Worker,
) -> None:
    for offset in range(CAP + 2):
        await worker.read(offset)
    worker.partition.closing = True
    worker.engine.forget({worker.partition})
    for _ in range(CAP):
        worker.sender.answer(answered(200))
    await worker.settle()
    worker.partition.revoked = True

    memory, until = worker.partition.remembered()
    worker.partition = Partition(0, start=0, journal=(), journal_end=until, memory=memory)
    for offset in range(CAP + 2):
        await worker.read(offset)

    assert worker.sender.started == CAP + 2
    assert worker.committed() == CAP


async def test_a_result_for_a_revoked_partition_is_somebody_elses_to_record(
    worker: Worker,
) -> None:
    await worker.read(0)
    worker.partition.revoked = True
    worker.sender.answer(answered(500))
    await worker.settle()
    assert worker.sink.asked == []
    assert worker.committed() == 0
    assert worker.engine.open_records == 0


async def test_a_request_that_outlives_its_partition_counts_when_the_partition_comes_back(
    worker: Worker,
) -> None:
    """It is read again, but not sent again."""
    await worker.read(0)
    worker.partition.revoked = True
    worker.partition = worker.take_over()
    await worker.read(0)
    assert worker.sender.started == 1
    worker.sender.answer(answered(200))
    await worker.settle()
    assert worker.committed() == 1
    assert worker.engine.open_records == 0


async def test_giving_up_does_not_wait_for_ever(worker: Worker) -> None:
    await worker.read(0)
    assert not await worker.engine.quiet({worker.partition}, 0.01)
    assert await worker.engine.quiet({worker.take_over()}, PATIENCE_S)


async def test_a_hostile_retry_after_does_not_leave_a_delivery_open(worker: Worker) -> None:
    """The standard library raises OverflowError for such a date."""
    date = "Wed, 21 Oct 99999999999 07:28:00 GMT"
    await worker.read(0)
    worker.sender.answer(answered(503, headers=(("Retry-After", date),)))
    await worker.settle()
    assert worker.continued()[0] == "p.retry.1m"
    assert worker.committed() == 1


async def test_a_success_is_recorded_while_what_is_put_aside_still_waits(worker: Worker) -> None:
    """A flood that is parked must not hold up the others, nor what a crash would repeat."""
    worker.sink.stuck = {"p.retry.1m", "p.retry.5s"}
    await worker.read(0)
    await worker.read(1)
    worker.sender.answer(answered(500))
    worker.sender.answer(unanswered("local"))
    await worker.read(2)
    worker.sender.answer(answered(200))
    await asyncio.wait_for(worker.sink.recorded.wait(), PATIENCE_S)
    assert [attempt.event_id for attempt in worker.sink.attempts] == ["evt_2"]


async def test_reading_waits_while_too_much_is_to_be_put_aside(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "ASIDE_MAX", 1)
    worker.view.know(endpoint(secret="gone:AAAA"))
    worker.sink.open.clear()
    await worker.read(0)
    await asyncio.wait_for(worker.sink.called.wait(), PATIENCE_S)
    await worker.read(1)
    reading = asyncio.create_task(worker.read(2))
    await asyncio.sleep(0)
    assert not reading.done()
    worker.sink.open.set()
    await asyncio.wait_for(reading, PATIENCE_S)
    await worker.settle()
    assert worker.committed() == 3


async def test_an_endpoint_s_limits_are_those_of_its_lane(worker: Worker) -> None:
    worker.view.know(endpoint(concurrency=1))
    await worker.read(0)
    await worker.read(1)
    assert worker.sender.started == 1
    worker.sender.answer(answered(200))
    assert worker.sender.started == 2


async def test_what_waits_for_a_rate_limit_goes_when_it_is_due(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = [1e6]
    monkeypatch.setattr(engine, "_steady_ms", lambda: now_ms[0])
    worker.view.know(endpoint(rate_limit=50.0))
    for offset in range(51):
        await worker.read(offset)
        while worker.sender.waiting:
            worker.sender.answer(answered(200))
    assert worker.sender.started == 50
    worker.sender.asked.clear()
    now_ms[0] += 20
    await asyncio.wait_for(worker.sender.asked.wait(), PATIENCE_S)
    worker.sender.answer(answered(200))
    await worker.settle()
    assert worker.committed() == 51
