"""How far a consumer is behind, and that somebody goes on asking."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaError

from shared.kafka import lag
from shared.kafka.lag import behind, keep_telling


def test_what_is_behind_is_what_is_not_finished_of_the_partitions_at_hand() -> None:
    assert behind({"a": 10, "b": 5, "given up": 99}, {"a": 7, "b": 5, "new": 3}) == 3


def test_a_partition_whose_records_have_expired_is_not_behind_less_than_nothing() -> None:
    assert behind({"a": 3}, {"a": 7}) == 0


async def test_an_outage_and_not_knowing_keep_the_last_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lag, "EVERY_S", 0.0)
    answers: list[int | Exception | None] = [4, KafkaError("away"), None, TimeoutError(), 2]
    told: list[int] = []
    done = asyncio.Event()

    async def read() -> int | None:
        if not answers:
            done.set()
            return None
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    telling = asyncio.create_task(keep_telling(read, told.append))
    await asyncio.wait_for(done.wait(), 20)
    telling.cancel()

    assert told == [4, 2]
