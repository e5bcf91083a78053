"""Routes of jobs on the delivery log: recoveries, replays, and what one does with a job."""

from __future__ import annotations

from typing import Annotated, Final, get_args

from litestar import Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from services.gateway.auditing import AUDIT
from services.gateway.auth import DELIVERIES_READ, WEBHOOKS_WRITE
from services.gateway.cursors import decode_cursor, encode_cursor
from services.gateway.guards import QUERY, SCOPE
from services.gateway.handlers import jobs, recovery, replays
from services.gateway.idempotency import Origin
from services.gateway.job_schemas import JobDetail, JobList, MatchedIs, Replay, ReplayPreview
from services.gateway.log_schemas import Recover
from services.gateway.openapi import errors
from services.gateway.requests import ApiRequest
from services.gateway.routes.endpoints import Cursor, Limit
from services.gateway.routes.once import REPLAYED, IdempotencyKey, once
from services.gateway.schemas import LIMIT_DEFAULT
from shared.models import ids
from shared.models.jobs import Job, JobState
from shared.models.times import iso_ms

StateFilter = Annotated[
    str | None,
    QueryParameter(
        name="state",
        description="Only jobs in this state.",
        schema_extra={"enum": list(get_args(JobState))},
    ),
]


def job_of(job: Job) -> JobDetail:
    """Return what is shown of a job. Pure."""
    return JobDetail(
        id=job.id,
        type=job.kind,
        webhook_id=job.endpoint_id,
        to_webhook_id=job.target_id,
        event_types=list(job.event_types),
        event_ids=list(job.event_ids),
        status=job.status,
        since=iso_ms(job.since_ms),
        until=iso_ms(job.until_ms),
        state=job.state,
        reason=job.reason,
        rate=job.rate_per_s,
        matched=job.matched,
        matched_is=_matched_is(exact=job.counted),
        sent=job.sent,
        skipped=job.skipped,
        skipped_reasons=job.skips,
        unavailable=job.unavailable,
        created_at=iso_ms(job.created_ms),
        finished_at=None if job.finished_ms is None else iso_ms(job.finished_ms),
    )


def _matched_is(*, exact: bool) -> MatchedIs:
    return "exact" if exact else "at_least"


def _wanted(replay: Replay) -> replays.Wanted:
    return replays.Wanted(
        webhook_id=replay.webhook_id,
        to_webhook_id=replay.to_webhook_id,
        event_types=replay.event_types,
        event_ids=replay.event_ids,
        status=replay.status,
        since=replay.since,
        until=replay.until,
        rate_per_s=replay.rate,
    )


@post(
    "/webhooks/{webhook_id:str}/recover",
    tags=["Deliveries"],
    summary="Recover a webhook",
    description="Sends again what failed for good in a window: the same bodies, signed anew, with "
    "retries of their own. A job does it, the newest first, 50 a second; the answer counts what it "
    "is about. Nothing is sent again twice, however often it is asked for.",
    status_code=202,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "webhook.recover"},
    responses=errors(404, 409, 413, 415),
)
async def recover(
    request: ApiRequest, webhook_id: FromPath[str], data: JSONBody[Recover]
) -> JobDetail:
    """Begin."""
    wanted = recovery.Wanted(since=data.since, until=data.until, status=data.status)
    return job_of(await recovery.start(request.app.state.ports, request.auth, webhook_id, wanted))


@post(
    "/replays",
    tags=["Jobs"],
    summary="Replay deliveries",
    description="Sends deliveries again whatever became of them, to where they were sent before or "
    "to another webhook: the same bodies, signed anew, with retries of their own. A job does it, "
    "the newest first; what is live goes before it.",
    status_code=202,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "replay.create"},
    response_headers=[REPLAYED],
    responses=errors(404, 409, 413, 415),
)
async def replay(
    request: ApiRequest, data: JSONBody[Replay], idempotency_key: IdempotencyKey = None
) -> Response[JobDetail]:
    """Begin."""
    ports, caller = request.app.state.ports, request.auth

    async def perform(_: Origin) -> JobDetail:
        return job_of(await replays.start(ports, caller, _wanted(data)))

    return await once(request, idempotency_key, perform, status=202)


@post(
    "/replays/preview",
    tags=["Jobs"],
    summary="Count what a replay would send",
    description="Takes what `POST /v1/replays` takes, and starts nothing. The log is read for two "
    "seconds at most; `matched_is` says whether all of it was.",
    status_code=200,
    opt={SCOPE: DELIVERIES_READ},
    responses=errors(404, 409, 413, 415),
)
async def preview(request: ApiRequest, data: JSONBody[Replay]) -> ReplayPreview:
    """Count."""
    ports, caller = request.app.state.ports, request.auth
    job, counted = await replays.preview(ports, caller, _wanted(data))
    return ReplayPreview(
        matched=counted.matched,
        matched_is=_matched_is(exact=counted.exact),
        since=iso_ms(job.since_ms),
        until=iso_ms(job.until_ms),
    )


@get(
    "/jobs",
    tags=["Jobs"],
    summary="List jobs",
    description="Recoveries and replays, newest first.",
    opt={SCOPE: DELIVERIES_READ, QUERY: ("state", "limit", "cursor")},
    responses=errors(),
)
async def list_jobs(
    request: ApiRequest,
    *,
    job_state: StateFilter = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> JobList:
    """List."""
    before = None if cursor is None else decode_cursor(cursor, ids.JOB)
    found, after = await jobs.page(
        request.app.state.ports, request.auth, limit=limit, before=before, state=job_state
    )
    return JobList(
        data=[job_of(one) for one in found],
        next_cursor=None if after is None else encode_cursor(after),
    )


@get(
    "/jobs/{job_id:str}",
    tags=["Jobs"],
    summary="Show a job",
    description="How far it is.",
    opt={SCOPE: DELIVERIES_READ},
    responses=errors(404),
)
async def show_job(request: ApiRequest, job_id: FromPath[str]) -> JobDetail:
    """Show."""
    return job_of(await jobs.get(request.app.state.ports, request.auth, job_id))


@post(
    "/jobs/{job_id:str}/pause",
    tags=["Jobs"],
    summary="Pause a job",
    description="It sends nothing from its next piece on, half a second, until it is "
    "resumed. Pausing twice is pausing once; 409 where it has ended.",
    status_code=200,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "job.pause"},
    responses=errors(404, 409),
)
async def pause_job(request: ApiRequest, job_id: FromPath[str]) -> JobDetail:
    """Pause."""
    return job_of(await jobs.wish(request.app.state.ports, request.auth, job_id, "pause"))


@post(
    "/jobs/{job_id:str}/resume",
    tags=["Jobs"],
    summary="Resume a job",
    description="One that was paused, or stopped because its webhook was disabled or paused, goes "
    "on from its place; 409 where it has ended.",
    status_code=200,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "job.resume"},
    responses=errors(404, 409),
)
async def resume_job(request: ApiRequest, job_id: FromPath[str]) -> JobDetail:
    """Resume."""
    return job_of(await jobs.wish(request.app.state.ports, request.auth, job_id, "resume"))


@post(
    "/jobs/{job_id:str}/cancel",
    tags=["Jobs"],
    summary="Cancel a job",
    description="It sends nothing from its next piece on, half a second; what it has "
    "published goes its way. `cancelling` becomes `cancelled` when its gateway has let go of it. "
    "409 where it is done.",
    status_code=200,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "job.cancel"},
    responses=errors(404, 409),
)
async def cancel_job(request: ApiRequest, job_id: FromPath[str]) -> JobDetail:
    """Cancel."""
    return job_of(await jobs.wish(request.app.state.ports, request.auth, job_id, "cancel"))


NATIVE: Final = (
    recover,
    replay,
    preview,
    list_jobs,
    show_job,
    pause_job,
    resume_job,
    cancel_job,
)
