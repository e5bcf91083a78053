"""Events over HTTP, and pings: what is on Kafka when the answer has come."""

import hashlib
import hmac
import json

import pytest

from services.gateway.wiring import now_ms
from shared.models import ids
from shared.models.deliveries import meta_of
from shared.models.events import Coordinates, decode_event
from shared.topics import DELIVERIES, EVENTS
from tests.integration.gateway.conftest import Gateway, MakeTenant, Tenant
from tests.integration.gateway.reading import records_of

pytestmark = pytest.mark.integration

AT = Coordinates("events", 0, 0, 0)
SCAN = {"type": "scan.created", "data": {"short_code": "r7f3Kx", "country": "AT"}}


async def test_an_accepted_event_is_on_kafka(gateway: Gateway, qr3: Tenant) -> None:
    before_ms = now_ms()

    answer = await gateway.client.post("/v1/events", headers=qr3.key, json=SCAN)

    assert answer.status_code == 202
    (record,) = await records_of(gateway.settings, EVENTS)
    event = decode_event(record.value, (), AT)
    assert answer.json() == {"id": event.id}
    assert before_ms <= ids.time_ms_of(event.id) <= now_ms()
    assert (event.type, event.workspace_id) == ("scan.created", qr3.id)
    assert json.loads(event.data) == SCAN["data"]
    assert record.key == qr3.id.encode()


async def test_an_event_that_cannot_be_delivered_is_refused_here(
    gateway: Gateway, qr3: Tenant
) -> None:
    answer = await gateway.client.post(
        "/v1/events", headers=qr3.key, json={"type": "qr.scaned", "data": {}}
    )

    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "field": "type",
            "detail": "unknown event type 'qr.scaned'; did you mean 'qr.scanned'?",
        }
    ]
    assert await records_of(gateway.settings, EVENTS) == []


async def test_a_batch_is_taken_as_an_array_or_as_lines(gateway: Gateway, qr3: Tenant) -> None:
    events = [SCAN | {"id": "evt_1"}, {"type": "nope", "data": {}}, SCAN | {"id": "evt_2"}]
    lines = "\n".join(json.dumps(event) for event in events)
    expected = ["accepted", "rejected", "accepted"]

    by_array = await gateway.client.post("/v1/events/batch", headers=qr3.key, json=events)
    by_lines = await gateway.client.post(
        "/v1/events/batch",
        headers=qr3.key | {"Content-Type": "application/x-ndjson"},
        content=lines + "\n",
    )

    for answer in (by_array, by_lines):
        assert answer.status_code == 202
        results = answer.json()["results"]
        assert [result["status"] for result in results] == expected
        assert [result.get("id") for result in results] == ["evt_1", None, "evt_2"]
        assert results[1]["error"]["field"] == "type"
    records = await records_of(gateway.settings, EVENTS)
    assert [decode_event(record.value, (), AT).id for record in records] == ["evt_1", "evt_2"] * 2


async def test_a_batch_of_a_thousand_is_taken_and_one_more_is_not(
    gateway: Gateway, qr3: Tenant
) -> None:
    full = await gateway.client.post("/v1/events/batch", headers=qr3.key, json=[SCAN] * 1_000)
    over = await gateway.client.post("/v1/events/batch", headers=qr3.key, json=[SCAN] * 1_001)

    assert len({result["id"] for result in full.json()["results"]}) == 1_000
    assert over.status_code == 413
    assert "split it" in over.json()["detail"]
    assert len(await records_of(gateway.settings, EVENTS)) == 1_000


async def test_the_largest_event_fits_and_a_larger_one_is_named(
    gateway: Gateway, make_tenant: MakeTenant
) -> None:
    standard = await make_tenant("standard")
    largest = {"type": "a.b", "data": {"noise": hashlib.shake_256(b"").hexdigest(523_000)}}
    too_large = {"type": "a.b", "data": {"noise": "x" * 1_048_576}}

    taken = await gateway.client.post("/v1/events", headers=standard.key, json=largest)
    refused = await gateway.client.post("/v1/events", headers=standard.key, json=too_large)

    assert taken.status_code == 202, taken.text
    assert refused.status_code == 413
    (record,) = await records_of(gateway.settings, EVENTS)
    assert json.loads(decode_event(record.value, (), AT).data) == largest["data"]


async def test_a_ping_is_one_delivery_of_the_guides_payload(gateway: Gateway, qr3: Tenant) -> None:
    created = await gateway.client.post(
        "/v1/webhooks",
        headers=qr3.key,
        json={"url": "https://example.com/hook", "events": ["qr.created"]},
    )
    identifier = created.json()["id"]

    answer = await gateway.client.post(f"/v1/webhooks/{identifier}/ping", headers=qr3.key)

    assert answer.status_code == 202
    assert answer.json()["type"] == "webhook.ping"
    assert answer.json()["webhook_id"] == identifier
    (record,) = await records_of(gateway.settings, DELIVERIES)
    assert record.key == identifier.encode()
    body = json.loads(record.value or b"")
    assert list(body) == ["id", "type", "created", "data"]
    assert (body["id"], body["type"]) == (answer.json()["id"], "webhook.ping")
    assert body["created"] == answer.json()["created_at"]
    assert body["data"]["webhook_id"] == identifier
    meta = meta_of(record.headers)
    assert meta is not None
    assert (meta.event_id, meta.event_type, meta.trigger) == (body["id"], "webhook.ping", "ping")
    assert (meta.attempt, meta.revision, meta.workspace_id) == (1, 1, qr3.id)


async def test_a_pings_body_verifies_as_javascript_prints_it(gateway: Gateway, qr3: Tenant) -> None:
    created = await gateway.client.post(
        "/v1/webhooks",
        headers=qr3.key,
        json={"url": "https://example.com/hook", "events": ["*"], "secret": "s" * 16},
    )
    await gateway.client.post(f"/v1/webhooks/{created.json()['id']}/ping", headers=qr3.key)

    (record,) = await records_of(gateway.settings, DELIVERIES)

    body = record.value or b""
    printed = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
    key = b"s" * 16
    assert hmac.digest(key, body, "sha256") == hmac.digest(key, printed, "sha256")


async def test_a_ping_goes_to_a_disabled_webhook_too(gateway: Gateway, xqr: Tenant) -> None:
    created = await gateway.client.post(
        "/v1/webhooks",
        headers=xqr.key,
        json={"url": "https://example.com/hook", "events": ["*"]},
    )
    path = f"/v1/webhooks/{created.json()['id']}"
    await gateway.client.patch(path, headers=xqr.key, json={"is_active": False})

    answer = await gateway.client.post(f"{path}/ping", headers=xqr.key)

    assert answer.status_code == 202
    (record,) = await records_of(gateway.settings, DELIVERIES)
    assert list(json.loads(record.value or b"")) == ["event", "data"]
    meta = meta_of(record.headers)
    assert meta is not None
    assert meta.revision == 2
