"""Routes that send one delivery again, and of pending retries."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter

from services.gateway.auditing import AUDIT
from services.gateway.auth import DELIVERIES_READ, WEBHOOKS_WRITE
from services.gateway.cursors import decode_cursor, encode_cursor
from services.gateway.guards import QUERY, SCOPE
from services.gateway.handlers import resends, retries
from services.gateway.idempotency import Origin
from services.gateway.job_schemas import DiscardedRetries, DiscardedRetry, Resent, RetryList
from services.gateway.openapi import errors
from services.gateway.requests import ApiRequest
from services.gateway.routes.deliveries import logged_delivery_of
from services.gateway.routes.endpoints import Cursor, Limit
from services.gateway.routes.once import REPLAYED, IdempotencyKey, once
from services.gateway.schemas import LIMIT_DEFAULT
from shared.models import ids
from shared.models.times import iso_ms

_RESEND_WORDS: Final = (
    "The same body, signed anew, with retries of its own, whatever became of it. Each call sends "
    "once more; send an `Idempotency-Key` to repeat a call safely. 409 where the webhook takes "
    "nothing now, and where Kafka does not have the body any more."
)


def resent_of(resent: resends.Resent) -> Resent:
    """Return what is shown of a delivery that was sent again. Pure."""
    note = resent.note
    return Resent(
        id=note.first_row_id(),
        webhook_id=note.endpoint_id,
        event_id=note.event_id,
        event_type=resent.event_type,
        trigger=note.trigger,
    )


@post(
    "/deliveries/{delivery_id:str}/resend",
    tags=["Deliveries"],
    summary="Send a delivery again",
    description=_RESEND_WORDS,
    status_code=202,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "delivery.resend"},
    response_headers=[REPLAYED],
    responses=errors(404, 409),
)
async def resend(
    request: ApiRequest, delivery_id: FromPath[str], idempotency_key: IdempotencyKey = None
) -> Response[Resent]:
    """Send it again."""
    ports, caller = request.app.state.ports, request.auth

    async def perform(_: Origin) -> Resent:
        return resent_of(await resends.of_workspace(ports, caller, delivery_id))

    return await once(request, idempotency_key, perform, status=202, bodiless=True)


@post(
    "/webhooks/{webhook_id:str}/deliveries/{delivery_id:str}/resend",
    tags=["Deliveries"],
    summary="Send a webhook's delivery again",
    description=_RESEND_WORDS,
    status_code=202,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "delivery.resend"},
    response_headers=[REPLAYED],
    responses=errors(404, 409),
)
async def resend_to_webhook(
    request: ApiRequest,
    webhook_id: FromPath[str],
    delivery_id: FromPath[str],
    idempotency_key: IdempotencyKey = None,
) -> Response[Resent]:
    """Send it again."""
    ports, caller = request.app.state.ports, request.auth

    async def perform(_: Origin) -> Resent:
        return resent_of(await resends.of_webhook(ports, caller, webhook_id, delivery_id))

    return await once(request, idempotency_key, perform, status=202, bodiless=True)


@get(
    "/retries",
    tags=["Retries"],
    summary="List pending retries",
    description="The failed attempts that another one is to follow, at `next_attempt_at`, the "
    "newest first. A page may be shorter than `limit`, even empty, although `next_cursor` says "
    "that another one follows.",
    opt={SCOPE: DELIVERIES_READ, QUERY: ("webhook_id", "limit", "cursor")},
    responses=errors(404),
)
async def list_retries(
    request: ApiRequest,
    *,
    webhook_id: Annotated[
        str | None, QueryParameter(description="Only those of this webhook.")
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> RetryList:
    """List."""
    found = await retries.page(
        request.app.state.ports,
        request.auth,
        endpoint_id=webhook_id,
        limit=limit,
        before=None if cursor is None else decode_cursor(cursor, ids.DELIVERY),
    )
    return RetryList(
        data=[logged_delivery_of(row.id, row.attempt) for row in found.rows],
        next_cursor=None if found.next is None else encode_cursor(found.next),
    )


@post(
    "/retries/{retry_id:str}/discard",
    tags=["Retries"],
    summary="Discard a pending retry",
    description="By the id of the failed attempt that it is to follow. When it becomes due it is "
    "discarded, with the reason `retry_discarded`, and is in the delivery log. 409 where no retry "
    "follows the attempt, or was made already.",
    status_code=202,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "retry.discard"},
    responses=errors(404, 409),
)
async def discard_retry(request: ApiRequest, retry_id: FromPath[str]) -> DiscardedRetry:
    """Discard it."""
    discarded = await retries.discard(request.app.state.ports, request.auth, retry_id)
    return DiscardedRetry(
        id=discarded.id, webhook_id=discarded.endpoint_id, due_at=iso_ms(discarded.due_ms)
    )


@post(
    "/webhooks/{webhook_id:str}/retries/discard",
    tags=["Retries"],
    summary="Discard a webhook's pending retries",
    description="All that there are now: when they become due they are discarded, with the reason "
    "`retry_discarded`, and are in the delivery log. What fails from now on is retried.",
    status_code=202,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "retry.discard_all"},
    responses=errors(404),
)
async def discard_retries(request: ApiRequest, webhook_id: FromPath[str]) -> DiscardedRetries:
    """Discard them."""
    until_ms = await retries.discard_all(request.app.state.ports, request.auth, webhook_id)
    return DiscardedRetries(webhook_id=webhook_id, failed_until=iso_ms(until_ms))


NATIVE: Final = (resend, resend_to_webhook, list_retries, discard_retry, discard_retries)
