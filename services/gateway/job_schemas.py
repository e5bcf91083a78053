"""Requests and answers about jobs, about sending one delivery again, and about pending retries.

As ``schemas``: never the stored records; what is unset is left out. Pure.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from services.gateway.log_schemas import LoggedDelivery
from services.gateway.schemas import EndpointId, Time
from shared.models.attempts import Status
from shared.models.ids import ID_LENGTH_MAX
from shared.models.jobs import JobKind, JobState

RATE_PER_S_MAX: Final = 1_000
RATE_PER_S_DEFAULT: Final = 100
EVENT_IDS_MAX: Final = 100
EVENT_TYPES_MAX: Final = 100

MatchedIs = Annotated[
    Literal["exact", "at_least"],
    Meta(description="`at_least`: the log was not read to its end to count; there may be more."),
]
EventId = Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
Rate = Annotated[
    int,
    Meta(
        ge=1,
        le=RATE_PER_S_MAX,
        description="How many deliveries a second are sent at most.",
        examples=[RATE_PER_S_DEFAULT],
    ),
]
_EVENT_TYPES: Final = Meta(
    max_length=EVENT_TYPES_MAX,
    description="Only of these event types; an alias stands for its type. Empty: of all.",
)
_EVENT_IDS: Final = Meta(
    max_length=EVENT_IDS_MAX, description="Only of these events. Empty: of all."
)


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries are to be sent again, where to, and how fast."""

    webhook_id: Annotated[
        str | None,
        Meta(description="Only those of this webhook; without it, those of the whole workspace."),
    ] = None
    to_webhook_id: Annotated[
        str | None,
        Meta(
            description="Send them to this webhook instead of to where they were sent before; "
            "needs `webhook_id`."
        ),
    ] = None
    event_types: Annotated[list[str], _EVENT_TYPES] = []
    event_ids: Annotated[list[EventId], _EVENT_IDS] = []
    status: Annotated[
        Status | None, Meta(description="Only those that ended so; however they ended without it.")
    ] = None
    since: Annotated[
        Time | None,
        Meta(
            description="From this time on, by when the last attempt was due. May be left out when "
            "`event_ids` names events by ids that Hooklane made."
        ),
    ] = None
    until: Annotated[Time | None, Meta(description="Before this time; now when absent.")] = None
    rate: Rate = RATE_PER_S_DEFAULT


class ReplayPreview(msgspec.Struct, frozen=True, kw_only=True):
    """How much a replay would be about."""

    matched: Annotated[int, Meta(description="How many deliveries there are to send again.")]
    matched_is: MatchedIs
    since: Time
    until: Time


class JobDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job and how far it is."""

    id: Annotated[str, Meta(examples=["job_0195998a8b00a1b2c3d4e5f60718293a"])]
    type: JobKind
    webhook_id: EndpointId | None = None
    to_webhook_id: EndpointId | None = None
    event_types: list[str] = []
    event_ids: list[str] = []
    status: Status | None = None
    since: Time
    until: Time
    state: JobState
    reason: Annotated[
        str | None, Meta(description="Why it was stopped.", examples=["webhook_disabled"])
    ] = None
    rate: Rate
    matched: Annotated[int, Meta(description="How many deliveries there are to send again.")]
    matched_is: MatchedIs
    sent: int
    skipped: Annotated[int, Meta(description="How many were passed over.")]
    skipped_reasons: Annotated[
        dict[str, int],
        Meta(
            description="Of those, by reason: `sent_again_before` (by another recovery), "
            "`webhook_disabled`, `webhook_paused`, `webhook_deleted`.",
            examples=[{"sent_again_before": 3}],
        ),
    ] = {}
    unavailable: Annotated[int, Meta(description="How many have no body on Kafka any more.")]
    created_at: Time
    finished_at: Time | None = None


class JobList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of the workspace's jobs, newest first; ``next_cursor`` is absent on the last one."""

    data: list[JobDetail]
    next_cursor: str | None = None


class Resent(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery that a row of the log has become; its row is there when it was attempted."""

    id: Annotated[
        str,
        Meta(
            description="Of its first attempt in the log.",
            examples=["whd_0195998a8b00a1b2c3d4e5f60718293a"],
        ),
    ]
    webhook_id: EndpointId
    event_id: str
    event_type: str
    trigger: Annotated[str, Meta(examples=["resend:whd_0195998a8b00a1b2c3d4e5f60718293a"])]


class RetryList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of pending retries: the failed attempts that they follow, newest first.

    ``next_cursor`` is absent on the last page.
    """

    data: list[LoggedDelivery]
    next_cursor: str | None = None


class DiscardedRetry(msgspec.Struct, frozen=True, kw_only=True):
    """The retry that is discarded when it becomes due."""

    id: Annotated[
        str,
        Meta(
            description="Of the row that says so in the log, from then on.",
            examples=["whd_0195998a8b00a1b2c3d4e5f60718293a"],
        ),
    ]
    webhook_id: EndpointId
    due_at: Time


class DiscardedRetries(msgspec.Struct, frozen=True, kw_only=True):
    """Which retries of a webhook are discarded when they become due."""

    webhook_id: EndpointId
    failed_until: Annotated[
        Time, Meta(description="Those of attempts that had failed by this time.")
    ]
