"""Routes of endpoints."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, UnsetType

from services.gateway.auth import SECRETS_READ, WEBHOOKS_READ, WEBHOOKS_WRITE
from services.gateway.cursors import decode_cursor, encode_cursor
from services.gateway.guards import QUERY, SCOPE, TOKEN_ONLY
from services.gateway.handlers import endpoints
from services.gateway.openapi import TOKEN_SECURITY, errors
from services.gateway.requests import ApiRequest
from services.gateway.schemas import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    CreateWebhook,
    Ping,
    Secret,
    UpdateWebhook,
    Webhook,
    WebhookList,
)
from shared.models import ids
from shared.models.management import Endpoint
from shared.models.times import iso_ms

Limit = Annotated[
    int, QueryParameter(ge=1, le=LIMIT_MAX, description="How many items a page has at most.")
]
Cursor = Annotated[
    str | None,
    QueryParameter(description="`next_cursor` of the page before; first page without it."),
]


def webhook_of(
    endpoint: Endpoint, *, secret: str | UnsetType = UNSET, failures: int | UnsetType = UNSET
) -> Webhook:
    """Return what a caller sees of an endpoint. Pure."""
    changed = endpoint.updated_ms != endpoint.created_ms
    return Webhook(
        id=endpoint.id,
        url=endpoint.url,
        events=endpoint.events,
        is_active=endpoint.active,
        secret=secret,
        secret_hint=endpoint.secret_hint,
        created_at=iso_ms(endpoint.created_ms),
        description=endpoint.description,
        updated_at=iso_ms(endpoint.updated_ms) if changed else UNSET,
        disabled_reason=endpoint.disabled_reason,
        consecutive_failures=failures,
        concurrency=endpoint.concurrency,
        rate_limit=endpoint.rate_limit,
    )


@post(
    "/webhooks",
    tags=["Webhooks"],
    summary="Create a webhook",
    description="The answer holds the signing secret in full: this time and, with the scope "
    "`secrets:read`, in the secret call. Events published after the answer are delivered.",
    opt={SCOPE: WEBHOOKS_WRITE},
    responses=errors(413, 415),
)
async def create_with_secret(request: ApiRequest, data: JSONBody[CreateWebhook]) -> Webhook:
    """Create, as QR3's guide answers it."""
    endpoint, secret = await endpoints.create(request.app.state.ports, request.auth, data)
    return webhook_of(endpoint, secret=secret)


@post(
    "/webhooks",
    tags=["Webhooks"],
    summary="Create a webhook",
    description="Fetch the signing secret from `/api/developer/webhooks/{id}/secret`.",
    opt={SCOPE: WEBHOOKS_WRITE},
    responses=errors(413, 415),
)
async def create(request: ApiRequest, data: JSONBody[CreateWebhook]) -> Webhook:
    """Create, as XQR's guide answers it."""
    endpoint, _ = await endpoints.create(request.app.state.ports, request.auth, data)
    return webhook_of(endpoint)


@get(
    "/webhooks",
    tags=["Webhooks"],
    summary="List webhooks",
    description="Newest first.",
    opt={SCOPE: WEBHOOKS_READ, QUERY: ("limit", "cursor")},
    responses=errors(),
)
async def list_all(
    request: ApiRequest, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> WebhookList:
    """List."""
    before = None if cursor is None else decode_cursor(cursor, ids.ENDPOINT)
    found, last = await endpoints.page(
        request.app.state.ports, request.auth, limit=limit, before=before
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
    responses=errors(404),
)
async def show(request: ApiRequest, webhook_id: FromPath[str]) -> Webhook:
    """Show."""
    ports = request.app.state.ports
    endpoint = await endpoints.get(ports, request.auth, webhook_id)
    return webhook_of(endpoint, failures=await endpoints.failures(ports, endpoint))


@patch(
    "/webhooks/{webhook_id:str}",
    tags=["Webhooks"],
    summary="Change a webhook",
    description="What is absent stays. `is_active: true` enables a disabled webhook again and "
    "resets its failure count. Events published after the answer meet the changed webhook.",
    opt={SCOPE: WEBHOOKS_WRITE},
    responses=errors(404, 413, 415),
)
async def change(
    request: ApiRequest, webhook_id: FromPath[str], data: JSONBody[UpdateWebhook]
) -> Webhook:
    """Change."""
    changed = await endpoints.change(request.app.state.ports, request.auth, webhook_id, data)
    return webhook_of(changed)


@delete(
    "/webhooks/{webhook_id:str}",
    tags=["Webhooks"],
    summary="Delete a webhook",
    description="No event published after the answer is sent to it, what waits for a retry is "
    "discarded, and its delivery log is not shown any more.",
    opt={SCOPE: WEBHOOKS_WRITE},
    responses=errors(404),
)
async def remove(request: ApiRequest, webhook_id: FromPath[str]) -> None:
    """Delete."""
    await endpoints.delete(request.app.state.ports, request.auth, webhook_id)


async def _secret(request: ApiRequest, webhook_id: str) -> Secret:
    ports = request.app.state.ports
    return Secret(secret=await endpoints.secret(ports, request.auth, webhook_id))


async def _ping(request: ApiRequest, webhook_id: str) -> Ping:
    event_id, created = await endpoints.ping(request.app.state.ports, request.auth, webhook_id)
    return Ping(
        id=event_id,
        type=request.auth.profile.events.ping,
        webhook_id=webhook_id,
        created_at=created,
    )


@get(
    "/webhooks/{webhook_id:str}/secret",
    tags=["Webhooks"],
    summary="Show a webhook's signing secret",
    opt={SCOPE: SECRETS_READ},
    responses=errors(404),
)
async def show_secret(request: ApiRequest, webhook_id: FromPath[str]) -> Secret:
    """Show the secret."""
    return await _secret(request, webhook_id)


@get(
    "/webhooks/{webhook_id:str}/secret",
    tags=["Webhooks"],
    summary="Show a webhook's signing secret",
    description="Needs a token (JWT); an API key is refused.",
    opt={SCOPE: SECRETS_READ, TOKEN_ONLY: True},
    security=TOKEN_SECURITY,
    responses=errors(404),
)
async def developer_secret(request: ApiRequest, webhook_id: FromPath[str]) -> Secret:
    """Show the secret, as XQR's guide has it."""
    return await _secret(request, webhook_id)


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
    opt={SCOPE: WEBHOOKS_WRITE},
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
    opt={SCOPE: WEBHOOKS_WRITE, TOKEN_ONLY: True},
    security=TOKEN_SECURITY,
    responses=errors(404),
)
async def developer_test(request: ApiRequest, webhook_id: FromPath[str]) -> Ping:
    """Ping, as XQR's guide has it."""
    return await _ping(request, webhook_id)


COMMON: Final = (list_all, show, change, remove)
