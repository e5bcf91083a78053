"""Event types of a workspace's own over HTTP, MongoDB and the ``endpoints`` topic."""

import pytest

from services.gateway.wiring import open_parts
from shared.models.endpoints import TypeNames, WorkspaceState, decode_state
from shared.topics import ENDPOINTS
from tests.integration.gateway.conftest import Gateway, Tenant, client_of
from tests.integration.gateway.reading import records_of

pytestmark = pytest.mark.integration

ORDER = {"type": "order.created", "description": "Placed", "example": {"n": 1.5, "$a.b": None}}
HOOK = {"url": "https://example.com/hook", "events": ["order.created"]}
EVENT = {"type": "order.created", "data": {}}


async def test_a_type_that_was_made_is_known_to_every_gateway_and_to_fan_out(
    gateway: Gateway, qr3: Tenant
) -> None:
    async with open_parts(gateway.settings) as parts, client_of(parts) as other:
        unknown = await other.post("/v1/webhooks", headers=qr3.key, json=HOOK)
        made = await gateway.client.post("/v1/event-types", headers=qr3.key, json=ORDER)
        subscribed = await other.post("/v1/webhooks", headers=qr3.key, json=HOOK)
        published = await other.post("/v1/events", headers=qr3.key, json=EVENT)
        batch = await other.post("/v1/events/batch", headers=qr3.key, json=[EVENT])

    assert unknown.status_code == 400
    assert unknown.json()["errors"][0]["field"] == "events[0]"
    assert (made.status_code, subscribed.status_code, published.status_code) == (201, 201, 202)
    assert batch.json()["accepted"] == 1
    states = [
        decode_state((record.key or b"").decode(), record.value or b"")
        for record in await records_of(gateway.settings, ENDPOINTS)
        if record.key == qr3.id.encode()
    ]
    last = states[-1]
    assert isinstance(last, WorkspaceState)
    assert last.types == (TypeNames("order.created"),)
    assert last.revision == 2


async def test_it_is_listed_renamed_and_archived(gateway: Gateway, qr3: Tenant) -> None:
    path = "/v1/event-types"
    await gateway.client.post(path, headers=qr3.key, json=ORDER)

    renamed = await gateway.client.patch(
        f"{path}/order.created", headers=qr3.key, json={"type": "order.placed"}
    )
    archived = await gateway.client.patch(
        f"{path}/order.placed", headers=qr3.key, json={"archived": True}
    )
    shown = await gateway.client.get(f"{path}/order.created", headers=qr3.key)
    listed = await gateway.client.get(path, headers=qr3.key)
    subscribing = await gateway.client.post("/v1/webhooks", headers=qr3.key, json=HOOK)
    again = await gateway.client.post(path, headers=qr3.key, json=ORDER)

    assert renamed.json()["aliases"] == ["order.created"]
    assert shown.json() == archived.json()
    assert shown.json() in listed.json()["data"]
    assert shown.json()["example"] == ORDER["example"]
    assert shown.json()["archived"] is True
    assert "is archived" in subscribing.json()["detail"]
    assert again.status_code == 409
