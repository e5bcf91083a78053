"""Sending one delivery again, and pending retries: listed, and discarded through Kafka."""

from typing import Any

import msgspec
import pytest

from services.gateway.handlers import retries
from shared.models.attempts import Attempt
from shared.models.endpoints import EndpointState, decode_state
from shared.models.errors import Outage
from shared.topics import ENDPOINTS
from tests.integration.gateway.conftest import Gateway, Tenant
from tests.integration.gateway.reading import records_of
from tests.integration.gateway.test_deliveries import BODY, attempt, logged, webhook
from tests.integration.gateway.test_recovery import lost, recover, resent, shown, work

pytestmark = pytest.mark.integration

MINUTE_MS = 60_000


async def post(gateway: Gateway, tenant: Tenant, path: str, status: int, **headers: str) -> Any:
    answer = await gateway.client.post(path, headers={**tenant.key, **headers})
    assert answer.status_code == status, answer.text
    return answer.json()


async def pending(gateway: Gateway, tenant: Tenant, endpoint_id: str, number: int) -> Attempt:
    """Have an attempt that failed ``number`` minutes ago and is to be followed in an hour."""
    now_ms = gateway.parts.ports.now_ms()
    due_ms = now_ms - number * MINUTE_MS
    failed = attempt(
        endpoint_id,
        workspace_id=tenant.id,
        event_id=f"evt_{number}",
        due_ms=due_ms,
        started_ms=due_ms,
        ended_ms=due_ms + 5,
        status="failed",
        status_code=503,
        final=False,
        next_attempt_ms=now_ms + 60 * MINUTE_MS,
    )
    await logged(gateway, failed)
    return failed


async def listed(gateway: Gateway, tenant: Tenant, **query: Any) -> list[str]:
    answer = await gateway.client.get("/v1/retries", headers=tenant.key, params=query)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["data"]]


async def state_of(gateway: Gateway, endpoint_id: str) -> EndpointState:
    """Return what delivery workers know of an endpoint."""
    *_, last = [
        record
        for record in await records_of(gateway.settings, ENDPOINTS)
        if record.key == endpoint_id.encode()
    ]
    state = decode_state(endpoint_id, last.value)
    assert isinstance(state, EndpointState)
    return state


async def test_one_delivery_is_sent_again_each_time_it_is_asked_for(
    gateway: Gateway, qr3: Tenant
) -> None:
    identifier = await webhook(gateway, qr3)
    given = await lost(gateway, qr3, identifier, 1)
    row = given.delivery_id()
    path = f"/v1/deliveries/{row}/resend"
    first = await post(gateway, qr3, f"/v1/webhooks/{identifier}{path[3:]}", 202)
    key = {"Idempotency-Key": "again-1"}
    second, same = [await post(gateway, qr3, path, 202, **key) for _ in range(2)]

    published = await resent(gateway)
    assert [record.value for record, _ in published] == [BODY, BODY]
    assert [meta.trigger for _, meta in published] == [first["trigger"], second["trigger"]]
    assert first["trigger"] == f"resend:{row}"
    assert second["trigger"].startswith(f"resend:{row}:")
    assert same == second
    for answer, (_, meta) in zip((first, second), published, strict=True):
        assert answer["id"] == meta.row_id(identifier)
    await recover(gateway, qr3, identifier)
    await work(gateway.parts.ports)
    assert len(await resent(gateway)) == 2, "no recovery sends it once more"


async def test_what_cannot_be_sent_again_says_why(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = await webhook(gateway, qr3)
    given = await lost(gateway, qr3, identifier, 1)
    gone = msgspec.structs.replace(given, event_id="evt_gone", offset=999)
    ping = msgspec.structs.replace(given, trigger="ping")
    await logged(gateway, gone, ping)

    async def why(row: Attempt, status: int = 409) -> str:
        path = f"/v1/deliveries/{row.delivery_id()}/resend"
        return str((await post(gateway, qr3, path, status))["detail"])

    assert "body" in await why(gone)
    assert "ping" in await why(ping)
    for nothing in ("whd_" + "0" * 32, "nonsense"):
        await post(gateway, qr3, f"/v1/deliveries/{nothing}/resend", 404)

    async def away(*_: object) -> None:
        raise Outage("Kafka does not answer")

    with monkeypatch.context() as cut_off:
        cut_off.setattr(gateway.parts.ports.sink, "publish_within", away)
        await why(given, 503)
    await gateway.client.post(f"/v1/webhooks/{identifier}/pause", headers=qr3.key)
    assert "paused" in await why(given)
    await gateway.client.post(f"/v1/webhooks/{identifier}/resume", headers=qr3.key)
    job = await recover(gateway, qr3, identifier)
    await work(gateway.parts.ports)
    assert (await shown(gateway, qr3, job["id"]))["sent"] == 1, "what was not sent is recovered"


async def test_pending_retries_are_listed_until_they_are_made(
    gateway: Gateway, qr3: Tenant
) -> None:
    one, two = await webhook(gateway, qr3), await webhook(gateway, qr3)
    waiting, other = await pending(gateway, qr3, one, 3), await pending(gateway, qr3, two, 2)
    made = await pending(gateway, qr3, one, 1)
    await lost(gateway, qr3, one, 4)
    assert made.next_attempt_ms is not None
    following = {"due_ms": made.next_attempt_ms, "attempt": 2, "next_attempt_ms": None}
    await logged(gateway, msgspec.structs.replace(made, **following, final=True, status="success"))

    assert await listed(gateway, qr3) == [other.delivery_id(), waiting.delivery_id()]
    assert await listed(gateway, qr3, webhook_id=one) == [waiting.delivery_id()]
    answer = await gateway.client.get("/v1/retries", headers=qr3.key)
    (item, _) = answer.json()["data"]
    assert (item["webhook_id"], item["event_id"], item["attempt"]) == (two, "evt_2", 1)
    assert (item["status_code"], "next_attempt_at" in item) == (503, True)


async def test_a_webhooks_retries_are_discarded_where_workers_see_it(
    gateway: Gateway, qr3: Tenant
) -> None:
    one, two = await webhook(gateway, qr3), await webhook(gateway, qr3)
    failed, other = await pending(gateway, qr3, one, 3), await pending(gateway, qr3, two, 2)
    answer = await post(gateway, qr3, f"/v1/webhooks/{one}/retries/discard", 202)

    state = await state_of(gateway, one)
    assert state.retries_discarded_ms is not None
    assert failed.ended_ms <= state.retries_discarded_ms
    assert answer["webhook_id"] == one
    assert await listed(gateway, qr3) == [other.delivery_id()]
    later = state.retries_discarded_ms + 1
    await logged(gateway, msgspec.structs.replace(failed, event_id="evt_later", ended_ms=later))
    assert len(await listed(gateway, qr3, webhook_id=one)) == 1


async def test_one_retry_is_discarded_and_forgotten_when_it_has_ended(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "SINGLE_MAX", 2)
    one = await webhook(gateway, qr3)
    failed = [await pending(gateway, qr3, one, number) for number in range(1, 5)]
    paths = [f"/v1/retries/{each.delivery_id()}/discard" for each in failed]
    answer = await post(gateway, qr3, paths[0], 202)
    await post(gateway, qr3, paths[1], 202)
    await post(gateway, qr3, paths[1], 202)

    assert answer["id"] == failed[0].next_id()
    assert (await state_of(gateway, one)).discarded_retries == tuple(
        each.next_id() for each in failed[:2]
    )
    assert await listed(gateway, qr3) == [each.delivery_id() for each in failed[2:]]
    assert "one by one" in (await post(gateway, qr3, paths[2], 409))["detail"]
    ended = {"due_ms": failed[0].next_attempt_ms, "attempt": 2, "next_attempt_ms": None}
    done = msgspec.structs.replace(failed[0], **ended, final=True, status="discarded")
    await logged(gateway, done)
    await post(gateway, qr3, paths[2], 202)
    assert (await state_of(gateway, one)).discarded_retries == tuple(
        each.next_id() for each in failed[1:3]
    )
    assert "made already" in (await post(gateway, qr3, paths[0], 409))["detail"]
    path = f"/v1/retries/{done.delivery_id()}/discard"
    assert "ended" in (await post(gateway, qr3, path, 409))["detail"]
    await post(gateway, qr3, f"/v1/retries/whd_{'0' * 32}/discard", 404)
