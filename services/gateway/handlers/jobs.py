"""Jobs that send deliveries of the log again: the engine of recoveries and replays.

``step`` does a piece of a job: it reads a page of the log, notes what is to be sent again,
publishes it, and stores the job's new place. A piece that is done twice, because its gateway died
or was thought to be dead, publishes the same deliveries twice: same endpoint, event and trigger,
which the delivery worker recognises and sends once.

A piece begins with a look at what people want of the job, so that a pause or a cancel counts from
the next piece on; ``rest_s`` keeps a job to its rate.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, get_args

from msgspec.structs import replace

from services.gateway.auth import Caller
from services.gateway.choices import one_of
from services.gateway.handlers.ahead import Ahead, Piece
from services.gateway.handlers.ahead import page as log_page
from services.gateway.ports import BodyUnavailable, Kept, Ports, Row
from shared.kafka.publisher import Record
from shared.models.deliveries import META_HEADER, encode_meta
from shared.models.errors import Conflict, NotFound
from shared.models.jobs import HELD_MS, WORKED_AT, Job, JobState, Resend, Wish
from shared.models.management import Endpoint

PIECES_PER_S: Final = 2
PIECE_ROWS_MAX: Final = 500
WAVE_ROWS: Final = 25
SPREAD: Final = 0.6
COUNT_ROWS: Final = 5_000
PUBLISH_TIMEOUT_MS: Final = 5_000
REST_MIN_S: Final = 0.01
SENT_BEFORE: Final = "sent_again_before"


class Counted(NamedTuple):
    """How many deliveries a job is about; at least so many where not all were looked at."""

    matched: int
    exact: bool


async def get(ports: Ports, caller: Caller, job_id: str) -> Job:
    """Return a job; raises NotFound."""
    job = await ports.jobs.get(caller.workspace_id, job_id)
    if job is None:
        raise NotFound(f"this workspace has no job {job_id[:64]!r}")
    return job


async def page(
    ports: Ports, caller: Caller, *, limit: int, before: str | None, state: str | None
) -> tuple[list[Job], str | None]:
    """Return a page of jobs, newest first, and where the next one begins; raises Invalid."""
    chosen = one_of("state", state, get_args(JobState))
    found = await ports.jobs.page(caller.workspace_id, limit=limit + 1, before=before, state=chosen)
    shown = found[:limit]
    return shown, shown[-1].id if len(found) > limit else None


async def wish(ports: Ports, caller: Caller, job_id: str, wanted: Wish) -> Job:
    """Pause, resume or cancel a job; raises NotFound, Conflict where its state forbids it."""
    job = await get(ports, caller, job_id)
    changed = await ports.jobs.wish(job, wanted)
    if changed is None:
        job = await get(ports, caller, job_id)
        raise Conflict(f"the job is {job.state}: there is nothing to {wanted}")
    caller.trail.changed(job, changed)
    return changed


async def count(
    ports: Ports, job: Job, *, matched_max: int, until_ms: int | None = None
) -> Counted:
    """Return how many deliveries a job is about; stops beyond ``matched_max``, or at a time."""
    matched, before = 0, None
    while True:
        rows = await log_page(ports, job, limit=COUNT_ROWS, before=before)
        matched, before = matched + len(rows.rows), rows.next
        if before is None:
            return Counted(matched, exact=True)
        if matched > matched_max or (until_ms is not None and ports.now_ms() >= until_ms):
            return Counted(matched, exact=False)


async def step(ports: Ports, held: Job, ahead: Ahead | None = None) -> Job | None:
    """Do a piece of a job; returns the job as it is then, None when there is no more to do.

    ``ahead`` is the same for all pieces that one caller does. None is returned at the job's end,
    when it is paused, and when another gateway holds it by now.

    Raises Outage: then nothing of the piece counts, and it is to be done again.
    """
    job = await ports.jobs.hold(held, ports.now_ms() + HELD_MS)
    if job is None:
        return None
    if job.state == "cancelling":
        return await _let_go(ports, job, "cancelled", None)
    if job.state != "running":
        return await _store(ports, job)
    target: Endpoint | None = None
    identifier = job.target_id or job.endpoint_id
    if identifier is not None:
        target = await ports.endpoints.get(job.workspace_id, identifier)
        obstacle = obstacle_of(target)
        if obstacle is not None:
            return await _let_go(ports, job, "stopped", f"webhook_{obstacle}")
    piece = await (ahead or Ahead()).take(ports, job, piece_rows(job.rate_per_s))
    job = replace(await _send(ports, job, piece, target), before=piece.next)
    return await _store(ports, job if piece.next is not None else _finished(ports, job))


def obstacle_of(endpoint: Endpoint | None) -> str | None:
    """Return why nothing is to be sent to an endpoint now, None where it is. Pure."""
    if endpoint is None:
        return "deleted"
    if not endpoint.active:
        return "disabled"
    return None if endpoint.paused_ms is None else "paused"


def piece_rows(rate_per_s: int) -> int:
    """Return how many deliveries a piece sends at most: of a second, not all at once. Pure."""
    return max(1, min(PIECE_ROWS_MAX, rate_per_s // PIECES_PER_S))


def spread_s(rate_per_s: int, sent: int) -> float:
    """Return over how long a piece that sends so many is spread. Pure.

    That is a part of the time it has by its rate; the rest is for getting it ready.
    """
    return SPREAD * sent / rate_per_s if sent > WAVE_ROWS else 0.0


def rest_s(rate_per_s: int, sent: int, took_s: float) -> float:
    """Return how long to rest after a piece that has sent so many. Pure.

    No faster than the rate, and never for less than half of the time in which the piece was at
    work: it has used what answers callers, too.
    """
    busy_s = took_s - spread_s(rate_per_s, sent)
    return max(sent / rate_per_s - took_s, busy_s / 2, REST_MIN_S)


class _Going(NamedTuple):
    """A row that can be sent again: where to, and what."""

    row: Row
    target: Endpoint
    kept: Kept


async def _send(ports: Ports, job: Job, piece: Piece, target: Endpoint | None) -> Job:
    """Send a piece again; returns the job with what became of it counted."""
    skips = Counter(job.skips)
    targets = await _targets(ports, job, piece.rows) if target is None else {}
    going: list[_Going] = []
    unavailable = 0
    for row, kept in zip(piece.rows, piece.bodies, strict=True):
        endpoint = target or targets[row.attempt.endpoint_id]
        obstacle = obstacle_of(endpoint)
        if endpoint is None or obstacle is not None:
            skips[f"webhook_{obstacle}"] += 1
        elif isinstance(kept, BodyUnavailable):
            unavailable += 1
        else:
            going.append(_Going(row, endpoint, kept))
    wanted = [_note(job, one, ports.now_ms()) for one in going]
    notes = await ports.jobs.note(wanted) if wanted else []
    records = [
        again(ports, one.target, one.kept, note)
        for one, note in zip(going, notes, strict=True)
        if note.job_id == job.id
    ]
    await _publish(ports, job.rate_per_s, records)
    if len(records) < len(going):
        skips[SENT_BEFORE] += len(going) - len(records)
    return replace(
        job,
        sent=job.sent + len(records),
        skips=dict(skips),
        unavailable=job.unavailable + unavailable,
    )


async def _publish(ports: Ports, rate_per_s: int, records: Sequence[Record]) -> None:
    """Publish in waves: a whole piece at once would make what is live wait for its sending.

    A wave that fails leaves the piece undone; what went before it is recognised then.
    """
    loop = asyncio.get_running_loop()
    began_s, spread = loop.time(), spread_s(rate_per_s, len(records))
    for start in range(0, len(records), WAVE_ROWS):
        await asyncio.sleep(began_s + spread * start / len(records) - loop.time())
        await ports.sink.publish_within(records[start : start + WAVE_ROWS], PUBLISH_TIMEOUT_MS)


async def _targets(ports: Ports, job: Job, rows: Iterable[Row]) -> dict[str, Endpoint | None]:
    """Return the endpoints that rows were sent to, None for one that is deleted."""
    names = sorted({row.attempt.endpoint_id for row in rows})
    found = await asyncio.gather(*(ports.endpoints.get(job.workspace_id, name) for name in names))
    return dict(zip(names, found, strict=True))


def _note(job: Job, going: _Going, now_ms: int) -> Resend:
    """Return the note of a row. What one recovery sends, no other one does; a replay does."""
    attempt = going.row.attempt
    return Resend(
        delivery_id=going.row.id,
        endpoint_id=going.target.id,
        source_id=None if attempt.endpoint_id == going.target.id else attempt.endpoint_id,
        workspace_id=job.workspace_id,
        event_id=attempt.event_id,
        job_id=job.id,
        due_ms=now_ms,
        mark="" if job.kind == "recovery" else job.id,
    )


def again(ports: Ports, endpoint: Endpoint, kept: Kept, note: Resend) -> Record:
    """Return the delivery that is sent again: the same body, a trigger of its own."""
    meta = replace(
        kept.meta,
        attempt=1,
        trigger=note.trigger,
        revision=endpoint.revision,
        due_ms=note.due_ms,
        parks=0,
        not_before_ms=0,
        failed_ms=0,
    )
    headers = ((META_HEADER, encode_meta(meta)),)
    return Record(ports.deliveries_topic, endpoint.id.encode(), kept.body, headers)


def _finished(ports: Ports, job: Job) -> Job:
    """Return the job at its end, when what there was is known."""
    matched = max(job.matched, job.handled) if job.counted else job.handled
    return replace(
        job, state="done", matched=matched, counted=True, finished_ms=ports.now_ms(), reason=None
    )


async def _let_go(ports: Ports, job: Job, state: JobState, reason: str | None) -> Job | None:
    """End a job before its end; what it noted and may not have sent is free for others."""
    await ports.jobs.unnote(job)
    ended = replace(job, state=state, reason=reason, finished_ms=ports.now_ms())
    return await _store(ports, ended)


async def _store(ports: Ports, job: Job) -> Job | None:
    """Store a job, held for some time more; returns it if it is still ours and goes on."""
    stored = await ports.jobs.save(replace(job, held_until_ms=ports.now_ms() + HELD_MS))
    return stored if stored is not None and stored.state in WORKED_AT else None
