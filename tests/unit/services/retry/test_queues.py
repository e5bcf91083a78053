"""What is held in memory, what is read on, and what counts as a delivery."""

from typing import Any

import pytest
from aiokafka import TopicPartition

from services.retry.queues import HELD_BYTES_MAX, HELD_RECORDS_MAX, POLL_RECORDS_MIN, Queues
from shared.kafka.salvage import DAMAGED_HEADER
from shared.models.deliveries import META_HEADER, encode_meta
from shared.topics import RECORD_BYTES_MAX, Tiers
from tests.unit.services.retry.kit import NOON_MS, delivery, meta, record

TIERS = {tier.topic: tier for tier in Tiers.parse("5s,1m").all}
SHORT, LONG = TopicPartition("retry.5s", 0), TopicPartition("retry.1m", 3)


def test_a_parked_delivery_waits_until_its_lane_may_have_room() -> None:
    queues = Queues(TIERS)
    queues.take({SHORT: [delivery(SHORT, 0, NOON_MS, not_before_ms=NOON_MS + 5_000)]}, NOON_MS)

    assert [held.due_ms for held in queues.by_partition[SHORT]] == [NOON_MS + 5_000]


@pytest.mark.parametrize(
    ("headers", "given", "reason"),
    [
        ([], {}, "no metadata"),
        ([(META_HEADER, b"\xc1")], {}, "cannot be read"),
        ([(META_HEADER, b"")], {}, "cannot be read"),
        ([(META_HEADER, None)], {}, "cannot be read"),
        ([(META_HEADER, encode_meta(meta(1)))], {"key": None}, "no key"),
        ([(META_HEADER, encode_meta(meta(1)))], {"value": None}, "or no value"),
        ([(DAMAGED_HEADER, b"offsets 1 to 9")], {"key": None, "value": None}, "no metadata"),
    ],
)
def test_a_record_that_is_no_delivery_is_due_at_once_and_says_why(
    headers: list[tuple[str, Any]], given: dict[str, Any], reason: str
) -> None:
    queues = Queues(TIERS)
    queues.take({SHORT: [record(SHORT, 0, headers, **given)]}, NOON_MS)

    (held,) = queues.by_partition[SHORT]
    assert held.due_ms == 0
    assert reason in (held.poison or "")


def test_a_full_queue_is_not_read_on() -> None:
    queues = Queues(TIERS)
    assert queues.with_room([SHORT, LONG]) is None

    queues.take({LONG: [delivery(LONG, n, NOON_MS) for n in range(HELD_RECORDS_MAX)]}, NOON_MS)
    assert queues.with_room([SHORT, LONG]) == [SHORT]

    queues.drop(LONG, 1)
    assert queues.with_room([SHORT, LONG]) is None


def test_large_records_fill_a_queue_sooner() -> None:
    queues = Queues(TIERS)
    large = b"x" * (HELD_BYTES_MAX // 2)
    queues.take({LONG: [delivery(LONG, 0, NOON_MS, value=large)]}, NOON_MS)

    assert queues.with_room([SHORT, LONG]) == [SHORT]
    assert queues.room_records() < HELD_BYTES_MAX // 2 // RECORD_BYTES_MAX + 1

    queues.take({SHORT: [delivery(SHORT, 0, NOON_MS, value=large)]}, NOON_MS)
    assert queues.with_room([SHORT, LONG]) == []
    assert queues.room_records() == POLL_RECORDS_MIN

    queues.drop(SHORT, 1)
    queues.drop(LONG, 1)
    assert queues.with_room([SHORT, LONG]) is None
    assert queues.room_records() == Queues(TIERS).room_records()


def test_the_numbers_of_a_tier_count_what_is_late_and_what_is_not_read_yet() -> None:
    queues = Queues(TIERS)
    due = [NOON_MS - 700, NOON_MS - 200, NOON_MS + 900]
    records = [delivery(SHORT, offset, due_ms) for offset, due_ms in enumerate(due)]
    queues.take({SHORT: records}, NOON_MS - 1_000)

    short, long = queues.states(NOON_MS, {SHORT: 10, LONG: 0}).values()
    assert short == (700, 2, 10)
    assert long == (0, 0, 0)
