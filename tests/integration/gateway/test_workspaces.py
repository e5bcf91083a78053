"""The operator's workspaces over the real Kafka and MongoDB: their life, suspension and limits."""

from typing import Any

import pytest
from httpx import Response

from services.gateway import auth
from services.gateway.wiring import Parts
from shared.models.endpoints import WorkspaceState, decode_state
from shared.topics import ENDPOINTS, EVENTS
from tests.integration.gateway.conftest import OPERATOR, Gateway
from tests.integration.gateway.reading import records_of

pytestmark = pytest.mark.integration

PATH = "/v1/operator/workspaces"
EVENT = {"type": "qr.scanned", "data": {}}
WEBHOOK = {"url": "https://example.com/hook", "events": ["*"]}


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a workspace looked at for each call: what it may is not remembered."""
    monkeypatch.setattr(auth, "TENANT_FRESH_MS", 0)


@pytest.fixture
def parts(gateway: Gateway) -> Parts:
    return gateway.parts


async def operator(gateway: Gateway, method: str, path: str = "", **given: Any) -> Response:
    headers = {**OPERATOR, **given.pop("headers", {})}
    return await gateway.client.request(method, PATH + path, headers=headers, **given)


async def made(gateway: Gateway, **given: Any) -> tuple[str, dict[str, str]]:
    """Make a workspace; returns its id and the headers with its first key."""
    body = {"name": "Acme", "profile": "qr3", **given}
    answer = await operator(gateway, "POST", json=body)
    assert answer.status_code == 201, answer.text
    created = answer.json()
    return created["id"], {"Authorization": f"Bearer {created['api_key']}"}


async def states_of(gateway: Gateway, workspace_id: str) -> list[WorkspaceState | None]:
    """Return what the topic says of a workspace, oldest first; None is a tombstone."""
    states = []
    for record in await records_of(gateway.settings, ENDPOINTS):
        if record.key == workspace_id.encode():
            state = record.value and decode_state(workspace_id, record.value)
            assert state is None or isinstance(state, WorkspaceState)
            states.append(state)
    return states


async def test_a_workspace_is_made_shown_listed_and_changed(gateway: Gateway) -> None:
    first, key = await made(gateway, id="ws_acme", limits={"webhooks": 3, "events_per_day": 10})
    second, _ = await made(gateway, name="Other")

    assert (await gateway.client.post("/v1/events", headers=key, json=EVENT)).status_code == 202
    taken = await operator(gateway, "POST", json={"id": first, "name": "x", "profile": "qr3"})
    assert (taken.status_code, taken.json()["errors"][0]["field"]) == (409, "id")
    page = (await operator(gateway, "GET", params={"limit": 1})).json()
    rest = (await operator(gateway, "GET", params={"cursor": page["next_cursor"]})).json()
    assert [one["id"] for one in (*page["data"], *rest["data"])] == [first, second]

    shown = await operator(gateway, "GET", f"/{first}")
    assert shown.json()["limits"] == {"webhooks": 3, "events_per_day": 10}
    patch = {"name": "Acme Ltd", "limits": {"webhooks": None, "api_keys": 2}}
    tag = {"If-Match": shown.headers["etag"]}
    changed = await operator(gateway, "PATCH", f"/{first}", json=patch, headers=tag)
    assert changed.json()["limits"] == {"events_per_day": 10, "api_keys": 2}
    assert changed.json()["name"] == "Acme Ltd"
    assert changed.headers["etag"] != shown.headers["etag"]
    late = await operator(gateway, "PATCH", f"/{first}", json=patch, headers=tag)
    assert late.status_code == 412
    emptied = await operator(gateway, "PATCH", f"/{first}", json={"limits": None})
    assert emptied.json()["limits"] == {}
    names = [state and state.name for state in await states_of(gateway, first)]
    assert names == ["Acme", "Acme Ltd", "Acme Ltd"]

    wrong = {"id": "acme", "name": "", "profile": "qr3", "limits": {"webhooks": 0}}
    refused = await operator(gateway, "POST", json=wrong)
    fields = [error["field"] for error in refused.json()["errors"]]
    assert (refused.status_code, fields) == (400, ["name", "id", "limits.webhooks"])
    unknown = await operator(gateway, "POST", json={"name": "x", "profile": "none"})
    assert unknown.json()["errors"][0]["field"] == "profile"
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/deletion"), ("POST", "/suspend")):
        assert (await operator(gateway, method, f"/ws_nobody{path}")).status_code == 404


async def test_a_workspace_has_no_more_keys_webhooks_and_types_than_it_may(
    gateway: Gateway,
) -> None:
    limits = {"api_keys": 2, "webhooks": 1, "event_types": 1}
    workspace, first = await made(gateway, limits=limits)
    body = {"name": "publisher", "scopes": ["events:write"]}
    key = (await operator(gateway, "POST", f"/{workspace}/api-keys", json=body)).json()
    full = await operator(gateway, "POST", f"/{workspace}/api-keys", json={})
    headers = {"Authorization": f"Bearer {key['api_key']}"}
    published = await gateway.client.post("/v1/events", headers=headers, json=EVENT)
    refused = await gateway.client.get("/v1/webhooks", headers=headers)
    path = f"/{workspace}/api-keys/{key['hint']}"
    revoked = [await operator(gateway, "DELETE", path) for _ in range(2)]

    assert (published.status_code, refused.status_code) == (202, 403)
    assert (full.status_code, full.json()["limit"]) == (403, "api_keys")
    assert [answer.status_code for answer in revoked] == [204, 404]

    answers = [
        await gateway.client.post(path, headers=first, json=body)
        for path, body in (
            ("/v1/webhooks", WEBHOOK),
            ("/v1/webhooks", WEBHOOK),
            ("/v1/event-types", {"type": "order.placed"}),
            ("/v1/event-types", {"type": "order.paid"}),
        )
    ]
    assert [answer.status_code for answer in answers] == [201, 403, 201, 403]
    assert [answers[1].json()["limit"], answers[3].json()["limit"]] == ["webhooks", "event_types"]


async def test_a_suspended_workspace_can_be_looked_at_and_does_nothing(gateway: Gateway) -> None:
    workspace, key = await made(gateway)
    client = gateway.client
    webhook = (await client.post("/v1/webhooks", headers=key, json=WEBHOOK)).json()["id"]
    before = len(await records_of(gateway.settings, EVENTS))
    suspended = [await operator(gateway, "POST", f"/{workspace}/suspend") for _ in range(2)]
    refused = [
        await client.post("/v1/events", headers=key, json=EVENT),
        await client.post("/v1/events/batch", headers=key, json=[EVENT]),
        await client.post("/v1/webhooks", headers=key, json=WEBHOOK),
        await client.patch(f"/v1/webhooks/{webhook}", headers=key, json={"description": "x"}),
        await client.post(f"/v1/webhooks/{webhook}/ping", headers=key),
    ]
    seen = await client.get(f"/v1/webhooks/{webhook}", headers=key)
    published = len(await records_of(gateway.settings, EVENTS))
    resumed = await operator(gateway, "POST", f"/{workspace}/resume")
    again = await client.post("/v1/events", headers=key, json=EVENT)

    assert [answer.json()["state"] for answer in suspended] == ["suspended"] * 2
    assert suspended[0].headers["etag"] == suspended[1].headers["etag"]
    for answer in refused:
        assert answer.status_code == 403
        assert answer.json()["type"] == "/errors#workspace_suspended"
    assert seen.status_code == 200
    assert published == before
    assert (resumed.json()["state"], again.status_code) == ("active", 202)
    states = await states_of(gateway, workspace)
    assert [state and state.suspended for state in states] == [False, True, False]


async def test_used_up_limits_are_answered_with_429_and_what_is_left(gateway: Gateway) -> None:
    limits = {"events_per_day": 3, "events_per_month": 1_000}
    _, key = await made(gateway, limits=limits)
    once = {**key, "Idempotency-Key": "order-1"}
    client = gateway.client
    rejected = await client.post("/v1/events", headers=key, json={"type": "qr.scaned", "data": {}})
    keyed = [await client.post("/v1/events", headers=once, json=EVENT) for _ in range(3)]
    batch = [EVENT, {"type": "nothing"}, EVENT]
    mixed = await client.post("/v1/events/batch", headers=key, json=batch)
    full = await client.post("/v1/events", headers=key, json=EVENT)
    large = await client.post("/v1/events/batch", headers=key, json=[EVENT] * 4)
    looked = await client.get("/v1/webhooks", headers=key)

    assert rejected.status_code == 422
    assert [answer.json() for answer in keyed] == [keyed[0].json()] * 3
    policy = (
        '"events_per_day";q=3;w=86400;qu="events", "events_per_month";q=1000;w=2678400;qu="events"'
    )
    assert keyed[0].headers["ratelimit-policy"][:50] == policy[:50]
    assert keyed[0].headers["ratelimit"].startswith('"events_per_day";r=2;t=')
    assert mixed.json()["accepted"] == 2
    assert full.status_code == 429
    assert full.json()["limit"] == "events_per_day"
    assert full.json()["type"] == "/errors#rate_limited"
    assert 1 <= int(full.headers["retry-after"]) <= 86_400
    assert full.headers["ratelimit"].startswith('"events_per_day";r=0;t=')
    assert large.status_code == 413
    assert "ratelimit" not in looked.headers
    assert looked.status_code == 200
    found = await records_of(gateway.settings, EVENTS)
    assert len([record for record in found if record.value]) == 3
