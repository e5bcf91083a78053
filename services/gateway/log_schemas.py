"""Answers about the log of a whole workspace: its deliveries, and an event with all of its own.

As ``schemas``: never the stored records; what is unset is left out. Pure.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from services.gateway.schemas import BodyEncoding, Delivery, EndpointId, Time


class LoggedDelivery(Delivery, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt in the log of a workspace."""

    webhook_id: EndpointId


class LoggedDeliveryList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of the workspace's log, newest first; ``next_cursor`` is absent on the last one."""

    data: list[LoggedDelivery]
    next_cursor: str | None = None


class EventDelivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event's delivery to one webhook, with its attempts, the first one first."""

    webhook_id: EndpointId
    trigger: Annotated[str, Meta(examples=["event"])]
    state: Annotated[
        Literal["succeeded", "exhausted", "retrying", "discarded"],
        Meta(
            description="`exhausted`: no attempt follows, `reason` says why (`exhausted`, `gone`). "
            "`retrying`: another one is due at `next_attempt_at`."
        ),
    ]
    reason: str | None = None
    next_attempt_at: Time | None = None
    attempts: list[Delivery]


class Payload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body as it was sent to the first webhook shown, while Kafka has it."""

    body: str | None
    body_encoding: BodyEncoding | None = None
    body_unavailable: str | None = None


class EventDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event with what became of it; ``next_cursor`` is absent on the last page of webhooks."""

    id: Annotated[str, Meta(examples=["evt_0195998a8b00a1b2c3d4e5f60718293a"])]
    type: Annotated[str, Meta(examples=["qr.scanned"])]
    accepted_at: Annotated[Time, Meta(description="When Kafka took it.")]
    payload: Payload
    erased_at: Annotated[Time | None, Meta(description="When it was erased, if it was.")] = None
    deliveries_total: Annotated[
        int, Meta(description="How many deliveries there are on all pages.")
    ]
    deliveries: list[EventDelivery]
    next_cursor: str | None = None


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """Where something of an erased event may still be, and when it is gone at the latest."""

    topic: Annotated[
        str,
        Meta(description="A topic of Kafka, or `retry.*`, any of those.", examples=["deliveries"]),
    ]
    expires_by: Time


class ErasedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased of an event, and what could not be."""

    id: Annotated[str, Meta(examples=["evt_0195998a8b00a1b2c3d4e5f60718293a"])]
    erased_at: Annotated[Time, Meta(description="When this was asked for, for the first time.")]
    attempts: Annotated[
        int, Meta(description="How many attempts there are in the log; no answer of a receiver is.")
    ]
    pending_retries: Annotated[
        int,
        Meta(
            description="How many deliveries are still retried. They carry the body, and are sent."
        ),
    ]
    copies: Annotated[
        list[Copy],
        Meta(
            description="Where Kafka may still have it: it forgets by age only. These times move "
            "while there are pending retries."
        ),
    ]


class Recover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be sent again; ``until`` is now when absent."""

    since: Annotated[Time, Meta(description="From this time on, by when the attempt was due.")]
    until: Annotated[Time | None, Meta(description="Before this time; now when absent.")] = None
    status: Annotated[
        Literal["failed", "discarded"],
        Meta(
            description="`failed`: deliveries whose last attempt failed. `discarded`: those that "
            "were given up without one, because the webhook was disabled or paused."
        ),
    ] = "failed"
