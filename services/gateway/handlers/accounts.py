"""Workspaces and their credentials: for operators and for the local stack, not for HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from services.gateway import auth
from services.gateway.auth import JwtPolicy
from services.gateway.handlers import api_keys
from services.gateway.ports import Ports
from services.gateway.rooms import check_room
from shared.models import ids
from shared.models.errors import Invalid, NotFound
from shared.models.limits import NO_LIMITS, WorkspaceLimits
from shared.models.management import Workspace

NAME_LENGTH_MAX: Final = 200
JWT_VALID_S: Final = 30 * 24 * 3_600


async def create_workspace(
    ports: Ports,
    *,
    profile: str,
    name: str,
    identifier: str | None = None,
    limits: WorkspaceLimits = NO_LIMITS,
) -> Workspace:
    """Create a workspace; it is known to every service when this returns.

    Raises Invalid, Conflict for an ``identifier`` that is taken, or Outage.
    """
    if profile not in ports.profiles:
        known = ", ".join(sorted(ports.profiles))
        raise Invalid(f"there is no profile {profile!r}; known: {known}", field="profile")
    if not 0 < len(name) <= NAME_LENGTH_MAX:
        raise Invalid(f"a name has 1 to {NAME_LENGTH_MAX} characters", field="name")
    now_ms = ports.now_ms()
    if identifier is None:
        identifier = ids.new_id(ids.WORKSPACE, now_ms, ports.entropy(ids.ENTROPY_BYTES))
    workspace = Workspace(
        id=identifier, name=name, profile=profile, created_ms=now_ms, limits=limits
    )
    return await ports.workspaces.create(workspace)


async def create_api_key(
    ports: Ports,
    *,
    workspace_id: str,
    scopes: Iterable[str] | None = None,
    role: str = "admin",
    name: str = "",
) -> str:
    """Create an API key and return it: the only time that it can be seen.

    It has ``scopes``, or those of ``role`` without any.
    """
    chosen = None if scopes is None else tuple(dict.fromkeys(scopes))
    unknown = [scope for scope in chosen or () if scope not in auth.SCOPES]
    if unknown:
        known = ", ".join(auth.SCOPES)
        raise Invalid(f"{unknown[0]!r} is not a scope; known: {known}", field="scopes")
    workspace = await _existing(ports, workspace_id)
    if workspace.limits.api_keys is not None:
        found = await ports.api_keys.of_workspace(workspace_id)
        check_room(workspace.limits, "api_keys", len(found))
    made = api_keys.new_key(
        ports,
        workspace_id=workspace_id,
        name=name,
        role=role if chosen is None else None,
        scopes=chosen or (),
    )
    await ports.api_keys.add(made.key)
    return made.secret


async def revoke_api_key(ports: Ports, *, workspace_id: str, hint: str) -> int:
    """Revoke the workspace's keys that begin with ``hint``; returns how many there were.

    A gateway that has seen the key lately takes it for up to a minute more.
    """
    begin = hint[: auth.KEY_HINT_LENGTH]
    found = await ports.api_keys.of_workspace(workspace_id)
    chosen = [key for key in found if key.hint == begin]
    ended = [
        await ports.api_keys.replace(key, replace(key, revoked_ms=ports.now_ms())) for key in chosen
    ]
    revoked = sum(key is not None for key in ended)
    if revoked == 0:
        raise NotFound(f"{workspace_id} has no API key that begins with {hint!r}", field="hint")
    return revoked


async def issue_jwt(
    ports: Ports,
    policy: JwtPolicy,
    *,
    workspace_id: str,
    scopes: Iterable[str] | None = None,
    valid_s: int = JWT_VALID_S,
) -> str:
    """Return a token for a workspace, as a product's dashboard would issue it."""
    if not policy.secret:
        raise Invalid("tokens need a secret: set HOOKLANE_JWT_SECRET", field="jwt_secret")
    await _existing(ports, workspace_id)
    return auth.issue_jwt(
        policy,
        workspace_id=workspace_id,
        now_s=ports.now_ms() // 1_000,
        valid_s=valid_s,
        scopes=scopes,
    )


async def _existing(ports: Ports, workspace_id: str) -> Workspace:
    workspace = await ports.workspaces.get(workspace_id)
    if workspace is None:
        raise NotFound(f"there is no workspace {workspace_id!r}", field="workspace_id")
    return workspace
