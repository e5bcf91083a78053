"""The topic table against what the services declare, and relations between constants.

Some numbers are only right together: a tier must keep its records longer than it delays them, a
worker must be able to fetch what another may produce, a stop must leave more time than a drain
takes. Each lives where it belongs; here they are compared.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import pytest

from deploy.local import kafka as embedded
from deploy.local.services import GRACE_S, NAMES
from services.delivery.engine import PARK_DELAYS_MS
from shared.config import Settings
from shared.http.limits import HEAD_BYTES_MAX
from shared.kafka.admin import partitions_of
from shared.kafka.publisher import BATCH_BYTES_MAX, REQUEST_BYTES_MAX
from shared.profiles.profile import Profile, load_profiles
from shared.runtime import CLOSE_WITHIN_S
from shared.topics import (
    ATTEMPTS,
    BODY_BYTES_MAX,
    DEAD,
    DELIVERIES,
    ENDPOINTS,
    EVENTS,
    RECORD_BYTES_MAX,
    UNLIMITED,
    Tier,
    Tiers,
    Topic,
    table,
    tier_topic,
)

SETTINGS: Final = Settings()
TABLE: Final = table(SETTINGS.tiers)
FIXED: Final = tuple(topic for topic in TABLE if not topic.name.startswith("retry."))
PROFILES: Final = tuple(load_profiles(SETTINGS.tiers).values())

HEADER_ROOM_BYTES: Final = 16 * 1024
"""What a record's key, metadata header and framing may take besides its body."""


def _declaring(topic: Topic, what: str) -> set[str]:
    """Return the services whose package declares ``topic`` in READS or WRITES."""
    return {name for name in NAMES if topic in getattr(import_module(f"services.{name}"), what)}


@pytest.mark.parametrize("topic", FIXED, ids=lambda topic: topic.name)
def test_the_table_names_exactly_the_services_that_declare_a_topic(topic: Topic) -> None:
    assert _declaring(topic, "WRITES") == set(topic.writers) & set(NAMES)
    assert _declaring(topic, "READS") == set(topic.readers) & set(NAMES)


@pytest.mark.parametrize("topic", TABLE, ids=lambda topic: topic.name)
def test_every_topic_has_somebody_who_writes_and_somebody_who_reads(topic: Topic) -> None:
    outside = {"producers", "people", "customers"}

    for names in (topic.writers, topic.readers):
        assert names
        assert set(names) <= {*NAMES, *outside}


def test_names_are_unique_and_fit_kafka() -> None:
    names = [topic.name for topic in TABLE]

    assert len(set(names)) == len(names)
    assert all(len(name) <= 200 for name in names)  # Kafka allows 249; the prefix needs room
    assert not any("_" in name for name in names)  # with dots it would collide in Kafka's metrics


@pytest.mark.parametrize("tier", SETTINGS.tiers.all, ids=lambda tier: tier.name)
def test_a_tier_keeps_its_records_for_long_after_they_are_due(tier: Tier) -> None:
    topic = tier_topic(tier)

    assert topic.retention_ms - tier.delay_ms >= DELIVERIES.retention_ms
    assert topic.cleanup == "delete"
    assert (topic.writers, topic.readers) == (("delivery",), ("retry",))


def test_dead_letters_are_kept_longest_and_endpoints_for_ever() -> None:
    others = [topic.retention_ms for topic in TABLE if topic not in (DEAD, ENDPOINTS)]

    assert max(others) <= DEAD.retention_ms
    assert (ENDPOINTS.retention_ms, ENDPOINTS.cleanup) == (UNLIMITED, "compact")


def test_the_journal_is_kept_as_long_as_what_it_is_about_and_cut_as_that_is() -> None:
    assert ATTEMPTS.retention_ms >= DELIVERIES.retention_ms
    assert partitions_of(SETTINGS, ATTEMPTS) == partitions_of(SETTINGS, DELIVERIES)


def test_what_one_service_produces_the_next_one_can_fetch() -> None:
    assert EVENTS.message_bytes_max == BODY_BYTES_MAX
    assert BODY_BYTES_MAX + HEADER_ROOM_BYTES <= RECORD_BYTES_MAX
    assert all(topic.message_bytes_max == RECORD_BYTES_MAX for topic in TABLE if topic != EVENTS)
    assert RECORD_BYTES_MAX <= REQUEST_BYTES_MAX
    assert BATCH_BYTES_MAX < RECORD_BYTES_MAX
    assert RECORD_BYTES_MAX <= embedded.MESSAGE_BYTES_MAX


def test_parking_and_every_schedule_use_tiers_that_exist() -> None:
    delays = {tier.delay_ms for tier in SETTINGS.tiers.all}

    assert set(PARK_DELAYS_MS) <= delays
    assert list(PARK_DELAYS_MS) == sorted(PARK_DELAYS_MS)
    assert all(profile.schedule(SETTINGS.tiers) for profile in PROFILES)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_worker_that_stops_lets_its_slowest_request_finish(profile: Profile) -> None:
    assert profile.timeout_ms <= SETTINGS.drain_timeout_ms


def test_whoever_stops_a_service_waits_longer_than_it_drains() -> None:
    assert SETTINGS.drain_timeout_ms / 1000 + CLOSE_WITHIN_S < GRACE_S


def test_limits_leave_room_for_one_another() -> None:
    assert SETTINGS.lane_concurrency < SETTINGS.inflight_max < SETTINGS.open_records_max
    assert SETTINGS.open_bytes_max > RECORD_BYTES_MAX


def test_an_attempt_with_the_largest_answer_fits_its_topic() -> None:
    head_bytes = HEAD_BYTES_MAX * len(r"\u001f")  # each character of it escaped in JSON
    body_bytes = SETTINGS.response_body_bytes_max * 4 // 3  # base64

    assert head_bytes + body_bytes + HEADER_ROOM_BYTES < RECORD_BYTES_MAX


@pytest.mark.parametrize("text", ["", "1m,5s", "5s,5s", "5 s", "5"])
def test_tiers_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"tier|duration"):
        Tiers.parse(text)
