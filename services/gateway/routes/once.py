"""``Idempotency-Key`` on a route: from the header to the reply that is given again.

A route that creates something takes the header as ``IdempotencyKey`` and answers ``once``. What
that guarantees is in ``services.gateway.idempotency``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec
from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter

from services.gateway.auditing import REPLAYED_HEADER
from services.gateway.idempotency import (
    HOLDER_BYTES,
    KEY_HEADER,
    KEY_LENGTH_MAX,
    Once,
    Origin,
    Reply,
)
from services.gateway.requests import ApiRequest
from shared.models import ids
from shared.models.claims import claim_of
from shared.models.errors import Invalid

CLOUD_PREFIX: Final = "ce-"
_SAYS_WHAT_IT_IS: Final = ("content-type",)

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=KEY_HEADER,
        description=f"1 to {KEY_LENGTH_MAX} visible ASCII characters of your choice, new for each "
        "request. Within 24 hours, the same request with the same key gets the same answer and is "
        "performed once; another request with it gets 409.",
        required=False,
        schema_extra={"min_length": 1, "max_length": KEY_LENGTH_MAX, "pattern": "^[!-~]+$"},
    ),
]
REPLAYED: Final = ResponseHeader(
    name=REPLAYED_HEADER,
    documentation_only=True,
    description=f"`true` when the answer was given before under this {KEY_HEADER}.",
)

T = TypeVar("T", bound=msgspec.Struct)


async def once(
    request: ApiRequest,
    key: str | None,
    perform: Callable[[Origin], Awaitable[T | Response[T]]],
    *,
    status: int,
    alone: bool = False,
    bodiless: bool = False,
) -> Response[T]:
    """Answer with what ``perform`` returns, or has returned under this key, header fields included.

    ``alone``: it does without MongoDB, so an outage of it must not stop the call. ``bodiless``: the
    route reads no body.
    """
    calls: Once = request.app.state.once
    if key is None:
        made, fields = _parts(await perform(calls.origin()))
        return Response(made, status_code=status, headers=dict(fields))
    if not 0 < len(key) <= KEY_LENGTH_MAX or not ids.is_visible_ascii(key):
        raise Invalid(
            f"send 1 to {KEY_LENGTH_MAX} visible ASCII characters, such as a UUID", field=KEY_HEADER
        )
    ports = request.app.state.ports
    wanted = claim_of(
        workspace_id=request.auth.workspace_id,
        call=f"{request.method} {request.scope['path_template']}",
        key=key,
        request=_said(request, b"" if bodiless else await request.body()),
        holder=ports.entropy(HOLDER_BYTES).hex(),
        now_ms=ports.now_ms(),
    )

    async def replied(origin: Origin) -> Reply:
        made, fields = _parts(await perform(origin))
        return Reply(status, msgspec.json.encode(made), fields)

    reply = await calls.call(wanted, replied, alone=alone)
    headers = dict(reply.headers)
    if reply.replayed:
        headers[REPLAYED_HEADER] = "true"
    content: Any = reply.body
    return Response(content, status_code=reply.status, headers=headers)


def _parts(made: T | Response[T]) -> tuple[T, tuple[tuple[str, str], ...]]:
    """Return what was made, and the header fields that its answer has besides."""
    if isinstance(made, Response):
        return made.content, tuple(made.headers.items())
    return made, ()


def _said(request: ApiRequest, body: bytes) -> bytes:
    """Return everything of a request that decides what it does."""
    headers = sorted(
        (str(name), value)
        for name, value in request.headers.items()
        if name in _SAYS_WHAT_IT_IS or name.startswith(CLOUD_PREFIX)
    )
    return msgspec.json.encode([request.url.path, headers]) + b"\x00" + body
