"""The route that erases an event's payload."""

from __future__ import annotations

from typing import Final

from litestar import post
from litestar.params import FromPath

from services.gateway.auditing import AUDIT
from services.gateway.auth import EVENTS_ERASE
from services.gateway.guards import QUERY, SCOPE
from services.gateway.handlers import erasure
from services.gateway.handlers.erasure import Erased
from services.gateway.log_schemas import Copy, ErasedEvent
from services.gateway.openapi import errors
from services.gateway.requests import ApiRequest
from services.gateway.routes.deliveries import Since, Until
from shared.models.times import iso_ms


def erased_of(done: Erased) -> ErasedEvent:
    """Return what a caller is told of it. Pure."""
    return ErasedEvent(
        id=done.erasure.event_id,
        erased_at=iso_ms(done.erasure.erased_ms),
        attempts=done.attempts,
        pending_retries=done.pending,
        copies=[Copy(topic=one.topic, expires_by=iso_ms(one.gone_by_ms)) for one in done.left],
    )


@post(
    "/events/{event_id:str}/erase",
    tags=["Events"],
    summary="Erase an event's payload",
    description="Nothing shows or sends its body again, and what receivers answered is taken out "
    "of the log. Kafka forgets by age only: the answer says where something is left and until "
    "when. Retries that are still to come are sent. The event is found as `GET` finds it. Erasing "
    "twice changes nothing, except that it takes out what was logged meanwhile.",
    status_code=200,
    opt={SCOPE: EVENTS_ERASE, AUDIT: "event.erase", QUERY: ("since", "until")},
    responses=errors(404),
)
async def erase(
    request: ApiRequest, event_id: FromPath[str], *, since: Since = None, until: Until = None
) -> ErasedEvent:
    """Erase."""
    ports = request.app.state.ports
    return erased_of(await erasure.erase(ports, request.auth, event_id, since=since, until=until))


NATIVE: Final = (erase,)
