"""The engine and endpoints that ask to be sent nothing for some time."""

from __future__ import annotations

import pytest

from shared.http.messages import Outcome
from shared.models.deliveries import META_HEADER, DeliveryMeta, decode_meta
from tests.unit.services.delivery.builders import answered, endpoint
from tests.unit.services.delivery.kit import Worker


def asks_to_wait(seconds: int, status: int = 503) -> Outcome:
    return answered(status, headers=(("Retry-After", str(seconds)),))


async def parked_for(worker: Worker, offset: int) -> DeliveryMeta:
    """Read a delivery that is to be put aside, and return what it is put aside as."""
    await worker.read(offset)
    await worker.settle()
    assert worker.sender.waiting == []
    aside = [
        decode_meta(dict(record.headers)[META_HEADER] or b"")
        for record in worker.sink.asked
        if record.topic.startswith("p.retry.")
    ]
    return next(meta for meta in aside if meta.event_id == f"evt_{offset}")


@pytest.mark.parametrize("status", [429, 503])
async def test_an_endpoint_that_asks_to_wait_is_sent_nothing_meanwhile(
    worker: Worker, status: int
) -> None:
    """The delivery that was answered takes an attempt later; others are put aside without one."""
    await worker.read(0)
    worker.sender.answer(asks_to_wait(120, status))
    aside = await parked_for(worker, 1)

    assert (aside.attempt, aside.parks) == (1, 1)
    assert [record.topic for record in worker.sink.asked if "retry" in record.topic] == [
        "p.retry.5m",
        "p.retry.1m",
    ]
    assert worker.committed() == 2


@pytest.mark.parametrize("outcome", [asks_to_wait(120, 500), asks_to_wait(120, 200), answered(503)])
async def test_what_asks_for_nothing_holds_nothing(worker: Worker, outcome: Outcome) -> None:
    await worker.read(0)
    worker.sender.answer(outcome)
    await worker.read(1)

    assert len(worker.sender.waiting) == 1


async def test_what_is_in_flight_when_the_lane_is_held_is_recorded(worker: Worker) -> None:
    await worker.read(0)
    await worker.read(1)
    worker.sender.answer(asks_to_wait(120))
    worker.sender.answer(answered(200))
    await worker.settle()

    assert [attempt.status for attempt in worker.sink.attempts] == ["failed", "success"]
    assert (await parked_for(worker, 2)).parks == 1


async def test_a_new_url_ends_the_hold_and_another_change_does_not(worker: Worker) -> None:
    await worker.read(0)
    worker.sender.answer(asks_to_wait(120))
    worker.view.know(endpoint(revision=2, concurrency=1))
    assert (await parked_for(worker, 1)).parks == 1

    worker.view.know(endpoint(revision=3, url="https://elsewhere.example/hook"))
    await worker.read(2)
    assert len(worker.sender.waiting) == 1


async def test_the_old_url_does_not_hold_the_new_one(worker: Worker) -> None:
    await worker.read(0)
    worker.view.know(endpoint(revision=2, url="https://elsewhere.example/hook"))
    await worker.read(1)
    worker.sender.answer(asks_to_wait(120))
    worker.sender.answer(answered(200))
    await worker.read(2)

    assert len(worker.sender.waiting) == 1
