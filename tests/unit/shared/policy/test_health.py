"""When failures disable an endpoint: what counts, what ends a run, what a re-enabling forgets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.models.attempts import Attempt
from shared.models.operational import OPERATIONAL
from shared.policy.health import (
    HEALTHY,
    NEVER,
    Health,
    Rule,
    disable_reason,
    judge,
    rule_of,
    step,
)
from shared.profiles.profile import load_profiles
from shared.topics import DEFAULT_TIERS, Tiers
from tests.unit.services.recorder.kit import NOON_MS, attempt

TEN = Rule(failures_max=10)
FIVE_DAYS = Rule(failing_ms_max=5 * 86_400_000)

attempts_of = st.lists(
    st.builds(
        attempt,
        st.sampled_from(["success", "failed", "failed", "discarded"]),
        at_ms=st.integers(NOON_MS, NOON_MS + 1_000),
        trigger=st.sampled_from(["event", "event", "ping", "resend:1"]),
        epoch=st.sampled_from([1, 1, 1, 2, 3]),
    ),
    max_size=40,
)


def fold(attempts: list[Attempt], health: Health = HEALTHY) -> Health:
    for one in attempts:
        health = step(health, one)
    return health


def test_failures_in_a_row_are_counted_from_the_first_one_on() -> None:
    run = [attempt("failed", at_ms=NOON_MS + minute) for minute in range(3)]

    assert fold(run) == Health(failures=3, first_failure_ms=NOON_MS, epoch=1)


def test_a_success_ends_the_run() -> None:
    assert fold([attempt("failed"), attempt("success")]) == HEALTHY


def test_a_success_of_a_healthy_endpoint_changes_nothing_at_all() -> None:
    assert step(HEALTHY, attempt("success", epoch=7)) is HEALTHY


@pytest.mark.parametrize(
    "ignored",
    [
        attempt("discarded"),
        attempt("failed", trigger="ping"),
        attempt("success", trigger="ping"),
        attempt("failed", trigger="ping", reason="gone"),
        attempt("failed", epoch=1),
        attempt("failed", epoch=1, reason="gone"),
        attempt("success", epoch=1),
    ],
    ids=["discarded", "failed ping", "good ping", "gone ping", "old", "old gone", "old success"],
)
def test_what_says_nothing_about_events_of_this_epoch_is_ignored(ignored: Attempt) -> None:
    failing = Health(failures=9, first_failure_ms=NOON_MS, epoch=2)

    assert step(failing, ignored) is failing
    assert disable_reason(failing, ignored, TEN) is None


def test_a_resend_counts_like_an_event() -> None:
    assert step(HEALTHY, attempt("failed", trigger="resend:1")).failures == 1


def test_an_endpoint_that_was_enabled_again_starts_with_a_clean_slate() -> None:
    health = fold([attempt("failed")] * 9 + [attempt("failed", at_ms=NOON_MS + 5, epoch=2)])

    assert health == Health(failures=1, first_failure_ms=NOON_MS + 5, epoch=2)


def test_what_was_under_way_when_it_was_enabled_again_does_not_count() -> None:
    health = fold([attempt("failed", epoch=2)])

    assert step(health, attempt("failed", epoch=1)) is health
    assert step(health, attempt("success", epoch=1)) is health


def test_the_tenth_failure_in_a_row_disables_and_the_ninth_does_not() -> None:
    failed = attempt("failed")

    assert disable_reason(Health(9, NOON_MS, 1), failed, TEN) is None
    assert disable_reason(Health(10, NOON_MS, 1), failed, TEN) == "consecutive_failures"


def test_days_without_a_success_disable_however_few_attempts_there_were() -> None:
    def last(at_ms: int) -> Attempt:
        return attempt("failed", at_ms=at_ms)

    run = Health(2, NOON_MS, 1)
    five_days = NOON_MS + 5 * 86_400_000
    assert disable_reason(run, last(five_days - 1), FIVE_DAYS) is None
    assert disable_reason(run, last(five_days), FIVE_DAYS) == "consecutive_failures"


def test_an_attempt_that_never_ended_is_dated_by_its_start() -> None:
    health = step(HEALTHY, attempt("failed", at_ms=NOON_MS, ended_ms=0))

    assert health.first_failure_ms == NOON_MS


@pytest.mark.parametrize("rule", [TEN, FIVE_DAYS, NEVER])
def test_gone_disables_at_once_whatever_the_rule(rule: Rule) -> None:
    gone = attempt("failed", reason="gone")

    assert disable_reason(step(HEALTHY, gone), gone, rule) == "gone"


def test_without_a_rule_nothing_disables() -> None:
    assert disable_reason(Health(10_000, 0, 1), attempt("failed"), NEVER) is None


def test_a_success_never_disables() -> None:
    assert disable_reason(Health(10, 0, 1), attempt("success"), TEN) is None


def test_the_rules_of_the_built_in_profiles_are_read() -> None:
    profiles = load_profiles(Tiers.parse(DEFAULT_TIERS))

    assert rule_of(profiles["qr3"].health) == TEN
    assert rule_of(profiles["xqr"].health) == TEN
    assert rule_of(profiles["standard"].health) == FIVE_DAYS


@given(attempts_of)
def test_the_count_is_the_failures_of_the_newest_epoch_since_the_last_success(
    attempts: list[Attempt],
) -> None:
    newest, failures = 0, 0
    for one in attempts:
        if one.status == "discarded" or one.trigger == "ping" or one.epoch < newest:
            continue
        if one.status == "success":
            newest, failures = 0, 0
        else:
            failures = failures + 1 if one.epoch == newest else 1
            newest = one.epoch

    health = fold(attempts)
    assert (health.failures, health.epoch) == (failures, newest)
    assert (health.first_failure_ms > 0) == (failures > 0)


@given(attempts_of, attempts_of)
def test_only_what_changes_the_count_makes_a_new_value(
    before: list[Attempt], after: list[Attempt]
) -> None:
    health = fold(before)
    for one in after:
        stepped = step(health, one)
        assert (stepped is health) == (stepped == health)
        health = stepped


def judged(
    attempts: list[Attempt], rule: Rule = TEN
) -> tuple[Health, list[tuple[str, int, int | str | None]]]:
    """Return the health in the end, and each finding: its kind, failures, and percent or reason."""
    health = HEALTHY
    found: list[tuple[str, int, int | str | None]] = []
    for one in attempts:
        health, finding = judge(health, one, rule)
        if finding is not None:
            what = finding.percent or finding.reason
            found.append((finding.kind, finding.run.failures, what))
    return health, found


def test_people_are_warned_at_50_70_and_90_percent_and_told_of_the_end_once() -> None:
    assert judged([attempt("failed")] * 15)[1] == [
        ("failing", 5, 50),
        ("failing", 7, 70),
        ("failing", 9, 90),
        ("disabled", 10, "consecutive_failures"),
    ]


def test_a_rule_of_days_warns_by_time() -> None:
    day_ms = 86_400_000
    halves = [attempt("failed", at_ms=NOON_MS + n * day_ms // 2) for n in range(11)]

    assert judged(halves, FIVE_DAYS)[1] == [
        ("failing", 6, 50),
        ("failing", 8, 70),
        ("failing", 10, 90),
        ("disabled", 11, "consecutive_failures"),
    ]


def test_a_run_that_comes_far_in_one_step_is_warned_of_once() -> None:
    assert judged([attempt("failed")] * 3, Rule(failures_max=3))[1] == [
        ("failing", 2, 50),
        ("disabled", 3, "consecutive_failures"),
    ]
    assert judged([attempt("failed")], Rule(failures_max=1))[1] == [
        ("disabled", 1, "consecutive_failures")
    ]


def test_where_nothing_disables_nobody_is_warned() -> None:
    assert judged([attempt("failed")] * 99, NEVER)[1] == []


def test_the_first_success_after_a_warning_is_a_recovery() -> None:
    run = [attempt("failed")] * 5
    assert judged([*run, attempt("success"), attempt("success")])[1] == [
        ("failing", 5, 50),
        ("recovered", 5, None),
    ]
    assert judged([*run[:4], attempt("success")])[1] == []


def test_a_success_after_it_was_enabled_again_is_a_recovery_and_a_late_one_is_not() -> None:
    gone = attempt("failed", reason="gone")
    assert judged([gone, attempt("success", epoch=1)])[1] == [("disabled", 1, "gone")]
    for failures in (0, 3):
        again = [attempt("failed", epoch=2)] * failures
        assert judged([gone, *again, attempt("success", epoch=2)])[1] == [
            ("disabled", 1, "gone"),
            ("recovered", failures or 1, None),
        ]


def test_after_it_was_enabled_again_warnings_and_the_end_begin_anew() -> None:
    first = [attempt("failed")] * 10
    second = [attempt("failed", epoch=2)] * 10

    assert judged([*first, *second])[1] == 2 * judged(first)[1]


@pytest.mark.parametrize("event_type", OPERATIONAL)
def test_failing_to_deliver_what_is_told_counts_and_warns_nobody(event_type: str) -> None:
    told = attempt("failed", event_type=event_type)

    assert judged([told] * 9) == (Health(9, NOON_MS, 1), [])
    assert judged([told] * 10)[1] == [("disabled", 10, "consecutive_failures")]
    assert judged([*[told] * 7, attempt("failed")])[1] == [("failing", 8, 70)]


@given(attempts_of)
def test_judging_counts_as_stepping_does(attempts: list[Attempt]) -> None:
    health, _ = judged(attempts)

    assert replace(health, told=0) == fold(attempts)
