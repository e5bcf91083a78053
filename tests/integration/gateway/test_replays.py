"""Replays over the real Kafka and MongoDB: by filter, counted, to where they belong."""

from typing import Any

import msgspec
import pytest

from services.gateway.handlers import replays
from shared.models.attempts import Attempt
from shared.models.jobs import HELD_MS
from shared.models.times import iso_ms
from tests.integration.gateway.conftest import Gateway, MakeTenant, Tenant
from tests.integration.gateway.test_deliveries import attempt, logged, produced, webhook
from tests.integration.gateway.test_recovery import MINUTE_MS, resent, shown, work

pytestmark = pytest.mark.integration


async def delivered(
    gateway: Gateway, tenant: Tenant, endpoint_id: str, number: int, **given: Any
) -> Attempt:
    """Have a delivery that ended ``number`` minutes ago; its body has the number."""
    event_id = f"evt_{number}"
    body = b'{"n":%d}' % number
    partition, offset = await produced(gateway, endpoint_id, body, event_id)
    due_ms = gateway.parts.ports.now_ms() - number * MINUTE_MS
    place = {"partition": partition, "offset": offset}
    times = {"due_ms": due_ms, "started_ms": due_ms, "accepted_ms": due_ms}
    made = attempt(
        endpoint_id, workspace_id=tenant.id, event_id=event_id, **{**times, **place, **given}
    )
    await logged(gateway, made)
    return made


def hour(gateway: Gateway) -> str:
    return iso_ms(gateway.parts.ports.now_ms() - 60 * MINUTE_MS)


async def post(
    gateway: Gateway, tenant: Tenant, path: str, status: int, body: dict[str, Any] | None = None
) -> Any:
    answer = await gateway.client.post(path, headers=tenant.key, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def replay(gateway: Gateway, tenant: Tenant, **body: Any) -> Any:
    """Replay to the end; returns the job and what was published, by target and body."""
    body = {"since": hour(gateway), **body}
    counted = await post(gateway, tenant, "/v1/replays/preview", 200, body)
    job = await post(gateway, tenant, "/v1/replays", 202, body)
    assert (job["matched"], job["matched_is"]) == (counted["matched"], counted["matched_is"])
    await work(gateway.parts.ports)
    published = [
        (record.key.decode(), record.value)
        for record, meta in await resent(gateway)
        if meta.trigger.endswith(job["id"])
    ]
    return await shown(gateway, tenant, job["id"]), sorted(published)


async def test_what_the_filter_takes_is_sent_again_byte_for_byte(
    gateway: Gateway, qr3: Tenant
) -> None:
    one, two = await webhook(gateway, qr3), await webhook(gateway, qr3)
    await delivered(gateway, qr3, one, 1)
    failure = {"status": "failed", "status_code": 500, "reason": "exhausted"}
    await delivered(gateway, qr3, one, 2, **failure)
    await delivered(gateway, qr3, two, 3, event_type="qr.created")
    await delivered(gateway, qr3, two, 4, final=False, **failure)
    await delivered(gateway, qr3, two, 5, trigger="ping")
    await delivered(gateway, qr3, two, 6, trigger="resend:whd_1")
    await delivered(gateway, qr3, two, 90)

    done, published = await replay(gateway, qr3)
    assert published == sorted([(one, b'{"n":1}'), (one, b'{"n":2}'), (two, b'{"n":3}')])
    assert (done["state"], done["matched"], done["matched_is"]) == ("done", 3, "exact")
    assert (done["sent"], done["skipped"], done["unavailable"]) == (3, 0, 0)
    _, published = await replay(gateway, qr3, webhook_id=one, status="failed")
    assert published == [(one, b'{"n":2}')]
    _, published = await replay(gateway, qr3, event_types=["qr.created"])
    assert published == [(two, b'{"n":3}')]
    _, published = await replay(gateway, qr3, event_ids=["evt_1", "evt_3"], webhook_id=one)
    assert published == [(one, b'{"n":1}')]
    done, published = await replay(gateway, qr3, webhook_id=one, to_webhook_id=two)
    assert published == [(two, b'{"n":1}'), (two, b'{"n":2}')]
    assert (done["webhook_id"], done["to_webhook_id"]) == (one, two)


async def test_what_was_replayed_to_another_webhook_is_shown_with_its_event(
    gateway: Gateway, qr3: Tenant
) -> None:
    one, two = await webhook(gateway, qr3), await webhook(gateway, qr3)
    given = await delivered(gateway, qr3, one, 1)
    await replay(gateway, qr3, webhook_id=one, to_webhook_id=two)
    ((_, meta),) = await resent(gateway)
    await logged(
        gateway,
        msgspec.structs.replace(
            given, endpoint_id=two, due_ms=meta.due_ms, trigger=meta.trigger, attempt=1
        ),
    )
    answer = await gateway.client.get(f"/v1/events/{given.event_id}", headers=qr3.key)

    shown_there = {(item["webhook_id"], item["trigger"]) for item in answer.json()["deliveries"]}
    assert shown_there == {(one, "event"), (two, meta.trigger)}


async def test_bodies_that_kafka_has_no_more_and_webhooks_that_take_nothing_are_named(
    gateway: Gateway, qr3: Tenant
) -> None:
    one, two, three = [await webhook(gateway, qr3) for _ in range(3)]
    await delivered(gateway, qr3, one, 1)
    await delivered(gateway, qr3, one, 2, offset=999)
    await delivered(gateway, qr3, two, 3)
    await delivered(gateway, qr3, three, 4)
    await gateway.client.post(f"/v1/webhooks/{two}/pause", headers=qr3.key)
    await gateway.client.delete(f"/v1/webhooks/{three}", headers=qr3.key)

    done, published = await replay(gateway, qr3)

    assert published == [(one, b'{"n":1}')]
    assert (done["sent"], done["unavailable"], done["skipped"]) == (1, 1, 2)
    assert done["skipped_reasons"] == {"webhook_paused": 1, "webhook_deleted": 1}


async def test_a_job_is_paused_resumed_cancelled_and_listed(
    gateway: Gateway, qr3: Tenant, make_tenant: MakeTenant
) -> None:
    one = await webhook(gateway, qr3)
    for number in range(1, 4):
        await delivered(gateway, qr3, one, number)
    wanted = {"since": hour(gateway), "rate": 1}
    jobs = [(await post(gateway, qr3, "/v1/replays", 202, wanted))["id"] for _ in range(3)]

    async def wish(job_id: str, wanted: str, status: int = 200) -> Any:
        return await post(gateway, qr3, f"/v1/jobs/{job_id}/{wanted}", status)

    paused, cancelled, done = jobs
    assert (await wish(paused, "pause"))["state"] == "paused"
    assert (await wish(cancelled, "cancel"))["state"] == "cancelling"
    await work(gateway.parts.ports)
    await work(gateway.parts.ports, ahead_ms=HELD_MS + 1)
    states = {name: (await shown(gateway, qr3, name)) for name in jobs}

    assert [states[name]["state"] for name in jobs] == ["paused", "cancelled", "done"]
    assert [states[name]["sent"] for name in jobs] == [0, 0, 3]
    assert len(await resent(gateway)) == 3
    for name, what in ((done, "pause"), (done, "cancel"), (cancelled, "resume")):
        refused = await wish(name, what, 409)
        assert f"nothing to {what}" in refused["detail"]
    assert (await wish(paused, "resume"))["state"] == "running"

    async def listed(**query: Any) -> Any:
        answer = await gateway.client.get("/v1/jobs", headers=qr3.key, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    first = await listed(limit=2)
    second = await listed(limit=2, cursor=first["next_cursor"])
    assert [item["id"] for item in first["data"] + second["data"]] == sorted(jobs, reverse=True)
    assert [item["id"] for item in (await listed(state="done"))["data"]] == [done]
    unknown = await gateway.client.get("/v1/jobs?state=over", headers=qr3.key)
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (400, "state")
    stranger = await make_tenant("qr3")
    assert (await gateway.client.get("/v1/jobs", headers=stranger.key)).json() == {"data": []}


SINCE = {"since": "2026-03-15T10:00:00Z"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "since"),
    ({"event_ids": ["mine-1"]}, "since"),
    ({"since": "2999-01-01T00:00:00Z"}, "since"),
    ({**SINCE, "event_types": ["qr.nope"]}, "event_types[0]"),
    ({**SINCE, "rate": 0}, "rate"),
    ({**SINCE, "rate": 1_001}, "rate"),
    ({**SINCE, "to_webhook_id": "wh_1"}, "webhook_id"),
]


async def test_a_replay_that_cannot_be_is_refused(
    gateway: Gateway, qr3: Tenant, make_tenant: MakeTenant
) -> None:
    one, foreign = await webhook(gateway, qr3), await webhook(gateway, await make_tenant("qr3"))
    for path in ("/v1/replays", "/v1/replays/preview"):
        for body, field in REFUSED:
            refused = await post(gateway, qr3, path, 400, body)
            assert [error["field"] for error in refused["errors"]] == [field]
        for names in ({"webhook_id": foreign}, {"webhook_id": one, "to_webhook_id": foreign}):
            refused = await post(gateway, qr3, path, 404, {**SINCE, **names})
            assert foreign in refused["detail"]


async def test_a_replay_is_bounded_and_made_once_for_a_key(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "OPEN_MAX", 1)
    monkeypatch.setattr(replays, "COUNT_MAX", 1)
    monkeypatch.setattr("services.gateway.handlers.jobs.COUNT_ROWS", 2)
    one, two = await webhook(gateway, qr3), await webhook(gateway, qr3)
    for number in range(1, 6):
        await delivered(gateway, qr3, one, number)
    window, headers = {"since": hour(gateway)}, {**qr3.key, "Idempotency-Key": "replay-1"}
    answers = [
        await gateway.client.post("/v1/replays", headers=headers, json=window) for _ in range(2)
    ]
    job, same = [answer.json() for answer in answers]
    assert job == same
    # A page goes on to the end of the second that makes it more than full.
    assert (job["matched"], job["matched_is"]) == (3, "at_least")
    assert "cancel" in (await post(gateway, qr3, "/v1/replays", 409, window))["detail"]
    await work(gateway.parts.ports)

    done = await shown(gateway, qr3, job["id"])
    assert (done["matched"], done["matched_is"], done["sent"]) == (5, "exact", 5)
    await gateway.client.post(f"/v1/webhooks/{two}/pause", headers=qr3.key)
    target = {**window, "webhook_id": one, "to_webhook_id": two}
    assert "is paused" in (await post(gateway, qr3, "/v1/replays", 409, target))["detail"]
    await post(gateway, qr3, "/v1/replays", 202, {**window, "webhook_id": one})
