"""Recovering a webhook over the real Kafka and MongoDB: counted, sent again once, whatever dies."""

import asyncio
from typing import Any

import msgspec
import pytest
from aiokafka.structs import ConsumerRecord

from services.gateway import housekeeping
from services.gateway.handlers import jobs, recovery
from services.gateway.housekeeping import keep_working
from services.gateway.ports import BodyAway, Ports
from shared.models.attempts import Attempt
from shared.models.deliveries import DeliveryMeta, meta_of
from shared.models.errors import Outage
from shared.models.jobs import HELD_MS
from shared.models.times import iso_ms
from shared.topics import DELIVERIES
from tests.integration.gateway.conftest import Gateway, Tenant
from tests.integration.gateway.reading import records_of
from tests.integration.gateway.test_deliveries import BODY, attempt, logged, produced, webhook
from tests.support.polling import until

pytestmark = pytest.mark.integration

MINUTE_MS = 60_000
MATCHED = 7


async def lost(gateway: Gateway, tenant: Tenant, endpoint_id: str, number: int) -> Attempt:
    """Have a delivery that failed for good, ``number`` minutes ago."""
    event_id = f"evt_{number}"
    partition, offset = await produced(gateway, endpoint_id, event_id=event_id)
    due_ms = gateway.parts.ports.now_ms() - number * MINUTE_MS
    given = attempt(
        endpoint_id,
        workspace_id=tenant.id,
        event_id=event_id,
        due_ms=due_ms,
        started_ms=due_ms,
        partition=partition,
        offset=offset,
        status="failed",
        status_code=500,
        reason="exhausted",
    )
    await logged(gateway, given)
    return given


async def recover(gateway: Gateway, tenant: Tenant, endpoint_id: str, **given: Any) -> Any:
    since = iso_ms(gateway.parts.ports.now_ms() - 60 * MINUTE_MS)
    answer = await gateway.client.post(
        f"/v1/webhooks/{endpoint_id}/recover", headers=tenant.key, json={"since": since, **given}
    )
    assert answer.status_code == 202, answer.text
    return answer.json()


async def work(ports: Ports, *, ahead_ms: int = 0) -> None:
    """Do all jobs that nobody holds to their end, at a time that is this far ahead."""
    at_ms = ports.now_ms() + ahead_ms
    ports = msgspec.structs.replace(ports, now_ms=lambda: at_ms)
    job = await ports.jobs.claim("tester", at_ms)
    while job is not None:
        job = await jobs.step(ports, job)


async def resent(gateway: Gateway) -> list[tuple[ConsumerRecord[bytes, bytes], DeliveryMeta]]:
    found = []
    for record in await records_of(gateway.settings, DELIVERIES):
        meta = meta_of(record.headers)
        if meta is not None and meta.trigger.startswith("resend:"):
            found.append((record, meta))
    return found


async def shown(gateway: Gateway, tenant: Tenant, job_id: str) -> Any:
    return (await gateway.client.get(f"/v1/jobs/{job_id}", headers=tenant.key)).json()


def counts(job: Any) -> dict[str, Any]:
    return {name: job[name] for name in ("state", "matched", "sent", "skipped", "unavailable")}


async def test_what_failed_for_good_in_the_window_is_sent_again(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PIECE_ROWS_MAX", 3)
    mine, other = await webhook(gateway, qr3), await webhook(gateway, qr3)
    failed = [await lost(gateway, qr3, mine, number) for number in range(1, MATCHED + 1)]
    await lost(gateway, qr3, mine, 90)
    await lost(gateway, qr3, other, 2)
    retried = msgspec.structs.replace(failed[0], final=False, event_id="evt_retried")
    await logged(
        gateway,
        retried,
        msgspec.structs.replace(failed[0], status="success", event_id="evt_well"),
        msgspec.structs.replace(failed[0], trigger="ping", event_id="evt_ping"),
    )

    job = await recover(gateway, qr3, mine)
    assert counts(job) == {
        "state": "running",
        "matched": MATCHED,
        "sent": 0,
        "skipped": 0,
        "unavailable": 0,
    }
    await work(gateway.parts.ports)

    done = await shown(gateway, qr3, job["id"])
    assert counts(done) == {
        "state": "done",
        "matched": MATCHED,
        "sent": MATCHED,
        "skipped": 0,
        "unavailable": 0,
    }
    again = await resent(gateway)
    assert {record.value for record, _ in again} == {BODY}
    assert {record.key for record, _ in again} == {mine.encode()}
    assert sorted((meta.event_id, meta.trigger, meta.attempt) for _, meta in again) == sorted(
        (one.event_id, f"resend:{one.delivery_id()}", 1) for one in failed
    )


async def test_nothing_is_sent_again_twice_however_often_it_is_asked_for(
    gateway: Gateway, qr3: Tenant
) -> None:
    identifier = await webhook(gateway, qr3)
    for number in (1, 2):
        await lost(gateway, qr3, identifier, number)
    window = {
        "since": iso_ms(gateway.parts.ports.now_ms() - 30 * MINUTE_MS),
        "until": iso_ms(gateway.parts.ports.now_ms()),
    }
    first = await recover(gateway, qr3, identifier, **window)
    same = await recover(gateway, qr3, identifier, **window)
    await work(gateway.parts.ports)
    wider = await recover(gateway, qr3, identifier)
    await work(gateway.parts.ports)

    assert same["id"] == first["id"]
    assert wider["id"] != first["id"]
    assert counts(await shown(gateway, qr3, wider["id"])) == {
        "state": "done",
        "matched": 2,
        "sent": 0,
        "skipped": 2,
        "unavailable": 0,
    }
    assert len(await resent(gateway)) == 2


async def test_a_job_whose_gateway_died_goes_on_and_sends_the_same_deliveries(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies where it hurts most: published, but the place not stored."""
    identifier = await webhook(gateway, qr3)
    await lost(gateway, qr3, identifier, 1)
    job = await recover(gateway, qr3, identifier)

    async def die(*_: object) -> None:
        raise Outage("killed")

    with monkeypatch.context() as dying:
        dying.setattr(gateway.parts.ports.jobs, "save", die)
        with pytest.raises(Outage, match="killed"):
            await work(gateway.parts.ports)
    await work(gateway.parts.ports)
    assert counts(await shown(gateway, qr3, job["id"]))["state"] == "running", "it is held"
    await work(gateway.parts.ports, ahead_ms=HELD_MS + 1_000)

    assert counts(await shown(gateway, qr3, job["id"])) == {
        "state": "done",
        "matched": 1,
        "sent": 1,
        "skipped": 0,
        "unavailable": 0,
    }
    (first, meta), (second, same) = await resent(gateway)
    assert (first.value, meta) == (second.value, same), "the worker takes it for the same"


async def test_a_gateway_that_was_overtaken_lets_go_and_changes_nothing(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PIECE_ROWS_MAX", 1)
    identifier = await webhook(gateway, qr3)
    for number in (1, 2):
        await lost(gateway, qr3, identifier, number)
    await recover(gateway, qr3, identifier)
    ports = gateway.parts.ports
    slow = await ports.jobs.claim("slow", ports.now_ms())
    await work(ports, ahead_ms=HELD_MS + 1_000)

    assert slow is not None
    assert await jobs.step(ports, slow) is None
    ended = counts(await shown(gateway, qr3, slow.id))
    assert (ended["state"], ended["sent"]) == ("done", 2)


async def test_a_body_that_kafka_has_no_more_is_counted_and_one_it_may_have_is_waited_for(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = await webhook(gateway, qr3)
    given = await lost(gateway, qr3, identifier, 1)
    await logged(gateway, msgspec.structs.replace(given, event_id="evt_gone", offset=999))
    job = await recover(gateway, qr3, identifier)

    async def away(*_: object) -> None:
        raise BodyAway("Kafka does not answer")

    with monkeypatch.context() as cut_off:
        cut_off.setattr(gateway.parts.ports.job_bodies, "read_many", away)
        with pytest.raises(Outage):
            await work(gateway.parts.ports)
    await work(gateway.parts.ports, ahead_ms=HELD_MS + 1_000)

    assert counts(await shown(gateway, qr3, job["id"])) == {
        "state": "done",
        "matched": 2,
        "sent": 1,
        "skipped": 0,
        "unavailable": 1,
    }


async def test_a_job_that_was_stopped_goes_on_when_it_is_asked_for_again(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with what it had noted, and not sent, when Kafka went away."""
    identifier = await webhook(gateway, qr3)
    await lost(gateway, qr3, identifier, 1)
    until = iso_ms(gateway.parts.ports.now_ms())
    window = {"since": iso_ms(gateway.parts.ports.now_ms() - 9 * MINUTE_MS), "until": until}
    job = await recover(gateway, qr3, identifier, **window)

    async def away(*_: object) -> None:
        raise Outage("Kafka does not answer")

    with monkeypatch.context() as cut_off:
        cut_off.setattr(gateway.parts.ports.sink, "publish_within", away)
        with pytest.raises(Outage):
            await work(gateway.parts.ports)
    await gateway.client.post(f"/v1/webhooks/{identifier}/pause", headers=qr3.key)
    await work(gateway.parts.ports, ahead_ms=HELD_MS + 1_000)
    refused = await gateway.client.post(
        f"/v1/webhooks/{identifier}/recover", headers=qr3.key, json=window
    )
    stopped = await shown(gateway, qr3, job["id"])

    assert (stopped["state"], stopped["reason"]) == ("stopped", "webhook_paused")
    assert refused.status_code == 409
    assert await resent(gateway) == []
    await gateway.client.post(f"/v1/webhooks/{identifier}/resume", headers=qr3.key)
    other = await recover(gateway, qr3, identifier)
    await work(gateway.parts.ports)
    assert (await recover(gateway, qr3, identifier, **window))["id"] == job["id"]
    await work(gateway.parts.ports)
    first, second = [await shown(gateway, qr3, name) for name in (other["id"], job["id"])]
    assert (first["state"], first["sent"], first["skipped"]) == ("done", 1, 0)
    assert (second["state"], second["sent"], second["skipped"]) == ("done", 0, 1)
    assert len(await resent(gateway)) == 1


async def test_what_was_discarded_is_recovered_by_itself(gateway: Gateway, qr3: Tenant) -> None:
    identifier = await webhook(gateway, qr3)
    given = await lost(gateway, qr3, identifier, 1)
    discarded = {"status": "discarded", "reason": "endpoint_disabled", "due_ms": given.due_ms + 1}
    await logged(gateway, msgspec.structs.replace(given, **discarded))
    await recover(gateway, qr3, identifier, status="discarded")
    await work(gateway.parts.ports)

    ((_, meta),) = await resent(gateway)
    assert meta.trigger == f"resend:{msgspec.structs.replace(given, **discarded).delivery_id()}"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2999-01-01T00:00:00Z"}, "since"),
        ({"since": "2026-03-15T10:00:00Z", "until": "2026-03-15T10:00:00Z"}, "since"),
        ({"since": "2026-03-15T10:00:00Z", "status": "success"}, "status"),
    ],
)
async def test_a_window_that_cannot_be_is_refused(
    gateway: Gateway, qr3: Tenant, body: dict[str, str], field: str
) -> None:
    identifier = await webhook(gateway, qr3)
    answer = await gateway.client.post(
        f"/v1/webhooks/{identifier}/recover", headers=qr3.key, json=body
    )

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_window_with_too_much_is_refused(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "MATCHED_MAX", 1)
    identifier = await webhook(gateway, qr3)
    for number in (1, 2):
        await lost(gateway, qr3, identifier, number)
    since = iso_ms(gateway.parts.ports.now_ms() - 60 * MINUTE_MS)

    answer = await gateway.client.post(
        f"/v1/webhooks/{identifier}/recover", headers=qr3.key, json={"since": since}
    )

    assert answer.status_code == 400
    assert "shorter window" in answer.json()["detail"]


async def test_the_gateway_takes_jobs_up_by_itself_and_an_event_shows_what_came_of_them(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "JOB_LOOK_EVERY_S", 0.01)
    identifier = await webhook(gateway, qr3)
    given = await lost(gateway, qr3, identifier, 1)
    stopping, ports = asyncio.Event(), gateway.parts.ports
    task = asyncio.create_task(keep_working(stopping, ports, "gateway-1"))
    job = await recover(gateway, qr3, identifier)

    async def done() -> bool:
        return bool((await shown(gateway, qr3, job["id"]))["state"] == "done")

    await until(done, bool, what="a job that is done")
    stopping.set()
    await task
    ((_, meta),) = await resent(gateway)
    made = {"due_ms": meta.due_ms, "trigger": meta.trigger, "status": "success"}
    await logged(gateway, msgspec.structs.replace(given, **made, reason=None))

    answer = await gateway.client.get(f"/v1/events/{given.event_id}", headers=qr3.key)
    assert [(one["trigger"], one["state"]) for one in answer.json()["deliveries"]] == [
        ("event", "exhausted"),
        (meta.trigger, "succeeded"),
    ]
