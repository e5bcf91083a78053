"""Rejected events of a workspace: look at them, re-submit them, discard them.

They were produced on Kafka and could not be delivered (over HTTP such an event is refused at once).
Re-submitting publishes through the same checks as any event, corrected or as it was. However often
that is done it is one event: its id, where it has none itself, is the one that its place on
``events`` gave it.
"""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from services.gateway.auth import Caller
from services.gateway.handlers import events
from services.gateway.handlers.events import Posted, Renew
from services.gateway.idempotency import Origin
from services.gateway.ports import Ports
from shared.models import ids
from shared.models.errors import Conflict, NotFound
from shared.models.rejected import Rejected


async def page(
    ports: Ports, caller: Caller, *, limit: int, before: str | None
) -> tuple[list[Rejected], str | None]:
    """Return a page of what waits for a decision, newest first, and where the next one begins."""
    found = await ports.rejected.page(caller.workspace_id, limit=limit + 1, before=before)
    shown = found[:limit]
    return shown, shown[-1].id if len(found) > limit else None


async def get(ports: Ports, caller: Caller, rejected_id: str) -> Rejected:
    """Return one that was not discarded; raises NotFound."""
    found = await ports.rejected.get(caller.workspace_id, rejected_id)
    if found is None:
        raise NotFound(f"this workspace has no rejected event {rejected_id[:64]!r}")
    return found


async def resubmit(
    ports: Ports, caller: Caller, rejected_id: str, corrected: Posted | None, renewed: Renew
) -> str:
    """Publish it, as it was or ``corrected``; returns the event's id.

    Raises NotFound, Conflict when that was done already or there is too little left of it, Poison
    when it is rejected again, and Outage: then repeating the call makes the same event.
    """
    rejected = await get(ports, caller, rejected_id)
    if rejected.state == "resubmitted":
        raise Conflict(f"it was re-submitted already, as {rejected.event_id}")
    if corrected is None and not rejected.whole:
        raise Conflict(
            f"only {len(rejected.value)} of its {rejected.size} bytes are kept here; "
            "send the corrected event with the call"
        )
    posted = Posted(rejected.value, rejected.headers) if corrected is None else corrected
    origin = Origin(rejected.received_ms, partial(_event_id, rejected))
    event_id = await events.publish(ports, caller, posted, origin, renewed)
    await ports.rejected.resubmitted(rejected, event_id)
    resubmitted = replace(rejected, state="resubmitted", event_id=event_id)
    caller.trail.changed(rejected, resubmitted)
    return event_id


async def discard(ports: Ports, caller: Caller, rejected_id: str) -> None:
    """Forget it; raises NotFound."""
    rejected = await get(ports, caller, rejected_id)
    await ports.rejected.discarded(rejected)
    caller.trail.changed(rejected, replace(rejected, state="discarded", value=b""))


def _event_id(rejected: Rejected, _: int) -> str:
    place = rejected.place
    coordinates = (place.topic, str(place.partition), str(place.offset))
    return ids.derived_id(ids.EVENT, rejected.received_ms, *coordinates)
