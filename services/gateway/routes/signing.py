"""Routes of signing keys: show, rotate, and the public ones for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from litestar import Response, get, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET

from services.gateway.auditing import AUDIT
from services.gateway.auth import SECRETS_READ, WEBHOOKS_WRITE
from services.gateway.guards import SCOPE, TOKEN_ONLY
from services.gateway.handlers import signing
from services.gateway.handlers.signing import Shown
from services.gateway.openapi import (
    PUBLIC,
    TOKEN_SECURITY,
    BodilessOperation,
    errors,
    public_errors,
)
from services.gateway.requests import BODY_OPTIONAL, ApiRequest
from services.gateway.schemas import EarlierSecret, KeySet, RotateSecret, Secret
from shared.models.times import iso_ms

KEYS_VALID_S: Final = 300
"""How long public keys may be kept; after a rotation with a shorter overlap, some have old ones."""


def secret_of(shown: Sequence[Shown], *, in_full: bool) -> Secret:
    """Return what a caller sees of secrets, newest first; earlier ones ``in_full`` or as hints."""
    newest, *earlier = shown
    return Secret(
        secret=newest.secret or UNSET,
        public_key=newest.public_key or UNSET,
        earlier_secrets=[
            EarlierSecret(
                secret=(old.secret if in_full else None) or UNSET,
                public_key=old.public_key or UNSET,
                secret_hint=old.hint,
                signs_until=iso_ms(old.until_ms or 0),
            )
            for old in earlier
        ],
    )


async def _secret(request: ApiRequest, webhook_id: str) -> Secret:
    ports = request.app.state.ports
    return secret_of(await signing.show(ports, request.auth, webhook_id), in_full=True)


async def _rotate(request: ApiRequest, webhook_id: str, wanted: RotateSecret) -> Secret:
    ports = request.app.state.ports
    shown = await signing.rotate(ports, request.auth, webhook_id, wanted)
    return secret_of(shown, in_full=False)


BY_DEFAULT: Final = RotateSecret()
_SHOW_WORDS: Final = (
    "With ed25519 (`v1a`) there is a public key instead of a secret. During the overlap after a "
    "rotation, `earlier_secrets` lists what still signs besides."
)
_ROTATE_WORDS: Final = (
    "The new secret signs from now on, and the earlier one beside it until the overlap is over, so "
    "that the receiver can change over without refusing a delivery. A call that gives the `secret` "
    "may be repeated; another one rotates again."
)
_DASHBOARD_WORDS: Final = " Needs a token (JWT); an API key is refused."


@get(
    "/webhooks/{webhook_id:str}/secret",
    tags=["Webhooks"],
    summary="Show a webhook's signing secret",
    description=_SHOW_WORDS,
    opt={SCOPE: SECRETS_READ, AUDIT: "secret.read"},
    responses=errors(404),
)
async def show_secret(request: ApiRequest, webhook_id: FromPath[str]) -> Secret:
    """Show the secret."""
    return await _secret(request, webhook_id)


@get(
    "/webhooks/{webhook_id:str}/secret",
    tags=["Webhooks"],
    summary="Show a webhook's signing secret",
    description=_SHOW_WORDS + _DASHBOARD_WORDS,
    opt={SCOPE: SECRETS_READ, AUDIT: "secret.read", TOKEN_ONLY: True},
    security=TOKEN_SECURITY,
    responses=errors(404),
)
async def developer_secret(request: ApiRequest, webhook_id: FromPath[str]) -> Secret:
    """Show the secret, as XQR's guide has it."""
    return await _secret(request, webhook_id)


@post(
    "/webhooks/{webhook_id:str}/secret/rotate",
    tags=["Webhooks"],
    summary="Rotate a webhook's signing secret",
    description=_ROTATE_WORDS,
    status_code=200,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "secret.rotate", BODY_OPTIONAL: True},
    operation_class=BodilessOperation,
    responses=errors(404, 409, 413, 415),
)
async def rotate(
    request: ApiRequest, webhook_id: FromPath[str], data: JSONBody[RotateSecret] = BY_DEFAULT
) -> Secret:
    """Rotate."""
    return await _rotate(request, webhook_id, data)


@post(
    "/webhooks/{webhook_id:str}/secret/rotate",
    tags=["Webhooks"],
    summary="Rotate a webhook's signing secret",
    description=_ROTATE_WORDS + _DASHBOARD_WORDS,
    status_code=200,
    opt={SCOPE: WEBHOOKS_WRITE, AUDIT: "secret.rotate", TOKEN_ONLY: True, BODY_OPTIONAL: True},
    operation_class=BodilessOperation,
    security=TOKEN_SECURITY,
    responses=errors(404, 409, 413, 415),
)
async def developer_rotate(
    request: ApiRequest, webhook_id: FromPath[str], data: JSONBody[RotateSecret] = BY_DEFAULT
) -> Secret:
    """Rotate, beside XQR's secret call."""
    return await _rotate(request, webhook_id, data)


@get(
    "/.well-known/webhooks/{webhook_id:str}/jwks.json",
    tags=["Receivers"],
    summary="Show a webhook's public keys",
    operation_id="get_webhook_public_keys",
    description="A JSON Web Key Set with the ed25519 keys that verify what this webhook gets "
    "(`v1a` of Standard Webhooks), newest first. For everybody, without a credential; it may be "
    "kept for five minutes.",
    security=PUBLIC,
    media_type="application/jwk-set+json",
    responses=public_errors(404),
)
async def public_keys(request: ApiRequest, webhook_id: FromPath[str]) -> Response[KeySet]:
    """Show the public keys."""
    keys = await signing.public_keys(request.app.state.ports, webhook_id)
    return Response(KeySet(keys), headers={"Cache-Control": f"public, max-age={KEYS_VALID_S}"})
