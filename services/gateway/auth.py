"""Who calls: ``Authorization: Bearer`` with an API key or a JSON Web Token.

An API key is ``hk_`` and 256 random bits; only its SHA-256 is stored, which is enough because there
is nothing to guess (a slow hash is for what people choose). A token is HS256 with the deployment's
secret: algorithm and issuer are pinned, ``exp`` and ``workspace_id`` required (RFC 8725, 3.1 and
3.8), or it is an identity provider's (``jwks``). Which of them it is, its algorithm says, and no
key verifies for another one.

Both open one workspace. What they may do there is a set of scopes, most of the time one with a name
(``ROLES``): a key has a role or scopes of its own, a token those of its role claim, narrowed by its
``scope`` claim (RFC 8693, 4.2). Without either, a token of the deployment's secret may do
everything, and one of an identity provider, whose users are many, nothing.

Both look-ups are remembered, so that publishing works on while MongoDB is away (invariant 5): a key
for ``KEY_FRESH_MS``. When it ends is known beforehand, so that it ends in time. Calls that change
something besides publishing look it up anew: what was revoked manages nothing from then on.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, Literal

import jwt
import msgspec

from services.gateway.audit import Trail
from services.gateway.cache import Remembered
from services.gateway.jwks import ALGORITHMS, Provider
from services.gateway.ports import Ports
from services.gateway.uses import Uses
from shared.models.audit import Actor
from shared.models.errors import Forbidden, Unauthorised
from shared.models.limits import NO_LIMITS, WorkspaceLimits
from shared.models.management import ApiKey, WorkspaceStanding
from shared.models.times import iso_ms
from shared.profiles.profile import Profile

Credential = Literal["api_key", "jwt"]

WEBHOOKS_READ: Final = "webhooks:read"
WEBHOOKS_WRITE: Final = "webhooks:write"
DELIVERIES_READ: Final = "deliveries:read"
EVENTS_READ: Final = "events:read"
EVENTS_WRITE: Final = "events:write"
EVENTS_ERASE: Final = "events:erase"
SECRETS_READ: Final = "secrets:read"
KEYS_READ: Final = "keys:read"
KEYS_WRITE: Final = "keys:write"
AUDIT_READ: Final = "audit:read"
WORKSPACE_READ: Final = "workspace:read"
WORKSPACE_WRITE: Final = "workspace:write"
SCOPES: Final[Mapping[str, str]] = {
    WEBHOOKS_READ: "see endpoints",
    WEBHOOKS_WRITE: "create, change, delete, ping and recover endpoints",
    DELIVERIES_READ: "see the delivery log",
    EVENTS_READ: "see rejected events",
    EVENTS_WRITE: "publish events, re-submit and discard rejected ones",
    EVENTS_ERASE: "erase the payload of an event",
    SECRETS_READ: "see signing secrets",
    KEYS_READ: "see API keys",
    KEYS_WRITE: "make, change, rotate and revoke API keys",
    AUDIT_READ: "see the audit log",
    WORKSPACE_READ: "see the workspace's settings",
    WORKSPACE_WRITE: "change the workspace's settings",
}

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "admin": frozenset(SCOPES),
    "developer": frozenset(SCOPES)
    - {KEYS_READ, KEYS_WRITE, AUDIT_READ, WORKSPACE_WRITE, EVENTS_ERASE},
    "viewer": frozenset({WEBHOOKS_READ, DELIVERIES_READ, EVENTS_READ, WORKSPACE_READ}),
}
"""Named sets of scopes, for keys and tokens. A scope that is new here is the admins' at once."""

READING: Final = ":read"
"""What the scopes of calls end in that change nothing."""

MANAGING: Final = frozenset(scope for scope in SCOPES if not scope.endswith(READING)) - {
    EVENTS_WRITE
}
"""Scopes of calls that change something besides publishing. They need MongoDB anyway: there the
credential is looked up anew."""

KEY_PREFIX: Final = "hk_"
KEY_ENTROPY_BYTES: Final = 32
KEY_HINT_LENGTH: Final = 8
KEY_FRESH_MS: Final = 60_000
"""For how long a gateway takes a key as it has seen it; a look-up a minute costs nothing."""

TENANT_FRESH_MS: Final = 10_000
"""How long after a suspension or a change of limits a gateway may not know of it yet."""

SUBJECT_LENGTH_MAX: Final = 128
JWT_ALGORITHM: Final = "HS256"
JWT_SECRET_BYTES_MIN: Final = 32  # RFC 7518, 3.2: at least as long as the hash
JWT_LEEWAY_S: Final = 10
_BEARER: Final = re.compile(r"bearer +([!-~]+) *\Z", re.IGNORECASE)  # RFC 6750, 2.1


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whose request it is and what it may do."""

    workspace_id: str
    profile: Profile
    scopes: frozenset[str]
    credential: Credential
    actor: Actor = Actor(kind="token")
    trail: Trail = msgspec.field(default_factory=Trail)
    standing: WorkspaceStanding = "active"
    limits: WorkspaceLimits = NO_LIMITS

    def require(self, scope: str) -> None:
        """Raise Forbidden unless the credential has ``scope``."""
        if scope not in self.scopes:
            kind = "API key" if self.credential == "api_key" else "token"
            raise Forbidden(
                f"this {kind} lacks the scope {scope!r} ({SCOPES[scope]}); use one that has it"
            )


class Tenant(msgspec.Struct, frozen=True):
    """What a caller's workspace makes of it: its profile with its own event types, its limits."""

    profile: Profile
    standing: WorkspaceStanding
    limits: WorkspaceLimits


class JwtPolicy(msgspec.Struct, frozen=True):
    """How tokens are signed and by whom; without a secret, by an identity provider only.

    The names of claims are for both.
    """

    secret: str
    issuer: str
    workspace_claim: str = "workspace_id"
    role_claim: str = "role"

    def __repr__(self) -> str:
        return f"JwtPolicy(secret=…, issuer={self.issuer!r})"


def new_api_key(entropy: bytes) -> str:
    """Return a fresh API key; ``entropy`` is ``KEY_ENTROPY_BYTES`` random bytes."""
    if len(entropy) != KEY_ENTROPY_BYTES:
        raise ValueError(f"entropy has {len(entropy)} bytes, {KEY_ENTROPY_BYTES} are needed")
    return KEY_PREFIX + base64.urlsafe_b64encode(entropy).decode().rstrip("=")


def granted(key: ApiKey) -> frozenset[str]:
    """Return what a key may do. Pure."""
    return frozenset(key.scopes) if key.role is None else ROLES.get(key.role, frozenset())


def digest_of(api_key: str) -> str:
    """Return the SHA-256 (hex) under which a key is stored."""
    return sha256(api_key.encode()).hexdigest()


def issue_jwt(
    policy: JwtPolicy,
    *,
    workspace_id: str,
    now_s: int,
    valid_s: int,
    scopes: Iterable[str] | None = None,
) -> str:
    """Return a token for a workspace, valid for ``valid_s`` seconds from ``now_s``."""
    claims: dict[str, Any] = {
        "iss": policy.issuer,
        "iat": now_s,
        "exp": now_s + valid_s,
        policy.workspace_claim: workspace_id,
    }
    if scopes is not None:
        claims["scope"] = " ".join(scopes)
    return jwt.encode(claims, policy.secret, algorithm=JWT_ALGORITHM)


def bearer_of(authorization: str | None) -> str:
    """Return the credential in an ``Authorization`` header; raises Unauthorised."""
    if authorization is None:
        raise Unauthorised(
            "this call needs a credential: send Authorization: Bearer <API key or token>"
        )
    matched = _BEARER.match(authorization)
    if matched is None:
        raise Unauthorised("the Authorization header must be: Bearer <API key or token>")
    return matched[1]


class _Claims(msgspec.Struct, frozen=True):
    """The claims of a token that this service uses."""

    workspace_id: str
    scope: str | tuple[str, ...] | None = None
    role: str | tuple[str, ...] | None = None
    sub: str | None = None

    def scopes(self, default: frozenset[str]) -> frozenset[str]:
        """Return what the token may do; ``default`` is for one that says nothing of it.

        Beside a role, scopes of which none is ours (``openid profile``) are meant for others.
        """
        named = None if self.scope is None else frozenset(_names(self.scope))
        if self.role is None:
            return default if named is None else named & SCOPES.keys()
        roles = _names(self.role)
        may = frozenset[str]().union(*(ROLES.get(role, frozenset()) for role in roles))
        if named is None or (named and not named & SCOPES.keys()):
            return may
        return may & named


def _names(claim: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in a claim that is a list, or text with spaces between them."""
    return tuple(claim.split()) if isinstance(claim, str) else claim


def _read(policy: JwtPolicy, claims: Mapping[str, Any]) -> _Claims:
    """Return what this service uses of a token's claims; raises Unauthorised."""
    if policy.workspace_claim not in claims:
        raise Unauthorised(f'the token is not valid: it has no "{policy.workspace_claim}" claim')
    named = {"workspace_id": policy.workspace_claim, "role": policy.role_claim}
    told = {name: claims.get(named.get(name, name)) for name in _Claims.__struct_fields__}
    try:
        return msgspec.convert(told, _Claims)
    except msgspec.ValidationError as error:
        raise Unauthorised(f"the token is not valid: {error}") from None


def _verified(policy: JwtPolicy, token: str) -> dict[str, Any]:
    """Return the claims of a token of the deployment's secret; raises Unauthorised."""
    if not policy.secret:
        raise Unauthorised("this deployment accepts no tokens with this algorithm; use an API key")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            policy.secret,
            algorithms=[JWT_ALGORITHM],
            issuer=policy.issuer,
            leeway=JWT_LEEWAY_S,
            options={"require": ["exp", "iss"], "verify_aud": False},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthorised("the token has expired; sign in again") from None
    except jwt.InvalidTokenError as error:
        raise Unauthorised(f"the token is not valid: {error}") from None
    return claims


def _algorithm_of(token: str) -> object:
    """Return what a token says that it is signed with, None for what is no token."""
    try:
        return jwt.get_unverified_header(token).get("alg")
    except jwt.InvalidTokenError:
        return None


class Authenticator:
    """Turns an ``Authorization`` header into a Caller."""

    def __init__(
        self, ports: Ports, jwt_policy: JwtPolicy, provider: Provider | None = None
    ) -> None:
        self._profiles = ports.profiles
        self._jwt_policy = jwt_policy
        self._provider = provider
        self._now_ms = ports.now_ms
        self._api_keys: Remembered[ApiKey] = Remembered(
            ports.api_keys.find, ports.now_ms, fresh_ms=KEY_FRESH_MS
        )
        self.uses = Uses(ports.api_keys)
        self._workspace = ports.workspaces.get
        self._tenants: Remembered[Tenant] = Remembered(
            self._tenant, ports.now_ms, fresh_ms=TENANT_FRESH_MS
        )

    async def caller(self, authorization: str | None, *, anew: bool = False) -> Caller:
        """Return who calls. Raises Unauthorised, and Outage when it cannot be looked up.

        ``anew``: with the key and the workspace's event types as they are at this moment.
        """
        token = bearer_of(authorization)
        if token.startswith(KEY_PREFIX):
            return await self._by_key(token, anew=anew)
        return await self._by_jwt(token, anew=anew)

    async def _by_key(self, token: str, *, anew: bool) -> Caller:
        digest = digest_of(token)
        key = await self._api_keys.get(digest, anew=anew)
        if key is None:
            raise Unauthorised("the API key is not known; was it revoked?")
        now_ms = self._now_ms()
        ended_ms = key.ended_ms(digest, now_ms)
        if ended_ms is not None:
            raise Unauthorised(_ended(key, ended_ms))
        self.uses.note(key.digest, now_ms)
        actor = Actor(kind="api_key", id=key.id, name=key.hint)
        return await self._caller(key.workspace_id, granted(key), "api_key", actor, anew=anew)

    async def _by_jwt(self, token: str, *, anew: bool) -> Caller:
        if self._provider is not None and _algorithm_of(token) in ALGORITHMS:
            claims = _read(self._jwt_policy, await self._provider.claims(token))
            scopes = claims.scopes(default=frozenset())
        else:
            claims = _read(self._jwt_policy, _verified(self._jwt_policy, token))
            scopes = claims.scopes(default=frozenset(SCOPES))
        actor = Actor(kind="token", id=claims.sub and claims.sub[:SUBJECT_LENGTH_MAX])
        return await self._caller(claims.workspace_id, scopes, "jwt", actor, anew=anew)

    def forget(self, key: ApiKey) -> None:
        """Have a key looked up anew by this gateway, whichever of its secrets is sent."""
        for digest in (key.digest, *(old.digest for old in key.earlier)):
            self._api_keys.forget(digest)

    async def renewed(self, caller: Caller) -> Caller:
        """Return the caller with the workspace's event types of this moment, where known."""
        tenant = await self._tenants.get(caller.workspace_id, anew=True)
        return caller if tenant is None else msgspec.structs.replace(caller, profile=tenant.profile)

    async def _caller(
        self,
        workspace_id: str,
        scopes: frozenset[str],
        credential: Credential,
        actor: Actor,
        *,
        anew: bool,
    ) -> Caller:
        tenant = await self._tenants.get(workspace_id, anew=anew)
        if tenant is None:
            raise Unauthorised("the credential's workspace does not exist")
        return Caller(
            workspace_id=workspace_id,
            profile=tenant.profile,
            scopes=scopes,
            credential=credential,
            actor=actor,
            standing=tenant.standing,
            limits=tenant.limits,
        )

    async def _tenant(self, workspace_id: str) -> Tenant | None:
        """Return what is known of a workspace, None for one that does not exist."""
        workspace = await self._workspace(workspace_id)
        if workspace is None:
            return None
        profile = self._profiles.get(workspace.profile)
        if profile is None:
            raise RuntimeError(
                f"{workspace_id} has profile {workspace.profile!r}, which is not loaded: "
                "set HOOKLANE_PROFILES_DIR as it was when the workspace was created"
            )
        extended = profile.extended(workspace.type_names())
        return Tenant(extended, workspace.standing, workspace.limits)


def _ended(key: ApiKey, ended_ms: int) -> str:
    """Return why a key opens nothing any more, and what to do. Pure."""
    if key.revoked_ms == ended_ms:
        return f"the API key {key.hint}… was revoked at {iso_ms(ended_ms)}"
    if key.expires_ms == ended_ms:
        return f"the API key {key.hint}… has expired at {iso_ms(ended_ms)}; use a new one"
    return "the API key was replaced by a rotation; use the one that the rotation has returned"
