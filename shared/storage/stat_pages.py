"""Pages of statistics: what a segment adds to which documents. Pure.

A series is what one asks about: a workspace or one endpoint. Of each there are pages of two
lengths: an hour in minutes, kept for two days, and a day in hours, kept as long as the log. A page
holds the same counts in three views: a cell for each bucket and event type in which something
happened (``CELLS``), for each bucket (``TOTALS``) and for each event type (``SUMS``). So a month of
a series is 31 documents, two hours minute by minute are 2 or 3, neither grows with the number of
deliveries, and who does not ask by event type does not read by event type.

The part of a page that comes from one partition of ``attempts`` is apart from the others: it has
one writer, and the offset up to which it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from shared.models.stats import DAY_MS, HOUR_MS, MINUTE_MS, Cells, Counts, Segment


class Length(NamedTuple):
    """A length of the pages that are stored: ``page_ms`` in buckets of ``bucket_ms``.

    ``code`` is its name in ids.
    """

    code: str
    bucket_ms: int
    page_ms: int


MINUTES: Final = Length("m", MINUTE_MS, HOUR_MS)
HOURS: Final = Length("h", HOUR_MS, DAY_MS)
LENGTHS: Final = (MINUTES, HOURS)

CELLS: Final = "cells"
TOTALS: Final = "totals"
SUMS: Final = "sums"
VIEWS: Final = (CELLS, TOTALS, SUMS)
ALL_TYPES: Final = ""  # in the place of an event type: not the name of any


class PageKey(NamedTuple):
    """One page: of which series, and when it begins."""

    series: str
    length: Length
    start_ms: int

    @property
    def id(self) -> str:
        """Return the document's id."""
        return f"{self.series}:{self.length.code}:{self.start_ms // 1000:x}"

    @property
    def end_ms(self) -> int:
        """Return when it ends."""
        return self.start_ms + self.length.page_ms


class Addition(NamedTuple):
    """What a segment adds to one page, in each view of it."""

    workspace_id: str
    views: Mapping[str, Cells]


_packer = msgspec.msgpack.Encoder()
_unpacker = msgspec.msgpack.Decoder(dict[int, msgspec.Raw])
_types_unpacker = msgspec.msgpack.Decoder(dict[str, Counts])


def additions(segment: Segment) -> dict[PageKey, Addition]:
    """Return what the segment adds to each page; the same segment adds the same."""
    pages: dict[PageKey, Addition] = {}
    for (workspace_id, endpoint_id, event_type, minute), counts in segment.cells:
        time_ms = minute * MINUTE_MS
        for length in LENGTHS:
            bucket_ms = time_ms // length.bucket_ms * length.bucket_ms
            start_ms = time_ms // length.page_ms * length.page_ms
            for series in (workspace_id, endpoint_id):
                key = PageKey(series, length, start_ms)
                page = pages.get(key)
                if page is None:
                    page = pages[key] = Addition(workspace_id, {view: {} for view in VIEWS})
                put(page.views[CELLS], bucket_ms, event_type, counts)
                put(page.views[TOTALS], bucket_ms, ALL_TYPES, counts)
                put(page.views[SUMS], start_ms, event_type, counts)
    return pages


def put(cells: Cells, bucket_ms: int, event_type: str, counts: Counts) -> None:
    """Add counts to a cell."""
    cells.setdefault(bucket_ms, {}).setdefault(event_type, Counts()).add(counts)


def added(packed: bytes | None, cells: Cells) -> bytes:
    """Return packed cells with more in them. What these do not touch is not unpacked."""
    buckets = {} if packed is None else _unpacker.decode(packed)
    for bucket_ms, types in cells.items():
        raw = buckets.get(bucket_ms)
        whole = {bucket_ms: {} if raw is None else _types_unpacker.decode(raw)}
        for event_type, counts in types.items():
            put(whole, bucket_ms, event_type, counts)
        buckets[bucket_ms] = msgspec.Raw(_packer.encode(whole[bucket_ms]))
    return _packer.encode(buckets)


def absorb(cells: Cells, packed: bytes, since_ms: int, until_ms: int) -> None:
    """Add the packed cells whose buckets begin in this time to ``cells``."""
    for bucket_ms, raw in _unpacker.decode(packed).items():
        if since_ms <= bucket_ms < until_ms:
            types = _types_unpacker.decode(raw)
            there = cells.setdefault(bucket_ms, types)
            if there is not types:
                for event_type, counts in types.items():
                    known = there.setdefault(event_type, counts)
                    if known is not counts:
                        known.add(counts)


def keys_of(series: str, length: Length, since_ms: int, until_ms: int) -> Iterator[PageKey]:
    """Yield the pages of a series that hold something from ``since_ms`` on, before ``until_ms``."""
    first_ms = since_ms // length.page_ms * length.page_ms
    for start_ms in range(first_ms, until_ms, length.page_ms):
        yield PageKey(series, length, start_ms)
