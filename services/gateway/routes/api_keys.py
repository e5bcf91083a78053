"""Routes of API keys."""

from __future__ import annotations

from typing import Final

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody

from services.gateway.auditing import AUDIT
from services.gateway.auth import KEYS_READ, KEYS_WRITE, Authenticator, granted
from services.gateway.cursors import decode_cursor, encode_cursor
from services.gateway.guards import QUERY, SCOPE
from services.gateway.handlers import api_keys
from services.gateway.handlers.api_keys import Made
from services.gateway.key_schemas import (
    ApiKeyList,
    ApiKeyMade,
    ApiKeyShown,
    CreateApiKey,
    EarlierApiKey,
    RotateApiKey,
    UpdateApiKey,
)
from services.gateway.openapi import BodilessOperation, errors
from services.gateway.requests import (
    BODY_OPTIONAL,
    CONTENT_TYPES,
    JSON_TYPE,
    MERGE_PATCH_TYPE,
    ApiRequest,
)
from services.gateway.routes.endpoints import Cursor, Limit
from services.gateway.schemas import LIMIT_DEFAULT
from shared.models import ids
from shared.models.management import ApiKey
from shared.models.times import iso_ms

BY_DEFAULT: Final = RotateApiKey()
_PATH: Final = "/api-keys/{key_id:str}"


def shown_key(key: ApiKey, now_ms: int) -> ApiKeyShown:
    """Return what a caller sees of a key. Pure."""
    return ApiKeyShown(
        id=key.id,
        name=key.name,
        prefix=key.hint,
        role=key.role,
        scopes=sorted(granted(key)),
        created_at=iso_ms(key.created_ms),
        expires_at=_time(key.expires_ms),
        expired=key.expires_ms is not None and key.expires_ms <= now_ms,
        last_used_at=_time(key.last_used_ms),
        earlier=[
            EarlierApiKey(prefix=old.hint, valid_until=iso_ms(old.until_ms))
            for old in key.earlier
            if old.until_ms > now_ms
        ],
    )


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else iso_ms(time_ms)


def _made(made: Made, now_ms: int) -> ApiKeyMade:
    shown = shown_key(made.key, now_ms)
    fields = {name: getattr(shown, name) for name in shown.__struct_fields__}
    return ApiKeyMade(**fields, key=made.secret)


def _forget(request: ApiRequest, key: ApiKey) -> None:
    authenticator: Authenticator = request.app.state.authenticator
    authenticator.forget(key)


@post(
    "/api-keys",
    tags=["API keys"],
    summary="Make an API key",
    description="With a role, or with scopes; not with more than the caller has. The answer is the "
    "only one with the key itself.",
    opt={SCOPE: KEYS_WRITE, AUDIT: "api_key.create"},
    responses=errors(409, 413, 415),
)
async def create_key(request: ApiRequest, data: JSONBody[CreateApiKey]) -> ApiKeyMade:
    """Make one."""
    ports = request.app.state.ports
    return _made(await api_keys.create(ports, request.auth, data), ports.now_ms())


@get(
    "/api-keys",
    tags=["API keys"],
    summary="List API keys",
    description="Newest first, expired ones too. A revoked key is not listed any more.",
    opt={SCOPE: KEYS_READ, QUERY: ("limit", "cursor")},
    responses=errors(),
)
async def list_keys(
    request: ApiRequest, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> ApiKeyList:
    """List."""
    ports = request.app.state.ports
    before = None if cursor is None else decode_cursor(cursor, ids.API_KEY)
    found, after = await api_keys.page(ports, request.auth, limit=limit, before=before)
    return ApiKeyList(
        data=[shown_key(key, ports.now_ms()) for key in found],
        next_cursor=None if after is None else encode_cursor(after),
    )


@get(
    _PATH,
    tags=["API keys"],
    summary="Show an API key",
    opt={SCOPE: KEYS_READ},
    responses=errors(404),
)
async def show_key(request: ApiRequest, key_id: FromPath[str]) -> ApiKeyShown:
    """Show one."""
    ports = request.app.state.ports
    return shown_key(await api_keys.get(ports, request.auth, key_id), ports.now_ms())


@patch(
    _PATH,
    tags=["API keys"],
    summary="Change an API key",
    description="Name, role or scopes, expiry. Neither the key nor what it becomes may do more "
    "than the caller. 409 where no key would be left that can manage API keys.",
    opt={
        SCOPE: KEYS_WRITE,
        AUDIT: "api_key.update",
        CONTENT_TYPES: (JSON_TYPE, MERGE_PATCH_TYPE),
    },
    responses=errors(404, 409, 413, 415),
)
async def change_key(
    request: ApiRequest, key_id: FromPath[str], data: JSONBody[UpdateApiKey]
) -> ApiKeyShown:
    """Change one."""
    ports = request.app.state.ports
    changed = await api_keys.change(ports, request.auth, key_id, data)
    _forget(request, changed)
    return shown_key(changed, ports.now_ms())


@post(
    "/api-keys/{key_id:str}/rotate",
    tags=["API keys"],
    summary="Rotate an API key",
    description="The answer has the new secret of the key, this once. The old one opens too until "
    "the overlap is over; none of the earlier ones opens for longer than that. Each call rotates "
    "again.",
    status_code=200,
    opt={SCOPE: KEYS_WRITE, AUDIT: "api_key.rotate", BODY_OPTIONAL: True},
    operation_class=BodilessOperation,
    responses=errors(404, 409, 413, 415),
)
async def rotate_key(
    request: ApiRequest, key_id: FromPath[str], data: JSONBody[RotateApiKey] = BY_DEFAULT
) -> ApiKeyMade:
    """Rotate one."""
    ports = request.app.state.ports
    before = await api_keys.get(ports, request.auth, key_id)
    made = await api_keys.rotate(ports, request.auth, key_id, data)
    _forget(request, before)
    return _made(made, ports.now_ms())


@delete(
    _PATH,
    tags=["API keys"],
    summary="Revoke an API key",
    description="For good: whoever uses it is answered 401. 409 for the last key that can manage "
    "API keys: rotate it without an overlap if it has leaked.",
    opt={SCOPE: KEYS_WRITE, AUDIT: "api_key.revoke"},
    responses=errors(404, 409),
)
async def revoke_key(request: ApiRequest, key_id: FromPath[str]) -> None:
    """Revoke one."""
    _forget(request, await api_keys.revoke(request.app.state.ports, request.auth, key_id))


NATIVE: Final = (create_key, list_keys, show_key, change_key, rotate_key, revoke_key)
