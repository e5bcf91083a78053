"""Routes of statistics."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args

from litestar import get
from litestar.params import FromPath, QueryParameter

from services.gateway.auth import DELIVERIES_READ
from services.gateway.guards import QUERY, SCOPE
from services.gateway.handlers import stats
from services.gateway.handlers.stats import BUCKETS_MAX, POINTS_MAX, Query, Report, Series, Window
from services.gateway.openapi import errors
from services.gateway.requests import ApiRequest
from services.gateway.routes.deliveries import TypeFilter, Until
from services.gateway.stats_schemas import Counted, CountedBucket, ResponseTimes, Stats, StatsGroup
from shared.models.stats import Counts, percentile, total
from shared.models.times import iso_ms

Since = Annotated[
    str | None, QueryParameter(description="RFC 3339; from this time on. A day ago without it.")
]
Bucket = Annotated[
    str | None,
    QueryParameter(
        description="How long a bucket is; one that fits the window without it. Minutes are kept "
        "for two days.",
        schema_extra={"enum": list(get_args(stats.Bucket))},
    ),
]
GroupBy = Annotated[
    str | None,
    QueryParameter(
        description="A series for each of these that has something.",
        schema_extra={"enum": list(get_args(stats.GroupBy))},
    ),
]
_PARAMETERS: Final = ("since", "until", "bucket", "group_by", "event_type")
_DESCRIPTION: Final = (
    "How many attempts succeeded and failed, how many deliveries were given up, and how fast "
    "receivers answered, by when the attempt was due. Counted when it is recorded, so it shows up "
    "within a minute or so. The window is widened to whole buckets, of which it may have "
    f"{BUCKETS_MAX:,}; of all groups together {POINTS_MAX:,}."
)


def stats_of(report: Report) -> Stats:
    """Return the answer. Pure."""
    window, series = report.window, report.series
    grouped = report.group_by is not None
    return Stats(
        since=iso_ms(window.since_ms),
        until=iso_ms(window.until_ms),
        bucket=window.bucket,
        totals=Counted(**_shown(total(one.totals for one in series))),
        buckets=None if grouped else _buckets_of(series[0], window),
        groups=[_group_of(one, report) for one in series] if grouped else None,
    )


def _group_of(series: Series, report: Report) -> StatsGroup:
    by_webhook = report.group_by == "webhook_id"
    return StatsGroup(
        webhook_id=series.name if by_webhook else None,
        event_type=None if by_webhook else series.name,
        totals=Counted(**_shown(series.totals)),
        buckets=_buckets_of(series, report.window),
    )


def _buckets_of(series: Series, window: Window) -> list[CountedBucket]:
    return [
        CountedBucket(**_shown(counts), start=iso_ms(start_ms))
        for start_ms, counts in zip(window.starts, series.buckets, strict=True)
    ]


def _shown(counts: Counts) -> dict[str, Any]:
    ended = counts.succeeded + counts.exhausted
    return {
        "attempts": counts.attempts,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "exhausted": counts.exhausted,
        "discarded": counts.discarded,
        "success_rate": _rate(counts.succeeded, counts.attempts),
        "delivery_rate": _rate(counts.succeeded, ended),
        "response_time_ms": _times_of(counts),
    }


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _times_of(counts: Counts) -> ResponseTimes | None:
    p50, p95, p99 = (percentile(counts.times, percent) for percent in (50, 95, 99))
    if p50 is None or p95 is None or p99 is None:
        return None
    return ResponseTimes(
        answers=sum(counts.times.values()),
        p50=round(p50, 2),
        p95=round(p95, 2),
        p99=round(p99, 2),
    )


@get(
    "/stats",
    tags=["Stats"],
    summary="Show statistics of all webhooks",
    description=f"{_DESCRIPTION} Webhooks that were deleted are in the numbers of the workspace "
    "and of its event types; `group_by=webhook_id` lists those that there are.",
    opt={SCOPE: DELIVERIES_READ, QUERY: (*_PARAMETERS, "webhook_id")},
    responses=errors(404),
)
async def show(
    request: ApiRequest,
    *,
    since: Since = None,
    until: Until = None,
    bucket: Bucket = None,
    group_by: GroupBy = None,
    webhook_id: Annotated[
        str | None, QueryParameter(description="Only those of this webhook.")
    ] = None,
    event_type: TypeFilter = None,
) -> Stats:
    """Show."""
    return await _answer(
        request,
        Query(
            since=since,
            until=until,
            bucket=bucket,
            group_by=group_by,
            webhook_id=webhook_id,
            event_type=event_type,
        ),
    )


@get(
    "/webhooks/{webhook_id:str}/stats",
    tags=["Stats"],
    summary="Show statistics of a webhook",
    description=_DESCRIPTION,
    opt={SCOPE: DELIVERIES_READ, QUERY: _PARAMETERS},
    responses=errors(404),
)
async def show_webhook(
    request: ApiRequest,
    webhook_id: FromPath[str],
    *,
    since: Since = None,
    until: Until = None,
    bucket: Bucket = None,
    group_by: GroupBy = None,
    event_type: TypeFilter = None,
) -> Stats:
    """Show."""
    return await _answer(
        request,
        Query(
            since=since,
            until=until,
            bucket=bucket,
            group_by=group_by,
            webhook_id=webhook_id,
            event_type=event_type,
        ),
    )


async def _answer(request: ApiRequest, query: Query) -> Stats:
    return stats_of(await stats.get(request.app.state.ports, request.auth, query))


NATIVE: Final = (show, show_webhook)
