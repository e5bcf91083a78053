"""The topic table: its constants fit together, and durations and tiers are read strictly."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import topics
from shared.topics import DEFAULT_TIERS, Tier, Tiers, duration_ms, table, tier_topic

TIERS = Tiers.parse(DEFAULT_TIERS)
SERVICES = {"gateway", "fanout", "delivery", "retry", "recorder"}
OUTSIDE = {"producers", "people", "customers"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("250ms", 250), ("5s", 5_000), ("1m", 60_000), ("24h", 86_400_000), ("5d", 432_000_000)],
)
def test_a_duration_is_a_number_and_its_unit(text: str, expected: int) -> None:
    assert duration_ms(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "ms",
        "0s",
        "00m",
        "-5s",
        "+5s",
        "5 s",
        " 5s",
        "5s ",
        "1.5s",
        "5S",
        "5sm",
        "5y",
        "²s",
        "٣s",
        "1_0s",
        "1e3s",
        "9" * 5000 + "s",
    ],
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - int() words the last one
        duration_ms(text)


@given(st.text(max_size=8))
def test_no_text_raises_anything_but_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert duration_ms(text) > 0


@pytest.mark.parametrize("text", ["", " , ", "1m,5s", "5s,5s", "60s,1m", "5s,x", "5s;1m"])
def test_tiers_are_named_from_the_shortest_to_the_longest(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is that of the first trouble
        Tiers.parse(text)


def test_spaces_and_empty_items_between_tiers_do_not_matter() -> None:
    assert Tiers.parse(" 5s , 1m,").all == (Tier("5s", 5_000), Tier("1m", 60_000))


def test_an_unknown_tier_is_told_what_exists() -> None:
    with pytest.raises(ValueError, match="'2m' is not a retry tier; tiers are 5s, 1m"):
        Tiers.parse("5s,1m").named("2m")


@given(st.integers(min_value=-1, max_value=2 * 86_400_000))
def test_a_delay_finds_the_tier_above_and_the_tier_below(delay_ms: int) -> None:
    """Beyond the ends it is the tier at that end."""
    above, below = TIERS.at_least(delay_ms), TIERS.at_most(delay_ms)
    longest, shortest = TIERS.all[-1], TIERS.all[0]
    assert above.delay_ms >= delay_ms or above == longest
    assert below.delay_ms <= delay_ms or below == shortest
    assert not any(delay_ms <= tier.delay_ms < above.delay_ms for tier in TIERS.all)
    assert not any(below.delay_ms < tier.delay_ms <= delay_ms for tier in TIERS.all)


def test_every_topic_is_in_the_table_once() -> None:
    names = [topic.name for topic in table(TIERS)]
    assert len(set(names)) == len(names)
    assert {f"retry.{tier.name}" for tier in TIERS.all} < set(names)
    assert {topics.EVENTS, topics.REJECTED, topics.ENDPOINTS, topics.DELIVERIES} < set(table(TIERS))
    assert {topics.ATTEMPTS, topics.DEAD} < set(table(TIERS))


def test_writers_and_readers_are_services_or_known_outsiders() -> None:
    for topic in table(TIERS):
        assert topic.writers
        assert topic.readers
        assert {*topic.writers, *topic.readers} <= SERVICES | OUTSIDE


def test_a_tier_keeps_its_records_for_long_after_they_were_due() -> None:
    """A retry service that was down for days must find them."""
    for tier in TIERS.all:
        assert tier_topic(tier).retention_ms >= 2 * tier.delay_ms + duration_ms("7d")


def test_what_people_have_to_look_at_is_kept_longest() -> None:
    others = [
        topic.retention_ms
        for topic in table(TIERS)
        if topic not in (topics.REJECTED, topics.DEAD, topics.ENDPOINTS)
    ]
    assert min(topics.REJECTED.retention_ms, topics.DEAD.retention_ms) > max(others)


def test_state_is_never_deleted_by_age() -> None:
    assert topics.ENDPOINTS.cleanup == "compact"
    assert topics.ENDPOINTS.retention_ms == topics.UNLIMITED


def test_the_journal_has_the_partitions_of_what_it_is_the_journal_of() -> None:
    """An attempt is written to the partition number that its delivery has."""
    assert topics.ATTEMPTS.partitions == topics.DELIVERIES.partitions
    assert topics.ATTEMPTS.partitions_share == topics.DELIVERIES.partitions_share
    assert topics.ATTEMPTS.retention_ms >= topics.DELIVERIES.retention_ms


def test_a_body_of_the_largest_size_fits_wherever_it_goes() -> None:
    carriers = [topics.DELIVERIES, topics.DEAD, *(tier_topic(tier) for tier in TIERS.all)]
    for topic in carriers:
        assert topic.message_bytes_max >= topics.BODY_BYTES_MAX + 65_536


def test_the_default_tiers_grow() -> None:
    assert all(a.delay_ms < b.delay_ms for a, b in pairwise(TIERS.all))
