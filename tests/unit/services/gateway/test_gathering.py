"""The group commit: gathered while one is on its way, each call answered for itself."""

import asyncio
from collections.abc import Sequence

import pytest

from services.gateway.gathering import RECORDS_MAX, Gatherer
from shared.kafka.publisher import Position, Record
from shared.models.errors import Outage

LONG_MS = 10_000


class Broker:
    """Acknowledges what it was given when its gate is open."""

    def __init__(self) -> None:
        self.calls: list[list[bytes | None]] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None
        self.offset = 0

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        self.calls.append([record.value for record in records])
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        first, self.offset = self.offset, self.offset + len(records)
        return [Position(0, first + step) for step in range(len(records))]


def records(*values: bytes) -> list[Record]:
    return [Record("events", b"ws_a", value) for value in values]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_idle_gatherer_publishes_at_once() -> None:
    broker = Broker()
    broker.gate.set()

    assert await Gatherer(broker).publish_within(records(b"a"), LONG_MS) == [Position(0, 0)]


async def test_what_comes_while_one_is_on_its_way_goes_out_together() -> None:
    broker = Broker()
    gatherer = Gatherer(broker)
    calls = [
        asyncio.create_task(gatherer.publish_within(records(*values), LONG_MS))
        for values in ((b"a",), (b"b", b"c"), (b"d",))
    ]
    await settled()
    assert broker.calls == [[b"a", b"b", b"c", b"d"]]
    later = [
        asyncio.create_task(gatherer.publish_within(records(value), LONG_MS))
        for value in (b"e", b"f")
    ]
    await settled()
    assert len(broker.calls) == 1
    broker.gate.set()

    answers = await asyncio.gather(*calls, *later)

    assert broker.calls[1:] == [[b"e", b"f"]]
    offsets = [[position.offset for position in answer] for answer in answers]
    assert offsets == [[0], [1, 2], [3], [4], [5]]


async def test_a_call_that_gave_up_is_taken_back_if_it_was_not_on_its_way() -> None:
    broker = Broker()
    gatherer = Gatherer(broker)
    first = asyncio.create_task(gatherer.publish_within(records(b"a"), LONG_MS))
    await settled()
    with pytest.raises(Outage, match="within 1 ms"):
        await gatherer.publish_within(records(b"b"), 1)
    last = asyncio.create_task(gatherer.publish_within(records(b"c"), LONG_MS))
    await settled()
    broker.gate.set()

    assert await first == [Position(0, 0)]
    assert await last == [Position(0, 1)]
    assert broker.calls == [[b"a"], [b"c"]]


async def test_a_failure_reaches_every_call_it_belongs_to_and_no_other() -> None:
    broker = Broker()
    gatherer = Gatherer(broker)
    broker.failure = ValueError("refused")
    failing = [
        asyncio.create_task(gatherer.publish_within(records(value), LONG_MS))
        for value in (b"a", b"b")
    ]
    await settled()
    broker.gate.set()
    results = await asyncio.gather(*failing, return_exceptions=True)
    broker.failure = None

    assert [str(result) for result in results] == ["refused", "refused"]
    assert await gatherer.publish_within(records(b"c"), LONG_MS) == [Position(0, 0)]


async def test_one_publication_is_bounded() -> None:
    broker = Broker()
    gatherer = Gatherer(broker)
    many = [b"x"] * (RECORDS_MAX - 1)
    calls = [
        asyncio.create_task(gatherer.publish_within(records(*values), LONG_MS))
        for values in (many, [b"y", b"y"], [b"z"])
    ]
    await settled()
    broker.gate.set()
    await asyncio.gather(*calls)

    assert [len(call) for call in broker.calls] == [RECORDS_MAX + 1, 1]


async def test_stopping_leaves_no_task_behind() -> None:
    broker = Broker()
    gatherer = Gatherer(broker)
    with pytest.raises(Outage):
        await gatherer.publish_within(records(b"a"), 1)
    await gatherer.stop()

    assert len(asyncio.all_tasks()) == 1
