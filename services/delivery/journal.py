"""Reading the tail of ``attempts`` when a partition is assigned: what is finished already.

The topic has the same partition numbers as ``deliveries``, and each of its records says which
delivery is finished by it. Reading from the offset kept in the commit's metadata gives everything
that was finished ahead of the committed offset, so that after a crash only requests which were in
flight are repeated; reading a little further back fills the memory of recent deliveries. Most
partitions come back in a rebalance to whom they were taken from: of those only what is new is read.

Nothing is sent while a journal is read, so how far back is bounded (``Depth``): repeats are what
fan-out or retry had published and not committed when it died, and that is seconds old while others
go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.delivery.memory import Memory
from services.delivery.partition import Depth, JournalEntry, Partition, Remembered, journal_start
from shared.kafka.cluster import Cluster
from shared.kafka.connect import connected
from shared.models.attempts import decode_finished

READ_WAIT_MS: Final = 200
RECORDS_AT_ONCE: Final = 1_000  # answers come in between

_log = structlog.get_logger("journal")


class Journal:
    """Opens partitions: what was committed, and what the journal says about the rest."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        group: str,
        deliveries: str,
        attempts: str,
        depth: Depth,
        now_ms: Callable[[], int],
    ) -> None:
        self._cluster = cluster
        self._group = group
        self._deliveries = deliveries
        self._attempts = attempts
        self._depth = depth
        self._now_ms = now_ms
        self._closing = AsyncExitStack()

    async def start(self) -> None:
        """Connect; waits for a broker that is away."""
        self._reader = await connected(
            lambda: AIOKafkaConsumer(
                **self._cluster.client,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
        )
        self._closing.push_async_callback(self._reader.stop)
        self._admin = AIOKafkaAdminClient(**self._cluster.client)
        await self._admin.start()
        self._closing.push_async_callback(self._admin.close)

    async def stop(self) -> None:
        """Disconnect."""
        await self._closing.aclose()

    async def open(
        self, numbers: set[int], remembered: Mapping[int, Remembered]
    ) -> dict[int, Partition]:
        """Return the state of newly assigned partitions by number."""
        if not numbers:
            return {}
        tps = {number: TopicPartition(self._attempts, number) for number in numbers}
        sources = {number: TopicPartition(self._deliveries, number) for number in numbers}
        recent_ms = self._now_ms() - self._depth.recent_ms
        committed, begins, recents, ends = await asyncio.gather(
            self._committed(numbers),
            self._reader.beginning_offsets(list(sources.values())),
            self._reader.offsets_for_times(dict.fromkeys(tps.values(), recent_ms)),
            self._reader.end_offsets(list(tps.values())),
        )
        known = {
            number: remembered.get(number) or Remembered(Memory(self._depth.most), 0)
            for number in numbers
        }
        starts = {}
        for number, (_, metadata) in committed.items():
            end, recent = ends[tps[number]], recents[tps[number]]
            depth = self._depth.records(0 if recent is None else end - recent.offset)
            unknown = min(depth, max(0, end - known[number].until))
            starts[tps[number]] = journal_start(metadata, end, unknown)
        entries = await self._read(starts, ends)
        return {
            number: Partition(
                number,
                start=max(committed[number][0], begins[sources[number]]),
                journal=entries[tps[number]],
                journal_end=ends[tps[number]],
                memory=known[number].memory,
            )
            for number in numbers
        }

    async def _committed(self, numbers: set[int]) -> dict[int, tuple[int, str]]:
        """Return the committed offset (-1: none) and its metadata of each partition."""
        tps = [TopicPartition(self._deliveries, number) for number in numbers]
        offsets = await self._admin.list_consumer_group_offsets(self._group, partitions=tps)
        if not offsets.keys() >= set(tps):  # the client passes over an error of the whole answer
            raise KafkaError("the group's coordinator does not know its offsets yet")
        return {tp.partition: (offsets[tp].offset, offsets[tp].metadata or "") for tp in tps}

    async def _read(
        self, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, list[JournalEntry]]:
        entries: dict[TopicPartition, list[JournalEntry]] = {tp: [] for tp in starts}
        waiting = {tp for tp, start in starts.items() if start < ends[tp]}
        self._reader.assign(list(waiting))
        for tp in waiting:
            self._reader.seek(tp, starts[tp])
        while waiting:
            fetched = await self._reader.getmany(
                timeout_ms=READ_WAIT_MS, max_records=RECORDS_AT_ONCE
            )
            for tp, records in fetched.items():
                entries[tp].extend(_entries(records))
            await asyncio.sleep(0)  # what is at hand is returned at once
            waiting = {tp for tp in waiting if await self._reader.position(tp) < ends[tp]}
        return entries


def _entries(records: list[object]) -> list[JournalEntry]:
    entries = []
    for record in records:
        try:
            finished = decode_finished(record.value or b"")  # type: ignore[attr-defined]
        except msgspec.DecodeError as error:
            _log.error("journal_record_unreadable", error=str(error))
            continue
        entries.append(JournalEntry(record.offset, finished))  # type: ignore[attr-defined]
    return entries
