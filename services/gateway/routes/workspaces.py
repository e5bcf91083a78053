"""Routes of workspaces: the operator's."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.params import FromPath, HeaderParameter, JSONBody
from msgspec import UNSET

from services.gateway.auditing import AUDIT
from services.gateway.auth import KEY_HINT_LENGTH, SCOPES
from services.gateway.cursors import decode_cursor, encode_cursor
from services.gateway.etags import condition_of, etag_of
from services.gateway.guards import QUERY
from services.gateway.handlers import deletions, workspaces
from services.gateway.handlers.deletions import kafka_until_ms
from services.gateway.openapi import operator_errors
from services.gateway.operator_schemas import (
    CreatedWorkspace,
    CreateWorkspace,
    NewWorkspaceKey,
    ShownDeletion,
    ShownLimits,
    ShownWorkspace,
    UpdateWorkspace,
    WorkspaceKey,
    WorkspaceList,
)
from services.gateway.operators import OPERATOR_SECURITY, Operator
from services.gateway.ports import Ports
from services.gateway.requests import CONTENT_TYPES, JSON_TYPE, MERGE_PATCH_TYPE, ApiRequest
from services.gateway.routes.endpoints import Cursor, Limit
from services.gateway.schemas import LIMIT_DEFAULT
from shared.models import ids
from shared.models.deletions import Deletion
from shared.models.management import Workspace
from shared.models.times import iso_ms

IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The `ETag` of the workspace as you know it: the call is refused with 412 when "
        "it was changed meanwhile.",
        required=False,
    ),
]
_ETAG: Final = ResponseHeader(
    name="ETag", documentation_only=True, description="For `If-Match`; changes with the workspace."
)
_TAGS: Final = ["Workspaces"]


def workspace_of(workspace: Workspace) -> ShownWorkspace:
    """Return what the operator sees of a workspace. Pure."""
    return ShownWorkspace(**_fields(workspace))


def deletion_of(ports: Ports, deletion: Deletion) -> ShownDeletion:
    """Return what is shown of a deletion."""
    last_ms = deletion.finished_ms or ports.now_ms()
    until = kafka_until_ms(ports.limits.tiers, last_ms)
    waits = deletion.state == "waiting"
    return ShownDeletion(
        workspace_id=deletion.workspace_id,
        state=deletion.state,
        deleted=deletion.deleted,
        requested_at=iso_ms(deletion.requested_ms),
        looks_again_at=iso_ms(deletion.due_ms) if waits else UNSET,
        finished_at=UNSET if deletion.finished_ms is None else iso_ms(deletion.finished_ms),
        kafka_until={topic: iso_ms(until_ms) for topic, until_ms in until.items()},
    )


@post(
    "/workspaces",
    tags=_TAGS,
    summary="Create a workspace",
    description="The answer holds a first API key with every scope: the only time that it can be "
    "seen. Every service knows the workspace by then.",
    security=OPERATOR_SECURITY,
    response_headers=[_ETAG],
    responses=operator_errors(409, 413, 415),
)
async def create(
    request: ApiRequest, data: JSONBody[CreateWorkspace]
) -> Response[CreatedWorkspace]:
    """Create."""
    made = await workspaces.create(request.app.state.ports, _operator(request), data)
    shown = CreatedWorkspace(**_fields(made.workspace), api_key=made.api_key)
    return Response(shown, headers={"ETag": etag_of(made.workspace)})


@get(
    "/workspaces",
    tags=_TAGS,
    summary="List workspaces",
    description="By id, from the highest: those with generated ids newest first.",
    security=OPERATOR_SECURITY,
    opt={QUERY: ("limit", "cursor")},
    responses=operator_errors(),
)
async def list_all(
    request: ApiRequest, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> WorkspaceList:
    """List."""
    before = None
    if cursor is not None:
        before = decode_cursor(cursor, ids.WORKSPACE, workspaces.WORKSPACE_ID)
    found, last = await workspaces.page(request.app.state.ports, limit=limit, before=before)
    return WorkspaceList(
        data=[workspace_of(workspace) for workspace in found],
        next_cursor=None if last is None else encode_cursor(last),
    )


@get(
    "/workspaces/{workspace_id:str}",
    tags=_TAGS,
    summary="Show a workspace",
    security=OPERATOR_SECURITY,
    response_headers=[_ETAG],
    responses=operator_errors(404),
)
async def show(request: ApiRequest, workspace_id: FromPath[str]) -> Response[ShownWorkspace]:
    """Show."""
    return _tagged(await workspaces.get(request.app.state.ports, workspace_id))


@patch(
    "/workspaces/{workspace_id:str}",
    tags=_TAGS,
    summary="Change a workspace",
    description="JSON merge patch (RFC 7396) of its name and limits. Every gateway holds it to the "
    "new limits within ten seconds.",
    security=OPERATOR_SECURITY,
    opt={AUDIT: "workspace.update", CONTENT_TYPES: (JSON_TYPE, MERGE_PATCH_TYPE)},
    response_headers=[_ETAG],
    responses=operator_errors(404, 409, 412, 413, 415),
)
async def change(
    request: ApiRequest,
    workspace_id: FromPath[str],
    data: JSONBody[UpdateWorkspace],
    if_match: IfMatch = None,
) -> Response[ShownWorkspace]:
    """Change."""
    ports, condition = request.app.state.ports, condition_of(if_match)
    operator = _operator(request)
    return _tagged(await workspaces.change(ports, operator, workspace_id, data, condition))


@post(
    "/workspaces/{workspace_id:str}/suspend",
    tags=_TAGS,
    summary="Suspend a workspace",
    description="What it has can be looked at; calls that change or publish something are refused "
    "with 403, by every gateway within ten seconds. What becomes due is not sent: it is discarded "
    "with the reason `workspace_suspended`, and is in the delivery log. Suspending twice changes "
    "nothing.",
    status_code=200,
    security=OPERATOR_SECURITY,
    opt={AUDIT: "workspace.suspend"},
    response_headers=[_ETAG],
    responses=operator_errors(404, 409, 412),
)
async def suspend(
    request: ApiRequest, workspace_id: FromPath[str], if_match: IfMatch = None
) -> Response[ShownWorkspace]:
    """Suspend."""
    ports, condition = request.app.state.ports, condition_of(if_match)
    return _tagged(await workspaces.suspend(ports, _operator(request), workspace_id, condition))


@post(
    "/workspaces/{workspace_id:str}/resume",
    tags=_TAGS,
    summary="Resume a workspace",
    description="Ends a suspension: events published after the answer are delivered. Nothing of "
    "what was discarded meanwhile is sent by itself; `POST /v1/webhooks/{webhook_id}/recover` with "
    "`status: discarded` sends it.",
    status_code=200,
    security=OPERATOR_SECURITY,
    opt={AUDIT: "workspace.resume"},
    response_headers=[_ETAG],
    responses=operator_errors(404, 409, 412),
)
async def resume(
    request: ApiRequest, workspace_id: FromPath[str], if_match: IfMatch = None
) -> Response[ShownWorkspace]:
    """Resume."""
    ports, condition = request.app.state.ports, condition_of(if_match)
    return _tagged(await workspaces.resume(ports, _operator(request), workspace_id, condition))


@delete(
    "/workspaces/{workspace_id:str}",
    tags=_TAGS,
    summary="Delete a workspace",
    description="With everything that belongs to it. It is closed when the answer comes; a job "
    "deletes what it has, whichever gateway dies. Deleting twice changes nothing.",
    status_code=202,
    security=OPERATOR_SECURITY,
    opt={AUDIT: "workspace.delete"},
    responses=operator_errors(404, 412),
)
async def remove(
    request: ApiRequest, workspace_id: FromPath[str], if_match: IfMatch = None
) -> ShownDeletion:
    """Begin to delete."""
    ports, condition = request.app.state.ports, condition_of(if_match)
    begun = await deletions.start(ports, _operator(request), workspace_id, condition)
    return deletion_of(ports, begun)


@get(
    "/workspaces/{workspace_id:str}/deletion",
    tags=_TAGS,
    summary="Show the deletion of a workspace",
    description="How far it is; for the log's retention after it is done.",
    security=OPERATOR_SECURITY,
    responses=operator_errors(404),
)
async def show_deletion(request: ApiRequest, workspace_id: FromPath[str]) -> ShownDeletion:
    """Show how far it is."""
    ports = request.app.state.ports
    return deletion_of(ports, await deletions.get(ports, workspace_id))


@post(
    "/workspaces/{workspace_id:str}/api-keys",
    tags=_TAGS,
    summary="Create an API key of a workspace",
    description="Shown this once.",
    security=OPERATOR_SECURITY,
    opt={AUDIT: "api_key.create"},
    responses=operator_errors(403, 404, 409, 413, 415),
)
async def create_key(
    request: ApiRequest, workspace_id: FromPath[str], data: JSONBody[NewWorkspaceKey]
) -> WorkspaceKey:
    """Create a key."""
    ports, operator = request.app.state.ports, _operator(request)
    scopes = list(SCOPES) if data.scopes is None else list(dict.fromkeys(data.scopes))
    key = await workspaces.create_key(ports, operator, workspace_id, name=data.name, scopes=scopes)
    return WorkspaceKey(api_key=key, hint=key[:KEY_HINT_LENGTH], name=data.name, scopes=scopes)


@delete(
    "/workspaces/{workspace_id:str}/api-keys/{hint:str}",
    tags=_TAGS,
    summary="Revoke an API key of a workspace",
    description="By its first eight characters. A gateway that has seen it lately takes it for up "
    "to a minute more.",
    security=OPERATOR_SECURITY,
    opt={AUDIT: "api_key.revoke"},
    responses=operator_errors(404),
)
async def revoke_key(request: ApiRequest, workspace_id: FromPath[str], hint: FromPath[str]) -> None:
    """Revoke a key."""
    ports, operator = request.app.state.ports, _operator(request)
    await workspaces.revoke_key(ports, operator, workspace_id, hint)


def _operator(request: ApiRequest) -> Operator:
    operator: Any = request.auth
    assert isinstance(operator, Operator)
    return operator


def _tagged(workspace: Workspace) -> Response[ShownWorkspace]:
    return Response(workspace_of(workspace), headers={"ETag": etag_of(workspace)})


def _fields(workspace: Workspace) -> dict[str, Any]:
    changed, suspended = workspace.updated_ms, workspace.suspended_ms
    return {
        "id": workspace.id,
        "name": workspace.name,
        "profile": workspace.profile,
        "state": workspace.standing,
        "limits": ShownLimits(**msgspec.structs.asdict(workspace.limits)),
        "created_at": iso_ms(workspace.created_ms),
        "updated_at": UNSET if changed is None else iso_ms(changed),
        "suspended_at": UNSET if suspended is None else iso_ms(suspended),
    }


OPERATOR: Final = (
    create,
    list_all,
    show,
    change,
    suspend,
    resume,
    remove,
    show_deletion,
    create_key,
    revoke_key,
)
