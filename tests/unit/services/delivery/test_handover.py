"""A partition that is given up and comes back, however often: each delivery is sent exactly once.

Some deliveries are in the topic twice, as fan-out makes them after a crash. In a rebalance what is
in flight is answered first; what waits in its lane is given up, and read again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from services.delivery.partition import Commit, JournalEntry, Partition, journal_start
from shared.models.attempts import Finished
from tests.unit.services.delivery.builders import answered
from tests.unit.services.delivery.kit import Worker

STEPS: Final = ("read", "read", "read", "answer", "rebalance")


class Topic:
    """Reads a partition's records one by one; the number at an offset names its event."""

    def __init__(self, worker: Worker, events: list[int]) -> None:
        self._worker = worker
        self._events = events
        self._next = 0
        self._committed = Commit(0, "0")

    async def read(self) -> bool:
        """Read the next record, if there is one."""
        if self._next == len(self._events):
            return False
        event_id = f"evt_{self._events[self._next]}"
        self._next += 1
        await self._worker.read(self._next - 1, event_id=event_id)
        return True

    async def answer(self) -> bool:
        """Answer the oldest request in flight, if there is one."""
        if not self._worker.sender.waiting:
            return False
        self._worker.sender.answer(answered(200))
        return True

    async def rebalance(self) -> None:
        """Give the partition up as the consumer does, and take it over again."""
        worker, given = self._worker, self._worker.partition
        given.closing = True
        worker.engine.forget({given})
        while await self.answer():
            pass
        await worker.settle()
        self._committed = given.commit_due() or self._committed
        given.revoked = True
        memory, until = given.remembered()
        end = len(worker.sink.attempts)
        start = journal_start(self._committed.metadata, end, end - until)
        worker.partition = Partition(
            0,
            start=self._committed.offset,
            journal=[_entry(worker, offset) for offset in range(start, end)],
            journal_end=end,
            memory=memory,
        )
        self._next = self._committed.offset


def _entry(worker: Worker, offset: int) -> JournalEntry:
    made = worker.sink.attempts[offset]
    finished = Finished(
        made.endpoint_id, made.event_id, made.trigger, made.attempt, made.final, made.offset
    )
    return JournalEntry(offset, finished)


async def _play(events: list[int], steps: list[str]) -> None:
    worker = Worker()
    flusher = asyncio.create_task(worker.engine.run_outbox())
    topic = Topic(worker, events)
    for step in steps:
        await getattr(topic, step)()
    while await topic.read() or await topic.answer():
        pass
    await worker.settle()
    flusher.cancel()

    sent = Counter(attempt.event_id for attempt in worker.sink.attempts)
    assert sent == Counter({f"evt_{number}" for number in events})
    assert worker.committed() == len(events)


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(st.integers(0, 11), min_size=5, max_size=9),
    steps=st.lists(st.sampled_from(STEPS), min_size=6, max_size=20),
)
def test_each_delivery_is_sent_once_however_often_its_partition_comes_back(
    events: list[int], steps: list[str]
) -> None:
    asyncio.run(_play(events, steps))
