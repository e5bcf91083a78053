"""Publishing what many requests have at the same time as one: the group commit of the gateway.

An idempotent producer has one batch of a partition on its way at a time, and the events of a
workspace share a partition; so requests that published each for itself would queue behind one
another's acknowledgement. Here, while one publication is on its way, whatever comes next gathers
and goes out together. An idle gateway waits for nothing: the first request goes out at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from shared.kafka.publisher import Position, Record
from shared.models.errors import Outage

RECORDS_MAX: Final = 5_000
"""How many records one publication may have before the next one is begun."""


class Publisher(Protocol):
    """Publishes records, waiting for as long as it takes."""

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        """Return when the broker has acknowledged all records."""


class _Waiting(NamedTuple):
    """A call that waits for its records' acknowledgement."""

    records: Sequence[Record]
    done: asyncio.Future[list[Position]]


class Gatherer:
    """A sink for many callers at once; the records of one call stay in order.

    Cancelling a call, or the end of its time, takes its records back unless they are on their way
    already; then they may still arrive. What waits is bounded by the requests in flight.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    async def publish_within(self, records: Sequence[Record], timeout_ms: int) -> list[Position]:
        """Return the records' positions when the broker has acknowledged them; raises Outage."""
        done: asyncio.Future[list[Position]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(records, done))
        if self._task is None:
            self._task = asyncio.create_task(self._publish_waiting())
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                return await done
        except TimeoutError:
            raise Outage(f"Kafka did not acknowledge within {timeout_ms} ms") from None

    async def stop(self) -> None:
        """Give up what is on its way; every call must have returned."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _publish_waiting(self) -> None:
        """Publish until nobody waits."""
        try:
            while taken := self._take():
                await self._publish(taken)
        finally:
            self._task = None

    def _take(self) -> list[_Waiting]:
        """Return the calls whose records go out together; those that gave up are passed over."""
        taken: list[_Waiting] = []
        count = 0
        while self._waiting and count < RECORDS_MAX:
            waiting = self._waiting.popleft()
            if not waiting.done.done():
                taken.append(waiting)
                count += len(waiting.records)
        return taken

    async def _publish(self, taken: Sequence[_Waiting]) -> None:
        try:
            positions = await self._publisher.publish(
                [record for waiting in taken for record in waiting.records]
            )
        except Exception as error:  # it belongs to the callers, each of them
            for waiting in taken:
                if not waiting.done.done():
                    waiting.done.set_exception(error)
            return
        start = 0
        for waiting in taken:
            end = start + len(waiting.records)
            if not waiting.done.done():
                waiting.done.set_result(positions[start:end])
            start = end
