"""Endpoints over HTTP: both guides to the letter, and what they leave open."""

import re

import pytest

from shared.models.endpoints import EndpointState, decode_state
from shared.models.operational import OPERATIONAL
from shared.signing.keyring import Keyring
from shared.topics import ENDPOINTS
from tests.integration.gateway.conftest import Gateway, MakeTenant, Tenant
from tests.integration.gateway.reading import records_of

pytestmark = pytest.mark.integration

SECRET = "my-secret-key-min-16-chars"
QR3_CREATE = {
    "url": "https://example.com/webhooks/qr3",
    "events": ["qr.scanned", "qr.created"],
    "secret": SECRET,
}
XQR_CREATE = {
    "url": "https://your-app.com/webhooks/xqr",
    "events": ["link.created", "link.scanned"],
    "description": "Production webhook",
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def create(gateway: Gateway, tenant: Tenant, **changes: object) -> dict[str, object]:
    answer = await gateway.client.post(
        "/v1/webhooks", headers=tenant.key, json=QR3_CREATE | changes
    )
    assert answer.status_code == 201, answer.text
    created: dict[str, object] = answer.json()
    return created


async def last_state(gateway: Gateway, identifier: object) -> EndpointState | None:
    key = str(identifier).encode()
    records = await records_of(gateway.settings, ENDPOINTS)
    values = [record.value for record in records if record.key == key]
    if values[-1] is None:
        return None
    state = decode_state(key.decode(), values[-1])
    assert isinstance(state, EndpointState)
    return state


async def test_qr3s_create_call_is_answered_as_its_guide_says(
    gateway: Gateway, qr3: Tenant
) -> None:
    answer = await gateway.client.post("/v1/webhooks", headers=qr3.key, json=QR3_CREATE)

    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    created = answer.json()
    assert list(created) == [
        "id",
        "url",
        "events",
        "is_active",
        "secret",
        "secret_hint",
        "created_at",
    ]
    assert created["id"].startswith("wh_")
    assert TIME.fullmatch(created["created_at"])
    assert {**created, "id": "", "created_at": ""} == {
        "id": "",
        "url": "https://example.com/webhooks/qr3",
        "events": ["qr.scanned", "qr.created"],
        "is_active": True,
        "secret": "my-secret-key-min-16-chars",
        "secret_hint": "my-s…",
        "created_at": "",
    }
    assert '"secret_hint":"my-s…"' in answer.text


async def test_xqrs_guide_can_be_followed_step_by_step(gateway: Gateway, xqr: Tenant) -> None:
    client = gateway.client
    created = await client.post("/api/v1/webhooks", headers=xqr.key, json=XQR_CREATE)
    identifier = created.json()["id"]
    secret = await client.get(f"/api/developer/webhooks/{identifier}/secret", headers=xqr.token)
    tested = await client.post(f"/api/developer/webhooks/{identifier}/test", headers=xqr.token)
    log = await client.get(f"/api/v1/webhooks/{identifier}/deliveries", headers=xqr.key)

    assert created.status_code == 201
    assert "secret" not in created.json()
    assert created.json()["description"] == "Production webhook"
    assert secret.json()["secret"].startswith(created.json()["secret_hint"].removesuffix("…"))
    assert tested.status_code == 202
    assert tested.json()["id"].startswith("evt_")
    assert log.json() == {"data": []}


async def test_the_face_decides_about_the_secret_not_the_profile(
    gateway: Gateway, qr3: Tenant, xqr: Tenant
) -> None:
    by_v1 = await gateway.client.post("/v1/webhooks", headers=xqr.key, json=XQR_CREATE)
    by_api = await gateway.client.post("/api/v1/webhooks", headers=qr3.key, json=QR3_CREATE)

    assert len(by_v1.json()["secret"]) == 64
    assert "secret" not in by_api.json()


async def test_a_created_endpoint_is_on_the_topic_with_its_secret_sealed(
    gateway: Gateway, qr3: Tenant
) -> None:
    created = await create(gateway, qr3)

    state = await last_state(gateway, created["id"])

    assert state is not None
    assert (state.workspace_id, state.profile, state.active) == (qr3.id, "qr3", True)
    assert state.events == ("qr.scanned", "qr.created")
    assert SECRET not in state.secret
    ring = Keyring.parse(gateway.settings.secret_keys)
    assert ring.open(state.secret, state.id) == SECRET


async def test_a_workspace_is_on_the_topic_before_its_first_endpoint(
    gateway: Gateway, qr3: Tenant
) -> None:
    records = await records_of(gateway.settings, ENDPOINTS)

    assert [record.key for record in records] == [qr3.id.encode()]


async def test_a_standard_webhooks_secret_is_generated_and_checked(
    gateway: Gateway, make_tenant: MakeTenant
) -> None:
    standard = await make_tenant("standard")
    wanted = {"url": "https://example.com/s", "events": ["invoice.paid"]}

    made = await gateway.client.post("/v1/webhooks", headers=standard.key, json=wanted)
    refused = await gateway.client.post(
        "/v1/webhooks", headers=standard.key, json=wanted | {"secret": "my-secret-key-min-16-chars"}
    )

    assert made.json()["secret"].startswith("whsec_")
    assert refused.status_code == 400
    assert refused.json()["errors"] == [{"field": "secret", "detail": "must begin with 'whsec_'"}]


async def test_lists_are_newest_first_in_pages(gateway: Gateway, qr3: Tenant) -> None:
    made = [str((await create(gateway, qr3))["id"]) for _ in range(5)]
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = await gateway.client.get("/v1/webhooks", headers=qr3.key, params=query)
        assert page.status_code == 200
        seen += [item["id"] for item in page.json()["data"]]
        if "next_cursor" not in page.json():
            break
        query["cursor"] = page.json()["next_cursor"]

    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)
    assert "secret" not in page.json()["data"][0]


async def test_a_webhook_is_shown_with_its_failures(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3)

    shown = await gateway.client.get(f"/v1/webhooks/{created['id']}", headers=qr3.key)

    expected = {name: value for name, value in created.items() if name != "secret"}
    assert shown.json() == expected | {"consecutive_failures": 0}


async def test_a_change_is_stored_and_published(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3, description="old")
    path = f"/v1/webhooks/{created['id']}"

    changed = await gateway.client.patch(
        path,
        headers=qr3.key,
        json={"url": "https://example.com/new", "events": ["*"], "description": None},
    )

    assert changed.status_code == 200
    shown = (await gateway.client.get(path, headers=qr3.key)).json()
    assert (shown["url"], shown["events"]) == ("https://example.com/new", ["*"])
    assert "description" not in shown
    assert TIME.fullmatch(shown["updated_at"])
    state = await last_state(gateway, created["id"])
    assert state is not None
    assert (state.url, state.events, state.revision) == ("https://example.com/new", ("*",), 2)


async def test_enabling_a_disabled_webhook_starts_a_new_epoch(
    gateway: Gateway, qr3: Tenant
) -> None:
    created = await create(gateway, qr3)
    path = f"/v1/webhooks/{created['id']}"
    store = gateway.parts.stores[1]
    await store.disable(str(created["id"]), 1, "consecutive_failures")
    disabled = (await gateway.client.get(path, headers=qr3.key)).json()

    enabled = await gateway.client.patch(path, headers=qr3.key, json={"is_active": True})
    again = await gateway.client.patch(path, headers=qr3.key, json={"is_active": True})

    assert (disabled["is_active"], disabled["disabled_reason"]) == (False, "consecutive_failures")
    assert enabled.json()["is_active"] is True
    assert "disabled_reason" not in enabled.json()
    assert again.json()["is_active"] is True
    state = await last_state(gateway, created["id"])
    assert state is not None
    assert (state.active, state.epoch) == (True, 2)


async def test_a_deleted_webhook_is_gone_everywhere(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3)
    path = f"/v1/webhooks/{created['id']}"

    deleted = await gateway.client.delete(path, headers=qr3.key)

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await gateway.client.get(path, headers=qr3.key)).status_code == 404
    assert (await gateway.client.delete(path, headers=qr3.key)).status_code == 404
    assert (await gateway.client.get("/v1/webhooks", headers=qr3.key)).json() == {"data": []}
    assert await last_state(gateway, created["id"]) is None


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"url": "http://127.0.0.1/"}, "url", "https"),
        ({"url": "https://10.0.0.1/"}, "url", "private network"),
        ({"events": []}, "events", "is empty"),
        ({"events": ["qr.scaned"]}, "events[0]", "did you mean 'qr.scanned'?"),
        ({"secret": "too-short"}, "secret", "16 to 128"),
        ({"description": "x" * 513}, "description", "512"),
        ({"evnets": ["*"]}, "evnets", "did you mean 'events'?"),
        ({"url": 7}, "url", "expected `str`"),
    ],
)
async def test_what_is_wrong_is_named_with_its_fix(
    gateway: Gateway, qr3: Tenant, changes: dict[str, object], field: str, words: str
) -> None:
    answer = await gateway.client.post("/v1/webhooks", headers=qr3.key, json=QR3_CREATE | changes)

    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["type"] == "/errors#invalid_request"
    assert problem["status"] == 400
    assert [error["field"] for error in problem["errors"]] == [field]
    assert words in problem["errors"][0]["detail"]


async def test_a_secret_cannot_be_patched(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3)

    answer = await gateway.client.patch(
        f"/v1/webhooks/{created['id']}", headers=qr3.key, json={"secret": "x" * 20}
    )

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "secret"


async def test_the_secret_call_shows_it_in_full(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3)

    shown = await gateway.client.get(f"/v1/webhooks/{created['id']}/secret", headers=qr3.key)

    assert shown.json() == {"secret": "my-secret-key-min-16-chars"}


async def test_a_cursor_that_is_none_is_refused(gateway: Gateway, qr3: Tenant) -> None:
    answer = await gateway.client.get(
        "/v1/webhooks", headers=qr3.key, params={"cursor": "nonsense"}
    )

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "cursor"


async def test_a_misspelt_filter_is_named(gateway: Gateway, qr3: Tenant) -> None:
    answer = await gateway.client.get("/v1/webhooks", headers=qr3.key, params={"limt": 2})

    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"field": "limt", "detail": "is not a query parameter here; did you mean 'limit'?"}
    ]


async def test_the_event_types_are_listed_with_their_aliases(gateway: Gateway, qr3: Tenant) -> None:
    answer = await gateway.client.get("/v1/event-types", headers=qr3.key)

    types = {item["type"]: item["aliases"] for item in answer.json()["data"]}
    assert types["qr.scanned"] == ["scan.created"]
    assert len(types) == 7 + len(OPERATIONAL)
