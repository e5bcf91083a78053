"""A workspace's own settings. What operators do to workspaces is in ``accounts``."""

from __future__ import annotations

from msgspec import UNSET

from services.gateway.auth import Caller
from services.gateway.ports import Ports
from services.gateway.workspace_schemas import UpdateSettings
from shared.models.errors import Invalid, NotFound
from shared.models.management import Workspace


async def get(ports: Ports, caller: Caller) -> Workspace:
    """Return the caller's workspace; raises NotFound where it was withdrawn just now."""
    return _existing(await ports.workspaces.get(caller.workspace_id))


async def change(ports: Ports, caller: Caller, wanted: UpdateSettings) -> Workspace:
    """Change the settings; raises Invalid for a retention that the deployment does not give."""
    days = wanted.retention_days
    if days is UNSET:
        return await get(ports, caller)
    if days is not None and days > ports.retention_days:
        raise Invalid(
            f"is {days}; this deployment keeps the log for {ports.retention_days} days at most",
            field="retention_days",
        )
    before = await get(ports, caller)
    after = _existing(await ports.workspaces.set_retention(caller.workspace_id, days))
    caller.trail.changed(before, after)
    return after


def retention_days(ports: Ports, workspace: Workspace) -> int:
    """Return for how many days its new rows are kept: what it chose, and never more than all."""
    return min(workspace.retention_days or ports.retention_days, ports.retention_days)


def _existing(workspace: Workspace | None) -> Workspace:
    if workspace is None:
        raise NotFound("the workspace was withdrawn")
    return workspace
