"""Signing keys over HTTP: rotation on both faces, public keys, who may do what."""

from __future__ import annotations

import base64

import pytest

from services.gateway.auth import SECRETS_READ, WEBHOOKS_READ, WEBHOOKS_WRITE
from services.gateway.handlers import accounts
from shared.signing.keyring import Keyring
from shared.topics import ENDPOINTS
from tests.integration.gateway.conftest import Gateway, MakeTenant, Tenant
from tests.integration.gateway.reading import records_of
from tests.integration.gateway.test_webhooks import SECRET, create, last_state

pytestmark = pytest.mark.integration

NEW = "my-new-secret-key-min-16-chars"


async def test_a_rotation_is_answered_and_published_with_both_secrets_sealed(
    gateway: Gateway, qr3: Tenant
) -> None:
    created = await create(gateway, qr3)
    path = f"/v1/webhooks/{created['id']}/secret"

    rotated = await gateway.client.post(
        f"{path}/rotate", headers=qr3.key, json={"secret": NEW, "overlap_s": 3_600}
    )
    shown = await gateway.client.get(path, headers=qr3.key)

    assert rotated.status_code == 200, rotated.text
    (earlier,) = rotated.json()["earlier_secrets"]
    assert rotated.json() == {"secret": NEW, "earlier_secrets": [earlier]}
    assert list(earlier) == ["secret_hint", "signs_until"]
    assert shown.json() == {
        "secret": NEW,
        "earlier_secrets": [{"secret": SECRET, **earlier}],
    }
    state = await last_state(gateway, created["id"])
    assert state is not None
    ring = Keyring.parse(gateway.settings.secret_keys)
    assert ring.open(state.secret, state.id) == NEW
    assert [ring.open(old.secret, state.id) for old in state.earlier] == [SECRET]
    written = b"".join(r.value or b"" for r in await records_of(gateway.settings, ENDPOINTS))
    assert SECRET.encode() not in written
    assert NEW.encode() not in written


async def test_a_change_of_the_webhook_keeps_what_overlaps(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3)
    path = f"/v1/webhooks/{created['id']}"
    await gateway.client.post(f"{path}/secret/rotate", headers=qr3.key, json={"secret": NEW})

    await gateway.client.patch(path, headers=qr3.key, json={"description": "changed"})

    shown = (await gateway.client.get(f"{path}/secret", headers=qr3.key)).json()
    assert (shown["secret"], len(shown["earlier_secrets"])) == (NEW, 1)


async def test_xqrs_face_rotates_with_a_token_only(gateway: Gateway, xqr: Tenant) -> None:
    wanted = {"url": "https://example.com/", "events": ["*"]}
    created = await gateway.client.post("/api/v1/webhooks", headers=xqr.key, json=wanted)
    path = f"/api/developer/webhooks/{created.json()['id']}/secret"

    by_key = await gateway.client.post(f"{path}/rotate", headers=xqr.key, json={})
    by_token = await gateway.client.post(f"{path}/rotate", headers=xqr.token, json={})
    shown = await gateway.client.get(path, headers=xqr.token)

    assert by_key.status_code == 403
    assert by_token.status_code == 200
    assert shown.json()["secret"] == by_token.json()["secret"]


async def test_who_may_rotate_does_not_see_what_was_before(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3)
    path = f"/v1/webhooks/{created['id']}/secret"
    ports = gateway.parts.ports
    answers = {}
    for scope in (WEBHOOKS_READ, SECRETS_READ, WEBHOOKS_WRITE):
        key = await accounts.create_api_key(ports, workspace_id=qr3.id, scopes=[scope])
        headers = {"Authorization": f"Bearer {key}"}
        rotated = await gateway.client.post(f"{path}/rotate", headers=headers, json={})
        answers[scope] = (rotated, (await gateway.client.get(path, headers=headers)).status_code)

    assert {scope: (one.status_code, two) for scope, (one, two) in answers.items()} == {
        WEBHOOKS_READ: (403, 403),
        SECRETS_READ: (403, 200),
        WEBHOOKS_WRITE: (200, 403),
    }
    assert SECRET not in answers[WEBHOOKS_WRITE][0].text


async def test_anothers_webhook_cannot_be_rotated(
    gateway: Gateway, qr3: Tenant, xqr: Tenant
) -> None:
    created = await create(gateway, qr3)

    answer = await gateway.client.post(
        f"/v1/webhooks/{created['id']}/secret/rotate", headers=xqr.key, json={}
    )

    assert answer.status_code == 404
    shown = await gateway.client.get(f"/v1/webhooks/{created['id']}/secret", headers=qr3.key)
    assert shown.json() == {"secret": SECRET}


async def test_the_public_keys_of_a_webhook_need_no_credential(
    gateway: Gateway, make_tenant: MakeTenant
) -> None:
    standard = await make_tenant("standard")
    wanted = {"url": "https://example.com/", "events": ["*"], "signature": "v1a"}
    created = await gateway.client.post("/v1/webhooks", headers=standard.key, json=wanted)
    webhook = created.json()
    path = f"/v1/webhooks/{webhook['id']}"

    keys = await gateway.client.get(f"/.well-known/webhooks/{webhook['id']}/jwks.json")
    listed = await gateway.client.get("/v1/webhooks", headers=standard.key)
    secret = await gateway.client.get(f"{path}/secret", headers=standard.key)

    assert created.status_code == 201
    assert "secret" not in webhook
    assert (webhook["signature"], webhook["secret_hint"]) == ("v1a", "whsk…")
    assert listed.json()["data"][0]["public_key"] == webhook["public_key"]
    assert secret.json() == {"public_key": webhook["public_key"]}
    assert keys.status_code == 200
    assert keys.headers["content-type"].startswith("application/jwk-set+json")
    assert keys.headers["cache-control"] == "public, max-age=300"
    (key,) = keys.json()["keys"]
    raw = base64.b64decode(webhook["public_key"].removeprefix("whpk_"))
    assert base64.urlsafe_b64decode(key["x"] + "=") == raw


async def test_a_webhook_without_public_keys_is_not_there_for_strangers(
    gateway: Gateway, qr3: Tenant
) -> None:
    created = await create(gateway, qr3)

    for webhook_id in (created["id"], "wh_unknown"):
        answer = await gateway.client.get(f"/.well-known/webhooks/{webhook_id}/jwks.json")

        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("application/problem+json")
