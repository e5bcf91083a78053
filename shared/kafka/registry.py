"""Reading the compacted ``endpoints`` topic into memory, and knowing how fresh the view is.

``start`` returns when the topic has been read up to the end it had at that moment; a task then
follows it. ``catch_up`` is the read barrier (invariant 7, "the first event counts"): it asks the
broker for the topic's end and returns when the view has reached it, so that whatever a create or
update call had acknowledged before is in the view. The question goes over a connection of its own:
Kafka answers one connection in order, and a fetch that waits for data would hold it up.

An outage of the broker is waited out. A record that is no state is logged and passed over: one bad
record must not stop matching.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.kafka import refusals
from shared.kafka.cluster import Cluster
from shared.kafka.connect import connected

PARTITION: Final = 0  # the topic has one partition: one end to wait for
RETRY_AFTER_S: Final = 0.2
FETCH_WAIT_MS: Final = 500

_log = structlog.get_logger("registry")


class View(Protocol):
    """What takes the records: ``shared.policy.matching.Registry``."""

    def apply(self, key: str, value: bytes | None) -> None:
        """Take over one record."""


class RegistryReader:
    """Follows the topic and feeds a view. Cancel-safe: a cancelled wait changes nothing."""

    def __init__(self, *, cluster: Cluster, topic: str, view: View, client_id: str) -> None:
        self._cluster = cluster
        self._client_id = client_id
        self._partition = TopicPartition(topic, PARTITION)
        self._view = view
        self._position = 0
        self._moved = asyncio.Condition()
        self._reader: AIOKafkaConsumer | None = None
        self._prober: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and read the topic up to its present end."""
        self._reader = await self._connect("reader")
        self._prober = await self._connect("prober")
        self._reader.assign([self._partition])
        await self._reader.seek_to_beginning(self._partition)
        self._task = asyncio.create_task(self._follow(self._reader))
        await self.catch_up()

    async def stop(self) -> None:
        """Stop following and disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        for consumer in (self._reader, self._prober):
            if consumer is not None:
                await consumer.stop()

    async def catch_up(self) -> None:
        """Return when the view holds everything that was acknowledged before this call.

        Raises what has ended the reading, should it have ended.
        """
        end = await self._end()
        task = self._task
        if self._position >= end or task is None:
            return
        async with self._moved:
            await self._moved.wait_for(lambda: self._position >= end or task.done())
        if self._position < end:
            task.result()  # nobody follows the topic any more: let it be known why

    async def _end(self) -> int:
        assert self._prober is not None
        while True:
            try:
                ends = await self._prober.end_offsets([self._partition])
            except KafkaError as error:
                refusals.tell(error)
                _log.warning("barrier_waits", error=repr(error))
                await asyncio.sleep(RETRY_AFTER_S)
            else:
                return int(ends[self._partition])

    async def _follow(self, reader: AIOKafkaConsumer) -> None:
        try:
            while True:
                try:
                    await self._read_once(reader)
                except KafkaError as error:
                    refusals.tell(error)
                    _log.warning("registry_waits", error=repr(error))
                    await asyncio.sleep(RETRY_AFTER_S)
        finally:
            async with self._moved:  # whoever waits must not wait for a task that has ended
                self._moved.notify_all()

    async def _read_once(self, reader: AIOKafkaConsumer) -> None:
        fetched = await reader.getmany(timeout_ms=FETCH_WAIT_MS, max_records=10_000)
        for record in fetched.get(self._partition, ()):
            self._apply(record.key, record.value)
        self._position = await reader.position(self._partition)
        async with self._moved:
            self._moved.notify_all()

    def _apply(self, key: bytes | None, value: bytes | None) -> None:
        try:
            self._view.apply((key or b"").decode(), value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.error("registry_record_unreadable", key=repr(key), error=str(error))

    async def _connect(self, role: str) -> AIOKafkaConsumer:
        return await connected(
            lambda: AIOKafkaConsumer(
                **self._cluster.client,
                client_id=f"{self._client_id}-{role}",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=FETCH_WAIT_MS,
                metadata_max_age_ms=30_000,
            )
        )
