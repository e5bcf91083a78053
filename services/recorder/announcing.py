"""What people are told: from an attempt, or a rejected event, to an announcement. Pure.

Everything in an announcement comes from the record that it is about, so that a batch which is read
twice makes the same announcements. Deliveries of operational events are not announced as exhausted,
nor are rejected announcements: nothing that is told makes more to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.models.attempts import Attempt
from shared.models.deliveries import TRIGGER_PING
from shared.models.operational import (
    OPERATIONAL,
    OPERATIONAL_HEADER,
    Announcement,
    OperationalType,
    time_text,
)
from shared.models.rejected import Rejected
from shared.policy.health import Finding

_TYPE_OF: Final[Mapping[str, OperationalType]] = {
    "failing": "endpoint.failing",
    "disabled": "endpoint.disabled",
    "recovered": "endpoint.recovered",
}


def of_finding(finding: Finding, attempt: Attempt) -> Announcement:
    """Return what is told of an endpoint whose health an attempt has changed."""
    data: dict[str, object] = {"webhook_id": attempt.endpoint_id}
    if finding.kind == "failing":
        data["threshold_percent"] = finding.percent
    if finding.reason is not None:
        data["reason"] = finding.reason
    data["consecutive_failures"] = finding.run.failures
    data["failing_since"] = time_text(finding.run.first_failure_ms)
    if finding.kind != "recovered":
        data["last_attempt"] = _shown(attempt)
    return _of_attempt(_TYPE_OF[finding.kind], attempt, data)


def of_exhausted(attempt: Attempt) -> Announcement | None:
    """Return what is told of an attempt that was a delivery's last and failed; None of others."""
    ended = attempt.status == "failed" and attempt.reason == "exhausted"
    if not ended or attempt.trigger == TRIGGER_PING or attempt.event_type in OPERATIONAL:
        return None
    data: dict[str, object] = {
        "webhook_id": attempt.endpoint_id,
        "attempts": attempt.attempt,
        "last_attempt": _shown(attempt),
    }
    return _of_attempt("delivery.exhausted", attempt, data)


def of_rejected(copy: Rejected) -> Announcement | None:
    """Return what is told of a rejected event; None of one that was an announcement itself."""
    if any(name == OPERATIONAL_HEADER for name, _ in copy.headers):
        return None
    return Announcement(
        type="events.rejected",
        workspace_id=copy.workspace_id,
        time_ms=copy.received_ms,
        cause=copy.id,
        data={
            "rejected_id": copy.id,
            "event_type": copy.event_type,
            "field": copy.field or None,
            "reason": copy.reason,
            "received_at": time_text(copy.received_ms),
        },
    )


def _of_attempt(
    operational_type: OperationalType, attempt: Attempt, data: dict[str, object]
) -> Announcement:
    return Announcement(
        type=operational_type,
        workspace_id=attempt.workspace_id,
        time_ms=attempt.ended_ms or attempt.started_ms,
        cause=attempt.delivery_id(),
        data=data,
    )


def _shown(attempt: Attempt) -> dict[str, object]:
    """Return what identifies an attempt in the log, and how it ended."""
    return {
        "delivery_id": attempt.delivery_id(),
        "event_id": attempt.event_id,
        "event_type": attempt.event_type,
        "status_code": attempt.status_code,
        "error": attempt.error,
    }
