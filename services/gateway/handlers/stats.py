"""Statistics of a window of time: how many attempts came to what, and how fast receivers answered.

They are counted when attempts are recorded, so an answer costs the same however many there were.
A window is widened to whole buckets; what it costs is bounded by how many buckets it has, times how
many groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, get_args

import msgspec

from services.gateway.auth import Caller
from services.gateway.choices import one_of
from services.gateway.handlers import endpoints
from services.gateway.handlers.deliveries import canonical_type
from services.gateway.ports import Ports
from services.gateway.times import time_of
from shared.models.errors import Invalid
from shared.models.stats import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    Cells,
    Counts,
    Reading,
    total,
)

Bucket = Literal["minute", "hour", "day"]
GroupBy = Literal["webhook_id", "event_type"]

BUCKET_MS: Final[Mapping[Bucket, int]] = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}
BY_MINUTES_MS: Final = 2 * HOUR_MS
BY_HOURS_MS: Final = 7 * DAY_MS
WINDOW_MS: Final[Mapping[Bucket | None, int]] = {
    None: DAY_MS,
    "minute": BY_MINUTES_MS,
    "hour": DAY_MS,
    "day": 30 * DAY_MS,
}
"""How long a window is when nobody says when it begins, by its bucket."""

BUCKETS_MAX: Final = 400  # six hours of minutes, a fortnight of hours, a year of days
POINTS_MAX: Final = 5_000  # as many of all groups together


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; times are RFC 3339."""

    since: str | None = None
    until: str | None = None
    bucket: str | None = None
    group_by: str | None = None
    webhook_id: str | None = None
    event_type: str | None = None


class Window(msgspec.Struct, frozen=True):
    """Whole buckets of time, from ``since_ms`` on, before ``until_ms``."""

    bucket: Bucket
    since_ms: int
    until_ms: int

    @property
    def starts(self) -> range:
        """Return when each bucket begins."""
        return range(self.since_ms, self.until_ms, BUCKET_MS[self.bucket])


class Series(msgspec.Struct, frozen=True):
    """The counts of each bucket of a window, and of all; ``name`` is the group's, None of all."""

    name: str | None
    buckets: Sequence[Counts]

    @property
    def totals(self) -> Counts:
        """Return the sum of all buckets."""
        return total(self.buckets)


class Report(msgspec.Struct, frozen=True):
    """What was asked for: one series without a name, or one of each group with something in it."""

    window: Window
    group_by: GroupBy | None
    series: Sequence[Series]


async def get(ports: Ports, caller: Caller, query: Query) -> Report:
    """Return statistics; raises Invalid, NotFound."""
    window = window_of(query, ports.now_ms())
    group_by = one_of("group_by", query.group_by, get_args(GroupBy))
    wanted = canonical_type(caller, query.event_type)
    series = [caller.workspace_id]
    if query.webhook_id is not None:
        series = [(await endpoints.get(ports, caller, query.webhook_id)).id]
    elif group_by == "webhook_id":
        series = await _all_webhooks(ports, caller, window)
    reading = Reading(
        BUCKET_MS[window.bucket],
        window.since_ms,
        window.until_ms,
        by_type=wanted is not None or group_by == "event_type",
    )
    found = await ports.stats.read(series, reading)
    if group_by == "webhook_id":
        groups = [_series(name, found[name], window, wanted) for name in series]
    elif group_by == "event_type":
        (cells,) = found.values()
        names = _types_in(cells, wanted)
        _check_points(len(names), window, "event types", "an event_type")
        groups = [_series(name, cells, window, name) for name in names]
    else:
        (cells,) = found.values()
        return Report(window, None, [_series(None, cells, window, wanted)])
    return Report(window, group_by, [one for one in groups if _has_something(one)])


def window_of(query: Query, now_ms: int) -> Window:
    """Return the window that is asked for, in whole buckets; raises Invalid. Pure.

    Nothing is counted of what is not due yet, so a window ends within a day from now.
    """
    bucket = one_of("bucket", query.bucket, get_args(Bucket))
    until_ms = min(_or(time_of("until", query.until), now_ms), now_ms + DAY_MS)
    since_ms = max(_or(time_of("since", query.since), until_ms - WINDOW_MS[bucket]), 0)
    if since_ms >= until_ms:
        raise Invalid("is not before until, or is in the future; name a time before", field="since")
    if bucket is None:
        bucket = fitting(since_ms, until_ms, now_ms)
    elif bucket == "minute" and since_ms < now_ms - MINUTES_KEPT_MS:
        raise Invalid(
            "minutes are kept for two days; ask with bucket=hour, or name a later since",
            field="bucket",
        )
    bucket_ms = BUCKET_MS[bucket]
    window = Window(
        bucket, since_ms // bucket_ms * bucket_ms, -(-until_ms // bucket_ms) * bucket_ms
    )
    if len(window.starts) > BUCKETS_MAX:
        raise Invalid(
            f"the window has {len(window.starts)} buckets of one {bucket}; {BUCKETS_MAX} are "
            "allowed: name a longer bucket, or a later since",
            field="bucket" if bucket != "day" else "since",
        )
    return window


def fitting(since_ms: int, until_ms: int, now_ms: int) -> Bucket:
    """Return the bucket for a window of this length: at most 168 hours, at least 2. Pure."""
    length_ms = until_ms - since_ms
    if length_ms <= BY_MINUTES_MS and since_ms >= now_ms - MINUTES_KEPT_MS:
        return "minute"
    return "hour" if length_ms <= BY_HOURS_MS else "day"


async def _all_webhooks(ports: Ports, caller: Caller, window: Window) -> list[str]:
    """Return the workspace's webhooks; raises Invalid where they would be too many points."""
    limit = POINTS_MAX // len(window.starts) + 1
    found = await ports.endpoints.page(caller.workspace_id, limit=limit)
    _check_points(len(found), window, "webhooks", "a webhook_id")
    return [one.id for one in found]


def _check_points(groups: int, window: Window, kind: str, one: str) -> None:
    buckets = len(window.starts)
    if groups * buckets > POINTS_MAX:
        raise Invalid(
            f"{buckets} buckets of more than {POINTS_MAX // buckets} {kind} are more than "
            f"{POINTS_MAX} points: name a longer bucket, a shorter window, or {one}",
            field="group_by",
        )


def _types_in(cells: Cells, wanted: str | None) -> list[str]:
    names = {name for types in cells.values() for name in types}
    return sorted(name for name in names if wanted in {None, name})


def _series(name: str | None, cells: Cells, window: Window, wanted: str | None) -> Series:
    """Return the cells of a window as a series; ``wanted`` is an event type, None for all."""
    return Series(
        name, [total(_chosen(cells.get(start_ms, {}), wanted)) for start_ms in window.starts]
    )


def _chosen(types: Mapping[str, Counts], wanted: str | None) -> Iterable[Counts]:
    if wanted is None:
        return types.values()
    return (types[wanted],) if wanted in types else ()


def _has_something(series: Series) -> bool:
    return any(one.attempts or one.discarded for one in series.buckets)


def _or(given_ms: int | None, otherwise_ms: int) -> int:
    return otherwise_ms if given_ms is None else given_ms
