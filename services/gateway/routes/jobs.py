"""Routes of jobs on the delivery log."""

from __future__ import annotations

from typing import Final

from litestar import get, post
from litestar.params import FromPath, JSONBody

from services.gateway.auditing import AUDIT
from services.gateway.auth import DELIVERIES_READ, WEBHOOKS_WRITE
from services.gateway.guards import SCOPE
from services.gateway.handlers import recovery
from services.gateway.handlers.recovery import Wanted
from services.gateway.log_schemas import Recover, RecoveryJob
from services.gateway.openapi import errors
from services.gateway.requests import ApiRequest
from shared.models.jobs import Job
from shared.models.times import iso_ms


def recovery_of(job: Job) -> RecoveryJob:
    """Return what is shown of a job. Pure."""
    return RecoveryJob(
        id=job.id,
        type="recovery",
        webhook_id=job.endpoint_id,
        status="discarded" if job.status == "discarded" else "failed",
        since=iso_ms(job.since_ms),
        until=iso_ms(job.until_ms),
        state=job.state,
        reason=job.reason,
        matched=job.matched,
        sent=job.sent,
        skipped=job.skipped,
        unavailable=job.unavailable,
        created_at=iso_ms(job.created_ms),
        finished_at=None if job.finished_ms is None else iso_ms(job.finished_ms),
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
) -> RecoveryJob:
    """Begin."""
    wanted = Wanted(since=data.since, until=data.until, status=data.status)
    return recovery_of(
        await recovery.start(request.app.state.ports, request.auth, webhook_id, wanted)
    )


@get(
    "/jobs/{job_id:str}",
    tags=["Deliveries"],
    summary="Show a job",
    description="How far it is.",
    opt={SCOPE: DELIVERIES_READ},
    responses=errors(404),
)
async def show_job(request: ApiRequest, job_id: FromPath[str]) -> RecoveryJob:
    """Show."""
    return recovery_of(await recovery.get(request.app.state.ports, request.auth, job_id))


NATIVE: Final = (recover, show_job)
