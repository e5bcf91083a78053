"""The delivery log: pages of attempts, and one attempt with request and response."""

from __future__ import annotations

from typing import get_args

import msgspec

from services.gateway.auth import Caller
from services.gateway.handlers import endpoints
from services.gateway.ports import BodyUnavailable, Ports, Row, RowPage
from shared.models.attempts import Status
from shared.models.errors import Invalid, NotFound
from shared.models.times import parse_ms


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of deliveries is narrowed to; times are RFC 3339."""

    status: str | None = None
    event_type: str | None = None
    since: str | None = None
    until: str | None = None


async def page(
    ports: Ports,
    caller: Caller,
    endpoint_id: str,
    *,
    filters: Filters,
    limit: int,
    before: str | None,
) -> RowPage:
    """Return a page of an endpoint's attempts, newest first; raises NotFound, Invalid."""
    since_ms, until_ms = _time("since", filters.since), _time("until", filters.until)
    event_type = _canonical(caller, filters.event_type)
    _check_status(filters.status)
    await endpoints.get(ports, caller, endpoint_id)
    return await ports.log.page(
        endpoint_id,
        limit=limit,
        before=before,
        status=filters.status,
        event_type=event_type,
        since_ms=since_ms,
        until_ms=until_ms,
    )


async def get(ports: Ports, caller: Caller, endpoint_id: str, delivery_id: str) -> Row:
    """Return one attempt; raises NotFound."""
    await endpoints.get(ports, caller, endpoint_id)
    row = await ports.log.get(endpoint_id, delivery_id)
    if row is None:
        raise NotFound(f"{endpoint_id} has no delivery {delivery_id[:64]!r} in its log")
    return row


async def body(ports: Ports, row: Row) -> bytes | BodyUnavailable:
    """Return the bytes of the request's body, or why they are not to be had."""
    attempt = row.attempt
    try:
        return await ports.bodies.read(
            partition=attempt.partition,
            offset=attempt.offset,
            endpoint_id=attempt.endpoint_id,
            event_id=attempt.event_id,
        )
    except BodyUnavailable as unavailable:
        return unavailable


def _check_status(status: str | None) -> None:
    known = get_args(Status)
    if status is not None and status not in known:
        raise Invalid(f"{status[:64]!r} is not one of {', '.join(known)}", field="status")


def _time(field: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_ms(text)
    except (ValueError, OverflowError) as error:
        raise Invalid(str(error), field=field) from None


def _canonical(caller: Caller, event_type: str | None) -> str | None:
    """Return the canonical name that the log is kept under; aliases find the same rows."""
    if event_type is None:
        return None
    problem = caller.profile.unknown_reason(event_type)
    if problem is not None:
        raise Invalid(problem, field="event_type")
    return caller.profile.canonical(event_type)
