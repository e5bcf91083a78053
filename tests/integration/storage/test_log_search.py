"""The log of a whole workspace on the real server: searches across endpoints, and by event."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from shared.models.attempts import Attempt, encode_attempt
from shared.models.errors import Outage
from shared.models.searches import Asked, AttemptFilter
from shared.storage.chunks import Logged
from shared.storage.mongo import attempts, log_search, log_spans
from shared.storage.mongo.attempts import AttemptLog
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.indexes import ensure_indexes
from shared.storage.mongo.log_search import LogSearch
from shared.storage.mongo.log_spans import Page
from tests.support.servers import MongoServer, fresh_name
from tests.unit.services.recorder.kit import attempt

pytestmark = pytest.mark.integration

NOW_MS = 4_000_000_000_000  # retention must not take the rows away while a test looks at them
HOUR_MS = 3_600_000
OFFSETS = count()  # in attempts


class Logs:
    """The log of one database, and its search at ``NOW_MS``."""

    def __init__(self, mongo: Mongo) -> None:
        self._log = AttemptLog(mongo, retention_days=30, now_ms=lambda: NOW_MS)
        self.search = LogSearch(mongo, retention_days=30, now_ms=lambda: NOW_MS)

    async def insert(self, *given: Attempt) -> None:
        await self._log.insert([Logged(one, next(OFFSETS), encode_attempt(one)) for one in given])

    async def pages(self, *, limit: int = 50, **asked: Any) -> list[Page]:
        times = {name: asked.pop(name) for name in ("since_ms", "until_ms") if name in asked}
        wanted = Asked(limit=limit, chosen=AttemptFilter(**asked), **times)
        before = None
        got: list[Page] = []
        while not got or before is not None:
            page = await self.search.page("ws_1", replace(wanted, before=before))
            got.append(page)
            before = page.next
        return got

    async def events(self, *, limit: int = 50, **asked: Any) -> list[str]:
        found = await self.pages(limit=limit, **asked)
        return [row.attempt.event_id for page in found for row in page.rows]


@pytest.fixture
async def logs(mongo_server: MongoServer) -> AsyncIterator[Logs]:
    mongo = Mongo(mongo_server.uri, fresh_name("search"))
    await ensure_indexes(mongo, attempts.INDEXES)
    yield Logs(mongo)
    mongo.close()


def row(number: int, *, ago_ms: int = 0, **given: Any) -> Attempt:
    """Return an attempt of one of three endpoints; a higher number was due later."""
    at_ms = NOW_MS - ago_ms - 700 * (100 - number)
    given = {"event_id": f"evt_{number}", "endpoint_id": f"wh_{number % 3}", **given}
    return attempt(given.pop("status", "success"), at_ms=at_ms, **given)


@pytest.mark.parametrize("limit", [1, 3, 50])
async def test_pages_go_through_all_endpoints_from_the_newest_to_the_oldest(
    logs: Logs, limit: int
) -> None:
    await logs.insert(*[row(number) for number in range(10)])
    await logs.insert(row(3, workspace_id="ws_2", endpoint_id="wh_foreign"))

    assert await logs.events(limit=limit) == [f"evt_{n}" for n in reversed(range(10))]


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"status": "failed"}, [9, 6, 3, 0]),
        ({"status": "discarded"}, []),
        ({"event_type": "qr.created"}, [8, 6, 4, 2, 0]),
        ({"status": "failed", "event_type": "qr.created"}, [6, 0]),
        ({"status_code": 500}, [9, 6, 3, 0]),
        ({"event_id": "evt_4"}, [4]),
        ({"since_ms": row(7).due_ms}, [9, 8, 7]),
        ({"until_ms": row(2).due_ms}, [1, 0]),
        ({"since_ms": row(1).due_ms, "until_ms": row(4).due_ms}, [3, 2, 1]),
        ({"since_ms": row(1).due_ms, "until_ms": row(1).due_ms}, []),
    ],
)
async def test_filters_leave_what_is_asked_for(
    logs: Logs, asked: dict[str, Any], numbers: list[int]
) -> None:
    await logs.insert(
        *[
            row(
                number,
                status="success" if number % 3 else "failed",
                status_code=200 if number % 3 else 500,
                event_type="qr.scanned" if number % 2 else "qr.created",
            )
            for number in range(10)
        ]
    )
    expected = [f"evt_{number}" for number in numbers]

    assert await logs.events(**asked) == expected
    assert await logs.events(limit=1, **asked) == expected


async def test_what_comes_in_between_two_pages_moves_nothing(logs: Logs) -> None:
    await logs.insert(*[row(number) for number in range(0, 10, 2)])
    first = await logs.search.page("ws_1", Asked(limit=2))
    await logs.insert(row(9), row(3))

    second = await logs.search.page("ws_1", Asked(limit=9, before=first.next))

    assert [one.attempt.event_id for one in first.rows] == ["evt_8", "evt_6"]
    assert [one.attempt.event_id for one in second.rows] == ["evt_4", "evt_3", "evt_2", "evt_0"]


async def test_quiet_weeks_are_passed_and_what_is_older_than_the_retention_is_not_looked_for(
    logs: Logs,
) -> None:
    await logs.insert(row(1), row(2, ago_ms=29 * 24 * HOUR_MS), row(3, ago_ms=31 * 24 * HOUR_MS))

    assert await logs.events() == ["evt_1", "evt_2"]


async def test_a_page_reads_a_bounded_number_of_rows_and_names_the_next(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_spans, "ROWS_MAX", 4)
    monkeypatch.setattr(log_spans, "SPAN_S_MAX", 2)
    await logs.insert(*[row(n, event_type="rare" if n == 0 else "common") for n in range(20)])

    found = await logs.pages(event_type="rare", since_ms=row(0).due_ms)

    assert [len(page.rows) for page in found if page.rows] == [1]
    assert len(found) > 3


async def test_a_span_with_more_than_one_read_takes_is_gone_through_in_parts(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a single second holds more."""
    monkeypatch.setattr(log_spans, "SPAN_CHUNKS_MAX", 2)
    busy = [row(50, event_id=f"evt_busy{n}", endpoint_id=f"wh_{n}") for n in range(5)]
    older = [row(number, ago_ms=HOUR_MS) for number in range(20)]
    await logs.insert(*busy, *older)
    expected = [*sorted(busy, key=Attempt.delivery_id, reverse=True), *reversed(older)]
    since_ms = NOW_MS - 2 * HOUR_MS

    assert await logs.events(limit=4) == [one.event_id for one in expected]
    for one in (busy[3], older[7]):
        found = await logs.search.of_event("ws_1", one.event_id, since_ms=since_ms, until_ms=NOW_MS)
        assert [row.attempt for row in found.rows] == [one]


async def chain(logs: Logs, event_id: str, endpoint_id: str, *delays_ms: int) -> list[Attempt]:
    """Record a delivery that is tried again after each of the delays."""
    due_ms = NOW_MS - 5 * HOUR_MS
    made: list[Attempt] = []
    for number, delay_ms in enumerate((*delays_ms, None), 1):
        following_ms = None if delay_ms is None else due_ms + delay_ms
        made.append(
            attempt(
                "success" if delay_ms is None else "failed",
                at_ms=due_ms,
                event_id=event_id,
                endpoint_id=endpoint_id,
                attempt=number,
                final=delay_ms is None,
                next_attempt_ms=following_ms,
            )
        )
        due_ms = following_ms or 0
    await logs.insert(*made)
    return made


async def test_an_event_is_found_with_all_attempts_at_all_endpoints(logs: Logs) -> None:
    await chain(logs, "evt_other", "wh_1", 60_000)
    expected = [
        *await chain(logs, "evt_a", "wh_1", 60_000, 300_000),
        *await chain(logs, "evt_a", "wh_2"),
        *await chain(logs, "evt_a", "wh_3", 3 * HOUR_MS),
    ]
    since_ms = NOW_MS - 6 * HOUR_MS

    found = await logs.search.of_event("ws_1", "evt_a", since_ms=since_ms, until_ms=NOW_MS)
    later = await logs.search.following("ws_1", [one.attempt for one in found.rows])

    assert [one.attempt.endpoint_id for one in found.rows] == ["wh_1", "wh_2", "wh_3"]
    every = [one.attempt for one in (*found.rows, *later)]
    assert sorted(every, key=Attempt.delivery_id) == sorted(expected, key=Attempt.delivery_id)


async def test_a_retry_that_was_not_made_yet_is_not_there(logs: Logs) -> None:
    first = (await chain(logs, "evt_a", "wh_1", 60_000))[0]
    waiting = attempt("failed", at_ms=first.due_ms, final=False, next_attempt_ms=NOW_MS + HOUR_MS)

    assert await logs.search.following("ws_1", [waiting]) == []


async def test_an_event_outside_the_time_is_not_found(logs: Logs) -> None:
    (first,) = await chain(logs, "evt_a", "wh_1")
    since_ms = first.due_ms + 2_000

    found = await logs.search.of_event("ws_1", "evt_a", since_ms=since_ms, until_ms=NOW_MS)

    assert found.rows == ()
    assert found.searched_ms == NOW_MS


async def test_a_search_for_an_event_gives_up_where_it_has_read_enough(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_search, "EVENT_ROWS_MAX", 5)
    await logs.insert(*[row(number) for number in range(20)])
    since_ms, last = row(0).due_ms, row(19)

    found = await logs.search.of_event("ws_1", "evt_19", since_ms=since_ms, until_ms=NOW_MS)
    rest = await logs.search.of_event(
        "ws_1", "evt_19", since_ms=last.due_ms - 1_000, until_ms=NOW_MS
    )

    assert found.rows == ()
    assert since_ms < found.searched_ms < last.due_ms
    assert [one.attempt for one in rest.rows] == [last]


@pytest.mark.usefixtures("hasty_mongo")
async def test_a_server_that_is_away_is_an_outage(unused_tcp_port: int) -> None:
    mongo = Mongo(f"mongodb://127.0.0.1:{unused_tcp_port}/", "log")
    search = LogSearch(mongo, retention_days=30, now_ms=lambda: NOW_MS)
    with pytest.raises(Outage):
        await search.page("ws_1", Asked(limit=1))
    mongo.close()
