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
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from shared.models.attempts import Attempt
from shared.models.deliveries import TRIGGER_PING
from shared.profiles import profile
from shared.topics import duration_ms

Reason = Literal["consecutive_failures", "gone"]

GONE: Final = "gone"  # the ``reason`` of an attempt that was answered with 410


class Health(msgspec.Struct, frozen=True):
    """The run of failures that an endpoint is in; ``failures`` 0 means that it is healthy.

    ``first_failure_ms`` is when the run began (Unix milliseconds), ``epoch`` that of its attempts:
    earlier ones are ignored. A healthy endpoint has no epoch, so that nothing of it need be kept;
    should a late failure of an earlier epoch then begin a run, that run can disable nothing,
    because disabling asks for the present epoch, and the next attempt of that epoch replaces it.
    """

    failures: int = 0
    first_failure_ms: int = 0
    epoch: int = 0


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
        return Health(1, _ended_ms(attempt), attempt.epoch)
    return Health(health.failures + 1, health.first_failure_ms, health.epoch)


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
