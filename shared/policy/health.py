"""When failures disable an endpoint: a fold over its attempts, in the order of their records.

``step`` folds, ``disable_reason`` judges. Both are pure and know no batch: whoever reads the same
records again comes to the same counts, however the records were cut into batches. The rules:

* a failure counts, a success ends the run of failures; one attempt is one failure, a retry too;
* a delivery that was discarded was never attempted and says nothing;
* a ping says nothing either way. A person sent it and looks at its answer: ten pings while setting
  up a receiver must not disable the endpoint, and a ping that a health-check page answers must not
  hide that events fail. A resend does count: it is an event, handled like any other;
* an endpoint that was enabled again (a higher ``epoch``) starts with a clean slate; what was still
  under way from before that does not count against it;
* 410 Gone disables at once: the receiver says that it will not come back (RFC 9110, 15.5.11, and
  the Standard Webhooks specification for senders).

What people are told of it (``judge``) is part of the fold, so that they are told once:

* a warning when a run has come to 50, 70 and 90 % of what disables, if the failure that is seen
  then is an event's of the product. Failures to deliver an operational event count like any other,
  but warn nobody: what is told of them would be delivered to the same endpoint, and fail, for ever;
* that it was disabled: once in an epoch, and only people begin a new one;
* that it works again: with the first success after either, if that did not come too late to matter.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from shared.models.attempts import Attempt
from shared.models.deliveries import TRIGGER_PING
from shared.models.operational import OPERATIONAL
from shared.profiles import profile
from shared.topics import duration_ms

Reason = Literal["consecutive_failures", "gone"]

GONE: Final = "gone"  # the ``reason`` of an attempt that was answered with 410

WARN_AT: Final = (50, 70, 90)  # percent of what disables
DISABLED: Final = 100
BEFORE: Final = 1  # something was told, but in an earlier epoch: warnings begin anew


class Health(msgspec.Struct, frozen=True):
    """The run of failures that an endpoint is in; ``failures`` 0 means that it is healthy.

    ``first_failure_ms`` is when the run began (Unix milliseconds), ``epoch`` that of its attempts:
    earlier ones are ignored. A healthy endpoint has no epoch, so that nothing of it need be kept;
    should a late failure of an earlier epoch then begin a run, that run can disable nothing,
    because disabling asks for the present epoch, and the next attempt of that epoch replaces it.
    ``told`` is what people were told of this run: 0 for nothing, one of ``WARN_AT``, ``DISABLED``,
    or ``BEFORE``.
    """

    failures: int = 0
    first_failure_ms: int = 0
    epoch: int = 0
    told: int = 0


HEALTHY: Final = Health()


class EndpointHealth(msgspec.Struct, frozen=True):
    """An endpoint's health and the last record of ``attempts`` that has changed it."""

    endpoint_id: str
    health: Health
    partition: int
    offset: int


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """When a run of failures disables: a count in a row, a time without success, or neither."""

    failures_max: int | None = None
    failing_ms_max: int | None = None


NEVER: Final = Rule()


class Finding(NamedTuple):
    """What follows from an attempt: people are told, and the endpoint may have to be disabled.

    ``run`` is the run of failures that it is about, with the attempt if that is a failure. A
    ``failing`` one has come to ``percent`` of what disables; a ``disabled`` one has a ``reason``.
    """

    kind: Literal["failing", "disabled", "recovered"]
    run: Health
    percent: int = 0
    reason: Reason | None = None


def rule_of(given: profile.Health) -> Rule:
    """Return the rule that a profile names."""
    return Rule(
        failures_max=given.disable_after_failures,
        failing_ms_max=None if given.disable_after is None else duration_ms(given.disable_after),
    )


def counts(attempt: Attempt) -> bool:
    """Return whether ``attempt`` says anything about the endpoint's health."""
    return attempt.status != "discarded" and attempt.trigger != TRIGGER_PING


def step(health: Health, attempt: Attempt) -> Health:
    """Return the health after ``attempt``: the very same object when nothing has changed."""
    if not counts(attempt) or attempt.epoch < health.epoch:
        return health
    if attempt.status == "success":
        return health if health.failures == 0 else HEALTHY
    if health.failures == 0 or attempt.epoch > health.epoch:
        return Health(1, _ended_ms(attempt), attempt.epoch, min(health.told, BEFORE))
    return Health(health.failures + 1, health.first_failure_ms, health.epoch, health.told)


def judge(before: Health, attempt: Attempt, rule: Rule) -> tuple[Health, Finding | None]:
    """Return the health after ``attempt``, and what follows from it, if anything."""
    health = step(before, attempt)
    if health is before:
        return before, None
    if attempt.status == "success":
        return health, Finding("recovered", before) if _had_to_recover(before, attempt) else None
    if health.told == DISABLED:
        return health, None
    reason = disable_reason(health, attempt, rule)
    if reason is not None:
        health = replace(health, told=DISABLED)
        return health, Finding("disabled", health, reason=reason)
    percent = _warning(health, attempt, rule)
    if percent > health.told:
        health = replace(health, told=percent)
        return health, Finding("failing", health, percent=percent)
    return health, None


def _had_to_recover(before: Health, attempt: Attempt) -> bool:
    """Return whether a success is news; one that was under way when it was disabled is none."""
    too_late = before.told == DISABLED and attempt.epoch == before.epoch
    return before.told > 0 and not too_late


def _warning(health: Health, attempt: Attempt, rule: Rule) -> int:
    """Return the highest of ``WARN_AT`` that a run has come to, 0 for none."""
    if attempt.event_type in OPERATIONAL:
        return 0
    failing_ms = _ended_ms(attempt) - health.first_failure_ms
    percent = max(
        100 * health.failures // rule.failures_max if rule.failures_max else 0,
        100 * failing_ms // rule.failing_ms_max if rule.failing_ms_max else 0,
    )
    return max((level for level in WARN_AT if level <= percent), default=0)


def disable_reason(health: Health, attempt: Attempt, rule: Rule) -> Reason | None:
    """Return why ``attempt``, which led to ``health``, disables the endpoint, or None."""
    if not counts(attempt) or attempt.status != "failed" or attempt.epoch != health.epoch:
        return None
    if attempt.reason == GONE:
        return "gone"
    many = rule.failures_max is not None and health.failures >= rule.failures_max
    failing_ms = _ended_ms(attempt) - health.first_failure_ms
    long = rule.failing_ms_max is not None and failing_ms >= rule.failing_ms_max
    return "consecutive_failures" if many or long else None


def _ended_ms(attempt: Attempt) -> int:
    return attempt.ended_ms or attempt.started_ms
