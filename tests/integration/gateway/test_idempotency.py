"""``Idempotency-Key`` over HTTP, Kafka and MongoDB."""

import asyncio
import json

import pytest
from aiokafka.structs import ConsumerRecord

from services.gateway.wiring import open_parts
from shared.models.claims import KEPT_MS
from shared.models.events import Coordinates, decode_event
from shared.topics import EVENTS
from tests.integration.gateway.conftest import Gateway, MakeTenant, Tenant, client_of
from tests.integration.gateway.reading import records_of

pytestmark = pytest.mark.integration

AT = Coordinates("events", 0, 0, 0)
SCAN = {"type": "qr.scanned", "data": {"short_code": "r7f3Kx"}}
AT_ONCE = 1_000


async def test_a_thousand_concurrent_publishes_with_one_key_make_one_event(
    gateway: Gateway, qr3: Tenant
) -> None:
    """Through two gateways, which know of each other only what MongoDB tells them."""
    headers = qr3.key | {"Idempotency-Key": "order-4711"}
    async with open_parts(gateway.settings) as parts, client_of(parts) as other:
        answers = await asyncio.gather(
            *(
                client.post("/v1/events", headers=headers, json=SCAN)
                for _ in range(AT_ONCE // 2)
                for client in (gateway.client, other)
            )
        )

    (record,) = await records_of(gateway.settings, EVENTS)
    identifier = decode_event(record.value, (), AT).id
    assert {(answer.status_code, answer.text) for answer in answers} == {
        (202, json.dumps({"id": identifier}, separators=(",", ":")))
    }
    replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
    assert replayed.count("true") == AT_ONCE - 1


async def test_a_webhook_is_created_once_and_answered_again_with_its_secret(
    gateway: Gateway, qr3: Tenant
) -> None:
    headers = qr3.key | {"Idempotency-Key": "webhook-1"}
    wanted = {"url": "https://example.com/hook", "events": ["*"]}

    first = await gateway.client.post("/v1/webhooks", headers=headers, json=wanted)
    again = await gateway.client.post("/v1/webhooks", headers=headers, json=wanted)
    other = await gateway.client.post(
        "/v1/webhooks", headers=headers, json={**wanted, "events": ["qr.scanned"]}
    )

    assert first.status_code == again.status_code == 201
    assert first.json()["secret"]
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 409
    listed = await gateway.client.get("/v1/webhooks", headers=qr3.key)
    assert [one["id"] for one in listed.json()["data"]] == [first.json()["id"]]


async def test_a_batch_is_answered_again_as_it_was(gateway: Gateway, qr3: Tenant) -> None:
    headers = qr3.key | {"Idempotency-Key": "batch-1"}
    batch = [SCAN, {"type": "nope", "data": {}}, SCAN]

    first = await gateway.client.post("/v1/events/batch", headers=headers, json=batch)
    again = await gateway.client.post("/v1/events/batch", headers=headers, json=batch)
    single = await gateway.client.post("/v1/events", headers=headers, json=SCAN)

    assert first.status_code == again.status_code == 202
    assert (first.content, "idempotent-replayed" in first.headers) == (again.content, False)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in single.headers  # another call: a key of its own
    published = [decode_event(record.value, (), AT).id for record in await _events(gateway)]
    results = first.json()["results"]
    assert published == [results[0]["id"], results[2]["id"], single.json()["id"]]


async def test_another_body_and_a_key_that_is_none_are_refused(
    gateway: Gateway, qr3: Tenant
) -> None:
    headers = qr3.key | {"Idempotency-Key": "k"}
    await gateway.client.post("/v1/events", headers=headers, json=SCAN)

    differs = await gateway.client.post("/v1/events", headers=headers, json=SCAN | {"data": {}})
    blank = await gateway.client.post(
        "/v1/events", headers=qr3.key | {"Idempotency-Key": ""}, json=SCAN
    )

    assert differs.status_code == 409
    assert differs.json()["errors"][0]["field"] == "Idempotency-Key"
    assert blank.status_code == 400
    assert blank.json()["errors"][0]["field"] == "Idempotency-Key"
    assert len(await _events(gateway)) == 1


async def test_a_refused_event_may_be_corrected_under_its_key(
    gateway: Gateway, qr3: Tenant
) -> None:
    headers = qr3.key | {"Idempotency-Key": "k"}

    refused = await gateway.client.post(
        "/v1/events", headers=headers, json={"type": "nope", "data": {}}
    )
    corrected = await gateway.client.post("/v1/events", headers=headers, json=SCAN)

    assert (refused.status_code, corrected.status_code) == (422, 202)


async def test_the_same_key_of_another_workspace_is_another_key(
    gateway: Gateway, qr3: Tenant, make_tenant: MakeTenant
) -> None:
    other = await make_tenant("qr3")
    for tenant in (qr3, other):
        answer = await gateway.client.post(
            "/v1/events", headers=tenant.key | {"Idempotency-Key": "k"}, json=SCAN
        )
        assert "idempotent-replayed" not in answer.headers

    assert len(await _events(gateway)) == 2


async def test_claims_expire_by_themselves(gateway: Gateway, qr3: Tenant) -> None:
    await gateway.client.post("/v1/events", headers=qr3.key | {"Idempotency-Key": "k"}, json=SCAN)

    claims = gateway.parts.mongo.collection("idempotency")
    indexes = await claims.index_information()
    document = await claims.find_one({})

    assert indexes["expires_at_1"]["expireAfterSeconds"] == 0
    assert document is not None
    assert document["expires_at"].timestamp() * 1_000 == document["time_ms"] + KEPT_MS
    assert document["workspace_id"] == qr3.id


async def _events(gateway: Gateway) -> list[ConsumerRecord[bytes, bytes]]:
    return await records_of(gateway.settings, EVENTS)
