"""Segments of statistics that hold given attempts."""

from __future__ import annotations

from collections.abc import Iterable

from shared.models.attempts import Attempt
from shared.models.stats import MINUTE_MS, Counts, Key, Segment


def segment_of(
    attempts: Iterable[Attempt], *, partition: int = 0, era: int = 0, start: int = 0
) -> Segment:
    """Return the segment in which these attempts are the records from ``start`` on."""
    cells: dict[Key, Counts] = {}
    end = start
    for one in attempts:
        key = Key(one.workspace_id, one.endpoint_id, one.event_type, one.due_ms // MINUTE_MS)
        cells.setdefault(key, Counts()).count(one)
        end += 1
    return Segment(partition=partition, era=era, start=start, end=end, cells=tuple(cells.items()))
