"""The operator: whoever runs the deployment, and decides about workspaces.

Its key is whatever the deployment was given the SHA-256 of; a 256-bit random one has nothing that
could be guessed. Without it nobody is the operator. No key or token of a workspace opens these
routes, and the operator's key opens no others.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler

from services.gateway.audit import OBJECT_LENGTH_MAX, Trail
from services.gateway.auditing import AUDIT, begin
from services.gateway.auth import bearer_of
from services.gateway.guards import check_query
from shared.models.audit import Actor
from shared.models.errors import Unauthorised

OPERATOR_SECURITY: Final = [{"operator": list[str]()}]


class Operator(msgspec.Struct, frozen=True):
    """Who makes a change; ``who`` is what is written down of it, ``trail`` what was changed."""

    who: str = "operator"
    trail: Trail = msgspec.field(default_factory=Trail)


async def operate(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Let the request pass if it is the operator's; the Operator becomes ``request.auth``.

    A change of a workspace is begun in that workspace's audit log.
    Raises Unauthorised, Outage, and InvalidFields for an unknown query parameter.
    """
    if connection.scope.get("method") == HttpMethod.OPTIONS:
        return  # Litestar's own answer: the methods of the path
    expected: str = connection.app.state.operator_key_sha256
    if not expected:
        raise Unauthorised(
            "this deployment has no operator's key; set HOOKLANE_OPERATOR_KEY_SHA256 to have one"
        )
    given = sha256(bearer_of(connection.headers.get("authorization")).encode()).hexdigest()
    if not hmac.compare_digest(given, expected):
        raise Unauthorised("this is not the operator's key; keys of workspaces open nothing here")
    check_query(connection, handler)
    operator = connection.scope["auth"] = Operator()
    action: str | None = handler.opt.get(AUDIT)
    if action is not None:
        workspace_id = str(connection.path_params["workspace_id"])[:OBJECT_LENGTH_MAX]
        await begin(connection, action, workspace_id, Actor(kind="operator"), operator.trail)
