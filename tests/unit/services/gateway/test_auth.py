"""Who calls, and who does not."""

import base64
import json
import time

import jwt
import pytest

from services.gateway import auth
from services.gateway.auth import Authenticator, JwtPolicy
from services.gateway.handlers import accounts
from services.gateway.ports import Ports
from shared.models.errors import Forbidden, Invalid, NotFound, Outage, Unauthorised
from tests.unit.services.gateway.fakes import QR3, MemoryKeys, MemoryWorkspaces, ports

POLICY = JwtPolicy("a-secret-with-at-least-thirty-two-bytes", "hooklane")
HOUR_S = 3_600


async def workspace(given: Ports) -> str:
    return (await accounts.create_workspace(given, profile="qr3", name="test")).id


def now_s() -> int:
    return int(time.time())


def token(workspace_id: str, changes: dict[str, object] | None = None) -> str:
    claims: dict[str, object] = {
        "iss": POLICY.issuer,
        "exp": now_s() + HOUR_S,
        "workspace_id": workspace_id,
        **(changes or {}),
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, POLICY.secret, algorithm="HS256")


async def test_an_api_key_opens_its_workspace_with_its_scopes() -> None:
    given = ports()
    identifier = await workspace(given)
    key = await accounts.create_api_key(
        given, workspace_id=identifier, scopes=[auth.EVENTS_WRITE], name="ci"
    )

    caller = await Authenticator(given, POLICY).caller(f"Bearer {key}")

    assert caller.workspace_id == identifier
    assert caller.profile == QR3
    assert caller.scopes == {auth.EVENTS_WRITE}
    assert caller.credential == "api_key"


async def test_only_the_digest_of_a_key_is_stored() -> None:
    keys = MemoryKeys()
    given = ports(api_keys=keys)
    key = await accounts.create_api_key(given, workspace_id=await workspace(given))

    assert key.startswith("hk_")
    assert len(base64.urlsafe_b64decode(key.removeprefix("hk_") + "=")) == 32
    (stored,) = keys.known.values()
    assert stored.digest == auth.digest_of(key)
    assert key not in repr(stored)
    assert stored.hint == key[:8]


async def test_a_token_opens_its_workspace_with_every_scope() -> None:
    given = ports()
    identifier = await workspace(given)

    caller = await Authenticator(given, POLICY).caller(f"bearer {token(identifier)}")

    assert (caller.workspace_id, caller.credential) == (identifier, "jwt")
    assert caller.scopes == set(auth.SCOPES)


async def test_a_token_with_a_scope_claim_has_those_scopes_only() -> None:
    given = ports()
    narrow = token(await workspace(given), {"scope": "webhooks:read unheard:of"})

    caller = await Authenticator(given, POLICY).caller(f"Bearer {narrow}")

    assert caller.scopes == {auth.WEBHOOKS_READ}
    with pytest.raises(Forbidden, match="token lacks the scope 'secrets:read'"):
        caller.require(auth.SECRETS_READ)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"role": "viewer"}, auth.ROLES["viewer"]),
        ({"role": ["viewer", "admin"]}, set(auth.SCOPES)),
        ({"role": "king"}, set()),
        ({"role": "developer", "scope": "events:write keys:write"}, {auth.EVENTS_WRITE}),
    ],
)
async def test_a_token_with_a_role_has_what_the_role_has(
    claims: dict[str, object], expected: set[str]
) -> None:
    given = ports()
    with_role = token(await workspace(given), {**claims, "sub": "x" * 200})

    caller = await Authenticator(given, POLICY).caller(f"Bearer {with_role}")

    assert caller.scopes == expected
    assert caller.actor.id == "x" * auth.SUBJECT_LENGTH_MAX


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": now_s() - 60}, "expired"),
        ({"exp": None}, '"exp"'),
        ({"iss": "somebody-else"}, "issuer"),
        ({"iss": None}, '"iss"'),
        ({"workspace_id": None}, '"workspace_id"'),
        ({"workspace_id": 7}, "str"),
        ({"nbf": now_s() + HOUR_S}, "not yet valid"),
        ({"workspace_id": "ws_unknown"}, "does not exist"),
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(
    changes: dict[str, object], reason: str
) -> None:
    given = ports()
    wrong = token(await workspace(given), changes)

    with pytest.raises(Unauthorised, match=reason):
        await Authenticator(given, POLICY).caller(f"Bearer {wrong}")


async def test_a_token_signed_otherwise_is_refused() -> None:
    given = ports()
    claims = {"iss": POLICY.issuer, "exp": now_s() + HOUR_S, "workspace_id": await workspace(given)}
    good = jwt.encode(claims, POLICY.secret, algorithm="HS256")
    header, payload, signature = good.split(".")
    nothing = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    forged = [
        jwt.encode(claims, "another-secret-of-at-least-32-bytes!!", algorithm="HS256"),
        jwt.encode(claims, POLICY.secret + "-64-bytes-are-needed-for-it", algorithm="HS512"),
        f"{nothing}.{payload}.",
        f"{header}.{payload}.{signature[::-1]}",
        "not-a-token",
    ]
    for wrong in forged:
        with pytest.raises(Unauthorised):
            await Authenticator(given, POLICY).caller(f"Bearer {wrong}")


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer a b", "hk_abc", "Bearer hk_no"],
)
async def test_a_header_without_a_known_credential_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthorised):
        await Authenticator(ports(), POLICY).caller(header)


async def test_without_a_secret_no_token_is_accepted_or_issued() -> None:
    given = ports()
    identifier = await workspace(given)
    empty = JwtPolicy("", "hooklane")

    with pytest.raises(Unauthorised, match="no tokens"):
        await Authenticator(given, empty).caller(f"Bearer {token(identifier)}")
    with pytest.raises(Invalid, match="HOOKLANE_JWT_SECRET"):
        await accounts.issue_jwt(given, empty, workspace_id=identifier)


async def test_known_callers_stay_known_while_the_store_is_away() -> None:
    keys, workspaces = MemoryKeys(), MemoryWorkspaces()
    given = ports(api_keys=keys, workspaces=workspaces)
    identifier = await workspace(given)
    key = await accounts.create_api_key(given, workspace_id=identifier)
    authenticator = Authenticator(given, POLICY)
    await authenticator.caller(f"Bearer {key}")
    keys.away = workspaces.away = True

    assert (await authenticator.caller(f"Bearer {key}")).workspace_id == identifier
    assert (await authenticator.caller(f"Bearer {token(identifier)}")).credential == "jwt"
    with pytest.raises(Outage):
        await authenticator.caller("Bearer hk_another")


async def test_a_revoked_key_and_an_unknown_scope_or_workspace_are_named() -> None:
    given = ports()
    identifier = await workspace(given)
    key = await accounts.create_api_key(given, workspace_id=identifier)

    assert await accounts.revoke_api_key(given, workspace_id=identifier, hint=key) == 1
    with pytest.raises(NotFound, match="no API key"):
        await accounts.revoke_api_key(given, workspace_id=identifier, hint=key)
    with pytest.raises(Invalid, match="'root' is not a scope"):
        await accounts.create_api_key(given, workspace_id=identifier, scopes=["root"])
    with pytest.raises(NotFound, match="'ws_none'"):
        await accounts.create_api_key(given, workspace_id="ws_none")
    with pytest.raises(Invalid, match="known: qr3, standard, xqr"):
        await accounts.create_workspace(given, profile="qr4", name="x")
    with pytest.raises(Invalid, match="name has"):
        await accounts.create_workspace(given, profile="qr3", name="")


async def test_an_issued_token_is_accepted() -> None:
    given = ports(now_ms=lambda: now_s() * 1_000)
    identifier = await workspace(given)
    issued = await accounts.issue_jwt(
        given, POLICY, workspace_id=identifier, scopes=[auth.WEBHOOKS_READ]
    )

    caller = await Authenticator(given, POLICY).caller(f"Bearer {issued}")

    assert caller.workspace_id == identifier
    assert caller.scopes == {auth.WEBHOOKS_READ}


def test_the_secret_of_tokens_does_not_show() -> None:
    assert POLICY.secret not in repr(POLICY)
