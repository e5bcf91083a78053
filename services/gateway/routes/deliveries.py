"""Routes of the delivery log."""

from __future__ import annotations

import base64
from typing import Annotated, Final, get_args

from litestar import get
from litestar.openapi.spec import OpenAPIType
from litestar.params import FromPath, QueryParameter

from services.gateway.auth import DELIVERIES_READ
from services.gateway.cursors import decode_cursor, encode_cursor
from services.gateway.guards import QUERY, SCOPE
from services.gateway.handlers import deliveries, event_log
from services.gateway.handlers.deliveries import Filters, Shown
from services.gateway.handlers.event_log import DeliveryOf, EventFound
from services.gateway.log_schemas import (
    EventDelivery,
    EventDetail,
    LoggedDelivery,
    LoggedDeliveryList,
    Payload,
)
from services.gateway.openapi import errors
from services.gateway.ports import BodyUnavailable
from services.gateway.requests import ApiRequest
from services.gateway.routes.endpoints import Cursor, Limit
from services.gateway.schemas import (
    LIMIT_DEFAULT,
    BodyEncoding,
    Delivery,
    DeliveryDetail,
    DeliveryList,
    ReceivedResponse,
    SentRequest,
)
from shared.models import ids
from shared.models.attempts import Attempt, Status
from shared.models.times import iso_ms

StatusFilter = Annotated[
    str | None,
    QueryParameter(description="Only these.", schema_extra={"enum": list(get_args(Status))}),
]
TypeFilter = Annotated[
    str | None, QueryParameter(description="Only this type; an alias finds the same.")
]
Since = Annotated[str | None, QueryParameter(description="RFC 3339; from this time on.")]
Until = Annotated[str | None, QueryParameter(description="RFC 3339; before this time.")]
_FILTERS: Final = ("status", "event_type", "since", "until", "limit", "cursor")


def delivery_of(identifier: str, attempt: Attempt) -> Delivery:
    """Return what a list shows of an attempt. Pure."""
    took_ms = attempt.response_time_ms
    return Delivery(
        id=identifier,
        event_type=attempt.event_type,
        status=attempt.status,
        status_code=attempt.status_code,
        response_time_ms=None if took_ms is None else round(took_ms),
        attempt=attempt.attempt,
        created_at=iso_ms(attempt.due_ms),
        event_id=attempt.event_id,
        trigger=attempt.trigger,
        error=attempt.error,
        reason=attempt.reason,
        next_attempt_at=_time_or_none(attempt.next_attempt_ms),
    )


def logged_delivery_of(identifier: str, attempt: Attempt) -> LoggedDelivery:
    """Return what the workspace's list shows of an attempt. Pure."""
    listed = delivery_of(identifier, attempt)
    return LoggedDelivery(
        **{name: getattr(listed, name) for name in listed.__struct_fields__},
        webhook_id=attempt.endpoint_id,
    )


def event_of(found: EventFound, first: Shown) -> EventDetail:
    """Return everything that may be told of an event; ``first`` is its first attempt. Pure."""
    attempt = first.attempt
    return EventDetail(
        id=attempt.event_id,
        type=attempt.event_type,
        accepted_at=iso_ms(attempt.accepted_ms or attempt.due_ms),
        payload=_payload_of(first.body),
        erased_at=_time_or_none(first.erased_ms),
        deliveries_total=found.total,
        deliveries=[_event_delivery_of(one) for one in found.deliveries],
        next_cursor=None if found.next is None else encode_cursor(found.next),
    )


def _event_delivery_of(one: DeliveryOf) -> EventDelivery:
    last = one.last.attempt
    return EventDelivery(
        webhook_id=one.endpoint_id,
        trigger=one.trigger,
        state=one.state,
        reason=last.reason,
        next_attempt_at=_time_or_none(last.next_attempt_ms),
        attempts=[delivery_of(row.id, row.attempt) for row in one.attempts],
    )


def _payload_of(body: bytes | BodyUnavailable) -> Payload:
    if isinstance(body, BodyUnavailable):
        return Payload(body=None, body_unavailable=str(body))
    text, encoding = shown_text(body)
    return Payload(body=text, body_encoding=encoding)


def detail_of(row: Shown) -> DeliveryDetail:
    """Return everything that may be told of an attempt. Pure."""
    attempt = row.attempt
    listed = delivery_of(row.id, attempt)
    return DeliveryDetail(
        **{name: getattr(listed, name) for name in listed.__struct_fields__},
        started_at=iso_ms(attempt.started_ms),
        final=attempt.final,
        error_message=attempt.error_message,
        request=_request_of(attempt, row.body),
        response=_response_of(attempt),
        timing_ms=attempt.timing_ms,
        erased_at=_time_or_none(row.erased_ms),
    )


def _time_or_none(time_ms: int | None) -> str | None:
    return None if time_ms is None else iso_ms(time_ms)


def _request_of(attempt: Attempt, body: bytes | BodyUnavailable) -> SentRequest:
    headers = header_lines(attempt.request_headers or "")
    if isinstance(body, BodyUnavailable):
        return SentRequest(
            url=attempt.url,
            address=attempt.address,
            headers=headers,
            body=None,
            body_unavailable=str(body),
        )
    text, encoding = shown_text(body)
    return SentRequest(
        url=attempt.url, address=attempt.address, headers=headers, body=text, body_encoding=encoding
    )


def _response_of(attempt: Attempt) -> ReceivedResponse | None:
    if attempt.status_code is None:
        return None
    text, encoding = shown_text(attempt.response_body)
    return ReceivedResponse(
        status_code=attempt.status_code,
        headers=list(attempt.response_headers),
        body=text,
        body_encoding=encoding,
        body_truncated=attempt.response_truncated,
    )


def header_lines(block: str) -> list[tuple[str, str]]:
    """Return the names and values in a header block as sent; a line without a colon is passed over.

    The request line is such a line.
    """
    pairs = (line.partition(": ") for line in block.splitlines())
    return [(name, value) for name, colon, value in pairs if colon and " " not in name]


def shown_text(body: bytes) -> tuple[str, BodyEncoding]:
    """Return bytes as text, base64 where they are not UTF-8."""
    try:
        return body.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


@get(
    "/webhooks/{webhook_id:str}/deliveries",
    tags=["Deliveries"],
    summary="List a webhook's deliveries",
    description="One item for each attempt, newest first.",
    opt={SCOPE: DELIVERIES_READ, QUERY: _FILTERS},
    responses=errors(404),
)
async def list_all(
    request: ApiRequest,
    webhook_id: FromPath[str],
    *,
    status: StatusFilter = None,
    event_type: TypeFilter = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> DeliveryList:
    """List."""
    found = await deliveries.page(
        request.app.state.ports,
        request.auth,
        webhook_id,
        filters=Filters(status=status, event_type=event_type, since=since, until=until),
        limit=limit,
        before=None if cursor is None else decode_cursor(cursor, ids.DELIVERY),
    )
    return DeliveryList(
        data=[delivery_of(row.id, row.attempt) for row in found.rows],
        next_cursor=None if found.next is None else encode_cursor(found.next),
    )


@get(
    "/webhooks/{webhook_id:str}/deliveries/{delivery_id:str}",
    tags=["Deliveries"],
    summary="Show a delivery",
    description="The request as it was sent and the response as it came.",
    opt={SCOPE: DELIVERIES_READ},
    responses=errors(404),
)
async def show(
    request: ApiRequest, webhook_id: FromPath[str], delivery_id: FromPath[str]
) -> DeliveryDetail:
    """Show."""
    ports = request.app.state.ports
    row = await deliveries.get(ports, request.auth, webhook_id, delivery_id)
    return detail_of(await deliveries.shown(ports, row))


@get(
    "/deliveries",
    tags=["Deliveries"],
    summary="Search all deliveries",
    description="The attempts of all webhooks, newest first. A page may be shorter than `limit`, "
    "even empty, although `next_cursor` says that another one follows. An `event_id` that Hooklane "
    "made is found at once; for one of your own, name `since`: without it the last hour is "
    "searched.",
    opt={SCOPE: DELIVERIES_READ, QUERY: (*_FILTERS, "event_id", "status_code", "webhook_id")},
    responses=errors(404),
)
async def search(
    request: ApiRequest,
    *,
    status: StatusFilter = None,
    event_type: TypeFilter = None,
    webhook_id: Annotated[
        str | None, QueryParameter(description="Only those of this webhook.")
    ] = None,
    event_id: Annotated[str | None, QueryParameter(description="Only those of this event.")] = None,
    status_code: Annotated[
        str | None,
        QueryParameter(
            description="Only with this answer.",
            schema_extra={"type": OpenAPIType.INTEGER, "minimum": 100, "maximum": 999},
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> LoggedDeliveryList:
    """Search."""
    filters = Filters(
        status=status,
        event_type=event_type,
        since=since,
        until=until,
        event_id=event_id,
        status_code=status_code,
        webhook_id=webhook_id,
    )
    found = await deliveries.search(
        request.app.state.ports,
        request.auth,
        filters=filters,
        limit=limit,
        before=None if cursor is None else decode_cursor(cursor, ids.DELIVERY),
    )
    return LoggedDeliveryList(
        data=[logged_delivery_of(row.id, row.attempt) for row in found.rows],
        next_cursor=None if found.next is None else encode_cursor(found.next),
    )


@get(
    "/events/{event_id:str}",
    tags=["Events"],
    summary="Show an event with its deliveries",
    description="What became of it at each webhook, and its payload while Kafka has it. It is "
    "found by its deliveries: one that nobody subscribed to, or whose first attempts are still to "
    "be made, is not there. `since` and `until` are for ids of your own, which do not say when "
    "the event was published; without them the last hour is searched.",
    opt={SCOPE: DELIVERIES_READ, QUERY: ("since", "until", "limit", "cursor")},
    responses=errors(404),
)
async def show_event(
    request: ApiRequest,
    event_id: FromPath[str],
    *,
    since: Since = None,
    until: Until = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> EventDetail:
    """Show."""
    ports = request.app.state.ports
    found = await event_log.get(
        ports,
        request.auth,
        event_id,
        since=since,
        until=until,
        limit=limit,
        after=None if cursor is None else decode_cursor(cursor, ids.ENDPOINT),
    )
    return event_of(found, await deliveries.shown(ports, found.first))


COMMON: Final = (list_all, show)
NATIVE: Final = (search, show_event)
