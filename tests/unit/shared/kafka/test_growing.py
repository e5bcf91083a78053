"""What has to grow, and in which order."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from shared.config import Settings
from shared.kafka.admin import counts_of
from shared.kafka.growing import GrowthError, Step, plan
from shared.topics import ENDPOINTS

PREFIX = "ours."


def settings(partitions: int) -> Settings:
    return Settings(topic_prefix=PREFIX, partitions=partitions, retry_tiers="1s,1m")


def existing(partitions: int, **but: int) -> dict[str, int]:
    """Return the counts of a deployment with so many partitions; ``but`` by the table's names."""
    return counts_of(settings(partitions)) | {PREFIX + name: count for name, count in but.items()}


def steps_to(partitions: int, found: Mapping[str, int]) -> list[Step]:
    return plan(settings(partitions), existing(partitions), found)


def test_the_journal_grows_first_and_deliveries_last() -> None:
    steps = steps_to(24, existing(12))

    assert steps[0] == Step("ours.attempts", 24)
    assert steps[-1] == Step("ours.deliveries", 24)
    assert {step.topic: step.partitions for step in steps[1:-1]} == {
        "ours.events": 24,
        "ours.events.rejected": 24,
        "ours.deliveries.dead": 24,
        "ours.retry.1s": 6,
        "ours.retry.1m": 6,
    }


def test_the_registry_has_one_partition_for_ever() -> None:
    assert PREFIX + ENDPOINTS.name not in [step.topic for step in steps_to(24, existing(12))]


def test_a_growth_that_was_cut_short_is_gone_on_with() -> None:
    half = {**existing(12), "ours.attempts": 24, "ours.events": 24}
    rest = [step.topic for step in steps_to(24, half)]

    assert rest[-1] == "ours.deliveries"
    assert not {"ours.attempts", "ours.events"} & set(rest)


def test_what_has_grown_is_left() -> None:
    assert steps_to(24, existing(24)) == []
    assert [step.topic for step in steps_to(13, existing(12, attempts=13))] == [
        "ours.events",
        "ours.events.rejected",
        "ours.deliveries.dead",
        "ours.deliveries",  # a quarter of 13 is that of 12: tiers stay
    ]


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (existing(24), "topic 'ours.attempts' has 24 partitions, not 12: Kafka can add"),
        (existing(8, endpoints=2), "topic 'ours.endpoints' has 2 partitions, not 1"),
        ({}, "topic 'ours.attempts' does not exist: create the topics first"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    found: Mapping[str, int], complaint: str
) -> None:
    with pytest.raises(GrowthError, match=complaint):
        steps_to(12, found)
