"""Routes of the workspace that a credential opens."""

from __future__ import annotations

from typing import Final

from litestar import get, patch
from litestar.params import JSONBody

from services.gateway.auditing import AUDIT
from services.gateway.auth import WORKSPACE_READ, WORKSPACE_WRITE
from services.gateway.guards import SCOPE
from services.gateway.handlers import workspace
from services.gateway.openapi import errors
from services.gateway.ports import Ports
from services.gateway.requests import CONTENT_TYPES, JSON_TYPE, MERGE_PATCH_TYPE, ApiRequest
from services.gateway.workspace_schemas import UpdateSettings, WorkspaceSettings
from shared.models.management import Workspace
from shared.models.times import iso_ms


def settings_of(ports: Ports, found: Workspace) -> WorkspaceSettings:
    """Return what is shown of a workspace. Pure."""
    return WorkspaceSettings(
        id=found.id,
        name=found.name,
        profile=found.profile,
        created_at=iso_ms(found.created_ms),
        retention_days=workspace.retention_days(ports, found),
        retention_days_max=ports.retention_days,
    )


@get(
    "/workspace",
    tags=["Workspace"],
    summary="Show the workspace",
    description="The one that the credential opens, with its settings.",
    opt={SCOPE: WORKSPACE_READ},
    responses=errors(404),
)
async def show(request: ApiRequest) -> WorkspaceSettings:
    """Show."""
    ports = request.app.state.ports
    return settings_of(ports, await workspace.get(ports, request.auth))


@patch(
    "/workspace",
    tags=["Workspace"],
    summary="Change the workspace's settings",
    description="JSON merge patch (RFC 7396): what is absent stays. Rows of the delivery log that "
    "are written within ten seconds, and all later ones, are kept for the new `retention_days`; "
    "those that are there already go when they were to go.",
    opt={
        SCOPE: WORKSPACE_WRITE,
        AUDIT: "workspace.update",
        CONTENT_TYPES: (JSON_TYPE, MERGE_PATCH_TYPE),
    },
    responses=errors(404, 413, 415),
)
async def change(request: ApiRequest, data: JSONBody[UpdateSettings]) -> WorkspaceSettings:
    """Change."""
    ports = request.app.state.ports
    return settings_of(ports, await workspace.change(ports, request.auth, data))


NATIVE: Final = (show, change)
