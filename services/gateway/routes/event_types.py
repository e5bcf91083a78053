"""Routes of the event catalogue."""

from __future__ import annotations

from typing import Final

from litestar import Response, get, patch, post
from litestar.params import FromPath, JSONBody

from services.gateway.auditing import AUDIT
from services.gateway.auth import WEBHOOKS_READ, WEBHOOKS_WRITE
from services.gateway.event_schemas import (
    CreateEventType,
    EventType,
    EventTypeList,
    UpdateEventType,
)
from services.gateway.guards import SCOPE
from services.gateway.handlers import event_types
from services.gateway.idempotency import Origin
from services.gateway.openapi import errors
from services.gateway.requests import ApiRequest
from services.gateway.routes.once import REPLAYED, IdempotencyKey, once

_PATH: Final = "/event-types/{event_type:str}"


@get(
    "/event-types",
    tags=["Event types"],
    summary="List the event types",
    description="Those of the product first, then the workspace's own, then the operational ones.",
    opt={SCOPE: WEBHOOKS_READ},
    responses=errors(),
)
async def list_types(request: ApiRequest) -> EventTypeList:
    """List."""
    found = await event_types.catalogue(request.app.state.ports, request.auth)
    return EventTypeList(data=found, open=request.auth.profile.events.open)


@get(
    _PATH,
    tags=["Event types"],
    summary="Show an event type",
    description="By its name or an alias of it.",
    opt={SCOPE: WEBHOOKS_READ},
    responses=errors(404),
)
async def show_type(request: ApiRequest, event_type: FromPath[str]) -> EventType:
    """Show one."""
    return await event_types.get(request.app.state.ports, request.auth, event_type)


@post(
    "/event-types",
    tags=["Event types"],
    summary="Make an event type",
    description="Besides those of the product. When the answer is there it can be published and "
    "subscribed to.",
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "event_type.create"},
    response_headers=[REPLAYED],
    responses=errors(409, 413, 415),
)
async def create_type(
    request: ApiRequest, data: JSONBody[CreateEventType], idempotency_key: IdempotencyKey = None
) -> Response[EventType]:
    """Make one."""
    ports, caller = request.app.state.ports, request.auth

    async def perform(_: Origin) -> EventType:
        return await event_types.create(ports, caller, data)

    return await once(request, idempotency_key, perform, status=201)


@patch(
    _PATH,
    tags=["Event types"],
    summary="Change an event type",
    description="Of the workspace's own. With another `type` it is renamed: the old name becomes "
    "an alias, so that whoever publishes or has subscribed to it goes on, and payloads carry the "
    "new name.",
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "event_type.update"},
    responses=errors(404, 409, 413, 415),
)
async def change_type(
    request: ApiRequest, event_type: FromPath[str], data: JSONBody[UpdateEventType]
) -> EventType:
    """Change one."""
    return await event_types.change(request.app.state.ports, request.auth, event_type, data)


NATIVE: Final = (list_types, show_type, create_type, change_type)
