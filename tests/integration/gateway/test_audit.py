"""Who did what: every operation of the OpenAPI document that changes something leaves an entry."""

import json
from typing import Any

import pytest

from tests.integration.gateway.belongings import belongings
from tests.integration.gateway.calls import operations
from tests.integration.gateway.conftest import OPERATOR, Gateway, MakeTenant, Tenant
from tests.integration.gateway.test_access import of, send
from tests.unit.services.gateway.test_audit import UNAUDITED

pytestmark = pytest.mark.integration

SAFE = {"GET", "HEAD", "OPTIONS"}


async def entries(gateway: Gateway, tenant: Tenant, query: str = "") -> list[dict[str, Any]]:
    """Return all entries of a workspace, page by page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await gateway.client.get(f"/v1/audit-log?{query}{cursor}", headers=tenant.key)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        if "next_cursor" not in page:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def secrets_in(answer: Any) -> set[str]:
    """Return the secrets that an answer shows."""
    if isinstance(answer, list):
        return {secret for item in answer for secret in secrets_in(item)}
    if not isinstance(answer, dict):
        return set()
    shown = {value for name, value in answer.items() if name in ("secret", "key") and value}
    return shown.union(*(secrets_in(value) for value in answer.values()))


async def test_every_operation_that_changes_something_leaves_one_entry_without_secrets(
    gateway: Gateway, qr3: Tenant
) -> None:
    document = (await gateway.client.get("/openapi.json")).json()
    changing = [one for one in operations(document) if one.method not in SAFE]
    its = await belongings(gateway, qr3)
    secrets = {qr3.api_key, qr3.jwt, "mine-secret-of-16-characters"}
    statuses: dict[str, int] = {}
    for operation in changing:
        headers = {**qr3.token, "X-Request-Id": operation.name.replace(" ", ":")}
        answer = await send(gateway, of(operation, its), headers)
        statuses[operation.name] = answer.status_code
        secrets |= secrets_in(answer.json() if answer.content else None)

    found = await entries(gateway, qr3, "limit=7")

    told = [one["request_id"].replace(":", " ") for one in found]
    expected = [one.name for one in changing if one.name not in UNAUDITED and not one.call.operator]
    assert [name for name in reversed(told) if name in statuses] == expected
    for one in found:
        status = statuses.get(one["request_id"].replace(":", " "))
        if status is not None:
            assert (one["status"], one["actor"]["type"]) == (status, "token")
            assert one["outcome"] == ("succeeded" if status < 400 else "refused"), one
            assert one["object"], one
    assert len(secrets) > 6
    text = json.dumps(found)
    assert [secret for secret in secrets if secret in text] == []


async def test_the_operators_changes_are_in_the_workspaces_log(
    gateway: Gateway, qr3: Tenant
) -> None:
    path = f"/v1/operator/workspaces/{qr3.id}"
    limited = {"limits": {"webhooks": 5}}
    made = await gateway.client.post(f"{path}/api-keys", headers=OPERATOR, json={"name": "x"})
    await gateway.client.patch(path, headers=OPERATOR, json=limited)
    for call in ("suspend", "resume"):
        await gateway.client.post(f"{path}/{call}", headers=OPERATOR)
    await gateway.client.delete(f"{path}/api-keys/{made.json()['hint']}", headers=OPERATOR)

    found = await entries(gateway, qr3, "limit=100")

    assert [(one["action"], one["actor"]["type"], one["outcome"]) for one in found] == [
        (action, "operator", "succeeded")
        for action in (
            *("api_key.revoke", "workspace.resume", "workspace.suspend", "workspace.update"),
            "api_key.create",
        )
    ]
    (limits,) = found[3]["changes"]
    assert (limits["field"], limits["after"]["webhooks"]) == ("limits", 5)
    assert [one["field"] for one in found[2]["changes"]] == ["suspended_at"]
    assert made.json()["api_key"] not in json.dumps(found)


async def test_entries_are_found_by_who_what_on_which_and_when(
    gateway: Gateway, qr3: Tenant, make_tenant: MakeTenant
) -> None:
    its = await belongings(gateway, qr3)
    await belongings(gateway, await make_tenant("qr3"))
    path = f"/v1/webhooks/{its.webhook}"
    await gateway.client.patch(path, headers=qr3.key, json={"url": "https://example.com/b"})
    await gateway.client.get(f"{path}/secret", headers=qr3.token)

    update, *others = await entries(gateway, qr3, "action=webhook.update")

    assert others == []
    assert update["object"] == its.webhook
    assert {
        "field": "url",
        "before": "https://mine.example/hook",
        "after": "https://example.com/b",
    } in update["changes"]
    actor, time = update["actor"]["id"], update["time"]
    about = await entries(gateway, qr3, f"object={its.webhook}&since={time}")
    assert [one["action"] for one in about] == ["secret.read", "webhook.update"]
    assert await entries(gateway, qr3, f"actor={actor}&since={time}") == [update]
    made = await entries(gateway, qr3, f"object={its.webhook}&until={time}")
    assert [one["action"] for one in made] == ["webhook.recover", "webhook.create"]
    wrong = await gateway.client.get("/v1/audit-log?since=monday", headers=qr3.key)
    assert wrong.status_code == 400
    assert wrong.json()["errors"][0]["field"] == "since"


async def test_a_key_is_used_rotated_and_revoked(gateway: Gateway, qr3: Tenant) -> None:
    made = (
        await gateway.client.post(
            "/v1/api-keys", headers=qr3.key, json={"name": "ci", "role": "viewer"}
        )
    ).json()
    path = f"/v1/api-keys/{made['id']}"

    async def status(secret: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return (await gateway.client.get("/v1/webhooks", headers=headers)).status_code

    assert await status(made["key"]) == 200
    rotated = (await gateway.client.post(f"{path}/rotate", headers=qr3.key)).json()
    assert [await status(one["key"]) for one in (made, rotated)] == [200, 200]
    assert rotated["earlier"][0]["prefix"] == made["prefix"]
    again = await gateway.client.post(f"{path}/rotate", headers=qr3.key, json={"overlap_s": 0})
    assert [await status(one["key"]) for one in (made, rotated, again.json())] == [401, 401, 200]

    assert (await gateway.client.delete(path, headers=qr3.key)).status_code == 204
    refused = await gateway.client.get(
        "/v1/webhooks", headers={"Authorization": f"Bearer {again.json()['key']}"}
    )
    assert refused.status_code == 401
    assert "was revoked at" in refused.json()["detail"]
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
