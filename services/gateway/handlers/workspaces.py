"""Workspaces, for the operator: create, read, change, suspend. Deleting is in ``deletions``.

Every change is answered when its state is acknowledged on ``endpoints``, and is written to the
gateway's log with who has made it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
import structlog
from msgspec import UNSET

from services.gateway.contention import until_stored
from services.gateway.errors import FieldError, InvalidFields
from services.gateway.etags import Condition
from services.gateway.handlers import accounts
from services.gateway.operator_schemas import (
    COUNT_MAX,
    NAME_LENGTH_MAX,
    CreateWorkspace,
    Limits,
    UpdateWorkspace,
)
from services.gateway.operators import Operator
from services.gateway.ports import Ports
from shared.models.errors import Conflict, Invalid, NotFound
from shared.models.limits import NO_LIMITS, WorkspaceLimits
from shared.models.management import Workspace

WORKSPACE_ID: Final = re.compile(r"ws_[0-9A-Za-z_-]{1,64}")

_log = structlog.get_logger("gateway")


class Made(NamedTuple):
    """A new workspace and its first API key."""

    workspace: Workspace
    api_key: str


async def create(ports: Ports, operator: Operator, wanted: CreateWorkspace) -> Made:
    """Create a workspace with a first API key that has every scope.

    Raises InvalidFields, Conflict for an id that is taken or was lately, and Outage: then there is
    no workspace, or one without a key.
    """
    _check(wanted)
    limits = limited(NO_LIMITS, wanted.limits)
    if wanted.id is not None and await ports.deletions.get(wanted.id) is not None:
        raise Conflict(f"{wanted.id} was deleted; use another id", field="id")
    workspace = await accounts.create_workspace(
        ports, profile=wanted.profile, name=wanted.name, identifier=wanted.id, limits=limits
    )
    key = await accounts.create_api_key(ports, workspace_id=workspace.id, name="first")
    _noted(operator, workspace, "created")
    return Made(workspace, key)


async def get(ports: Ports, workspace_id: str) -> Workspace:
    """Return a workspace; raises NotFound."""
    workspace = await ports.workspaces.get(workspace_id)
    if workspace is None:
        raise NotFound(f"there is no workspace {workspace_id[:80]!r}")
    return workspace


async def page(
    ports: Ports, *, limit: int, before: str | None
) -> tuple[list[Workspace], str | None]:
    """Return a page of workspaces, by id from the highest, and where the next one begins."""
    found = await ports.workspaces.page(limit=limit + 1, before=before)
    shown = found[:limit]
    return shown, shown[-1].id if len(found) > limit else None


async def change(
    ports: Ports,
    operator: Operator,
    workspace_id: str,
    wanted: UpdateWorkspace,
    condition: Condition,
) -> Workspace:
    """Change name or limits.

    Raises InvalidFields, NotFound, PreconditionFailed, Conflict for one that is being deleted, or
    Outage: then the change may be stored and will be published, and the call may be repeated.
    """
    _check(wanted)

    def changed(current: Workspace) -> Workspace:
        name = current.name if wanted.name is UNSET else wanted.name
        limits = current.limits
        if wanted.limits is not UNSET:
            limits = NO_LIMITS if wanted.limits is None else limited(limits, wanted.limits)
        return msgspec.structs.replace(current, name=name, limits=limits)

    return await replace(ports, operator, workspace_id, condition, changed, what="changed")


async def suspend(
    ports: Ports, operator: Operator, workspace_id: str, condition: Condition
) -> Workspace:
    """Take nothing from a workspace and send nothing for it; raises as ``change``."""

    def suspended(current: Workspace) -> Workspace:
        if current.suspended_ms is not None:
            return current
        return msgspec.structs.replace(current, suspended_ms=ports.now_ms())

    return await replace(ports, operator, workspace_id, condition, suspended, what="suspended")


async def resume(
    ports: Ports, operator: Operator, workspace_id: str, condition: Condition
) -> Workspace:
    """End a suspension; raises as ``change``."""

    def resumed(current: Workspace) -> Workspace:
        if current.suspended_ms is None:
            return current
        return msgspec.structs.replace(current, suspended_ms=None)

    return await replace(ports, operator, workspace_id, condition, resumed, what="resumed")


async def replace(
    ports: Ports,
    operator: Operator,
    workspace_id: str,
    condition: Condition,
    change_of: Callable[[Workspace], Workspace],
    *,
    what: str,
) -> Workspace:
    """Put ``change_of`` the present workspace in its place; nothing is stored if it is the same."""

    async def attempt() -> Workspace | None:
        current = await get(ports, workspace_id)
        condition.check(current)
        if current.deleting_ms is not None:
            raise Conflict("the workspace is being deleted")
        wanted = change_of(current)
        if wanted is current:
            return current
        wanted = msgspec.structs.replace(wanted, updated_ms=ports.now_ms())
        changed = await ports.workspaces.replace(wanted)
        if changed is not None:
            _noted(operator, changed, what)
            operator.trail.changed(current, changed)
        return changed

    return await until_stored(workspace_id, attempt)


async def create_key(
    ports: Ports, operator: Operator, workspace_id: str, *, name: str, scopes: list[str]
) -> str:
    """Make another API key; raises Invalid, NotFound, Conflict, LimitReached or Outage."""
    workspace = await get(ports, workspace_id)
    if workspace.deleting_ms is not None:
        raise Conflict("the workspace is being deleted")
    if len(name) > NAME_LENGTH_MAX:
        raise Invalid(f"has {len(name)} characters; {NAME_LENGTH_MAX} are allowed", field="name")
    key = await accounts.create_api_key(ports, workspace_id=workspace_id, name=name, scopes=scopes)
    _noted(operator, workspace, "api_key_created")
    return key


async def revoke_key(ports: Ports, operator: Operator, workspace_id: str, hint: str) -> None:
    """Revoke the API keys that begin with ``hint``; raises NotFound or Outage."""
    workspace = await get(ports, workspace_id)
    await accounts.revoke_api_key(ports, workspace_id=workspace_id, hint=hint)
    _noted(operator, workspace, "api_key_revoked")


def limited(limits: WorkspaceLimits, wanted: Limits | None) -> WorkspaceLimits:
    """Return ``limits`` with those that ``wanted`` sets or, with None, takes away. Pure."""
    if wanted is None:
        return limits
    given = msgspec.structs.asdict(wanted)
    changes = {name: value for name, value in given.items() if value is not UNSET}
    return msgspec.structs.replace(limits, **changes)


def _check(wanted: CreateWorkspace | UpdateWorkspace) -> None:
    """Raise InvalidFields for what a workspace cannot be."""
    errors: list[FieldError] = []
    if wanted.name is not UNSET and not 0 < len(wanted.name) <= NAME_LENGTH_MAX:
        errors.append(FieldError("name", f"a name has 1 to {NAME_LENGTH_MAX} characters"))
    identifier = wanted.id if isinstance(wanted, CreateWorkspace) else None
    if identifier is not None and WORKSPACE_ID.fullmatch(identifier) is None:
        detail = "must be ws_ and 1 to 64 letters, digits, '_' and '-', such as ws_acme"
        errors.append(FieldError("id", detail))
    if isinstance(wanted.limits, Limits):
        errors += [
            FieldError(f"limits.{name}", f"is {value}; 1 to {COUNT_MAX} are allowed, null for any")
            for name, value in msgspec.structs.asdict(wanted.limits).items()
            if isinstance(value, int) and not 0 < value <= COUNT_MAX
        ]
    if errors:
        raise InvalidFields(errors)


def _noted(operator: Operator, workspace: Workspace, what: str) -> None:
    _log.info("workspace_" + what, workspace_id=workspace.id, who=operator.who)
