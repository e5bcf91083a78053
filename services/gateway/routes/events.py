"""Routes of events."""

from __future__ import annotations

from typing import Final

from litestar import Response, get, post

from services.gateway.auth import EVENTS_WRITE, WEBHOOKS_READ
from services.gateway.guards import SCOPE
from services.gateway.handlers import events
from services.gateway.handlers.events import Posted
from services.gateway.idempotency import Origin
from services.gateway.openapi import BatchOperation, EventOperation, errors
from services.gateway.requests import CONTENT_TYPES, JSON_TYPE, ApiRequest
from services.gateway.routes.once import REPLAYED, IdempotencyKey, once
from services.gateway.schemas import Accepted, BatchResults, EventType, EventTypeList
from shared.profiles.profile import Profile
from shared.topics import BODY_BYTES_MAX

BATCH_BYTES_MAX: Final = 5_000_000
LINES_TYPES: Final = ("application/x-ndjson", "application/jsonl")


def catalogue_of(profile: Profile) -> EventTypeList:
    """Return a profile's event types with their other names. Pure."""
    aliases = profile.events.aliases
    return EventTypeList(
        data=[
            EventType(
                type=name,
                description=description,
                aliases=[alias for alias, target in aliases.items() if target == name],
            )
            for name, description in profile.events.types.items()
        ],
        open=profile.events.open,
    )


@get(
    "/event-types",
    tags=["Events"],
    summary="List the event types",
    opt={SCOPE: WEBHOOKS_READ},
    responses=errors(),
)
async def list_types(request: ApiRequest) -> EventTypeList:
    """List."""
    return catalogue_of(request.auth.profile)


@post(
    "/events",
    tags=["Events"],
    summary="Publish an event",
    description="The answer comes when Kafka has acknowledged the event: from then on nothing "
    "loses it. The same JSON may be produced to the topic `events` directly.",
    status_code=202,
    opt={SCOPE: EVENTS_WRITE},
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=EventOperation,
    response_headers=[REPLAYED],
    responses=errors(409, 413, 415, 422),
)
async def publish(
    request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[Accepted]:
    """Publish one."""
    ports, caller = request.app.state.ports, request.auth
    posted = Posted(await request.body())

    async def perform(origin: Origin) -> Accepted:
        return Accepted(id=await events.publish(ports, caller, posted, origin))

    return await once(request, idempotency_key, perform, status=202, alone=True)


@post(
    "/events/batch",
    tags=["Events"],
    summary="Publish many events",
    description="A JSON array, or one event a line (NDJSON): up to 1,000 events and 5 MB. Each "
    "event is accepted or rejected by itself; the results are in the order given.",
    status_code=202,
    opt={SCOPE: EVENTS_WRITE, CONTENT_TYPES: (JSON_TYPE, *LINES_TYPES)},
    request_max_body_size=BATCH_BYTES_MAX,
    operation_class=BatchOperation,
    response_headers=[REPLAYED],
    responses=errors(409, 413, 415),
)
async def publish_batch(
    request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[BatchResults]:
    """Publish a batch."""
    ports, caller = request.app.state.ports, request.auth
    split = events.split_lines if request.content_type[0] in LINES_TYPES else events.split_array
    batch = [Posted(item) for item in split(await request.body())]

    async def perform(origin: Origin) -> BatchResults:
        return BatchResults(results=await events.publish_batch(ports, caller, batch, origin))

    return await once(request, idempotency_key, perform, status=202, alone=True)


NATIVE: Final = (list_types, publish, publish_batch)
