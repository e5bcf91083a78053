"""Who calls: ``Authorization: Bearer`` with an API key or a JSON Web Token.

An API key is ``hk_`` and 256 random bits; only its SHA-256 is stored, which is enough because there
is nothing to guess (a slow hash is for what people choose). A token is HS256 with the deployment's
secret: algorithm and issuer are pinned, ``exp`` and ``workspace_id`` required (RFC 8725, 3.1 and
3.8). Both open one workspace; a key has scopes, a token has those of its ``scope`` claim (RFC 8693,
4.2) or, without one, all.

Both look-ups are remembered, so that publishing works on while MongoDB is away (invariant 5).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, Literal

import jwt
import msgspec

from services.gateway.cache import Remembered
from services.gateway.ports import Ports
from shared.models.errors import Forbidden, Unauthorised
from shared.models.limits import NO_LIMITS, WorkspaceLimits
from shared.models.management import ApiKey, WorkspaceStanding
from shared.profiles.profile import Profile

Credential = Literal["api_key", "jwt"]

WEBHOOKS_READ: Final = "webhooks:read"
WEBHOOKS_WRITE: Final = "webhooks:write"
DELIVERIES_READ: Final = "deliveries:read"
EVENTS_READ: Final = "events:read"
EVENTS_WRITE: Final = "events:write"
SECRETS_READ: Final = "secrets:read"
SCOPES: Final[Mapping[str, str]] = {
    WEBHOOKS_READ: "see endpoints",
    WEBHOOKS_WRITE: "create, change, delete, ping and recover endpoints",
    DELIVERIES_READ: "see the delivery log",
    EVENTS_READ: "see rejected events",
    EVENTS_WRITE: "publish events, re-submit and discard rejected ones",
    SECRETS_READ: "see signing secrets",
}

KEY_PREFIX: Final = "hk_"
KEY_ENTROPY_BYTES: Final = 32
KEY_HINT_LENGTH: Final = 8
TENANT_FRESH_MS: Final = 10_000
"""How long after a suspension or a change of limits a gateway may not know of it yet."""

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
    """How tokens are signed and by whom. Without a secret no token is accepted."""

    secret: str
    issuer: str

    def __repr__(self) -> str:
        return f"JwtPolicy(secret=…, issuer={self.issuer!r})"


def new_api_key(entropy: bytes) -> str:
    """Return a fresh API key; ``entropy`` is ``KEY_ENTROPY_BYTES`` random bytes."""
    if len(entropy) != KEY_ENTROPY_BYTES:
        raise ValueError(f"entropy has {len(entropy)} bytes, {KEY_ENTROPY_BYTES} are needed")
    return KEY_PREFIX + base64.urlsafe_b64encode(entropy).decode().rstrip("=")


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
        "workspace_id": workspace_id,
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
    scope: str | None = None


def _claims_of(policy: JwtPolicy, token: str) -> _Claims:
    """Return the claims of a valid token; raises Unauthorised, with the fix."""
    if not policy.secret:
        raise Unauthorised("this deployment accepts no tokens; use an API key")
    try:
        claims = jwt.decode(
            token,
            policy.secret,
            algorithms=[JWT_ALGORITHM],
            issuer=policy.issuer,
            leeway=JWT_LEEWAY_S,
            options={"require": ["exp", "iss", "workspace_id"], "verify_aud": False},
        )
        return msgspec.convert(claims, _Claims)
    except jwt.ExpiredSignatureError:
        raise Unauthorised("the token has expired; sign in again") from None
    except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
        raise Unauthorised(f"the token is not valid: {error}") from None


class Authenticator:
    """Turns an ``Authorization`` header into a Caller."""

    def __init__(self, ports: Ports, jwt_policy: JwtPolicy) -> None:
        self._profiles = ports.profiles
        self._jwt_policy = jwt_policy
        self._api_keys: Remembered[ApiKey] = Remembered(ports.api_keys.find, ports.now_ms)
        self._workspace = ports.workspaces.get
        self._tenants: Remembered[Tenant] = Remembered(
            self._tenant, ports.now_ms, fresh_ms=TENANT_FRESH_MS
        )

    async def caller(self, authorization: str | None, *, anew: bool = False) -> Caller:
        """Return who calls. Raises Unauthorised, and Outage when it cannot be looked up.

        ``anew``: with the workspace's event types of this moment, not of some minutes ago.
        """
        token = bearer_of(authorization)
        if token.startswith(KEY_PREFIX):
            return await self._by_key(token, anew=anew)
        return await self._by_jwt(token, anew=anew)

    async def _by_key(self, token: str, *, anew: bool) -> Caller:
        key = await self._api_keys.get(digest_of(token))
        if key is None:
            raise Unauthorised("the API key is not known; was it revoked?")
        return await self._caller(key.workspace_id, frozenset(key.scopes), "api_key", anew=anew)

    async def _by_jwt(self, token: str, *, anew: bool) -> Caller:
        claims = _claims_of(self._jwt_policy, token)
        scopes = SCOPES if claims.scope is None else SCOPES.keys() & claims.scope.split()
        return await self._caller(claims.workspace_id, frozenset(scopes), "jwt", anew=anew)

    async def renewed(self, caller: Caller) -> Caller:
        """Return the caller with the workspace's event types of this moment, where known."""
        tenant = await self._tenants.get(caller.workspace_id, anew=True)
        return caller if tenant is None else msgspec.structs.replace(caller, profile=tenant.profile)

    async def _caller(
        self, workspace_id: str, scopes: frozenset[str], credential: Credential, *, anew: bool
    ) -> Caller:
        tenant = await self._tenants.get(workspace_id, anew=anew)
        if tenant is None:
            raise Unauthorised("the credential's workspace does not exist")
        return Caller(
            workspace_id=workspace_id,
            profile=tenant.profile,
            scopes=scopes,
            credential=credential,
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
