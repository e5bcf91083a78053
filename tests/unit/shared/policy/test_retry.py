"""What follows a failed attempt: the schedule, ``Retry-After``, 410, and no surprise."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.policy.retry import Again, Ended, RetryPolicy, retry_after_ms, success_statuses
from shared.profiles.profile import load_profiles
from shared.topics import DEFAULT_TIERS, Tiers

TIERS = Tiers.parse(DEFAULT_TIERS)
PROFILES = load_profiles(TIERS)
QR3 = RetryPolicy(PROFILES["qr3"], TIERS)
NOW_MS = 1_773_568_800_000  # 2026-03-15T10:00:00Z
LONGEST_MS = TIERS.all[-1].delay_ms


def after(
    attempt: int, *, status: int | None = 500, retry_after: str | None = None
) -> Again | Ended:
    return QR3.after_failure(attempt=attempt, status=status, retry_after=retry_after, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("status", "success"),
    [
        (100, False),
        (199, False),
        (200, True),
        (204, True),
        (299, True),
        (300, False),
        (301, False),
        (404, False),
        (500, False),
        (999, False),
    ],
)
def test_success_is_2xx(status: int, success: bool) -> None:
    assert (status in success_statuses(None)) is success


def test_an_endpoint_may_name_other_codes() -> None:
    named = success_statuses(("3xx", 404))
    assert [status for status in (200, 299, 300, 302, 399, 400, 404) if status in named] == [
        300,
        302,
        399,
        404,
    ]


def test_an_endpoints_own_schedule_takes_the_place_of_the_profiles() -> None:
    own = RetryPolicy(PROFILES["qr3"], TIERS, ["5s", "1h"])
    none = RetryPolicy(PROFILES["qr3"], TIERS, [])

    def after_failure(policy: RetryPolicy, attempt: int) -> Again | Ended:
        return policy.after_failure(attempt=attempt, status=500, retry_after=None, now_ms=NOW_MS)

    assert after_failure(own, 1) == Again(TIERS.named("5s"), NOW_MS + 5_000)
    assert after_failure(own, 2) == Again(TIERS.named("1h"), NOW_MS + 3_600_000)
    assert after_failure(own, 3) == Ended("exhausted")
    assert after_failure(none, 1) == Ended("exhausted")


def test_a_tier_that_is_gone_is_replaced_by_the_next_longer_one() -> None:
    """Tiers are the deployment's to change; a schedule that was taken once must go on working."""
    own = RetryPolicy(PROFILES["qr3"], TIERS, ["7s", "9d"])
    verdict = own.after_failure(attempt=1, status=500, retry_after=None, now_ms=NOW_MS)
    last = own.after_failure(attempt=2, status=500, retry_after=None, now_ms=NOW_MS)
    assert verdict == Again(TIERS.named("30s"), NOW_MS + 30_000)
    assert last == Again(TIERS.all[-1], NOW_MS + LONGEST_MS)


def test_the_schedule_names_the_tier_after_each_attempt_and_then_it_is_over() -> None:
    """QR3: at once, after a minute, after five more."""
    assert after(1) == Again(TIERS.named("1m"), NOW_MS + 60_000)
    assert after(2) == Again(TIERS.named("5m"), NOW_MS + 300_000)
    assert after(3) == Ended("exhausted")
    assert after(4) == Ended("exhausted")


@pytest.mark.parametrize("status", [None, 199, 301, 400, 404, 429, 500, 503, 999])
def test_every_failure_is_tried_again(status: int | None) -> None:
    """No answer at all is a failure like any other."""
    assert isinstance(after(1, status=status), Again)


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_gone_ends_the_delivery_whatever_else_is_said(attempt: int) -> None:
    assert after(attempt, status=410, retry_after="5") == Ended("gone")


def test_a_profile_without_delays_tries_once() -> None:
    once = replace(PROFILES["qr3"], retry=replace(PROFILES["qr3"].retry, delays=()))
    verdict = RetryPolicy(once, TIERS).after_failure(
        attempt=1, status=None, retry_after=None, now_ms=NOW_MS
    )
    assert verdict == Ended("exhausted")


@pytest.mark.parametrize(
    ("retry_after", "tier"),
    [
        ("0", "1m"),
        ("59", "1m"),
        ("60", "1m"),  # the schedule is not shortened
        ("61", "5m"),  # and the next tier is not shorter than what was asked for
        ("300", "5m"),
        ("301", "15m"),
        (" 3600 ", "1h"),
        ("00061", "5m"),
        ("0000000000061", "5m"),
        ("86400", "24h"),
        ("86401", "24h"),  # the profile's cap
        ("9" * 4_000, "24h"),
        ("9" * 5_000, "24h"),  # longer than int() reads
        ("-5", "1m"),
        ("61.5", "1m"),
        ("61s", "1m"),
        ("²", "1m"),
        ("", "1m"),
        ("soon", "1m"),
        ("Sun, 15 Mar 2026 10:02:00 GMT", "5m"),
        ("Sunday, 15-Mar-26 10:02:00 GMT", "5m"),  # the two old forms of RFC 9110, 5.6.7
        ("Sun Mar 15 10:02:00 2026", "5m"),
        ("Sun, 15 Mar 2026 09:00:00 GMT", "1m"),  # long past
        ("Fri, 31 Dec 9999 23:59:59 GMT", "24h"),
    ],
)
def test_retry_after_moves_the_attempt_to_the_smallest_tier_that_is_not_shorter(
    retry_after: str, tier: str
) -> None:
    named = TIERS.named(tier)
    assert after(1, retry_after=retry_after) == Again(named, NOW_MS + named.delay_ms)


def test_retry_after_grants_no_further_attempt() -> None:
    assert after(3, retry_after="5") == Ended("exhausted")


@given(seconds=st.integers(min_value=0, max_value=10**10))
def test_a_date_asks_for_the_time_until_then(seconds: int) -> None:
    moment = datetime.fromtimestamp(NOW_MS // 1000 + seconds, UTC)
    if moment.year <= 9999:
        assert retry_after_ms(format_datetime(moment, usegmt=True), NOW_MS) == seconds * 1000


def test_a_date_that_has_passed_asks_for_nothing() -> None:
    assert retry_after_ms("Sun, 15 Mar 2026 09:59:59 GMT", NOW_MS) == 0
    assert retry_after_ms("Sun, 15 Mar 2026 10:00:01 GMT", NOW_MS) == 1_000


DATE_PARTS = st.sampled_from(
    [
        "Wed,",
        "21",
        "Oct",
        "2015",
        "07:28:00",
        "GMT",
        "+0000",
        "-9999",
        "+99999999999",
        "99999999999",
        "0",
        "69",
        "1e9",
        ":",
        "7:",
        "::",
        "-",
        "(",
        "\\",
        "ÿ",
        "PM",
    ]
)
HOSTILE = st.lists(DATE_PARTS | st.characters(max_codepoint=255), max_size=8).map(" ".join)


@given(value=HOSTILE)
@example(value="Wed, 21 Oct 99999999999 07:28:00 GMT")  # OverflowError in the standard library
@example(value="Wed, 99999999999999999999 Oct 2015 07:28:00 GMT")
@example(value="Wed, 21 Oct 2015 07:28:00 +99999999999")
def test_no_header_raises_or_asks_for_a_time_before_now(value: str) -> None:
    """A receiver chooses it; an exception here would leave the delivery open for ever."""
    assert retry_after_ms(value, NOW_MS) >= 0
    verdict = after(1, retry_after=value)
    assert isinstance(verdict, Again)
    assert 60_000 <= verdict.due_ms - NOW_MS <= LONGEST_MS


@pytest.mark.parametrize(
    ("status", "retry_after", "hold_ms"),
    [
        (429, "120", 120_000),
        (503, "120", 120_000),
        (
            503,
            format_datetime(datetime.fromtimestamp(NOW_MS / 1000 + 90, UTC), usegmt=True),
            90_000,
        ),
        (503, format_datetime(datetime.fromtimestamp(NOW_MS / 1000 - 90, UTC), usegmt=True), 0),
        (503, None, 0),
        (503, "soon", 0),
        (500, "120", 0),
        (301, "120", 0),
        (200, "120", 0),
        (429, "999999", 86_400_000),
    ],
)
def test_429_and_503_speak_for_all_requests(
    status: int, retry_after: str | None, hold_ms: int
) -> None:
    """Up to the profile's cap, as for the attempt itself."""
    assert QR3.hold_ms(status=status, retry_after=retry_after, now_ms=NOW_MS) == hold_ms


@given(
    status=st.sampled_from([429, 503]),
    asked_s=st.integers(0, 100_000),
    attempt=st.integers(1, len(PROFILES["standard"].retry.delays)),
)
def test_the_next_attempt_is_never_due_before_the_hold_ends(
    status: int, asked_s: int, attempt: int
) -> None:
    policy = RetryPolicy(PROFILES["standard"], TIERS)
    held_ms = policy.hold_ms(status=status, retry_after=str(asked_s), now_ms=NOW_MS)
    following = policy.after_failure(
        attempt=attempt, status=status, retry_after=str(asked_s), now_ms=NOW_MS
    )

    assert isinstance(following, Again)
    assert following.due_ms >= NOW_MS + held_ms
