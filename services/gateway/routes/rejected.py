"""Routes of rejected events."""

from __future__ import annotations

from typing import Final

from litestar import delete, get, post
from litestar.params import FromPath

from services.gateway.admission import metered
from services.gateway.auditing import AUDIT
from services.gateway.auth import EVENTS_READ, EVENTS_WRITE
from services.gateway.cursors import decode_cursor, encode_cursor
from services.gateway.event_schemas import (
    Accepted,
    RejectedDetail,
    RejectedEvent,
    RejectedList,
    RejectedPlace,
)
from services.gateway.guards import QUERY, SCOPE
from services.gateway.handlers import cloudevents, rejected
from services.gateway.handlers.cloudevents import STRUCTURED_TYPE
from services.gateway.openapi import CorrectionOperation, errors
from services.gateway.requests import CONTENT_TYPES, JSON_TYPE, ApiRequest
from services.gateway.routes.deliveries import shown_text
from services.gateway.routes.endpoints import Cursor, Limit
from services.gateway.schemas import LIMIT_DEFAULT
from shared.models import ids
from shared.models.rejected import Rejected
from shared.models.times import iso_ms
from shared.topics import BODY_BYTES_MAX


def rejected_event_of(one: Rejected) -> RejectedEvent:
    """Return what a list shows of a rejected event. Pure."""
    return RejectedEvent(
        id=one.id,
        reason=one.reason,
        field=one.field or None,
        event_type=one.event_type,
        received_at=iso_ms(one.received_ms),
        size_bytes=one.size,
    )


def rejected_detail_of(one: Rejected) -> RejectedDetail:
    """Return everything that may be seen of a rejected event. Pure."""
    listed = rejected_event_of(one)
    value, encoding = shown_text(one.value)
    return RejectedDetail(
        **{name: getattr(listed, name) for name in listed.__struct_fields__},
        state="resubmitted" if one.event_id else "open",
        event_id=one.event_id,
        headers=[(name, shown_text(text)[0]) for name, text in one.headers],
        value=value,
        value_encoding=encoding,
        value_truncated=not one.whole,
        place=RejectedPlace(one.place.topic, one.place.partition, one.place.offset),
    )


@get(
    "/rejected-events",
    tags=["Rejected events"],
    summary="List rejected events",
    description="What was produced on Kafka for this workspace and could not be delivered, until "
    "it is re-submitted or discarded.",
    opt={SCOPE: EVENTS_READ, QUERY: ("limit", "cursor")},
    responses=errors(),
)
async def list_rejected(
    request: ApiRequest, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> RejectedList:
    """List."""
    before = None if cursor is None else decode_cursor(cursor, ids.REJECTED)
    found, after = await rejected.page(
        request.app.state.ports, request.auth, limit=limit, before=before
    )
    return RejectedList(
        data=[rejected_event_of(one) for one in found],
        next_cursor=None if after is None else encode_cursor(after),
    )


@get(
    "/rejected-events/{rejected_id:str}",
    tags=["Rejected events"],
    summary="Show a rejected event",
    opt={SCOPE: EVENTS_READ},
    responses=errors(404),
)
async def show_rejected(request: ApiRequest, rejected_id: FromPath[str]) -> RejectedDetail:
    """Show one."""
    return rejected_detail_of(
        await rejected.get(request.app.state.ports, request.auth, rejected_id)
    )


@post(
    "/rejected-events/{rejected_id:str}/resubmit",
    tags=["Rejected events"],
    summary="Re-submit a rejected event",
    description="Publishes the event through the same checks as any other: the corrected one of "
    "the body or, without a body, as it was. However often it is called, it is one event.",
    status_code=202,
    opt={
        SCOPE: EVENTS_WRITE,
        AUDIT: "rejected_event.resubmit",
        CONTENT_TYPES: (JSON_TYPE, STRUCTURED_TYPE),
    },
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=CorrectionOperation,
    responses=errors(404, 409, 413, 415, 422),
)
async def resubmit(request: ApiRequest, rejected_id: FromPath[str]) -> Accepted:
    """Publish it."""
    corrected = None
    if "content-type" in request.headers:
        body, content_type = await request.body(), request.content_type[0]
        corrected = cloudevents.posted(body, content_type, request.headers.items())
    ports, caller = metered(request), request.auth
    renewed = request.app.state.authenticator.renewed
    return Accepted(id=await rejected.resubmit(ports, caller, rejected_id, corrected, renewed))


@delete(
    "/rejected-events/{rejected_id:str}",
    tags=["Rejected events"],
    summary="Discard a rejected event",
    description="Its copy is forgotten; the record stays on the topic for its retention.",
    opt={SCOPE: EVENTS_WRITE, AUDIT: "rejected_event.discard"},
    responses=errors(404),
)
async def discard(request: ApiRequest, rejected_id: FromPath[str]) -> None:
    """Discard it."""
    await rejected.discard(request.app.state.ports, request.auth, rejected_id)


NATIVE: Final = (list_rejected, show_rejected, resubmit, discard)
