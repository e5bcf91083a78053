"""Statistics in MongoDB: pages that are written by segments, each segment once.

    stats_pages:    {_id: "<series>:<length>:<start>", workspace_id, expires_at,
                     ends: {<part>: offset}, cells: {<part>: <packed>}, totals: …, sums: …}
    stats_segments: {_id: partition, era, start, end, segment: <packed>}

A part is ``p<partition>_<era>``. ``stats_segments`` holds the segment of each partition that was
cut last. A segment is put there, in the place of its predecessor only, before it is written into
pages; so its borders stand whatever happens, and whoever goes on writes this one first, and then
cuts the next one where it ends. A page says for each partition up to which offset it is written and
takes no notice of a segment that is in it. ``docs/decisions/0019-statistics.md`` has the reasons.

Filters are ids alone, and conditions part of the update: the development server reads the whole
collection for any other filter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from bson.datetime_ms import DatetimeMS
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from shared.models.errors import Outage
from shared.models.stats import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    Cells,
    Reading,
    Segment,
    decode_segment,
    encode_segment,
)
from shared.storage.mongo.client import Document, Mongo, outages
from shared.storage.mongo.indexes import ASCENDING, Index
from shared.storage.stat_pages import (
    CELLS,
    HOURS,
    MINUTES,
    SUMS,
    TOTALS,
    VIEWS,
    Addition,
    Length,
    PageKey,
    absorb,
    added,
    additions,
    keys_of,
)

PAGES: Final = "stats_pages"
SEGMENTS: Final = "stats_segments"
PAGES_AT_ONCE: Final = 500

INDEXES: Final = (
    Index(
        collection=PAGES,
        keys=(("expires_at", ASCENDING),),
        serves="retention",
        options={"expireAfterSeconds": 0},
    ),
)


_NOTHING: Final[Document] = {"ends": {}, **{view: {} for view in VIEWS}}

Cut: TypeAlias = tuple[Segment | None, Segment]
"""A segment, after the one in whose place it comes; None for a partition's first."""


class _Part(NamedTuple):
    """What a segment that ends at ``end`` adds to a page."""

    end: int
    addition: Addition


class StatsStore:
    """What the recorder writes. Every call may raise Outage, and may be repeated then."""

    def __init__(self, mongo: Mongo, *, retention_days: int) -> None:
        self._pages = mongo.collection(PAGES)
        self._segments = mongo.collection(SEGMENTS)
        self._retention_ms = retention_days * DAY_MS

    async def last(self, partition: int) -> Segment | None:
        """Return the segment of a partition that was cut last; None before the first."""
        with outages():
            found = await self._segments.find_one({"_id": partition})
        return None if found is None else decode_segment(found["segment"])

    async def cut(self, cuts: Sequence[Cut]) -> list[bool]:
        """Put segments in the places of those before them; returns which of them stand there now.

        One that does not: somebody else has cut the partition meanwhile, which is theirs then.
        """
        with outages():
            await self._segments.bulk_write([_replacement(*cut) for cut in cuts], ordered=False)
            found = self._segments.find(
                {"_id": {"$in": [segment.partition for _, segment in cuts]}}, {"segment": 0}
            )
            standing = {_borders_in(one) async for one in found}
        return [_borders_of(segment) in standing for _, segment in cuts]

    async def write(self, segments: Sequence[Segment]) -> int:
        """Write segments that were cut into their pages; returns how many pages lacked some."""
        changes: dict[PageKey, dict[str, _Part]] = {}
        for segment in segments:
            name = f"p{segment.partition}_{segment.era}"
            for key, addition in additions(segment).items():
                changes.setdefault(key, {})[name] = _Part(segment.end, addition)
        written = 0
        keys = list(changes)
        for start in range(0, len(keys), PAGES_AT_ONCE):
            updates = await self._updates(
                {key: changes[key] for key in keys[start : start + PAGES_AT_ONCE]}
            )
            written += len(updates)
            if updates:
                await self._store(updates)
        return written

    async def _updates(self, changes: Mapping[PageKey, Mapping[str, _Part]]) -> list[UpdateOne]:
        """Return the updates of pages that lack something."""
        names = {name for parts in changes.values() for name in parts}
        with outages():
            found = self._pages.find(
                {"_id": {"$in": [key.id for key in changes]}},
                {f"{field}.{name}": 1 for field in _NOTHING for name in names},
            )
            stored: dict[str, Document] = {one["_id"]: one async for one in found}
        updates: list[UpdateOne] = []
        for key, parts in changes.items():
            there = stored.get(key.id, _NOTHING)
            missing = {
                name: part for name, part in parts.items() if there["ends"].get(name, -1) < part.end
            }
            if missing:
                updates.append(self._update(key, missing, there))
        return updates

    def _update(self, key: PageKey, parts: Mapping[str, _Part], there: Document) -> UpdateOne:
        """Return the update that leaves alone what is written as far already."""
        kept_ms = MINUTES_KEPT_MS if key.length is MINUTES else self._retention_ms
        values: Document = {"expires_at": DatetimeMS(key.end_ms + kept_ms)}
        for name, (end, addition) in parts.items():
            behind = {"$lt": [{"$ifNull": [f"$ends.{name}", -1]}, end]}
            new: Document = {f"ends.{name}": end}
            new |= {
                f"{view}.{name}": added(there[view].get(name), cells)
                for view, cells in addition.views.items()
            }
            values |= {place: {"$cond": [behind, one, f"${place}"]} for place, one in new.items()}
            values["workspace_id"] = {"$literal": addition.workspace_id}
        return UpdateOne({"_id": key.id}, [{"$set": values}], upsert=True)

    async def _store(self, updates: Sequence[UpdateOne]) -> None:
        try:
            with outages():
                await self._pages.bulk_write(list(updates), ordered=False)
        except BulkWriteError as error:
            codes = sorted({failure["code"] for failure in error.details["writeErrors"]})
            raise Outage(f"MongoDB did not take all statistics (codes {codes})") from error


def _replacement(previous: Segment | None, segment: Segment) -> UpdateOne:
    """Return the update that does nothing where ``previous`` does not stand."""
    before = (-1, -1) if previous is None else (previous.era, previous.end)
    stands: Document = {"$eq": [[_or_none("$era"), _or_none("$end")], list(before)]}
    values: Document = {
        "era": segment.era,
        "start": segment.start,
        "end": segment.end,
        "segment": encode_segment(segment),
    }
    chosen = {name: {"$cond": [stands, new, f"${name}"]} for name, new in values.items()}
    return UpdateOne({"_id": segment.partition}, [{"$set": chosen}], upsert=True)


def _or_none(field: str) -> Document:
    return {"$ifNull": [field, -1]}


def _borders_of(segment: Segment) -> tuple[int, ...]:
    """Return what tells a segment from others: between the same offsets are the same records."""
    return segment.partition, segment.era, segment.start, segment.end


def _borders_in(document: Document) -> tuple[int, ...]:
    return document["_id"], document["era"], document["start"], document["end"]


_KEPT_IN: Final[Mapping[int, Length]] = {MINUTE_MS: MINUTES, HOUR_MS: HOURS, DAY_MS: HOURS}


class StatsReader:
    """What the gateway reads. Every call may raise Outage."""

    def __init__(self, mongo: Mongo) -> None:
        self._pages = mongo.collection(PAGES)

    async def read(self, series: Collection[str], reading: Reading) -> dict[str, Cells]:
        """Return the cells of each series that are asked for."""
        bucket_ms, since_ms, until_ms, by_type = reading
        length = _KEPT_IN[bucket_ms]
        view = SUMS if bucket_ms == length.page_ms else CELLS if by_type else TOTALS
        wanted = {
            key.id: key.series for one in series for key in keys_of(one, length, since_ms, until_ms)
        }
        cells: dict[str, Cells] = {one: {} for one in series}
        ids = list(wanted)
        for start in range(0, len(ids), PAGES_AT_ONCE):
            some = ids[start : start + PAGES_AT_ONCE]
            with outages():
                found = self._pages.find({"_id": {"$in": some}}, {view: 1})
                documents: list[Document] = await found.to_list(None)
            for document in documents:
                whole = cells[wanted[document["_id"]]]
                for packed in document[view].values():
                    absorb(whole, packed, since_ms, until_ms)
        return cells
