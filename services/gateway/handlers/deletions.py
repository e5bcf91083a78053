"""Deleting a workspace with everything that belongs to it, as a job.

The call closes the workspace, so that nothing is taken from it or sent for it any more, and stores
a job; ``step`` does a piece of it. A piece deletes what is there, so doing it twice does no harm,
and a gateway that takes the job over needs to know nothing of what was done. Endpoints go first,
each with its tombstone, at the end the workspace itself: then fan-out rejects its events.

Deliveries that wait in the retry tiers meanwhile end as discarded, in the log of a workspace that
is gone. So the job waits for longer than the longest tier and looks again before it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from services.gateway.etags import ANYTHING, Condition
from services.gateway.handlers import workspaces
from services.gateway.operators import Operator
from services.gateway.ports import Ports
from shared.models.deletions import HELD_MS, Deletion
from shared.models.errors import Conflict, NotFound
from shared.models.management import Workspace
from shared.topics import Tiers, table

ENDPOINTS_AT_ONCE: Final = 50
MARGIN_MS: Final = 3_600_000
"""How much longer than the longest tier it waits: what is due then still has to be recorded."""


async def start(
    ports: Ports, operator: Operator, workspace_id: str, condition: Condition
) -> Deletion:
    """Begin to delete a workspace, or return the deletion that was begun before.

    The workspace is closed when this returns. Raises NotFound, PreconditionFailed, or Outage: then
    the call may be repeated, and if anything was stored the job goes on without that.
    """
    standing = await ports.deletions.get(workspace_id)
    if standing is not None:
        return standing
    workspace = await workspaces.get(ports, workspace_id)
    condition.check(workspace)
    now_ms = ports.now_ms()
    wanted = Deletion(workspace_id=workspace_id, requested_ms=now_ms, due_ms=now_ms)
    deletion = await ports.deletions.add(wanted)
    await _close(ports, operator, workspace_id)
    return deletion


async def get(ports: Ports, workspace_id: str) -> Deletion:
    """Return how far a deletion is; raises NotFound."""
    deletion = await ports.deletions.get(workspace_id)
    if deletion is None:
        raise NotFound(f"no deletion of {workspace_id[:80]!r} was begun")
    return deletion


async def step(ports: Ports, deletion: Deletion) -> Deletion | None:
    """Do a piece of a deletion that is held; returns it as it is then, None when it can rest.

    It can rest, too, when another gateway holds it by now.

    Raises Outage: then the piece is to be done again.
    """
    await _close(ports, Operator(), deletion.workspace_id)
    gone = await _delete_some(ports, deletion.workspace_id)
    now_ms = ports.now_ms()
    if gone:
        counts = {**deletion.deleted}
        for kind, count in gone.items():
            counts[kind] = counts.get(kind, 0) + count
        deletion = replace(deletion, deleted=counts, due_ms=now_ms + HELD_MS)
        return deletion if await ports.deletions.save(deletion) else None
    await ports.workspaces.delete(deletion.workspace_id)
    if deletion.state == "running":
        due_ms = now_ms + settled_after_ms(ports.limits.tiers)
        await ports.deletions.save(replace(deletion, state="waiting", due_ms=due_ms))
    else:
        await ports.deletions.save(replace(deletion, state="done", finished_ms=now_ms))
    return None


def settled_after_ms(tiers: Tiers) -> int:
    """Return how long something of a workspace can be on its way after its endpoints went. Pure."""
    return tiers.all[-1].delay_ms + MARGIN_MS


def kafka_until_ms(tiers: Tiers, last_ms: int) -> Mapping[str, int]:
    """Return until when each topic can hold what was written up to ``last_ms``. Pure.

    The retry tiers are one here: what waits the longest.
    """
    until: dict[str, int] = {}
    for topic in table(tiers):
        if topic.cleanup == "delete":
            name = "retry" if topic.name.startswith("retry.") else topic.name
            until[name] = max(until.get(name, 0), last_ms + topic.retention_ms)
    return until


async def _delete_some(ports: Ports, workspace_id: str) -> Mapping[str, int]:
    """Delete some of what is there; returns how many of which kind, nothing when none is left."""
    endpoints = await ports.endpoints.page(workspace_id, limit=ENDPOINTS_AT_ONCE)
    if endpoints:
        # First what is found by the endpoints: a crash in between must not leave it behind.
        await ports.deletions.purge_health([endpoint.id for endpoint in endpoints])
        for endpoint in endpoints:
            await ports.endpoints.delete(workspace_id, endpoint.id)
        return {"webhooks": len(endpoints)}
    for kind in ports.deletions.kinds:
        count = await ports.deletions.purge(kind, workspace_id)
        if count:
            return {kind: count}
    return {}


async def _close(ports: Ports, operator: Operator, workspace_id: str) -> None:
    """Have nothing taken from a workspace or sent for it; one that is closed, or gone, stays so."""

    def closed(current: Workspace) -> Workspace:
        return msgspec.structs.replace(current, deleting_ms=ports.now_ms())

    try:
        await workspaces.replace(ports, operator, workspace_id, ANYTHING, closed, what="closed")
    except (Conflict, NotFound):
        return
