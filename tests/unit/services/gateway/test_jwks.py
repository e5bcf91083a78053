"""Tokens of an identity provider, whose keys come from a real HTTP server of this process."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from services.gateway import auth
from services.gateway.auth import ROLES, Authenticator, Caller, JwtPolicy
from services.gateway.handlers import accounts
from services.gateway.jwks import (
    FETCH_BYTES_MAX,
    FRESH_MS,
    PAUSE_MS,
    Provider,
    check_url,
    read_keys,
)
from services.gateway.ports import Ports
from services.gateway.wiring import open_parts
from shared.config import ConfigError, Settings
from shared.http.fetching import fetcher
from shared.models.errors import Outage, Unauthorised
from tests.unit.services.gateway.fakes import Clock, ports

ISSUER, AUDIENCE = "https://login.example.com", "hooklane"
SECRET = "a-secret-with-at-least-thirty-two-bytes"
POLICY = JwtPolicy(SECRET, "hooklane", "https://example.com/workspace", "roles")
KINDS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


@pytest.fixture(scope="module")
def keys() -> dict[str, Any]:
    return {
        "RS256": rsa.generate_private_key(65_537, 2_048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


def jwk(algorithm: str, key: Any, kid: str) -> dict[str, Any]:
    shown: dict[str, Any] = KINDS[algorithm].to_jwk(key.public_key(), as_dict=True)
    return {**shown, "kid": kid}


class Login:
    """An identity provider's server: what it answers, and how often it was asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.raw: bytes | None = None
        self.silent = False
        self.asked = 0
        self.url = ""
        self.calls: set[asyncio.Task[None]] = set()

    def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls.add(asyncio.create_task(self._answer(reader, writer)))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, EOFError):
            await self._say(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        if self.silent:
            await reader.read()  # until the caller gives up
            return
        body = json.dumps({"keys": self.keys}).encode()
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(head + body if self.raw is None else self.raw)
        await writer.drain()


@pytest.fixture
async def login() -> AsyncIterator[Login]:
    made = Login()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    async with server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
        yield made
        await asyncio.gather(*made.calls)


class World:
    """A gateway that takes the provider's tokens, for a workspace of its own."""

    def __init__(self, given: Ports, login: Login, workspace_id: str) -> None:
        self.clock = Clock()
        self.workspace_id = workspace_id
        self.authenticator = Authenticator(
            given,
            POLICY,
            Provider(
                issuer=ISSUER,
                audience=AUDIENCE,
                fetch=fetcher(login.url, bytes_max=FETCH_BYTES_MAX, timeout_s=30.0),
                now_ms=self.clock,
            ),
        )

    def token(self, key: Any, algorithm: str, kid: str | None = "k1", **changes: Any) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": int(time.time()) + 3_600,
            "sub": "ada@example.com",
            POLICY.workspace_claim: self.workspace_id,
            "roles": ["viewer", "unheard-of"],
            **changes,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid} if kid else None)

    async def caller(self, token: str) -> Caller:
        return await self.authenticator.caller(f"Bearer {token}")


@pytest.fixture
async def world(login: Login) -> World:
    given = ports()
    made = await accounts.create_workspace(given, profile="qr3", name="x")
    return World(given, login, made.id)


@pytest.mark.parametrize("algorithm", list(KINDS))
async def test_a_providers_token_opens_the_workspace_with_its_roles(
    world: World, login: Login, keys: dict[str, Any], algorithm: str
) -> None:
    login.keys = [jwk(algorithm, keys[algorithm], "k1")]

    caller = await world.caller(world.token(keys[algorithm], algorithm))

    assert (caller.workspace_id, caller.scopes) == (world.workspace_id, ROLES["viewer"])
    assert (caller.actor.kind, caller.actor.id) == ("token", "ada@example.com")


async def test_several_roles_add_up_a_scope_narrows_and_without_either_nothing_is_allowed(
    world: World, login: Login, keys: dict[str, Any]
) -> None:
    login.keys = [jwk("EdDSA", keys["EdDSA"], "k1")]

    async def scopes(**claims: Any) -> set[str]:
        return set((await world.caller(world.token(keys["EdDSA"], "EdDSA", **claims))).scopes)

    assert await scopes(roles=["viewer", "developer"]) == ROLES["developer"]
    assert await scopes(roles="admin") == set(auth.SCOPES)
    assert await scopes(roles="admin", scope="openid webhooks:read") == {auth.WEBHOOKS_READ}
    assert await scopes(roles="admin", scope=["webhooks:read"]) == {auth.WEBHOOKS_READ}
    assert await scopes(roles="admin", scope="openid profile") == set(auth.SCOPES)
    assert await scopes(roles="admin", scope="") == set()
    assert await scopes(roles="viewer", scope="keys:write") == set()
    assert await scopes(roles=None, scope="openid profile") == set()
    assert await scopes(roles=None, scope="events:write") == {auth.EVENTS_WRITE}
    assert await scopes(roles=None) == set()
    assert await scopes(roles=["emperor"]) == set()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, '"exp"'),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": None}, '"iss"'),
        ({"aud": "another-service"}, "[Aa]udience"),
        ({"aud": None}, '"aud"'),
        ({POLICY.workspace_claim: None}, "https://example.com/workspace"),
        ({POLICY.workspace_claim: 7}, "workspace_id"),
        ({POLICY.workspace_claim: "ws_unknown"}, "does not exist"),
        ({"roles": 7}, "role"),
    ],
)
async def test_a_providers_token_with_a_wrong_claim_is_refused(
    world: World,
    login: Login,
    keys: dict[str, Any],
    changes: dict[str, Any],
    reason: str,
) -> None:
    login.keys = [jwk("ES256", keys["ES256"], "k1")]

    with pytest.raises(Unauthorised, match=reason):
        await world.caller(world.token(keys["ES256"], "ES256", **changes))


async def test_a_key_verifies_with_its_own_algorithm_only(
    world: World, login: Login, keys: dict[str, Any]
) -> None:
    login.keys = [jwk("RS256", keys["RS256"], "k1"), jwk("ES256", keys["ES256"], "k2")]
    public = keys["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    private = keys["RS256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    forged = [
        world.token(keys["RS256"], "RS256", "k2"),
        world.token(keys["RS256"], "PS256"),
        world.token(private, "RS512"),
        world.token(b"x" * 64, "HS256"),
        hmac_with(public, world),
        jwt.encode({"iss": ISSUER}, "", algorithm="none", headers={"kid": "k1"}),
        world.token(ec.generate_private_key(ec.SECP256R1()), "ES256", "k2"),
    ]
    for token in forged:
        with pytest.raises(Unauthorised):
            await world.caller(token)


def hmac_with(public: bytes, world: World) -> str:
    """Return a token whose HMAC is keyed with the public key: algorithm confusion."""
    head, payload, _ = world.token(SECRET, "HS256").split(".")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        f"{head}.{payload}".encode(), public
    )
    return f"{head}.{payload}.{jwt.utils.base64url_encode(signature).decode()}"


async def test_the_deployments_own_tokens_go_on_beside_the_providers(world: World) -> None:
    own = auth.issue_jwt(
        POLICY, workspace_id=world.workspace_id, now_s=int(time.time()), valid_s=60
    )

    assert (await world.caller(own)).scopes == set(auth.SCOPES)


async def test_a_rotation_is_seen_at_once_and_an_unknown_key_asks_once_in_a_while(
    world: World, login: Login, keys: dict[str, Any]
) -> None:
    login.keys = [jwk("ES256", keys["ES256"], "k1")]
    await world.caller(world.token(keys["ES256"], "ES256"))
    login.keys.append(jwk("EdDSA", keys["EdDSA"], "k2"))
    new = world.token(keys["EdDSA"], "EdDSA", "k2")
    with pytest.raises(Unauthorised, match="'k2' is not one of the identity provider's"):
        await world.caller(new)  # asked just now
    assert login.asked == 1

    world.clock.now_ms += PAUSE_MS
    answers = await asyncio.gather(*(world.caller(new) for _ in range(10)))
    assert len(answers) == 10
    assert login.asked == 2

    unknown = world.token(keys["EdDSA"], "EdDSA", "k3")
    for _ in range(20):
        with pytest.raises(Unauthorised, match="'k3'"):
            await world.caller(unknown)
    assert login.asked == 2
    with pytest.raises(Unauthorised, match="needs a kid"):
        await world.caller(world.token(keys["EdDSA"], "EdDSA", None))


async def test_a_withdrawn_key_is_taken_for_ten_minutes_more_at_most(
    world: World, login: Login, keys: dict[str, Any]
) -> None:
    login.keys = [jwk("ES256", keys["ES256"], "k1")]
    token = world.token(keys["ES256"], "ES256")
    await world.caller(token)
    login.keys = [jwk("EdDSA", keys["EdDSA"], "k2")]

    world.clock.now_ms += FRESH_MS - 1
    await world.caller(token)
    world.clock.now_ms += 1
    with pytest.raises(Unauthorised, match="'k1'"):
        await world.caller(token)


async def test_while_the_provider_is_away_known_keys_go_on_and_others_say_why_not(
    world: World, login: Login, keys: dict[str, Any]
) -> None:
    login.keys = [jwk("ES256", keys["ES256"], "k1")]
    token = world.token(keys["ES256"], "ES256")
    await world.caller(token)
    login.raw = b"HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    world.clock.now_ms += 10 * FRESH_MS
    await world.caller(token)
    with pytest.raises(Outage, match=r"keys cannot be fetched .*answers 500"):
        await world.caller(world.token(keys["ES256"], "ES256", "k2"))
    await world.caller(token)
    assert login.asked == 2  # once in PAUSE_MS, whatever is sent

    login.raw = None
    world.clock.now_ms += PAUSE_MS
    await world.caller(token)
    with pytest.raises(Unauthorised, match="'k2'"):
        await world.caller(world.token(keys["ES256"], "ES256", "k2"))


BAD_ANSWERS = {
    "too large": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * (FETCH_BYTES_MAX + 1),
        "more than",
    ),
    "a redirect": (
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        "answers 302",
    ),
    "no JSON": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "no JSON Web Key Set"),
    "no key": (
        b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"keys":[]}',
        "has no key",
    ),
    "no HTTP": (b"hello\r\n\r\n", "RemoteProtocolError"),
}


@pytest.mark.parametrize("name", list(BAD_ANSWERS))
async def test_an_answer_that_is_no_key_set_is_an_outage_that_says_so(
    world: World, login: Login, keys: dict[str, Any], name: str
) -> None:
    login.raw, reason = BAD_ANSWERS[name]

    with pytest.raises(Outage, match=reason):
        await world.caller(world.token(keys["ES256"], "ES256"))


async def test_a_provider_that_does_not_answer_in_time_is_an_outage(login: Login) -> None:
    login.silent = True

    with pytest.raises(Outage, match=r"did not answer within 0.2 seconds|Timeout"):
        await fetcher(login.url, bytes_max=1, timeout_s=0.2)()


def weak_and_foreign(keys: dict[str, Any]) -> Iterator[dict[str, Any]]:
    good = jwk("RS256", keys["RS256"], "k1")
    weak = rsa.generate_private_key(65_537, 1_024)  # noqa: S505
    yield {**good, "use": "enc"}
    yield {name: value for name, value in good.items() if name != "kid"}
    yield {**good, "alg": "RS512"}
    yield jwk("RS256", weak, "k1")
    yield {"kty": "oct", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4", "kid": "k1"}
    yield {"kty": "EC", "crv": "P-256", "x": "nonsense", "y": "nonsense", "kid": "k1"}
    yield {**RSAAlgorithm.to_jwk(keys["RS256"], as_dict=True), "kid": "k1"}
    yield {"kid": "k1"}


def test_keys_that_are_not_for_signatures_or_too_weak_are_passed_over(
    keys: dict[str, Any],
) -> None:
    good = jwk("EdDSA", keys["EdDSA"], "good")
    for other in weak_and_foreign(keys):
        assert set(read_keys(json.dumps({"keys": [other, good]}).encode())) == {"good"}, other
        with pytest.raises(ValueError, match="has no key"):
            read_keys(json.dumps({"keys": [other]}).encode())


@pytest.mark.parametrize(
    ("url", "require_https", "taken"),
    [
        ("https://login.example.com/jwks", True, True),
        ("http://127.0.0.1:8000/jwks", False, True),
        ("http://[::1]/jwks", False, True),
        ("http://localhost/jwks", False, True),
        ("http://127.0.0.1/jwks", True, False),
        ("http://login.example.com/jwks", False, False),
        ("http://localhost.example.com/jwks", False, False),
        ("https://user:pass@login.example.com/jwks", True, False),
        ("file:///etc/jwks", False, False),
        ("jwks", False, False),
    ],
)
def test_keys_are_fetched_over_https_or_from_loopback_in_development(
    url: str, require_https: bool, taken: bool
) -> None:
    if taken:
        check_url(url, require_https=require_https)
        return
    with pytest.raises(ValueError, match="is n"):
        check_url(url, require_https=require_https)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"jwks_issuer": ""}, "HOOKLANE_JWKS_ISSUER"),
        ({"jwks_audience": ""}, "HOOKLANE_JWKS_AUDIENCE"),
        ({"jwks_url": "http://login.example.com/jwks"}, "HOOKLANE_JWKS_URL"),
    ],
)
async def test_a_provider_that_is_not_pinned_is_refused_at_the_start(
    changes: dict[str, Any], name: str
) -> None:
    given: dict[str, Any] = {
        "jwks_url": "https://a.example/",
        "jwks_issuer": ISSUER,
        "jwks_audience": AUDIENCE,
    }
    with pytest.raises(ConfigError, match=name):
        async with open_parts(
            Settings(
                secret_keys="k1:" + base64.b64encode(b"k" * 32).decode(), **{**given, **changes}
            )
        ):
            pass


async def test_the_settings_make_a_provider(login: Login, keys: dict[str, Any]) -> None:
    login.keys = [jwk("EdDSA", keys["EdDSA"], "k1")]
    settings = Settings(
        secret_keys="k1:" + base64.b64encode(b"k" * 32).decode(),
        require_https=False,
        jwks_url=login.url,
        jwks_issuer=ISSUER,
        jwks_audience=AUDIENCE,
    )
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 3_600}
    token = jwt.encode(claims, keys["EdDSA"], algorithm="EdDSA", headers={"kid": "k1"})

    async with open_parts(settings) as parts:
        assert parts.provider is not None
        assert await parts.provider.claims(token) == claims
