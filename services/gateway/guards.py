"""What stands before every route: the credential, its scope, the names in the query.

A route says in ``opt`` what it asks for; the guard runs before the body is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler

from services.gateway.admission import admit
from services.gateway.auditing import intend
from services.gateway.auth import MANAGING, Authenticator
from services.gateway.errors import InvalidFields, unknown_names
from shared.models.errors import Forbidden

SCOPE: Final = "scope"
TOKEN_ONLY: Final = "token_only"  # noqa: S105 - the name of an option
QUERY: Final = "query"


async def enter(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let the request pass as ``authorise`` does, then store the entry of what it changes.

    One guard and not two, because Litestar copies the handler for each: 4 % of publishing.
    """
    await authorise(connection, handler)
    await intend(connection, handler)


async def authorise(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Let the request pass if its caller may do this; the Caller becomes ``request.auth``.

    Raises Unauthorised, Forbidden, InvalidFields for an unknown query parameter, or Outage.
    """
    if connection.scope.get("method") == HttpMethod.OPTIONS:
        return  # Litestar's own answer: the methods of the path
    opt: Mapping[str, Any] = handler.opt
    authenticator: Authenticator = connection.app.state.authenticator
    # These need MongoDB anyway; an event type may have been made, or a key revoked, just now.
    anew = opt[SCOPE] in MANAGING
    caller = await authenticator.caller(connection.headers.get("authorization"), anew=anew)
    if opt.get(TOKEN_ONLY, False) and caller.credential != "jwt":
        raise Forbidden(
            "this call needs a token (JWT) of the dashboard; an API key is for /v1 and /api/v1"
        )
    caller.require(opt[SCOPE])
    await admit(connection, caller, opt[SCOPE])
    check_query(connection, handler)
    connection.scope["auth"] = caller


def check_query(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raise InvalidFields for a query parameter that the route does not have."""
    known = handler.opt.get(QUERY, ())
    errors = unknown_names(connection.query_params, known, "query parameter")
    if errors:
        raise InvalidFields(errors)
