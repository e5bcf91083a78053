"""Retries that somebody has discarded end in the log when they become due; nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.services.delivery.builders import ACCEPTED_MS, answered, endpoint, meta
from tests.unit.services.delivery.kit import Worker

FAILED_MS = ACCEPTED_MS + 10
DUE_MS = ACCEPTED_MS + 60_000
RETRY: dict[str, Any] = {"attempt": 2, "due_ms": DUE_MS, "failed_ms": FAILED_MS}


def row_id(**given: Any) -> str:
    return meta("evt_0", **RETRY | given).row_id("wh_1")


@pytest.mark.parametrize(
    "unwanted",
    [
        {"retries_discarded_ms": FAILED_MS},
        {"retries_discarded_ms": FAILED_MS + 1},
        {"discarded_retries": ("whd_other", row_id())},
    ],
)
async def test_a_retry_that_was_discarded_ends_in_the_log(
    worker: Worker, unwanted: dict[str, Any]
) -> None:
    worker.view.know(endpoint(**unwanted))
    await worker.read(0, **RETRY, parks=3)
    await worker.settle()

    (attempt,) = worker.sink.attempts
    assert worker.sender.started == 0
    assert (attempt.status, attempt.final) == ("discarded", True)
    assert (attempt.reason, attempt.attempt) == ("retry_discarded", 2)
    assert attempt.delivery_id() == row_id(), "the row that the failed attempt names"
    assert worker.committed() == 1


@pytest.mark.parametrize(
    ("unwanted", "given"),
    [
        ({"retries_discarded_ms": FAILED_MS - 1}, RETRY),
        ({"retries_discarded_ms": DUE_MS}, {}),
        ({"retries_discarded_ms": DUE_MS}, {"trigger": "resend:whd_1"}),
        ({"discarded_retries": (row_id(),)}, {**RETRY, "attempt": 3}),
        ({"discarded_retries": (row_id(),)}, {**RETRY, "trigger": "resend:whd_1"}),
        ({"discarded_retries": (row_id(),)}, {**RETRY, "due_ms": DUE_MS + 1}),
    ],
)
async def test_what_failed_later_and_what_is_no_retry_is_sent(
    worker: Worker, unwanted: dict[str, Any], given: dict[str, Any]
) -> None:
    worker.view.know(endpoint(**unwanted))
    await worker.read(0, **given)
    worker.sender.answer(answered(200))
    await worker.settle()

    assert worker.sink.attempts[0].status == "success"


async def test_a_retry_that_waits_in_its_lane_can_still_be_discarded(worker: Worker) -> None:
    waiting = 40
    for offset in range(waiting):
        await worker.read(offset, **RETRY)
    started = worker.sender.started
    worker.view.know(endpoint(retries_discarded_ms=FAILED_MS, revision=2))
    for _ in range(started):
        worker.sender.answer(answered(200))
    await worker.settle()

    reasons = [attempt.reason for attempt in worker.sink.attempts]
    assert 0 < started < waiting
    assert reasons.count("retry_discarded") == waiting - started
