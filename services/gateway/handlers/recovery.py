"""Recovering an endpoint: what failed for good in a window is sent again, as a job.

The call counts and stores a job, which ``jobs`` works at. A row that another job has sent again
before is skipped, and the same request is the same job.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from services.gateway.auth import Caller
from services.gateway.handlers import endpoints, jobs
from services.gateway.ports import Ports
from services.gateway.times import time_of
from shared.models import ids
from shared.models.attempts import Status
from shared.models.errors import Conflict, Invalid
from shared.models.jobs import Job

MATCHED_MAX: Final = 10_000
"""More is a replay of the log, not a repair: it would take over three minutes."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be recovered; times are RFC 3339, no ``until`` means now."""

    since: str
    until: str | None
    status: Status


async def start(ports: Ports, caller: Caller, endpoint_id: str, wanted: Wanted) -> Job:
    """Make a job, or return the one that the same request has made before; a stopped one goes on.

    Raises NotFound, Invalid for a window that cannot be or holds too much, and Conflict for an
    endpoint that takes nothing now.
    """
    now_ms = ports.now_ms()
    since_ms, until_ms = window_of(wanted.since, wanted.until, now_ms)
    endpoint = await endpoints.get(ports, caller, endpoint_id)
    obstacle = jobs.obstacle_of(endpoint)
    if obstacle is not None:
        raise Conflict(f"the webhook is {obstacle}: what is sent to it now would be discarded")
    parts = (endpoint_id, str(since_ms), str(until_ms), wanted.status)
    job = Job(
        id=ids.derived_id(ids.JOB, until_ms, *parts),
        workspace_id=caller.workspace_id,
        endpoint_id=endpoint_id,
        status=wanted.status,
        since_ms=since_ms,
        until_ms=until_ms,
        matched=0,
        created_ms=now_ms,
    )
    standing = await ports.jobs.get(job.workspace_id, job.id)
    if standing is not None:
        return await _again(ports, caller, standing)
    counted = await jobs.count(ports, job, matched_max=MATCHED_MAX)
    if counted.matched > MATCHED_MAX:
        raise Invalid(
            f"over {MATCHED_MAX} deliveries match; recover a shorter window at a time",
            field="since",
        )
    await ports.jobs.add(replace(job, matched=counted.matched))
    caller.trail.changed(None, job)
    return await jobs.get(ports, caller, job.id)


def window_of(since: str, until: str | None, now_ms: int) -> tuple[int, int]:
    """Return a window that ends now at the latest; raises Invalid where there is none. Pure."""
    since_ms = time_of("since", since) or 0
    until_ms = min(time_of("until", until) or now_ms, now_ms)
    if since_ms >= until_ms:
        raise Invalid("is not before until, which is now at the latest", field="since")
    return since_ms, until_ms


async def _again(ports: Ports, caller: Caller, job: Job) -> Job:
    """Let a job that was stopped go on; what people have paused or cancelled stays so."""
    if job.state != "stopped":
        return job
    resumed = await ports.jobs.wish(job, "resume") or job
    caller.trail.changed(job, resumed)
    return resumed
