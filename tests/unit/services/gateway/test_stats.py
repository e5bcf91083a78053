"""Statistics: which window and buckets an answer has, what it adds up, and what is too much."""

from collections.abc import Collection
from typing import Any

import pytest

from services.gateway.handlers import stats
from services.gateway.handlers.stats import BUCKETS_MAX, POINTS_MAX, Query, window_of
from services.gateway.routes.stats import stats_of
from services.gateway.stats_schemas import Stats
from shared.models.errors import Invalid
from shared.models.stats import DAY_MS, HOUR_MS, MINUTE_MS, Cells, Counts, Reading, slot_of, total
from shared.models.times import iso_ms
from tests.unit.services.gateway.fakes import NOW_MS, caller, ports

HOUR = NOW_MS // HOUR_MS * HOUR_MS


class Stored:
    """Cells by series, and which of them were asked for; types only for who asks for them."""

    def __init__(self, **cells: Cells) -> None:
        self.cells = cells
        self.asked: tuple[list[str], int] | None = None

    async def read(self, series: Collection[str], reading: Reading) -> dict[str, Cells]:
        self.asked = list(series), reading.bucket_ms
        return {
            one: {
                start_ms: types if reading.by_type else {"": total(types.values())}
                for start_ms, types in self.cells.get(one, {}).items()
                if reading.since_ms <= start_ms < reading.until_ms
            }
            for one in series
        }


class Webhooks:
    """``count`` webhooks of the caller's workspace."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def page(self, workspace_id: str, *, limit: int) -> list[Any]:
        assert workspace_id == "ws_a"
        return [_Named(f"wh_{n}") for n in range(min(limit, self._count))]


class _Named:
    def __init__(self, identifier: str) -> None:
        self.id = identifier


async def asked(stored: Stored, webhooks: int = 2, **given: str) -> Stats:
    made = ports(stats=stored, endpoints=Webhooks(webhooks))
    return stats_of(await stats.get(made, caller(), Query(**given)))


def ago(ms: int) -> str:
    return iso_ms(NOW_MS - ms)


@pytest.mark.parametrize(
    ("given", "bucket", "buckets"),
    [
        ({}, "hour", 25),
        ({"since": ago(HOUR_MS)}, "minute", 61),
        ({"since": ago(2 * HOUR_MS)}, "minute", 121),
        ({"since": ago(2 * HOUR_MS + 1)}, "hour", 3),
        ({"since": ago(3 * DAY_MS), "until": ago(3 * DAY_MS - HOUR_MS)}, "hour", 2),
        ({"since": ago(7 * DAY_MS)}, "hour", 169),
        ({"since": ago(30 * DAY_MS)}, "day", 31),
        ({"until": iso_ms(HOUR)}, "hour", 24),
        ({"since": iso_ms(HOUR - 6 * HOUR_MS), "bucket": "minute"}, "minute", 361),
        ({"since": ago(0), "until": "9999-12-31T23:59:59Z"}, "hour", 25),
    ],
)
def test_a_window_has_whole_buckets_that_fit_it(
    given: dict[str, str], bucket: str, buckets: int
) -> None:
    window = window_of(Query(**given), NOW_MS)

    assert (window.bucket, len(window.starts)) == (bucket, buckets)
    assert window.since_ms % stats.BUCKET_MS[window.bucket] == 0


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"since": ago(DAY_MS), "until": ago(DAY_MS)}, "since", "before until"),
        ({"since": "2999-01-01T00:00:00Z"}, "since", "future"),
        ({"until": "0001-01-01T00:00:00+14:00"}, "since", "before until"),
        ({"since": "yesterday"}, "since", "RFC 3339"),
        ({"bucket": "week"}, "bucket", "minute, hour, day"),
        ({"bucket": "minute", "since": ago(3 * DAY_MS)}, "bucket", "bucket=hour"),
        ({"bucket": "hour", "since": ago(90 * DAY_MS)}, "bucket", f"{BUCKETS_MAX} are allowed"),
        ({"since": "1970-01-01T00:00:00Z"}, "since", "a later since"),
    ],
)
def test_a_window_that_is_none_or_too_long_says_how_to_ask(
    given: dict[str, str], field: str, words: str
) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        window_of(Query(**given), NOW_MS)
    assert caught.value.field == field


async def test_a_window_adds_up_all_that_is_in_it() -> None:
    slot = slot_of(100.0)
    stored = Stored(
        ws_a={
            HOUR - HOUR_MS: {"qr.scanned": Counts(6, 2, 1, 1, {slot: 8})},
            HOUR: {"qr.scanned": Counts(1), "qr.created": Counts(1, 2, 1)},
        }
    )
    found = await asked(stored, since=iso_ms(HOUR - 3 * HOUR_MS), until=iso_ms(HOUR + 1))

    assert stored.asked == (["ws_a"], HOUR_MS)
    assert (found.bucket, found.groups) == ("hour", None)
    totals = found.totals
    assert (totals.attempts, totals.succeeded, totals.failed) == (12, 8, 4)
    assert (totals.exhausted, totals.discarded) == (2, 1)
    assert (totals.success_rate, totals.delivery_rate) == (0.666667, 0.8)
    assert totals.response_time_ms is not None
    assert totals.response_time_ms.answers == 8
    assert abs(totals.response_time_ms.p99 - 100) <= 4.5
    assert found.buckets is not None
    assert [one.attempts for one in found.buckets] == [0, 0, 8, 4]
    assert [one.success_rate for one in found.buckets] == [None, None, 0.75, 0.5]
    assert [one.start for one in found.buckets][-1] == iso_ms(HOUR)


async def test_buckets_are_asked_for_by_their_length() -> None:
    stored = Stored(ws_a={NOW_MS // DAY_MS * DAY_MS: {"qr.scanned": Counts(1), "x": Counts(2)}})
    found = await asked(stored, bucket="day")
    assert stored.asked == (["ws_a"], DAY_MS)
    assert found.totals.succeeded == 3

    await asked(stored, since=ago(MINUTE_MS))
    assert stored.asked == (["ws_a"], MINUTE_MS)


async def test_an_event_type_is_asked_for_by_its_name_or_an_alias() -> None:
    stored = Stored(ws_a={HOUR: {"qr.scanned": Counts(3), "qr.created": Counts(1)}})

    assert (await asked(stored, event_type="scan.created")).totals.succeeded == 3
    assert (await asked(stored, event_type="qr.created")).totals.succeeded == 1
    with pytest.raises(Invalid, match="scaned"):
        await asked(stored, event_type="qr.scaned")


async def test_groups_are_those_with_something_in_the_window() -> None:
    cells: Cells = {HOUR: {"qr.scanned": Counts(3), "qr.created": Counts(discarded=1)}}
    stored = Stored(ws_a=cells, wh_0={HOUR: {"qr.scanned": Counts(3)}})

    by_type = await asked(stored, group_by="event_type")
    assert by_type.groups is not None
    assert [one.event_type for one in by_type.groups] == ["qr.created", "qr.scanned"]
    assert [one.totals.succeeded for one in by_type.groups] == [0, 3]
    assert by_type.totals.succeeded == 3

    by_webhook = await asked(stored, group_by="webhook_id")
    assert by_webhook.groups is not None
    assert [one.webhook_id for one in by_webhook.groups] == ["wh_0"]
    assert by_webhook.buckets is None

    one_type = await asked(stored, group_by="event_type", event_type="qr.scanned")
    assert one_type.groups is not None
    assert [one.event_type for one in one_type.groups] == ["qr.scanned"]


async def test_too_many_points_say_how_to_ask() -> None:
    most = POINTS_MAX // 25
    assert (await asked(Stored(), webhooks=most, group_by="webhook_id")).groups == []
    with pytest.raises(Invalid, match=f"more than {most} webhooks") as caught:
        await asked(Stored(), webhooks=most + 1, group_by="webhook_id")
    assert caught.value.field == "group_by"

    types: Cells = {HOUR: {f"t{n}": Counts(1) for n in range(most + 1)}}
    with pytest.raises(Invalid, match="event types"):
        await asked(Stored(ws_a=types), group_by="event_type")
