"""From an outcome to what follows: the attempt's record and, after a failure, the next one. Pure.

Order matters and is the caller's duty: what follows is acknowledged BEFORE the attempt's record is
written, because a record in ``attempts`` says "this delivery is finished" to whoever takes the
partition over.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from services.delivery.destination import Destination, Sent
from shared.http.messages import Answered, Outcome
from shared.models.attempts import Attempt
from shared.models.deliveries import (
    META_HEADER,
    REASON_HEADER,
    TRIGGER_PING,
    DeliveryMeta,
    encode_meta,
)
from shared.policy.retry import SPEAK_FOR_ALL, Again, Ended
from shared.topics import Tier

DiscardReason = Literal[
    "endpoint_deleted",
    "endpoint_disabled",
    "endpoint_paused",
    "workspace_suspended",
    "retry_discarded",
]


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The delivery's record: where it is and what it holds."""

    endpoint_id: str
    partition: int
    offset: int
    body: bytes
    meta: DeliveryMeta


class FollowUp(msgspec.Struct, frozen=True, gc=False):
    """A record that continues a delivery. ``topic`` is the table's name, without prefix."""

    topic: str
    headers: tuple[tuple[str, bytes], ...]


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """What follows from an attempt."""

    attempt: Attempt
    follow_up: FollowUp | None


def settle(
    origin: Origin, destination: Destination, sent: Sent, outcome: Outcome, ended_ms: int
) -> Settlement:
    """Return the attempt's record and what continues the delivery."""
    meta = origin.meta
    answered = outcome if isinstance(outcome, Answered) else None
    unanswered = None if isinstance(outcome, Answered) else outcome
    success = answered is not None and answered.status in destination.successes
    verdict: Again | Ended | None = None
    if not success:
        verdict = _verdict(meta, destination, answered, ended_ms)
    endpoint = destination.endpoint
    attempt = Attempt(
        workspace_id=meta.workspace_id,
        endpoint_id=origin.endpoint_id,
        event_id=meta.event_id,
        event_type=meta.event_type,
        trigger=meta.trigger,
        attempt=meta.attempt,
        status="success" if success else "failed",
        final=not isinstance(verdict, Again),
        reason=verdict.reason if isinstance(verdict, Ended) else None,
        next_attempt_ms=verdict.due_ms if isinstance(verdict, Again) else None,
        due_ms=meta.due_ms,
        accepted_ms=meta.accepted_ms,
        started_ms=sent.started_ms,
        ended_ms=ended_ms,
        partition=origin.partition,
        offset=origin.offset,
        revision=endpoint.revision,
        epoch=endpoint.epoch,
        url=endpoint.url,
        address=outcome.address,
        status_code=None if answered is None else answered.status,
        response_time_ms=round(outcome.timing.total_ms, 1),
        error=None if unanswered is None else unanswered.kind,
        error_message=None if unanswered is None else unanswered.message,
        request_headers=destination.recorded(meta, sent.headers).decode("ascii"),
        response_headers=() if answered is None else answered.headers,
        response_body=b"" if answered is None else answered.body,
        response_truncated=answered is not None and answered.body_truncated,
        timing_ms=_timing(outcome),
    )
    return Settlement(attempt, _follow_up(meta, verdict, ended_ms))


def discard(origin: Origin, reason: DiscardReason, now_ms: int) -> Attempt:
    """Return the record of a delivery that is not attempted any more."""
    meta = origin.meta
    return Attempt(
        workspace_id=meta.workspace_id,
        endpoint_id=origin.endpoint_id,
        event_id=meta.event_id,
        event_type=meta.event_type,
        trigger=meta.trigger,
        attempt=meta.attempt,
        status="discarded",
        final=True,
        reason=reason,
        due_ms=meta.due_ms,
        accepted_ms=meta.accepted_ms,
        started_ms=now_ms,
        ended_ms=now_ms,
        partition=origin.partition,
        offset=origin.offset,
        revision=meta.revision,
        epoch=0,
    )


def park(meta: DeliveryMeta, tier: Tier, now_ms: int) -> FollowUp:
    """Return the record that puts a delivery aside for a tier's delay; no attempt counts."""
    parked = replace(meta, parks=meta.parks + 1, not_before_ms=now_ms + tier.delay_ms)
    return FollowUp(tier.topic, ((META_HEADER, encode_meta(parked)),))


def asked_hold_ms(destination: Destination, outcome: Outcome, now_ms: int) -> int:
    """Return for how long the receiver asks to be sent nothing at all; 0 where it does not."""
    if not isinstance(outcome, Answered) or outcome.status not in SPEAK_FOR_ALL:
        return 0  # what almost every outcome is
    return destination.retry.hold_ms(
        status=outcome.status, retry_after=_header(outcome, "retry-after"), now_ms=now_ms
    )


def _verdict(
    meta: DeliveryMeta, destination: Destination, answered: Answered | None, now_ms: int
) -> Again | Ended:
    """A ping is one attempt: whoever asked for it looks at its result and asks again."""
    if meta.trigger == TRIGGER_PING:
        return Ended("exhausted")
    return destination.retry.after_failure(
        attempt=meta.attempt,
        status=None if answered is None else answered.status,
        retry_after=None if answered is None else _header(answered, "retry-after"),
        now_ms=now_ms,
    )


def _follow_up(meta: DeliveryMeta, verdict: Again | Ended | None, ended_ms: int) -> FollowUp | None:
    if isinstance(verdict, Again):
        following = replace(
            meta,
            attempt=meta.attempt + 1,
            due_ms=verdict.due_ms,
            parks=0,
            not_before_ms=0,
            failed_ms=ended_ms,
        )
        return FollowUp(verdict.tier.topic, ((META_HEADER, encode_meta(following)),))
    if isinstance(verdict, Ended) and meta.trigger != TRIGGER_PING:
        reason = (REASON_HEADER, verdict.reason.encode())
        return FollowUp("deliveries.dead", ((META_HEADER, encode_meta(meta)), reason))
    return None


def _header(answered: Answered, name: str) -> str | None:
    return next((value for given, value in answered.headers if given.lower() == name), None)


def _timing(outcome: Outcome) -> dict[str, float]:
    timing = outcome.timing
    spans = {"first_byte": timing.first_byte_ms, "total": timing.total_ms}
    if not timing.reused:
        opening = {"dns": timing.dns_ms, "connect": timing.connect_ms, "tls": timing.tls_ms}
        spans = opening | spans
    return {name: round(span, 2) for name, span in spans.items() if span}
