"""Would a given event go to an endpoint, and why (not)? Answered without sending anything."""

from __future__ import annotations

from services.gateway.auth import Caller
from services.gateway.handlers import endpoints
from services.gateway.handlers.events import Intake, Posted
from services.gateway.idempotency import Origin
from services.gateway.ports import Ports
from shared.models.errors import NotFound
from shared.policy.explaining import Criterion, explain


async def match(
    ports: Ports, caller: Caller, endpoint_id: str, posted: Posted, origin: Origin
) -> list[Criterion]:
    """Return what decides about an event, one by one.

    Raises NotFound, and Poison for an event that publishing would refuse.
    """
    endpoint = await endpoints.get(ports, caller, endpoint_id)
    event, _ = Intake(ports, caller, origin).take(posted)
    state = endpoint.state()
    if state is None:
        raise NotFound(f"this workspace has no webhook {endpoint_id[:64]!r}")
    return explain(state, caller.profile, event.type, event)
