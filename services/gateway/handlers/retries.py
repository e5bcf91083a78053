"""Pending retries: deliveries whose last attempt failed and whose next one is still to come.

The retry tiers hold them; the log says which they are: an attempt that is not the last one, whose
following row is not there. Nobody takes a record out of a tier. What is not wanted any more is said
in the endpoint's state, which delivery workers have in memory: the retry is discarded when it
becomes due, and its row in the log says so. So a retry that becomes due at the same moment is
either made or discarded, never both and never neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from services.gateway.auth import Caller
from services.gateway.etags import ANYTHING
from services.gateway.handlers import deliveries, endpoints
from services.gateway.ports import Ports, Row
from shared.models import ids
from shared.models.attempts import Attempt
from shared.models.errors import Conflict, NotFound
from shared.models.management import Endpoint
from shared.models.searches import Asked, AttemptFilter

SINGLE_MAX: Final = 100
"""Retries of an endpoint that can be discarded one by one: every worker keeps them in memory."""

_PENDING: Final = AttemptFilter(status="failed", only="retrying")


class Page(msgspec.Struct, frozen=True):
    """Failed attempts whose retries are to come, newest first."""

    rows: Sequence[Row]
    next: str | None


async def page(
    ports: Ports, caller: Caller, *, endpoint_id: str | None, limit: int, before: str | None
) -> Page:
    """Return a page of the workspace's, or an endpoint's, pending retries; raises NotFound.

    It may be short, or even empty, although another one follows.
    """
    if endpoint_id is not None:
        await endpoints.get(ports, caller, endpoint_id)
    asked = Asked(limit=limit, before=before, chosen=_PENDING)
    found = await deliveries.read(ports, caller.workspace_id, endpoint_id, asked)
    made = await ports.search.known(caller.workspace_id, _following(found.rows))
    targets = {
        identifier: await ports.endpoints.get(caller.workspace_id, identifier)
        for identifier in {row.attempt.endpoint_id for row in found.rows}
    }
    rows = [
        row
        for row in found.rows
        if row.attempt.next_id() not in made
        and not is_discarded(targets[row.attempt.endpoint_id], row.attempt)
    ]
    return Page(rows, found.next)


async def discard_all(ports: Ports, caller: Caller, endpoint_id: str) -> int:
    """Discard all retries that an endpoint has now; returns the time up to which that counts.

    Raises NotFound, or Outage: then it may come to pass, and may be repeated.
    """

    def without(current: Endpoint) -> Endpoint:
        now_ms = max(ports.now_ms(), current.retries_discarded_ms or 0)
        return replace(current, retries_discarded_ms=now_ms, updated_ms=now_ms)

    changed = await endpoints.replace(ports, caller, endpoint_id, ANYTHING, without)
    assert changed.retries_discarded_ms is not None
    return changed.retries_discarded_ms


class Discarded(NamedTuple):
    """A retry that is not wanted any more: the row that it will have, where to, and when."""

    id: str
    endpoint_id: str
    due_ms: int


async def discard(ports: Ports, caller: Caller, delivery_id: str) -> Discarded:
    """Discard the retry that is to follow a failed attempt.

    Raises NotFound, and Conflict for an attempt that none follows, or where it was made already.
    """
    row = await ports.search.get(caller.workspace_id, delivery_id)
    if row is None:
        raise NotFound(f"this workspace has no delivery {delivery_id[:64]!r} in its log")
    following = row.attempt.next_id()
    if following is None:
        raise Conflict("no retry follows this attempt: the delivery ended with it")
    endpoint = await endpoints.get(ports, caller, row.attempt.endpoint_id)
    made = await ports.search.known(caller.workspace_id, {following, *endpoint.discarded_retries})
    if following in made:
        raise Conflict(f"the retry was made already: it is {following}")

    def without(current: Endpoint) -> Endpoint:
        if is_discarded(current, row.attempt):
            return current
        kept = tuple(one for one in current.discarded_retries if one not in made)
        if len(kept) >= SINGLE_MAX:
            raise Conflict(
                f"{SINGLE_MAX} retries of this webhook are discarded one by one and not due yet; "
                "discard all of it, or pause it"
            )
        return replace(current, discarded_retries=(*kept, following), updated_ms=ports.now_ms())

    await endpoints.replace(ports, caller, endpoint.id, ANYTHING, without)
    return Discarded(following, endpoint.id, ids.time_ms_of(following))


def is_discarded(endpoint: Endpoint | None, failed: Attempt) -> bool:
    """Return whether the retry that follows a failed attempt is not wanted any more. Pure."""
    if endpoint is None:
        return False
    discarded_ms = endpoint.retries_discarded_ms
    return (discarded_ms is not None and failed.ended_ms <= discarded_ms) or (
        failed.next_id() in endpoint.discarded_retries
    )


def _following(rows: Sequence[Row]) -> set[str]:
    """Return the ids that the next attempts' rows have or will have."""
    return {following for row in rows if (following := row.attempt.next_id()) is not None}
