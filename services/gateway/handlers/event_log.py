"""An event with all its deliveries: what became of it at each endpoint.

An id that Hooklane made says when its event was taken, so its deliveries are found at once. An id
of a producer's own does not: the search needs to be told about when, and looks at the last hour
without that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from services.gateway.auth import Caller
from services.gateway.ports import FoundRows, Ports, Row
from services.gateway.times import time_of
from shared.models import ids
from shared.models.errors import Invalid, NotFound
from shared.models.times import iso_ms

State = Literal["succeeded", "exhausted", "retrying", "discarded"]

ID_SLACK_MS: Final = 1_000  # how far a gateway's clock may be ahead of the broker's
TAKEN_WITHIN_MS: Final = 60_000
"""How long after its id was made an event is taken at the latest: publishing waits for seconds."""

OWN_ID_MS: Final = 3_600_000


class DeliveryOf(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of an event: all attempts for one endpoint and trigger, the first one first."""

    endpoint_id: str
    trigger: str
    state: State
    attempts: Sequence[Row]

    @property
    def last(self) -> Row:
        """Return the latest attempt."""
        return self.attempts[-1]


class EventFound(msgspec.Struct, frozen=True, kw_only=True):
    """An event: one page of its deliveries by endpoint, and how many there are in all.

    ``next`` is the endpoint behind which the next page begins, None on the last one.
    """

    deliveries: Sequence[DeliveryOf]
    total: int
    next: str | None

    @property
    def first(self) -> Row:
        """Return the first attempt of the first delivery."""
        return self.deliveries[0].attempts[0]


async def get(
    ports: Ports,
    caller: Caller,
    event_id: str,
    *,
    since: str | None,
    until: str | None,
    limit: int,
    after: str | None,
) -> EventFound:
    """Return an event with a page of its deliveries; raises NotFound, Invalid."""
    since_ms, until_ms = time_of("since", since), time_of("until", until)
    found = await look_for(ports, caller, event_id, since_ms, until_ms)
    if not found.rows:
        raise nowhere(event_id, found.searched_ms)
    rest = [row for row in found.rows if after is None or row.attempt.endpoint_id > after]
    if not rest:
        raise Invalid("cursor is behind the last webhook of this event", field="cursor")
    shown = _whole_endpoints(rest, limit)
    return EventFound(
        deliveries=deliveries_of(await attempts_of(ports, caller, event_id, shown)),
        total=len(deliveries_of(found.rows)),
        next=shown[-1].attempt.endpoint_id if len(shown) < len(rest) else None,
    )


async def attempts_of(
    ports: Ports, caller: Caller, event_id: str, first: Sequence[Row]
) -> list[Row]:
    """Return all attempts at the endpoints of these first ones, also of what was sent again."""
    later = await ports.search.following(caller.workspace_id, [row.attempt for row in first])
    endpoint_ids = {row.attempt.endpoint_id for row in first}
    resends = [
        one
        for one in await ports.jobs.of_event(caller.workspace_id, event_id)
        if (one.source_id or one.endpoint_id) in endpoint_ids
    ]
    again = await ports.search.resent(caller.workspace_id, resends)
    return [*first, *later, *again]


async def look_for(
    ports: Ports, caller: Caller, event_id: str, since_ms: int | None, until_ms: int | None
) -> FoundRows:
    """Return the first attempts of an event; the times count for ids that do not say when."""
    now_ms = ports.now_ms()
    told_ms = ids.told_time_ms(ids.EVENT, event_id)
    if told_ms is not None and told_ms <= now_ms + TAKEN_WITHIN_MS:
        since_ms, until_ms = told_ms - ID_SLACK_MS, told_ms + TAKEN_WITHIN_MS
    elif since_ms is None:
        since_ms = (until_ms or now_ms) - OWN_ID_MS
    until_ms = min(until_ms or now_ms + TAKEN_WITHIN_MS, now_ms + TAKEN_WITHIN_MS)
    return await ports.search.of_event(
        caller.workspace_id, event_id, since_ms=max(0, since_ms), until_ms=until_ms
    )


def deliveries_of(rows: Iterable[Row]) -> list[DeliveryOf]:
    """Return attempts as deliveries, by endpoint. Pure."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.attempt.endpoint_id, row.id)):
        groups.setdefault((row.attempt.endpoint_id, row.attempt.trigger), []).append(row)
    return [
        DeliveryOf(
            endpoint_id=endpoint_id,
            trigger=trigger,
            state=state_of(attempts[-1]),
            attempts=attempts,
        )
        for (endpoint_id, trigger), attempts in groups.items()
    ]


def state_of(last: Row) -> State:
    """Return how a delivery stands after its latest attempt. Pure."""
    attempt = last.attempt
    if attempt.status == "success":
        return "succeeded"
    if attempt.status == "discarded":
        return "discarded"
    return "exhausted" if attempt.final else "retrying"


def _whole_endpoints(rows: Sequence[Row], limit: int) -> list[Row]:
    """Return the rows of the first ``limit`` endpoints."""
    shown: dict[str, list[Row]] = {}
    for row in rows:
        shown.setdefault(row.attempt.endpoint_id, []).append(row)
    return [row for _, group in zip(range(limit), shown.values(), strict=False) for row in group]


def nowhere(event_id: str, searched_ms: int) -> NotFound:
    """Return what to raise for an event that was not found, with what a caller can do."""
    told = ids.told_time_ms(ids.EVENT, event_id) is not None
    hint = (
        ""
        if told
        else (
            f"; the id is a producer's own, and the log was searched up to {iso_ms(searched_ms)}: "
            "say with since and until about when it was published"
        )
    )
    return NotFound(f"the log has no delivery of an event {event_id[:64]!r}{hint}")
