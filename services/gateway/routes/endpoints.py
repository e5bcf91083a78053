"""Routes of endpoints."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from msgspec import UNSET, UnsetType

from services.gateway.auditing import AUDIT
from services.gateway.auth import WEBHOOKS_READ, WEBHOOKS_WRITE
from services.gateway.cursors import decode_cursor, encode_cursor
from services.gateway.endpoint_filters import SEARCH_LENGTH_MAX, STATUSES, Filters
from services.gateway.etags import condition_of, etag_of
from services.gateway.guards import QUERY, SCOPE, TOKEN_ONLY
from services.gateway.handlers import cloudevents, endpoints, matches
from services.gateway.handlers.cloudevents import STRUCTURED_TYPE
from services.gateway.idempotency import Origin
from services.gateway.openapi import TOKEN_SECURITY, EventOperation, errors
from services.gateway.requests import CONTENT_TYPES, JSON_TYPE, MERGE_PATCH_TYPE, ApiRequest
from services.gateway.routes.once import REPLAYED, IdempotencyKey, once
from services.gateway.schemas import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    CreateWebhook,
    Match,
    Ping,
    UpdateWebhook,
    Webhook,
    WebhookList,
)
from shared.models import ids
from shared.models.endpoints import MASK
from shared.models.management import Endpoint
from shared.models.times import iso_ms
from shared.topics import BODY_BYTES_MAX

Limit = Annotated[
    int, QueryParameter(ge=1, le=LIMIT_MAX, description="How many items a page has at most.")
]
Cursor = Annotated[
    str | None,
    QueryParameter(description="`next_cursor` of the page before; first page without it."),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The `ETag` of the webhook as you know it: the call is refused with 412 when "
        "somebody has changed it meanwhile.",
        required=False,
    ),
]
StatusFilter = Annotated[
    str | None, QueryParameter(description="Only these.", schema_extra={"enum": list(STATUSES)})
]
TypeFilter = Annotated[
    str | None,
    QueryParameter(
        description="Only those that are subscribed to this event type: by its name, an alias of "
        "it, or `*`."
    ),
]
Search = Annotated[
    str | None,
    QueryParameter(
        description="Only those with this text in their URL or description, in whatever case.",
        schema_extra={"min_length": 1, "max_length": SEARCH_LENGTH_MAX},
    ),
]
MetadataFilter = Annotated[
    list[str] | None,
    QueryParameter(
        description="Only those with this metadata, as `key:value`. May be given several times; "
        "all must be there."
    ),
]
_ETAG: Final = ResponseHeader(
    name="ETag", documentation_only=True, description="For `If-Match`; changes with the webhook."
)
_QUERY: Final = ("limit", "cursor", "status", "event_type", "search", "metadata")


def webhook_of(
    endpoint: Endpoint, *, secret: str | UnsetType = UNSET, failures: int | UnsetType = UNSET
) -> Webhook:
    """Return what a caller sees of an endpoint. Pure."""
    changed = endpoint.updated_ms != endpoint.created_ms
    return Webhook(
        id=endpoint.id,
        url=endpoint.url,
        events=endpoint.events,
        is_active=endpoint.active and endpoint.paused_ms is None,
        secret=secret,
        secret_hint=endpoint.secret_hint,
        created_at=iso_ms(endpoint.created_ms),
        description=endpoint.description,
        updated_at=iso_ms(endpoint.updated_ms) if changed else UNSET,
        disabled_reason=endpoint.disabled_reason,
        consecutive_failures=failures,
        paused_at=None if endpoint.paused_ms is None else iso_ms(endpoint.paused_ms),
        metadata=endpoint.metadata,
        headers={name: MASK for name, _ in endpoint.headers},
        concurrency=endpoint.concurrency,
        rate_limit=endpoint.rate_limit,
        retry_delays=endpoint.retry_delays,
        timeout_ms=endpoint.timeout_ms,
        success_codes=endpoint.success_codes,
        payload_format=endpoint.payload_format,
        channels=endpoint.channels,
        filter=None if endpoint.filter is None else msgspec.json.decode(endpoint.filter),
        signature="v1a" if endpoint.public_key else UNSET,
        public_key=endpoint.public_key or UNSET,
    )


def tagged(
    endpoint: Endpoint, *, secret: str | UnsetType = UNSET, failures: int | UnsetType = UNSET
) -> Response[Webhook]:
    """Return the answer that shows an endpoint, with its ETag. Pure."""
    shown = webhook_of(endpoint, secret=secret, failures=failures)
    return Response(shown, headers={"ETag": etag_of(endpoint)})


@post(
    "/webhooks",
    tags=["Webhooks"],
    summary="Create a webhook",
    description="The answer holds the signing secret in full: this time and, with the scope "
    "`secrets:read`, in the secret call. Events published after the answer are delivered.",
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "webhook.create"},
    response_headers=[_ETAG, REPLAYED],
    responses=errors(409, 413, 415),
)
async def create_with_secret(
    request: ApiRequest, data: JSONBody[CreateWebhook], idempotency_key: IdempotencyKey = None
) -> Response[Webhook]:
    """Create, as QR3's guide answers it."""
    ports, caller = request.app.state.ports, request.auth

    async def perform(origin: Origin) -> Response[Webhook]:
        endpoint, secret = await endpoints.create(ports, caller, data, origin)
        return tagged(endpoint, secret=secret or UNSET)

    return await once(request, idempotency_key, perform, status=201)


@post(
    "/webhooks",
    tags=["Webhooks"],
    summary="Create a webhook",
    description="Fetch the signing secret from `/api/developer/webhooks/{id}/secret`.",
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "webhook.create"},
    response_headers=[_ETAG, REPLAYED],
    responses=errors(409, 413, 415),
)
async def create(
    request: ApiRequest, data: JSONBody[CreateWebhook], idempotency_key: IdempotencyKey = None
) -> Response[Webhook]:
    """Create, as XQR's guide answers it."""
    ports, caller = request.app.state.ports, request.auth

    async def perform(origin: Origin) -> Response[Webhook]:
        endpoint, _ = await endpoints.create(ports, caller, data, origin)
        return tagged(endpoint)

    return await once(request, idempotency_key, perform, status=201)


@get(
    "/webhooks",
    tags=["Webhooks"],
    summary="List webhooks",
    description="Newest first. Filters narrow the list together.",
    opt={SCOPE: WEBHOOKS_READ, QUERY: _QUERY},
    responses=errors(),
)
async def list_all(
    request: ApiRequest,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    *,
    status: StatusFilter = None,
    event_type: TypeFilter = None,
    search: Search = None,
    metadata: MetadataFilter = None,
) -> WebhookList:
    """List."""
    found, last = await endpoints.page(
        request.app.state.ports,
        request.auth,
        filters=Filters(
            status=status,
            event_type=event_type,
            search=search,
            metadata=tuple(metadata or ()),
        ),
        limit=limit,
        before=None if cursor is None else decode_cursor(cursor, ids.ENDPOINT),
    )
    return WebhookList(
        data=[webhook_of(endpoint) for endpoint in found],
        next_cursor=None if last is None else encode_cursor(last),
    )


@get(
    "/webhooks/{webhook_id:str}",
    tags=["Webhooks"],
    summary="Show a webhook",
    opt={SCOPE: WEBHOOKS_READ},
    response_headers=[_ETAG],
    responses=errors(404),
)
async def show(request: ApiRequest, webhook_id: FromPath[str]) -> Response[Webhook]:
    """Show."""
    ports = request.app.state.ports
    endpoint = await endpoints.get(ports, request.auth, webhook_id)
    return tagged(endpoint, failures=await endpoints.failures(ports, endpoint))


@patch(
    "/webhooks/{webhook_id:str}",
    tags=["Webhooks"],
    summary="Change a webhook",
    description="JSON merge patch (RFC 7396): what is absent stays, `null` removes what may be "
    "absent, entries of `metadata` and `headers` are merged one by one. `is_active: true` enables "
    "a disabled webhook again, resets its failure count and ends a pause. Events published after "
    "the answer meet the changed webhook.",
    opt={
        SCOPE: WEBHOOKS_WRITE,
        AUDIT: "webhook.update",
        CONTENT_TYPES: (JSON_TYPE, MERGE_PATCH_TYPE),
    },
    response_headers=[_ETAG],
    responses=errors(404, 412, 413, 415),
)
async def change(
    request: ApiRequest,
    webhook_id: FromPath[str],
    data: JSONBody[UpdateWebhook],
    if_match: IfMatch = None,
) -> Response[Webhook]:
    """Change."""
    ports, condition = request.app.state.ports, condition_of(if_match)
    return tagged(await endpoints.change(ports, request.auth, webhook_id, data, condition))


@post(
    "/webhooks/{webhook_id:str}/pause",
    tags=["Webhooks"],
    summary="Pause a webhook",
    description="Until it is resumed nothing is sent: what becomes due is discarded with the "
    "reason `endpoint_paused`, and is in the delivery log. Its failure count stays. Pausing twice "
    "changes nothing.",
    status_code=200,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "webhook.pause"},
    response_headers=[_ETAG],
    responses=errors(404, 412),
)
async def pause(
    request: ApiRequest, webhook_id: FromPath[str], if_match: IfMatch = None
) -> Response[Webhook]:
    """Pause."""
    ports, condition = request.app.state.ports, condition_of(if_match)
    return tagged(await endpoints.pause(ports, request.auth, webhook_id, condition))


@post(
    "/webhooks/{webhook_id:str}/resume",
    tags=["Webhooks"],
    summary="Resume a webhook",
    description="Ends a pause: what becomes due from now on is sent. Nothing of what was discarded "
    "meanwhile is sent by itself. A disabled webhook stays disabled.",
    status_code=200,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "webhook.resume"},
    response_headers=[_ETAG],
    responses=errors(404, 412),
)
async def resume(
    request: ApiRequest, webhook_id: FromPath[str], if_match: IfMatch = None
) -> Response[Webhook]:
    """Resume."""
    ports, condition = request.app.state.ports, condition_of(if_match)
    return tagged(await endpoints.resume(ports, request.auth, webhook_id, condition))


@delete(
    "/webhooks/{webhook_id:str}",
    tags=["Webhooks"],
    summary="Delete a webhook",
    description="No event published after the answer is sent to it, what waits for a retry is "
    "discarded, and its delivery log is not shown any more.",
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "webhook.delete"},
    responses=errors(404, 412),
)
async def remove(request: ApiRequest, webhook_id: FromPath[str], if_match: IfMatch = None) -> None:
    """Delete."""
    ports, condition = request.app.state.ports, condition_of(if_match)
    await endpoints.delete(ports, request.auth, webhook_id, condition)


async def _ping(request: ApiRequest, webhook_id: str) -> Ping:
    event_id, created = await endpoints.ping(request.app.state.ports, request.auth, webhook_id)
    return Ping(
        id=event_id,
        type=request.auth.profile.events.ping,
        webhook_id=webhook_id,
        created_at=created,
    )


_PING_WORDS: Final = (
    "Sends one test event to the webhook's URL at once, through the same sender as every delivery. "
    "It is tried once and goes to a disabled webhook too, so that a repair can be tried out; "
    "neither outcome changes the failure count. The delivery log shows the result."
)


@post(
    "/webhooks/{webhook_id:str}/ping",
    tags=["Webhooks"],
    summary="Send a test ping",
    description=_PING_WORDS,
    status_code=202,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "webhook.ping"},
    responses=errors(404),
)
async def ping(request: ApiRequest, webhook_id: FromPath[str]) -> Ping:
    """Ping."""
    return await _ping(request, webhook_id)


@post(
    "/webhooks/{webhook_id:str}/test",
    tags=["Webhooks"],
    summary="Send a test ping",
    description=_PING_WORDS + " Needs a token (JWT); an API key is refused.",
    status_code=202,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "webhook.ping", TOKEN_ONLY: True},
    security=TOKEN_SECURITY,
    responses=errors(404),
)
async def developer_test(request: ApiRequest, webhook_id: FromPath[str]) -> Ping:
    """Ping, as XQR's guide has it."""
    return await _ping(request, webhook_id)


@post(
    "/webhooks/{webhook_id:str}/match",
    tags=["Webhooks"],
    summary="Would an event match?",
    description="Says whether an event would be delivered to the webhook, and why: every criterion "
    "(active, type, channels, filter) with its reason. Nothing is published or sent.",
    status_code=200,
    opt={SCOPE: WEBHOOKS_READ, CONTENT_TYPES: (JSON_TYPE, STRUCTURED_TYPE)},
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=EventOperation,
    responses=errors(404, 413, 415, 422),
)
async def match(request: ApiRequest, webhook_id: FromPath[str]) -> Match:
    """Match."""
    ports, origin = request.app.state.ports, request.app.state.once.origin()
    caller = await request.app.state.authenticator.renewed(request.auth)
    body, content_type = await request.body(), request.content_type[0]
    posted = cloudevents.posted(body, content_type, request.headers.items())
    criteria = await matches.match(ports, caller, webhook_id, posted, origin)
    return Match(matches=all(one.matches for one in criteria), criteria=criteria)


COMMON: Final = (list_all, show, change, remove, pause, resume)
