"""Replays: deliveries of the log are sent again by filter, as a job.

Unlike a recovery, a replay does what it is told: also what succeeded, and also what was sent again
before. It is about how the events' own deliveries ended; what was sent again is no part of it, nor
what is still being retried. So each delivery goes out once in a replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from services.gateway.auth import Caller
from services.gateway.handlers import endpoints, event_log, jobs
from services.gateway.handlers.jobs import Counted
from services.gateway.handlers.recovery import window_of
from services.gateway.ports import Ports
from shared.models import ids
from shared.models.attempts import Status
from shared.models.errors import Conflict, Invalid
from shared.models.jobs import Job
from shared.models.times import iso_ms

OPEN_MAX: Final = 10
"""Replays of a workspace that have not ended: others want to get their turn."""

COUNT_MAX: Final = 1_000_000
COUNT_MS: Final = 2_000
"""How long the log is read to count; what was counted by then is what is said."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent again, where to, how fast; times are RFC 3339."""

    webhook_id: str | None
    to_webhook_id: str | None
    event_types: Sequence[str]
    event_ids: Sequence[str]
    status: Status | None
    since: str | None
    until: str | None
    rate_per_s: int


async def preview(ports: Ports, caller: Caller, wanted: Wanted) -> tuple[Job, Counted]:
    """Return the job that would be made, and how much it is about; nothing is started.

    Raises NotFound, Invalid, and Conflict for a webhook that takes nothing now.
    """
    job = await _job(ports, caller, wanted)
    return job, await _counted(ports, job)


async def start(ports: Ports, caller: Caller, wanted: Wanted) -> Job:
    """Make a job; raises as ``preview``, and Conflict where the workspace has too many."""
    job = await _job(ports, caller, wanted)
    if await ports.jobs.open_replays(caller.workspace_id) >= OPEN_MAX:
        raise Conflict(
            f"the workspace has {OPEN_MAX} replays that have not ended; wait for one, or cancel it"
        )
    counted = await _counted(ports, job)
    job = replace(job, matched=counted.matched, counted=counted.exact)
    await ports.jobs.add(job)
    caller.trail.changed(None, job)
    return job


async def _counted(ports: Ports, job: Job) -> Counted:
    until_ms = ports.now_ms() + COUNT_MS
    return await jobs.count(ports, job, matched_max=COUNT_MAX, until_ms=until_ms)


async def _job(ports: Ports, caller: Caller, wanted: Wanted) -> Job:
    """Return the job that is wanted; raises NotFound, Invalid, Conflict."""
    now_ms = ports.now_ms()
    if wanted.to_webhook_id is not None and wanted.webhook_id is None:
        raise Invalid(
            "name the webhook whose deliveries are to go to to_webhook_id: those of several would "
            "bring an event several times",
            field="webhook_id",
        )
    for field in ("webhook_id", "to_webhook_id"):
        identifier = getattr(wanted, field)
        if identifier is not None:
            endpoint = await endpoints.get(ports, caller, identifier)
            obstacle = jobs.obstacle_of(endpoint)
            is_target = field == "to_webhook_id" or wanted.to_webhook_id is None
            if is_target and obstacle is not None:
                raise Conflict(
                    f"the webhook {identifier} is {obstacle}: what is sent to it now would be "
                    "discarded"
                )
    since_ms, until_ms = window_of(_since(wanted), wanted.until, now_ms)
    return Job(
        id=ids.new_id(ids.JOB, now_ms, ports.entropy(ids.ENTROPY_BYTES)),
        kind="replay",
        workspace_id=caller.workspace_id,
        endpoint_id=wanted.webhook_id,
        target_id=wanted.to_webhook_id,
        status=wanted.status,
        event_types=_types(caller, wanted.event_types),
        event_ids=tuple(dict.fromkeys(wanted.event_ids)),
        since_ms=since_ms,
        until_ms=until_ms,
        rate_per_s=wanted.rate_per_s,
        matched=0,
        created_ms=now_ms,
    )


def _since(wanted: Wanted) -> str:
    """Return from when on the log is read; ids that Hooklane made say when their events were."""
    if wanted.since is not None:
        return wanted.since
    told = [ids.told_time_ms(ids.EVENT, event_id) for event_id in wanted.event_ids]
    known = [time_ms for time_ms in told if time_ms is not None]
    if not known or len(known) < len(told):
        raise Invalid(
            "is missing: say from when on; only event_ids that Hooklane made tell it themselves",
            field="since",
        )
    return iso_ms(max(0, min(known) - event_log.ID_SLACK_MS))


def _types(caller: Caller, names: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical names, which the log is kept under; raises Invalid, naming the item."""
    for index, name in enumerate(names):
        problem = caller.profile.unknown_reason(name)
        if problem is not None:
            raise Invalid(problem, field=f"event_types[{index}]")
    return tuple(dict.fromkeys(caller.profile.canonical(name) for name in names))
