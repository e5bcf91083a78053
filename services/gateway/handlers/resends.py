"""Sending one delivery of the log again, at once.

Each call is a delivery of its own, with the row that it repeats in its trigger; a call that is
repeated by accident has an ``Idempotency-Key`` for that. The first one is noted like what a
recovery sends, so that no recovery sends the row once more.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec.structs import replace

from services.gateway.auth import Caller
from services.gateway.handlers import deliveries, endpoints, jobs
from services.gateway.ports import BodyAway, BodyUnavailable, Ports, Row
from shared.models.deliveries import TRIGGER_PING
from shared.models.errors import Conflict, NotFound, Outage
from shared.models.jobs import Resend

MARK_BYTES: Final = 6
BY_HAND: Final = "by_hand"
"""Stands for the job in notes of what nobody but a caller has sent."""


class Resent(NamedTuple):
    """What was sent again: the note of it, and the type of its event."""

    note: Resend
    event_type: str


async def of_webhook(ports: Ports, caller: Caller, endpoint_id: str, delivery_id: str) -> Resent:
    """Send a row of an endpoint's log again; raises as ``of_workspace``."""
    return await _send(ports, caller, await deliveries.get(ports, caller, endpoint_id, delivery_id))


async def of_workspace(ports: Ports, caller: Caller, delivery_id: str) -> Resent:
    """Send a row of the workspace's log again.

    Raises NotFound, Conflict for what cannot be sent again and for an endpoint that takes nothing
    now, and Outage.
    """
    row = await ports.search.get(caller.workspace_id, delivery_id)
    if row is None:
        raise NotFound(f"this workspace has no delivery {delivery_id[:64]!r} in its log")
    return await _send(ports, caller, row)


async def _send(ports: Ports, caller: Caller, row: Row) -> Resent:
    attempt = row.attempt
    if attempt.trigger == TRIGGER_PING:
        raise Conflict("it is a test ping, which is not sent again; send another one")
    endpoint = await endpoints.get(ports, caller, attempt.endpoint_id)
    obstacle = jobs.obstacle_of(endpoint)
    if obstacle is not None:
        raise Conflict(f"the webhook is {obstacle}: what is sent to it now would be discarded")
    try:
        kept = await deliveries.kept(ports, attempt)
    except BodyAway as error:
        raise Outage(str(error)) from error
    except BodyUnavailable as error:
        raise Conflict(f"its body is not to be had: {error}") from error
    now_ms = ports.now_ms()
    note = Resend(
        delivery_id=row.id,
        endpoint_id=endpoint.id,
        workspace_id=caller.workspace_id,
        event_id=attempt.event_id,
        job_id=BY_HAND,
        due_ms=now_ms,
    )
    (standing,) = await ports.jobs.note([note])
    if standing != note:
        note = replace(note, mark=ports.entropy(MARK_BYTES).hex())
        await ports.jobs.note([note])
    record = jobs.again(ports, endpoint, kept, note)
    try:
        await ports.sink.publish_within([record], jobs.PUBLISH_TIMEOUT_MS)
    except Outage:
        await ports.jobs.forget(note)
        raise
    return Resent(note, attempt.event_type)
