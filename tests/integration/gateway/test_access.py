"""Who may call what: credentials, scopes, tenants, on every route."""

import pytest
from litestar.routes import HTTPRoute

from services.gateway import auth
from services.gateway.handlers import accounts
from services.gateway.routes import api_routers
from tests.integration.gateway.conftest import Gateway, Tenant

pytestmark = pytest.mark.integration

CREATE = {"url": "https://example.com/hook", "events": ["*"]}
EVENT = {"type": "qr.scanned", "data": {}}

ROUTES = [
    ("POST", "/v1/webhooks", CREATE, auth.WEBHOOKS_WRITE),
    ("GET", "/v1/webhooks", None, auth.WEBHOOKS_READ),
    ("GET", "/v1/webhooks/{id}", None, auth.WEBHOOKS_READ),
    ("PATCH", "/v1/webhooks/{id}", {"description": "x"}, auth.WEBHOOKS_WRITE),
    ("GET", "/v1/webhooks/{id}/deliveries", None, auth.DELIVERIES_READ),
    ("GET", "/v1/webhooks/{id}/deliveries/whd_1", None, auth.DELIVERIES_READ),
    ("GET", "/v1/deliveries", None, auth.DELIVERIES_READ),
    ("GET", "/v1/events/evt_1", None, auth.DELIVERIES_READ),
    ("POST", "/v1/webhooks/{id}/recover", {"since": "2026-03-15T10:00:00Z"}, auth.WEBHOOKS_WRITE),
    ("GET", "/v1/jobs/job_1", None, auth.DELIVERIES_READ),
    ("GET", "/v1/webhooks/{id}/secret", None, auth.SECRETS_READ),
    ("POST", "/v1/webhooks/{id}/secret/rotate", None, auth.WEBHOOKS_WRITE),
    ("POST", "/v1/webhooks/{id}/ping", None, auth.WEBHOOKS_WRITE),
    ("POST", "/v1/webhooks/{id}/match", EVENT, auth.WEBHOOKS_READ),
    ("POST", "/v1/webhooks/{id}/pause", None, auth.WEBHOOKS_WRITE),
    ("POST", "/v1/webhooks/{id}/resume", None, auth.WEBHOOKS_WRITE),
    ("GET", "/v1/event-types", None, auth.WEBHOOKS_READ),
    ("GET", "/v1/event-types/t.t", None, auth.WEBHOOKS_READ),
    ("POST", "/v1/event-types", {"type": "order.created"}, auth.WEBHOOKS_WRITE),
    ("PATCH", "/v1/event-types/t.t", {"archived": True}, auth.WEBHOOKS_WRITE),
    ("GET", "/v1/rejected-events", None, auth.EVENTS_READ),
    ("GET", "/v1/rejected-events/rej_1", None, auth.EVENTS_READ),
    ("POST", "/v1/rejected-events/rej_1/resubmit", None, auth.EVENTS_WRITE),
    ("DELETE", "/v1/rejected-events/rej_1", None, auth.EVENTS_WRITE),
    ("POST", "/v1/events", EVENT, auth.EVENTS_WRITE),
    ("POST", "/v1/events/batch", [EVENT], auth.EVENTS_WRITE),
    ("POST", "/api/v1/webhooks", CREATE, auth.WEBHOOKS_WRITE),
    ("GET", "/api/v1/webhooks", None, auth.WEBHOOKS_READ),
    ("GET", "/api/v1/webhooks/{id}", None, auth.WEBHOOKS_READ),
    ("PATCH", "/api/v1/webhooks/{id}", {"description": "x"}, auth.WEBHOOKS_WRITE),
    ("POST", "/api/v1/webhooks/{id}/pause", None, auth.WEBHOOKS_WRITE),
    ("POST", "/api/v1/webhooks/{id}/resume", None, auth.WEBHOOKS_WRITE),
    ("GET", "/api/v1/webhooks/{id}/deliveries", None, auth.DELIVERIES_READ),
    ("GET", "/api/v1/webhooks/{id}/deliveries/whd_1", None, auth.DELIVERIES_READ),
    ("GET", "/api/developer/webhooks/{id}/secret", None, auth.SECRETS_READ),
    ("POST", "/api/developer/webhooks/{id}/secret/rotate", None, auth.WEBHOOKS_WRITE),
    ("POST", "/api/developer/webhooks/{id}/test", None, auth.WEBHOOKS_WRITE),
    ("DELETE", "/api/v1/webhooks/{id}", None, auth.WEBHOOKS_WRITE),
    ("DELETE", "/v1/webhooks/{id}", None, auth.WEBHOOKS_WRITE),
]
PARAMETERS = {
    "{id}": "{webhook_id}",
    "whd_1": "{delivery_id}",
    "evt_1": "{event_id}",
    "job_1": "{job_id}",
    "t.t": "{event_type}",
    "rej_1": "{rejected_id}",
}
NOT_THERE = ("whd_1", "evt_1", "job_1", "t.t", "rej_1", "rej_1/resubmit")
OF_ONE_WEBHOOK = [route for route in ROUTES if "{id}" in route[1]]


async def webhook(gateway: Gateway, tenant: Tenant) -> str:
    answer = await gateway.client.post("/v1/webhooks", headers=tenant.key, json=CREATE)
    return str(answer.json()["id"])


async def key_with(gateway: Gateway, tenant: Tenant, scopes: set[str]) -> dict[str, str]:
    key = await accounts.create_api_key(
        gateway.parts.ports, workspace_id=tenant.id, scopes=sorted(scopes)
    )
    return {"Authorization": f"Bearer {key}"}


def test_the_table_above_has_every_route_of_the_api() -> None:
    served = {
        (method, route.path_format)
        for router in api_routers()
        for route in router.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods - {"OPTIONS"}
    }
    tried = set()
    for method, path, _, _ in ROUTES:
        template = path
        for given, name in PARAMETERS.items():
            template = template.replace(given, name)
        tried.add((method, template))

    assert tried == served


async def test_without_a_credential_every_route_is_closed(gateway: Gateway, qr3: Tenant) -> None:
    identifier = await webhook(gateway, qr3)
    for method, path, body, _ in ROUTES:
        answer = await gateway.client.request(method, path.format(id=identifier), json=body)

        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == 'Bearer realm="hooklane"'
        assert answer.json()["type"] == "urn:hooklane:problem:unauthorised"


async def test_with_a_wrong_credential_every_route_is_closed(gateway: Gateway, qr3: Tenant) -> None:
    identifier = await webhook(gateway, qr3)
    for method, path, body, _ in ROUTES:
        for wrong in ("Bearer hk_unknown", "Bearer a.b.c", "Basic abc", f"Bearer {qr3.jwt}x"):
            answer = await gateway.client.request(
                method, path.format(id=identifier), json=body, headers={"Authorization": wrong}
            )

            assert answer.status_code == 401, (path, wrong)
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_the_credential_is_checked_before_the_body_is_read(gateway: Gateway) -> None:
    answer = await gateway.client.post("/v1/webhooks", content=b"x" * 10_000_000)

    assert answer.status_code == 401


async def test_a_key_without_the_scope_is_refused_and_the_scope_named(
    gateway: Gateway, qr3: Tenant
) -> None:
    identifier = await webhook(gateway, qr3)
    for method, path, body, scope in ROUTES:
        if path.startswith("/api/developer"):
            continue
        headers = await key_with(gateway, qr3, set(auth.SCOPES) - {scope})
        answer = await gateway.client.request(
            method, path.format(id=identifier), json=body, headers=headers
        )

        assert answer.status_code == 403, path
        assert repr(scope) in answer.json()["detail"]


async def test_the_scope_alone_is_enough(gateway: Gateway, qr3: Tenant) -> None:
    for method, path, body, scope in ROUTES:
        if path.startswith("/api/developer"):
            continue
        identifier = await webhook(gateway, qr3)
        answer = await gateway.client.request(
            method,
            path.format(id=identifier),
            json=body,
            headers=await key_with(gateway, qr3, {scope}),
        )

        assert answer.is_success or path.endswith(NOT_THERE), (path, answer.text)


async def test_a_token_opens_every_route(gateway: Gateway, qr3: Tenant) -> None:
    for method, path, body, _ in ROUTES:
        identifier = await webhook(gateway, qr3)
        answer = await gateway.client.request(
            method, path.format(id=identifier), json=body, headers=qr3.token
        )

        assert answer.is_success or path.endswith(NOT_THERE), (path, answer.text)


@pytest.mark.parametrize(("method", "end"), [("GET", "secret"), ("POST", "test")])
async def test_the_dashboards_calls_need_a_token(
    gateway: Gateway, xqr: Tenant, method: str, end: str
) -> None:
    identifier = await webhook(gateway, xqr)
    path = f"/api/developer/webhooks/{identifier}/{end}"

    answer = await gateway.client.request(method, path, headers=xqr.key)

    assert answer.status_code == 403
    assert "needs a token (JWT)" in answer.json()["detail"]
    assert (await gateway.client.request(method, path, headers=xqr.token)).is_success


async def test_another_workspaces_webhook_does_not_exist(
    gateway: Gateway, qr3: Tenant, xqr: Tenant
) -> None:
    identifier = await webhook(gateway, qr3)
    for method, path, body, _ in OF_ONE_WEBHOOK:
        answer = await gateway.client.request(
            method, path.format(id=identifier), json=body, headers=xqr.token
        )

        assert answer.status_code == 404, path
        assert answer.json()["type"] == "urn:hooklane:problem:not_found"

    mine = await gateway.client.get(f"/v1/webhooks/{identifier}", headers=qr3.key)
    assert "description" not in mine.json()
    assert mine.json()["is_active"] is True


async def test_a_webhook_that_never_was_is_the_same_404(gateway: Gateway, qr3: Tenant) -> None:
    for method, path, body, _ in OF_ONE_WEBHOOK:
        answer = await gateway.client.request(
            method, path.format(id="wh_never"), json=body, headers=qr3.token
        )

        assert answer.status_code == 404, path
