"""Routes of events."""

from __future__ import annotations

from typing import Final

from litestar import Response, post

from services.gateway.admission import metered
from services.gateway.auth import EVENTS_WRITE, Authenticator
from services.gateway.event_schemas import Accepted, BatchResult, BatchResults
from services.gateway.guards import SCOPE
from services.gateway.handlers import cloudevents, events
from services.gateway.handlers.cloudevents import BATCH_TYPE, STRUCTURED_TYPE
from services.gateway.handlers.event_traces import Headers
from services.gateway.handlers.events import Posted, Renew
from services.gateway.idempotency import Origin
from services.gateway.openapi import BatchOperation, EventOperation, errors
from services.gateway.requests import CONTENT_TYPES, JSON_TYPE, ApiRequest
from services.gateway.routes.once import REPLAYED, IdempotencyKey, once
from shared.topics import BODY_BYTES_MAX

BATCH_BYTES_MAX: Final = 5_000_000
LINES_TYPES: Final = ("application/x-ndjson", "application/jsonl")


def summed_up(results: list[BatchResult]) -> BatchResults:
    """Return the answer to a batch. Pure."""
    accepted = sum(result.status == "accepted" for result in results)
    return BatchResults(accepted=accepted, rejected=len(results) - accepted, results=results)


def _split(body: bytes, content_type: str, trace: Headers) -> list[Posted]:
    """Return the events of a batch, all of them in its trace; raises Invalid."""
    if content_type in LINES_TYPES:
        return [Posted(line, trace) for line in events.split_lines(body)]
    item = cloudevents.structured if content_type == BATCH_TYPE else Posted
    return [item(raw, trace) for raw in events.split_array(body)]


def _renewed(request: ApiRequest) -> Renew:
    authenticator: Authenticator = request.app.state.authenticator
    return authenticator.renewed


@post(
    "/events",
    tags=["Events"],
    summary="Publish an event",
    operation_id="publish_event",
    description="The answer comes when Kafka has acknowledged the event: from then on nothing "
    "loses it. The same JSON may be produced to the topic `events` directly. A CloudEvent is taken "
    "in structured mode, and in binary mode with its attributes in `ce-` headers.",
    status_code=202,
    opt={SCOPE: EVENTS_WRITE, CONTENT_TYPES: (JSON_TYPE, STRUCTURED_TYPE)},
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=EventOperation,
    response_headers=[REPLAYED],
    responses=errors(409, 413, 415, 422),
)
async def publish(
    request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[Accepted]:
    """Publish one."""
    ports, caller, renewed = metered(request), request.auth, _renewed(request)
    content_type = request.content_type[0]
    posted = cloudevents.posted(await request.body(), content_type, request.headers.items())

    async def perform(origin: Origin) -> Accepted:
        return Accepted(id=await events.publish(ports, caller, posted, origin, renewed))

    return await once(request, idempotency_key, perform, status=202, alone=True)


@post(
    "/events/batch",
    tags=["Events"],
    summary="Publish many events",
    operation_id="publish_events",
    description="A JSON array, or one event a line (NDJSON): up to 1,000 events and 5 MB. Each "
    "event is accepted or rejected by itself; the results are in the order given. A batch of "
    "CloudEvents has its own content type.",
    status_code=202,
    opt={SCOPE: EVENTS_WRITE, CONTENT_TYPES: (JSON_TYPE, *LINES_TYPES, BATCH_TYPE)},
    request_max_body_size=BATCH_BYTES_MAX,
    operation_class=BatchOperation,
    response_headers=[REPLAYED],
    responses=errors(409, 413, 415),
)
async def publish_batch(
    request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[BatchResults]:
    """Publish a batch."""
    ports, caller, renewed = metered(request), request.auth, _renewed(request)
    trace = cloudevents.trace_of(request.headers.items())
    batch = _split(await request.body(), request.content_type[0], trace)

    async def perform(origin: Origin) -> BatchResults:
        return summed_up(await events.publish_batch(ports, caller, batch, origin, renewed))

    return await once(request, idempotency_key, perform, status=202, alone=True)


NATIVE: Final = (publish, publish_batch)
