"""What the calls about events take and answer: publishing, event types, rejected events.

Unknown fields are refused. The other calls' shapes are in ``schemas``.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.gateway.schemas import HeaderList, Time

BATCH_EVENTS_MAX: Final = 1_000


class EventType(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event type and its other names.

    ``own``: the workspace's, not the product's. ``operational``: sent by Hooklane itself.
    """

    type: str
    description: str
    aliases: list[str]
    example: Annotated[
        dict[str, Any] | UnsetType, Meta(description="What `data` of such an event looks like.")
    ] = UNSET
    deprecated: Annotated[bool, Meta(description="It works as before; do not begin to use it.")] = (
        False
    )
    archived: Annotated[
        bool, Meta(description="It is over: neither published nor subscribed any more.")
    ] = False
    own: bool = False
    operational: Annotated[
        bool,
        Meta(
            description="Hooklane sends it; subscribed by its very name, never by `*` or a pattern."
        ),
    ] = False


TypeName = Annotated[str, Meta(examples=["order.created"])]
Example = Annotated[
    dict[str, Any] | None,
    Meta(description="What `data` of such an event looks like; up to 4 KiB as JSON."),
]


class CreateEventType(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event type to make."""

    type: TypeName
    description: Annotated[str, Meta(examples=["An order was placed"])] = ""
    aliases: list[TypeName] = []
    example: Example = None


class UpdateEventType(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of an event type; what is absent stays."""

    type: Annotated[TypeName, Meta(description="A new name; the old one becomes an alias.")] | (
        UnsetType
    ) = UNSET
    description: str | UnsetType = UNSET
    aliases: (
        Annotated[list[TypeName], Meta(description="All of them: none can be taken away.")]
        | UnsetType
    ) = UNSET
    example: Example | UnsetType = UNSET
    deprecated: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


class EventTypeList(msgspec.Struct, frozen=True):
    """The catalogue. An ``open`` one takes any other well-formed name besides."""

    data: list[EventType]
    open: bool


class Accepted(msgspec.Struct, frozen=True):
    """The id of an event that Kafka has acknowledged."""

    id: Annotated[str, Meta(examples=["evt_abc123xyz"])]


class EventProblem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an event of a batch was rejected."""

    detail: str
    field: str | None = None


class BatchResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one event of a batch."""

    status: Literal["accepted", "rejected"]
    id: str | None = None
    error: EventProblem | None = None


class BatchResults(msgspec.Struct, frozen=True, kw_only=True):
    """One result for each event, in the order given, and how many of each kind there are."""

    accepted: Annotated[int, Meta(examples=[990])]
    rejected: Annotated[int, Meta(examples=[10])]
    results: list[BatchResult]


class RejectedEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rejected event, as lists show it; ``received_at`` is when Kafka took it."""

    id: Annotated[str, Meta(examples=["rej_0195998a8b00a1b2c3d4e5f60718293a"])]
    reason: Annotated[
        str, Meta(examples=["unknown event type 'qr.scaned'; did you mean 'qr.scanned'?"])
    ]
    field: Annotated[str | None, Meta(description="The member at fault.", examples=["type"])] = None
    event_type: Annotated[str | None, Meta(description="As it was given, if it could be read.")] = (
        None
    )
    received_at: Time
    size_bytes: int


class RejectedList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of rejected events, newest first; ``next_cursor`` is absent on the last one."""

    data: list[RejectedEvent]
    next_cursor: str | None = None


class RejectedPlace(msgspec.Struct, frozen=True):
    """Where the record was."""

    topic: str
    partition: int
    offset: int


class RejectedDetail(RejectedEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A rejected event as it was produced; ``event_id`` is what it became by re-submitting."""

    state: Literal["open", "resubmitted"]
    event_id: str | None = None
    headers: HeaderList
    value: str
    value_encoding: Annotated[
        Literal["utf-8", "base64"], Meta(description="How `value` holds the bytes.")
    ]
    value_truncated: Annotated[
        bool, Meta(description="Whether the value was too large to be kept here whole.")
    ]
    place: RejectedPlace
