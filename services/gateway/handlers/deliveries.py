"""The delivery log: pages of an endpoint's and of all attempts, and one with its request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, get_args

import msgspec

from services.gateway.auth import Caller
from services.gateway.choices import one_of
from services.gateway.handlers import endpoints, event_log
from services.gateway.ports import BodyErased, BodyUnavailable, Kept, Place, Ports, Row, RowPage
from services.gateway.times import time_of
from shared.models.attempts import Attempt, Status
from shared.models.errors import Invalid, NotFound
from shared.models.searches import Asked, AttemptFilter

_CODE: Final = re.compile("[1-9][0-9]{2}", re.ASCII)


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of deliveries is narrowed to; times are RFC 3339."""

    status: str | None = None
    event_type: str | None = None
    since: str | None = None
    until: str | None = None
    event_id: str | None = None
    status_code: str | None = None
    webhook_id: str | None = None


async def page(
    ports: Ports,
    caller: Caller,
    endpoint_id: str | None,
    *,
    filters: Filters,
    limit: int,
    before: str | None,
) -> RowPage:
    """Return a page of an endpoint's attempts, newest first, or of all where that is None.

    Raises NotFound, Invalid.
    """
    asked = Asked(
        limit=limit,
        before=before,
        since_ms=time_of("since", filters.since),
        until_ms=time_of("until", filters.until),
        chosen=_chosen(caller, filters),
    )
    if endpoint_id is not None:
        await endpoints.get(ports, caller, endpoint_id)
    return await read(ports, caller.workspace_id, endpoint_id, asked)


async def search(
    ports: Ports, caller: Caller, *, filters: Filters, limit: int, before: str | None
) -> RowPage:
    """Return a page of the workspace's attempts, newest first; raises NotFound, Invalid.

    An endpoint's rows and an event's are found by themselves, whatever else is asked for.
    """
    if filters.event_id is not None:
        return await _of_event(ports, caller, filters.event_id, filters, limit=limit, before=before)
    return await page(
        ports, caller, filters.webhook_id, filters=filters, limit=limit, before=before
    )


async def _of_event(
    ports: Ports,
    caller: Caller,
    event_id: str,
    filters: Filters,
    *,
    limit: int,
    before: str | None,
) -> RowPage:
    """Return a page of an event's attempts; an event that is not found has none."""
    chosen = _chosen(caller, filters)
    since_ms, until_ms = time_of("since", filters.since), time_of("until", filters.until)
    if filters.webhook_id is not None:
        await endpoints.get(ports, caller, filters.webhook_id)
    search = await event_log.look_for(ports, caller, event_id, since_ms, until_ms)
    first = [row for row in search.rows if filters.webhook_id in {None, row.attempt.endpoint_id}]
    rows = [
        *first,
        *await ports.search.following(caller.workspace_id, [row.attempt for row in first]),
    ]
    wanted = [
        row
        for row in sorted(rows, key=lambda row: row.id, reverse=True)
        if (before is None or row.id < before)
        and chosen.takes(row.attempt)
        and (since_ms or 0) <= row.attempt.due_ms
        and (until_ms is None or row.attempt.due_ms < until_ms)
    ]
    return EventPage(wanted[:limit], wanted[limit - 1].id if len(wanted) > limit else None)


class EventPage(msgspec.Struct, frozen=True):
    """A page of an event's attempts."""

    rows: Sequence[Row]
    next: str | None


async def read(ports: Ports, workspace_id: str, endpoint_id: str | None, asked: Asked) -> RowPage:
    """Return a page of an endpoint's log, or of the workspace's where that is None."""
    if endpoint_id is not None:
        return await ports.log.page(endpoint_id, asked)
    return await ports.search.page(workspace_id, asked)


async def get(ports: Ports, caller: Caller, endpoint_id: str, delivery_id: str) -> Row:
    """Return one attempt; raises NotFound."""
    await endpoints.get(ports, caller, endpoint_id)
    row = await ports.log.get(endpoint_id, delivery_id)
    if row is None:
        raise NotFound(f"{endpoint_id} has no delivery {delivery_id[:64]!r} in its log")
    return row


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it may be shown: with the request's body, or why that is not to be had.

    ``erased_ms`` is when the event's payload was erased; then the receiver's answer is not there.
    """

    id: str
    attempt: Attempt
    body: bytes | BodyUnavailable
    erased_ms: int | None = None


async def shown(ports: Ports, row: Row) -> Shown:
    """Return a row with its body, and nothing of an event that was erased."""
    erasure = await ports.erasures.get(row.attempt.workspace_id, row.attempt.event_id)
    if erasure is not None:
        bare = row.attempt.without_answer()
        reason = BodyErased(erasure)
        return Shown(id=row.id, attempt=bare, body=reason, erased_ms=erasure.erased_ms)
    try:
        body = (await kept(ports, row.attempt)).body
    except BodyUnavailable as unavailable:
        return Shown(id=row.id, attempt=row.attempt, body=unavailable)
    return Shown(id=row.id, attempt=row.attempt, body=body)


async def kept(ports: Ports, attempt: Attempt) -> Kept:
    """Return what was sent; raises BodyUnavailable."""
    return await ports.bodies.read(place_of(attempt))


def place_of(attempt: Attempt) -> Place:
    """Return where Kafka has what was sent. Pure."""
    return Place(attempt.partition, attempt.offset, attempt.endpoint_id, attempt.event_id)


def _chosen(caller: Caller, filters: Filters) -> AttemptFilter:
    """Return what is looked for; raises Invalid."""
    return AttemptFilter(
        status=one_of("status", filters.status, get_args(Status)),
        event_type=canonical_type(caller, filters.event_type),
        event_id=filters.event_id,
        status_code=_code(filters.status_code),
    )


def _code(text: str | None) -> int | None:
    if text is None:
        return None
    if _CODE.fullmatch(text) is None:
        raise Invalid(
            f"{text[:64]!r} is not a status code; send one of 100 to 999", field="status_code"
        )
    return int(text)


def canonical_type(caller: Caller, event_type: str | None) -> str | None:
    """Return the canonical name that the log is kept under; aliases find the same rows."""
    if event_type is None:
        return None
    problem = caller.profile.unknown_reason(event_type)
    if problem is not None:
        raise Invalid(problem, field="event_type")
    return caller.profile.canonical(event_type)
