"""Statistics of what was attempted: counted in memory, written in segments, each record once.

The records of a partition are cut into segments without gaps. Where a segment ends is decided
once: it is stored, with its counts, in the place of the one before it, and only then written into
pages, which take no notice of a segment that they have. Whoever takes a partition over writes the
segment that was cut last once more and counts on from its end: from Kafka what was read and not
cut, and then its own batches, passing over what is in the segment. So the same records, however
they are repeated and cut into batches, make the same numbers.

Offsets are committed without waiting for this: a crash costs reading at most what came in
``AGE_S_MAX`` again. Must not import adapters: they come in as ports.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol

import structlog
from aiokafka import TopicPartition

from services.recorder import metrics
from services.recorder.patience import patiently
from shared.models.ids import ID_LENGTH_MAX
from shared.models.stats import MINUTE_MS, Counts, Key, Segment
from shared.storage.chunks import Logged

AGE_S_MIN: Final = 30.0
AGE_S_MAX: Final = 60.0
CELL_S: Final = 0.1
"""Segments are cut after this time for each cell in them: writing one costs the database about
half a millisecond, so it spends less than a hundredth of its time on it."""

RECORDS_MAX: Final = 100_000  # read again in seconds
CELLS_MAX: Final = 8_000
"""Of one partition: a segment is one document, which may have 16 MB, and a cell 1 KB at most."""

TYPE_LENGTH_MAX: Final = 600  # more than any profile allows

_log = structlog.get_logger("recorder")


class Ledger(Protocol):
    """The stored statistics. Its calls may raise Outage and be repeated then."""

    async def last(self, partition: int) -> Segment | None:
        """Return the segment of a partition that was cut last."""

    async def cut(self, cuts: Sequence[tuple[Segment | None, Segment]]) -> list[bool]:
        """Put each segment in the place of the one before it; False: somebody else was first."""

    async def write(self, segments: Sequence[Segment]) -> int:
        """Write segments that were cut; returns how many pages lacked some."""


class History(Protocol):
    """``attempts``, read from any place. Iterating may raise Outage."""

    def between(self, tp: TopicPartition, start: int, end: int) -> AsyncIterator[Sequence[Logged]]:
        """Yield the attempts from the offset ``start`` up to ``end`` that Kafka still has."""


class _Partition:
    """What was counted of a partition behind ``last``, its last segment; ``next`` comes next."""

    def __init__(self, last: Segment) -> None:
        self.last = last
        self.next = last.end
        self.newest: Logged | None = None
        self.cells: dict[tuple[str, str, str, int], Counts] = {}  # a Key costs more

    def count(self, reads: Sequence[Logged]) -> int:
        """Count what was not counted yet; returns how many records that were."""
        fresh = 0
        cells = self.cells
        for one in reads:
            if one.offset < self.next:
                continue
            attempt = one.attempt
            minute = attempt.due_ms // MINUTE_MS
            key = (attempt.workspace_id, attempt.endpoint_id, attempt.event_type, minute)
            counts = cells.get(key)
            if counts is None:
                counts = cells[key] = Counts()
            counts.count(attempt)
            fresh += 1
            self.next = one.offset + 1
            self.newest = one
        return fresh

    def segment(self) -> Segment | None:
        """Return what was counted as the next segment, None for nothing."""
        if self.newest is None:
            return None
        cells = [(Key(*cell), counts) for cell, counts in self.cells.items()]
        return Segment(
            partition=self.last.partition,
            era=self.last.era,
            start=self.last.end,
            end=self.next,
            last_id=self.newest.attempt.delivery_id(),
            cells=tuple(cell for cell in cells if _is_ours(cell[0])),
        )


class Statistics:
    """Counts batches; ``flush`` when ``is_due``, and before the end."""

    def __init__(self, *, ledger: Ledger, history: History) -> None:
        self._ledger = ledger
        self._history = history
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._records = 0
        self._since_s: float | None = None

    def release(self) -> None:
        """Forget what is known of the partitions: somebody else may count on from here."""
        self._partitions.clear()
        self._records, self._since_s = 0, None

    def unopened(self, assigned: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Return the partitions of which it is not known what was counted."""
        return [tp for tp in assigned if tp not in self._partitions]

    async def count(self, tp: TopicPartition, first_offset: int, reads: Sequence[Logged]) -> None:
        """Count a partition's part of a batch that begins at ``first_offset``.

        The first call for a partition also counts what was committed before and is not stored.
        """
        partition = self._partitions.get(tp)
        if partition is None or first_offset < partition.next:
            partition = await patiently(lambda: self._opened(tp, first_offset))
            self._partitions[tp] = partition
        self._take_note(partition.count(reads))

    def is_due(self) -> bool:
        """Return whether what was counted should be written by now."""
        if self._since_s is None:
            return False
        cells = [len(partition.cells) for partition in self._partitions.values()]
        age_s = asyncio.get_running_loop().time() - self._since_s
        return is_due(records=self._records, cells=cells, age_s=age_s)

    async def flush(self) -> None:
        """Write what was counted. Cancelled, it leaves things that the next reader finds."""
        cut: dict[TopicPartition, tuple[Segment, Segment]] = {}
        for tp, partition in self._partitions.items():
            segment = partition.segment()
            if segment is not None:
                cut[tp] = partition.last, segment
        if cut:
            stand = await patiently(lambda: self._ledger.cut(list(cut.values())))
            await self._go_on(dict(zip(cut, stand, strict=True)), cut)
        self._records, self._since_s = 0, None

    async def _go_on(
        self,
        stand: Mapping[TopicPartition, bool],
        cut: Mapping[TopicPartition, tuple[Segment, Segment]],
    ) -> None:
        """Write what was cut by us; forget partitions in which somebody else was first."""
        ours = [segment for tp, (_, segment) in cut.items() if stand[tp]]
        await patiently(lambda: self._write(ours))
        for tp, (_, segment) in cut.items():
            if stand[tp]:
                self._partitions[tp] = _Partition(segment)
            else:
                _log.info("statistics_are_counted_by_another", partition=tp.partition)
                del self._partitions[tp]

    async def _opened(self, tp: TopicPartition, first_offset: int) -> _Partition:
        """Return the partition with everything counted before ``first_offset``."""
        last = await self._ledger.last(tp.partition)
        if last is not None:
            await self._write([last])
        if last is None or (last.end > first_offset and not await self._is_of_this_life(tp, last)):
            era = 0 if last is None else last.era + 1
            anew = Segment(partition=tp.partition, era=era, start=first_offset, end=first_offset)
            if not all(await self._ledger.cut([(last, anew)])):
                return await self._opened(tp, first_offset)
            last = anew
        partition = _Partition(last)
        async for reads in self._history.between(tp, last.end, first_offset):
            self._take_note(partition.count(reads))
        return partition

    async def _is_of_this_life(self, tp: TopicPartition, last: Segment) -> bool:
        """Return whether the record before the segment's end is the one that was counted.

        It is not when the topic was deleted and created again: then all is to be counted.
        """
        if last.start == last.end:
            return False
        found = self._history.between(tp, last.end - 1, last.end)
        ids = [one.attempt.delivery_id() async for reads in found for one in reads]
        return ids == [last.last_id]

    async def _write(self, segments: Sequence[Segment]) -> None:
        metrics.STATS_PAGES.inc(await self._ledger.write(segments))

    def _take_note(self, records: int) -> None:
        if records and self._since_s is None:
            self._since_s = asyncio.get_running_loop().time()
        self._records += records


def is_due(*, records: int, cells: Collection[int], age_s: float) -> bool:
    """Return whether so much, of which the oldest is so old, is to be written. Pure.

    ``cells`` are those of each partition.
    """
    patience_s = min(max(AGE_S_MIN, sum(cells) * CELL_S), AGE_S_MAX)
    return age_s >= patience_s or records >= RECORDS_MAX or max(cells, default=0) >= CELLS_MAX


def _is_ours(key: Key) -> bool:
    """Return whether a key may be one of ours; foreign records must not stop the stream."""
    ids = (key.workspace_id, key.endpoint_id)
    return max(map(len, ids)) <= ID_LENGTH_MAX and len(key.event_type) <= TYPE_LENGTH_MAX
