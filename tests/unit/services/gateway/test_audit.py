"""The audit log: what an entry says, what it never says, and that it is there before the change."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given as given_that
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import AsyncTestClient
from msgspec.structs import replace

from services.gateway import audit, auth
from services.gateway.app import create_app
from services.gateway.audit import VALUE_BYTES_MAX, differences, masked
from services.gateway.auditing import AUDIT, new_entry
from services.gateway.auth import (
    EVENTS_ERASE,
    EVENTS_WRITE,
    KEYS_WRITE,
    MANAGING,
    WEBHOOKS_WRITE,
    WORKSPACE_WRITE,
    Authenticator,
    JwtPolicy,
)
from services.gateway.guards import SCOPE
from services.gateway.handlers import accounts
from services.gateway.ports import Ports
from services.gateway.routes import api_routers
from services.gateway.routes.health import Checks
from services.gateway.sources import source_of
from shared.config import load
from shared.models.audit import Actor, Change
from shared.models.errors import Outage
from shared.models.management import Endpoint, OwnType
from shared.signing import asymmetric
from tests.unit.services.gateway.fakes import NOW_MS, MemoryAudit, MemoryKeys, ports

UNAUDITED = {
    "POST /v1/events": "events are a log themselves",
    "POST /v1/events/batch": "events are a log themselves",
    "POST /v1/webhooks/{webhook_id}/match": "changes nothing",
    "POST /v1/replays/preview": "changes nothing",
    "POST /v1/operator/workspaces": "its log begins with it; the gateway's own log tells of it",
}
"""Calls that could change something by their method and leave no entry, each with the reason."""

ENDPOINT = Endpoint(
    id="wh_1",
    workspace_id="ws_a",
    profile="qr3",
    url="https://example.com/hook?token=hush",
    events=("qr.scanned",),
    secret="sealed",
    secret_hint="my-s…",
    created_ms=1,
    updated_ms=1,
    headers=(("X-K", "sealed"),),
)


async def nothing() -> None:
    """Be a probe that always answers."""


@pytest.fixture
def given() -> Ports:
    return ports()


@pytest.fixture
async def key(given: Ports) -> str:
    workspace = await accounts.create_workspace(given, profile="qr3", name="x")
    return await accounts.create_api_key(given, workspace_id=workspace.id)


@pytest.fixture
async def client(given: Ports) -> AsyncIterator[AsyncTestClient[Litestar]]:
    app = create_app(
        ports=given,
        authenticator=Authenticator(given, JwtPolicy("", "hooklane")),
        checks=Checks(kafka=nothing, mongodb=nothing),
        proxies=load({"HOOKLANE_TRUSTED_PROXIES": "10.0.0.0/8"}).proxy_networks,
    )
    async with AsyncTestClient(app) as made:
        yield made


def entries(given: Ports) -> list[Any]:
    assert isinstance(given.audit, MemoryAudit)
    return list(given.audit.known.values())


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_every_call_that_changes_something_leaves_an_entry_or_has_a_reason_here() -> None:
    silent = {
        f"{method} {route.path_format}"
        for router in api_routers()
        for route in router.routes
        for handler in route.route_handlers  # type: ignore[union-attr]
        for method in handler.http_methods - {"GET", "OPTIONS"}
        if AUDIT not in handler.opt
    }

    assert silent == set(UNAUDITED), "name its action in opt[AUDIT], or the reason in UNAUDITED"


def test_a_credential_is_looked_up_anew_by_whatever_changes_something_but_publishing() -> None:
    scopes = {
        handler.opt[SCOPE]
        for router in api_routers()
        for route in router.routes
        for handler in route.route_handlers  # type: ignore[union-attr]
        if AUDIT in handler.opt and SCOPE in handler.opt
    }

    changing = {scope for scope in scopes if not scope.endswith(":read")}
    assert changing - {EVENTS_WRITE} == MANAGING
    assert {EVENTS_ERASE, KEYS_WRITE, WEBHOOKS_WRITE, WORKSPACE_WRITE} == MANAGING


async def test_an_entry_says_who_did_what_from_where_and_what_came_of_it(
    client: AsyncTestClient[Litestar], given: Ports, key: str
) -> None:
    wanted = {"name": "ci", "role": "viewer"}
    answer = await client.post(
        "/v1/api-keys", json=wanted, headers={**bearer(key), "X-Request-Id": "req-1"}
    )

    assert answer.status_code == 201
    assert answer.headers["x-request-id"] == "req-1"
    (entry,) = entries(given)
    made = answer.json()
    assert entry.action == "api_key.create"
    assert entry.object_id == made["id"]
    assert (entry.outcome, entry.status, entry.request_id) == ("succeeded", 201, "req-1")
    assert (entry.actor.kind, entry.actor.name) == ("api_key", key[:8])
    assert entry.address == "testclient"
    told = {change.field: (change.before, change.after) for change in entry.changes}
    assert told == {
        "name": (None, "ci"),
        "role": (None, "viewer"),
        "prefix": (None, made["prefix"]),
        "key": (None, None),
    }
    assert made["key"] not in msgspec.json.encode(entry).decode()


async def test_a_call_that_is_refused_changes_nothing_and_is_in_the_log(
    client: AsyncTestClient[Litestar], given: Ports, key: str
) -> None:
    answer = await client.post("/v1/api-keys", json={"name": ""}, headers=bearer(key))

    assert answer.status_code == 400
    assert answer.headers["x-request-id"].startswith("req_")
    (entry,) = entries(given)
    assert (entry.outcome, entry.status, entry.changes) == ("refused", 400, ())


async def test_the_entry_is_there_before_the_change_and_without_it_nothing_is_changed(
    client: AsyncTestClient[Litestar], given: Ports, key: str
) -> None:
    log, keys = given.audit, given.api_keys
    assert isinstance(log, MemoryAudit)
    assert isinstance(keys, MemoryKeys)
    log.away = True
    answer = await client.post(
        "/v1/api-keys", json={"name": "ci", "role": "viewer"}, headers=bearer(key)
    )

    assert answer.status_code == 503
    assert len(keys.known) == 1


@pytest.mark.parametrize("error", [Outage("away"), OverflowError("a bug")])
async def test_an_entry_whose_outcome_cannot_be_stored_stays_as_it_was_begun(
    client: AsyncTestClient[Litestar],
    given: Ports,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    async def away(_: object) -> None:
        raise error

    monkeypatch.setattr(given.audit, "settle", away)
    answer = await client.post(
        "/v1/api-keys", json={"name": "ci", "role": "viewer"}, headers=bearer(key)
    )

    assert answer.status_code == 201
    (entry,) = entries(given)
    assert (entry.outcome, entry.status) == ("unknown", None)


async def test_a_fault_of_ours_is_an_outcome_too(
    client: AsyncTestClient[Litestar],
    given: Ports,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(given.api_keys, "add", broken)
    answer = await client.post(
        "/v1/api-keys", json={"name": "ci", "role": "viewer"}, headers=bearer(key)
    )

    assert answer.status_code == 500
    (entry,) = entries(given)
    assert (entry.outcome, entry.status) == ("failed", 500)


async def test_an_answer_that_is_given_again_is_no_second_change(
    client: AsyncTestClient[Litestar], given: Ports, key: str
) -> None:
    headers = {**bearer(key), "Idempotency-Key": "1"}
    for _ in range(2):
        answer = await client.post(
            "/v1/event-types", json={"type": "order.placed"}, headers=headers
        )
        assert answer.status_code == 201

    assert [entry.outcome for entry in entries(given)] == ["succeeded", "repeated"]
    assert [len(entry.changes) for entry in entries(given)] == [1, 0]


async def test_publishing_leaves_no_entry(
    client: AsyncTestClient[Litestar], given: Ports, key: str
) -> None:
    answer = await client.post(
        "/v1/events", json={"type": "qr.scanned", "data": {}}, headers=bearer(key)
    )

    assert answer.status_code == 202
    assert "x-request-id" not in answer.headers
    assert entries(given) == []


@pytest.mark.parametrize("where", ["path", "request id"])
async def test_a_secret_that_a_caller_puts_where_it_does_not_belong_is_masked(
    client: AsyncTestClient[Litestar], given: Ports, key: str, where: str
) -> None:
    path = f"/v1/api-keys/{key}" if where == "path" else "/v1/api-keys/key_1"
    headers = {**bearer(key), "X-Request-Id": key if where == "request id" else "1"}
    answer = await client.delete(path, headers=headers)

    assert answer.status_code == 404
    (entry,) = entries(given)
    assert key not in repr(entry)
    assert "********" in repr(entry)


def test_a_change_of_an_endpoint_names_its_fields_as_the_api_does() -> None:
    changed = replace(
        ENDPOINT,
        url="https://example.com/other?token=hush",
        active=False,
        paused_ms=NOW_MS,
        headers=(("X-K", "sealed anew"),),
        secret="sealed anew",
        filter='{"a":1}',
        revision=2,
        updated_ms=2,
    )

    told = list(differences(ENDPOINT, changed))

    assert told == [
        Change(
            field="url", before="https://example.com/hook?…", after="https://example.com/other?…"
        ),
        Change(field="is_active", before=True, after=False),
        Change(field="paused_at", before=None, after="2027-01-15T08:00:00.123Z"),
        Change(field="filter", before=None, after={"a": 1}),
        Change(field="headers", withheld=True),
        Change(field="secret", withheld=True),
    ]


def test_what_is_made_is_told_without_what_was_left_empty_and_what_goes_with_what_it_was() -> None:
    made = {change.field: change.after for change in differences(None, ENDPOINT)}
    gone = {change.field: change.before for change in differences(ENDPOINT, None)}

    assert made == gone
    assert made["events"] == ("qr.scanned",)
    assert "description" not in made
    assert "channels" not in made


def test_a_long_value_is_withheld() -> None:
    changed = replace(ENDPOINT, description="x" * VALUE_BYTES_MAX)

    assert list(differences(ENDPOINT, changed)) == [Change(field="description", withheld=True)]


def test_every_field_of_the_table_exists() -> None:
    for kind, shown in audit._SHOWN.items():  # a record may have lost one
        assert set(shown) <= set(kind.__struct_fields__), kind  # type: ignore[attr-defined]


TEXT = st.text(max_size=20)
ENTROPY = st.binary(min_size=32, max_size=32)
SECRETS = st.one_of(
    ENTROPY.map(auth.new_api_key),
    ENTROPY.map(lambda raw: "whsec_" + base64.b64encode(raw).decode()),
    ENTROPY.map(asymmetric.new_private_key),
    st.dictionaries(TEXT, TEXT, min_size=1).map(
        lambda claims: ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "RS256"}, claims, "signature")
        )
    ),
)


@given_that(SECRETS, TEXT, TEXT)
def test_no_key_secret_or_token_is_in_an_entry_wherever_it_was(
    secret: str, before: str, after: str
) -> None:
    text = before + secret + after
    made = OwnType(name=text, description=text, example=json.dumps({text: [text]}))
    entry = new_entry(
        ports(),
        workspace_id="ws_a",
        actor=Actor(kind="token", id=text),
        action="event_type.create",
        object_id=text,
        request_id=text,
        address=text,
        changes=tuple(differences(None, made)),
    )

    assert secret not in msgspec.json.encode(masked(entry)).decode()


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1,10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["<script>"], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("testclient", ["198.51.100.1"], "testclient"),
        (None, ["198.51.100.1"], None),
    ],
)
def test_a_forwarded_address_is_believed_as_far_as_trusted_proxies_wrote_it(
    peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    trusted = load({"HOOKLANE_TRUSTED_PROXIES": "10.0.0.0/8"}).proxy_networks

    assert source_of(peer, forwarded, trusted) == expected
