"""Stored statistics and Kafka's ``attempts`` in memory; whoever calls may crash between any two."""

from collections.abc import AsyncIterator, Callable, Sequence

from aiokafka import TopicPartition

from shared.models.stats import Cells, Counts, Segment, decode_segment, encode_segment
from shared.storage.chunks import Logged
from shared.storage.stat_pages import (
    ALL_TYPES,
    CELLS,
    LENGTHS,
    SUMS,
    TOTALS,
    VIEWS,
    Length,
    absorb,
    added,
    additions,
)

FAR_MS = 1 << 60
Totals = dict[tuple[str, str, int], Counts]
"""Counts by series, event type and the start of a bucket."""


class Ledger:
    """Segments and pages; ``happens`` is called before and after each change."""

    def __init__(self, happens: Callable[[], None] = lambda: None) -> None:
        self._happens = happens
        self.segments: dict[int, bytes] = {}
        self.parts: dict[
            tuple[str, Length, int, tuple[int, int]], tuple[int, dict[str, bytes]]
        ] = {}
        self.topic: Sequence[Logged] = ()

    async def last(self, partition: int) -> Segment | None:
        self._happens()
        value = self.segments.get(partition)
        return None if value is None else decode_segment(value)

    async def cut(self, cuts: Sequence[tuple[Segment | None, Segment]]) -> list[bool]:
        return [self._cut(previous, segment) for previous, segment in cuts]

    def _cut(self, previous: Segment | None, segment: Segment) -> bool:
        self._happens()
        stored = self.segments.get(segment.partition)
        if stored == (None if previous is None else encode_segment(previous)):
            self.segments[segment.partition] = encode_segment(segment)
        self._happens()
        return self.segments[segment.partition] == encode_segment(segment)

    async def write(self, segments: Sequence[Segment]) -> int:
        return sum(self._write(segment) for segment in segments)

    def _write(self, segment: Segment) -> int:
        written = 0
        for key, addition in additions(segment).items():
            place = (*key, (segment.partition, segment.era))
            end, stored = self.parts.get(place, (-1, dict.fromkeys(VIEWS, added(None, {}))))
            self._happens()
            if end < segment.end:
                new = {view: added(stored[view], cells) for view, cells in addition.views.items()}
                self.parts[place] = segment.end, new
                written += 1
            self._happens()
        return written

    async def between(
        self,
        tp: TopicPartition,  # noqa: ARG002 - there is one
        start: int,
        end: int,
    ) -> AsyncIterator[Sequence[Logged]]:
        self._happens()
        for one in self.topic:
            if start <= one.offset < end:
                yield [one]

    def totals(self, length: Length, view: str) -> Totals:
        """Return all that is stored in pages of this length, in one view."""
        totals: Totals = {}
        for (series, its_length, _, _), (_, views) in self.parts.items():
            if its_length == length:
                _add(totals, series, views[view])
        return totals


def _add(totals: Totals, series: str, packed: bytes) -> None:
    cells: Cells = {}
    absorb(cells, packed, 0, FAR_MS)
    for bucket_ms, types in cells.items():
        for event_type, counts in types.items():
            totals.setdefault((series, event_type, bucket_ms), Counts()).add(counts)


def totals_of(reads: Sequence[Logged], length_ms: int) -> Totals:
    """Return what these attempts come to in buckets of this length, counted one by one."""
    totals: Totals = {}
    for one in reads:
        attempt = one.attempt
        bucket_ms = attempt.due_ms // length_ms * length_ms
        for series in (attempt.workspace_id, attempt.endpoint_id):
            totals.setdefault((series, attempt.event_type, bucket_ms), Counts()).count(attempt)
    return totals


def _of_all_types(totals: Totals) -> Totals:
    summed: Totals = {}
    for (series, _, bucket_ms), counts in totals.items():
        summed.setdefault((series, ALL_TYPES, bucket_ms), Counts()).add(counts)
    return summed


def check(ledger: Ledger, reads: Sequence[Logged]) -> None:
    """Assert that the ledger holds exactly these attempts, each once."""
    for length in LENGTHS:
        cells = totals_of(reads, length.bucket_ms)
        assert ledger.totals(length, CELLS) == cells
        assert ledger.totals(length, TOTALS) == _of_all_types(cells)
        assert ledger.totals(length, SUMS) == totals_of(reads, length.page_ms)
