"""Answers about statistics. What is unset is left out: a rate of nothing is none. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from services.gateway.schemas import EndpointId, Time

Milliseconds = Annotated[float, Meta(examples=[145.2])]
Rate = Annotated[float, Meta(examples=[0.9917], extra_json_schema={"minimum": 0, "maximum": 1})]


class ResponseTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long receivers took to answer, in milliseconds, within 4.5 %."""

    answers: Annotated[int, Meta(description="How many attempts got an answer, of any status.")]
    p50: Milliseconds
    p95: Milliseconds
    p99: Milliseconds


class Counted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the attempts of some time came to, by when they were due."""

    attempts: Annotated[int, Meta(description="How many were made.")]
    succeeded: int
    failed: int
    exhausted: Annotated[
        int, Meta(description="How many of the failed ones were a delivery's last.")
    ]
    discarded: Annotated[int, Meta(description="Deliveries that were given up without an attempt.")]
    success_rate: Annotated[
        Rate | None, Meta(description="`succeeded` of `attempts`; absent without any.")
    ] = None
    delivery_rate: Annotated[
        Rate | None,
        Meta(
            description="`succeeded` of the deliveries that have ended (`succeeded` and "
            "`exhausted`): what failed at first and succeeded later counts as succeeded."
        ),
    ] = None
    response_time_ms: ResponseTimes | None = None


class CountedBucket(Counted, frozen=True, kw_only=True, omit_defaults=True):
    """One bucket of time."""

    start: Time


class StatsGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One webhook or one event type."""

    webhook_id: EndpointId | None = None
    event_type: Annotated[str | None, Meta(examples=["qr.scanned"])] = None
    totals: Counted
    buckets: list[CountedBucket]


class Stats(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A window of time in buckets: of all together, or by group."""

    since: Annotated[Time, Meta(description="When the first bucket begins.")]
    until: Annotated[Time, Meta(description="When the last bucket ends.")]
    bucket: Literal["minute", "hour", "day"]
    totals: Counted
    buckets: list[CountedBucket] | None = None
    groups: list[StatsGroup] | None = None
