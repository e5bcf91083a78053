"""Whether a caller who may do a thing may do it now: its workspace's standing, rates and quotas.

``admit`` comes after the credential and its scope; ``metered`` puts the limits on events between a
handler and Kafka. What the answer says of limits (``RateLimit``) is put into its head at the end,
whatever became of the request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection
from litestar.types import Message, Scope

from services.gateway.auth import READING, Caller
from services.gateway.errors import Suspended
from services.gateway.limiter import Limiter, MeteredSink, fields_of
from services.gateway.ports import Ports
from services.gateway.requests import ApiRequest
from shared.policy.quotas import RULES, Standing

_STANDINGS: Final = "hooklane_limits"
_EVENT_RULES: Final = tuple(rule for rule in RULES if rule.unit == "events")


async def admit(connection: ASGIConnection[Any, Any, Any, Any], caller: Caller, scope: str) -> None:
    """Return if the call may go on; raises Suspended or TooMany.

    What a suspended workspace has can be looked at: ``scope`` says what the call is for.
    """
    if caller.limits.requests_per_second is not None:
        limiter: Limiter = connection.app.state.limiter
        note = partial(_note, connection.scope)
        await limiter.take(caller.workspace_id, caller.limits, "requests", 1, note)
    if caller.standing != "active" and not scope.endswith(READING):
        raise Suspended(
            "the workspace is suspended by the operator of this deployment: what it has can be "
            "looked at, but nothing is changed, published or sent"
            if caller.standing == "suspended"
            else "the workspace is being deleted by the operator of this deployment"
        )


def metered(request: ApiRequest) -> Ports:
    """Return the ports of a request that publishes: its events count against its workspace."""
    ports: Ports = request.app.state.ports
    caller = request.auth
    if all(rule.quota(caller.limits) is None for rule in _EVENT_RULES):
        return ports
    limiter: Limiter = request.app.state.limiter
    note = partial(_note, request.scope)

    async def take(count: int) -> Callable[[], None]:
        return await limiter.take(caller.workspace_id, caller.limits, "events", count, note)

    return msgspec.structs.replace(ports, sink=MeteredSink(ports.sink, take))


async def tell_limits(message: Message, scope: Scope) -> None:
    """Put what was noted of limits into the head of an answer."""
    noted: Any = scope
    standings = noted.get(_STANDINGS)
    if standings and message["type"] == "http.response.start":
        fields = [(name.lower().encode(), text.encode()) for name, text in fields_of(standings)]
        message["headers"] = [*message.get("headers", ()), *fields]


def _note(scope: Any, standings: Sequence[Standing]) -> None:
    scope[_STANDINGS] = (*scope.get(_STANDINGS, ()), *standings)
