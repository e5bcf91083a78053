"""Recovering an endpoint: what failed for good in a window is sent again, as a job.

The call counts and stores a job; ``step`` does a piece of it. Each piece is a page of the log:
notes are made of what is to be sent again, then it is published, then the job's place is stored. A
piece that is done twice, because its gateway died or was thought to be dead, publishes the same
deliveries twice: same endpoint, event and trigger, which the delivery worker recognises and sends
once. A row that another job has sent again before is skipped.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from services.gateway.auth import Caller
from services.gateway.handlers import deliveries, endpoints
from services.gateway.ports import BodyAway, BodyUnavailable, Kept, Ports, Row, RowPage
from services.gateway.times import time_of
from shared.kafka.publisher import Record
from shared.models import ids
from shared.models.attempts import Attempt, Status
from shared.models.deliveries import META_HEADER, TRIGGER_PING, encode_meta
from shared.models.errors import Conflict, Invalid, NotFound, Outage
from shared.models.jobs import HELD_MS, Job, JobState, Resend
from shared.models.management import Endpoint
from shared.models.searches import AttemptFilter

MATCHED_MAX: Final = 10_000
"""More is a replay of the log, not a repair: it would take over three minutes."""

STEP_ROWS: Final = 50
"""A step a second: 50/s leaves room for what is live, and a gateway for its callers."""

COUNT_ROWS: Final = 1_000
PUBLISH_TIMEOUT_MS: Final = 5_000


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
    since_ms = time_of("since", wanted.since) or 0
    until_ms = min(time_of("until", wanted.until) or now_ms, now_ms)
    if since_ms >= until_ms:
        raise Invalid("is not before until, which is now at the latest", field="since")
    endpoint = await endpoints.get(ports, caller, endpoint_id)
    obstacle = obstacle_of(endpoint)
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
    await ports.jobs.add(replace(job, matched=await _count(ports, job)))
    caller.trail.changed(None, job)
    return await get(ports, caller, job.id)


async def get(ports: Ports, caller: Caller, job_id: str) -> Job:
    """Return a job; raises NotFound."""
    job = await ports.jobs.get(caller.workspace_id, job_id)
    if job is None:
        raise NotFound(f"this workspace has no job {job_id[:64]!r}")
    return job


async def step(ports: Ports, job: Job) -> Job | None:
    """Do a piece of a job that is held; returns the job as it is then, None when that was all.

    It is also all when another gateway holds the job by now.

    Raises Outage: then nothing of the piece counts, and it is to be done again.
    """
    endpoint = await ports.endpoints.get(job.workspace_id, job.endpoint_id)
    obstacle = "deleted" if endpoint is None else obstacle_of(endpoint)
    if endpoint is None or obstacle is not None:
        # A step that failed half-way may have noted what it did not send.
        await ports.jobs.unnote(job)
        return await _store(ports, _ended(ports, job, f"webhook_{obstacle}"))
    page = await _page(ports, job, limit=STEP_ROWS, before=job.before)
    rows = [row for row in page.rows if is_lost(row.attempt)]
    job = await _send(ports, job, endpoint, rows)
    job = replace(job, before=page.next)
    return await _store(ports, job if page.next is not None else _ended(ports, job, None))


def obstacle_of(endpoint: Endpoint) -> str | None:
    """Return why nothing is to be sent to an endpoint now, None where it is. Pure."""
    if not endpoint.active:
        return "disabled"
    return None if endpoint.paused_ms is None else "paused"


def is_lost(attempt: Attempt) -> bool:
    """Return whether a delivery ended with this attempt, and not well. Pure.

    A test ping is nobody's loss.
    """
    return attempt.final and attempt.status != "success" and attempt.trigger != TRIGGER_PING


async def _again(ports: Ports, caller: Caller, job: Job) -> Job:
    if job.state != "stopped":
        return job
    await ports.jobs.resume(job)
    resumed = await get(ports, caller, job.id)
    caller.trail.changed(job, resumed)
    return resumed


async def _count(ports: Ports, job: Job) -> int:
    """Return how many deliveries a job is about; raises Invalid for too many."""
    matched, before = 0, None
    while True:
        page = await _page(ports, job, limit=COUNT_ROWS, before=before)
        matched += sum(is_lost(row.attempt) for row in page.rows)
        before = page.next
        if matched > MATCHED_MAX:
            raise Invalid(
                f"over {MATCHED_MAX} deliveries match; recover a shorter window at a time",
                field="since",
            )
        if before is None:
            return matched


async def _page(ports: Ports, job: Job, *, limit: int, before: str | None) -> RowPage:
    """Return a page of the log of what a job is about, newest first."""
    return await ports.log.page(
        job.endpoint_id,
        limit=limit,
        before=before,
        chosen=AttemptFilter(status=job.status),
        since_ms=job.since_ms,
        until_ms=job.until_ms,
    )


async def _send(ports: Ports, job: Job, endpoint: Endpoint, rows: list[Row]) -> Job:
    """Send rows again; returns the job with what became of them counted."""
    found: list[tuple[Row, Kept]] = []
    for row in rows:
        kept = await _kept(ports, row.attempt)
        if kept is not None:
            found.append((row, kept))
    now_ms = ports.now_ms()
    notes = await ports.jobs.note([_note(job, row, now_ms) for row, _ in found]) if found else []
    mine = [
        (kept, note) for (_, kept), note in zip(found, notes, strict=True) if note.job_id == job.id
    ]
    if mine:
        records = [_record(ports, endpoint, kept, note) for kept, note in mine]
        await ports.sink.publish_within(records, PUBLISH_TIMEOUT_MS)
    return replace(
        job,
        sent=job.sent + len(mine),
        skipped=job.skipped + len(found) - len(mine),
        unavailable=job.unavailable + len(rows) - len(found),
    )


async def _kept(ports: Ports, attempt: Attempt) -> Kept | None:
    """Return what was sent, None where Kafka does not have it any more; raises Outage."""
    try:
        return await deliveries.kept(ports, attempt)
    except BodyAway as error:
        raise Outage(str(error)) from error
    except BodyUnavailable:
        return None


def _note(job: Job, row: Row, now_ms: int) -> Resend:
    return Resend(
        delivery_id=row.id,
        endpoint_id=job.endpoint_id,
        workspace_id=job.workspace_id,
        event_id=row.attempt.event_id,
        job_id=job.id,
        due_ms=now_ms,
    )


def _record(ports: Ports, endpoint: Endpoint, kept: Kept, note: Resend) -> Record:
    """Return the delivery that is sent again: the same body, a trigger of its own."""
    meta = replace(
        kept.meta,
        attempt=1,
        trigger=note.trigger,
        revision=endpoint.revision,
        due_ms=note.due_ms,
        parks=0,
        not_before_ms=0,
    )
    headers = ((META_HEADER, encode_meta(meta)),)
    return Record(ports.deliveries_topic, endpoint.id.encode(), kept.body, headers)


def _ended(ports: Ports, job: Job, reason: str | None) -> Job:
    state: JobState = "done" if reason is None else "stopped"
    return replace(job, state=state, reason=reason, finished_ms=ports.now_ms())


async def _store(ports: Ports, job: Job) -> Job | None:
    """Store a job, held for some time more; returns it if it is still ours and goes on."""
    held = replace(job, held_until_ms=ports.now_ms() + HELD_MS)
    ours = await ports.jobs.save(held)
    return held if ours and held.state == "running" else None
