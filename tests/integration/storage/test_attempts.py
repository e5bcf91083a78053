"""The delivery log on the real server: one row for each attempt, pages that end in bounded time."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from pymongo.errors import BulkWriteError

from shared.models.attempts import Attempt, encode_attempt
from shared.models.errors import Outage
from shared.models.searches import Asked, AttemptFilter
from shared.storage.chunks import Logged
from shared.storage.mongo import attempts as module
from shared.storage.mongo import log_spans
from shared.storage.mongo.attempts import INDEXES, AttemptLog
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.indexes import ensure_indexes
from shared.storage.mongo.log_spans import Page
from tests.support.servers import MongoServer, fresh_name
from tests.unit.services.recorder.kit import attempt

pytestmark = pytest.mark.integration

NOON_MS = 4_000_000_000_000  # retention must not take the rows away while a test looks at them


@pytest.fixture
async def mongo(mongo_server: MongoServer) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongo_server.uri, fresh_name("log"))
    await ensure_indexes(mongo, INDEXES)
    yield mongo
    mongo.close()


def now_ms() -> int:
    return NOON_MS + 3_600_000


@pytest.fixture
def log(mongo: Mongo) -> AttemptLog:
    return AttemptLog(mongo, retention_days=30, now_ms=now_ms)


def row(minute: int, **given: Any) -> Attempt:
    given = {"event_id": f"evt_{minute}", "at_ms": NOON_MS + 60_000 * minute, **given}
    return attempt(given.pop("status", "success"), **given)


async def insert(log: AttemptLog, *attempts: Attempt, start: int = 0) -> Any:
    """Record attempts as they stand in the topic from the offset ``start`` on."""
    return await log.insert(
        [Logged(one, offset, encode_attempt(one)) for offset, one in enumerate(attempts, start)]
    )


async def pages(log: AttemptLog, *, limit: int, **asked: Any) -> list[Page]:
    times = {name: asked.pop(name) for name in ("since_ms", "until_ms") if name in asked}
    wanted = Asked(limit=limit, chosen=AttemptFilter(**asked), **times)
    got = [await log.page("wh_1", wanted)]
    while got[-1].next is not None:
        got.append(await log.page("wh_1", replace(wanted, before=got[-1].next)))
    return got


def events(found: list[Page]) -> list[str]:
    return [row.attempt.event_id for page in found for row in page.rows]


async def test_a_row_gives_back_the_attempt_as_it_was(log: AttemptLog) -> None:
    given = row(
        1,
        status="failed",
        status_code=500,
        response_body=bytes(range(256)),
        response_headers=(("x-a", "ä"),),
        timing_ms={"dns": 0.25, "a.b$": 1.0},
    )
    await insert(log, given)

    found = await log.get("wh_1", given.delivery_id())
    assert found is not None
    assert (found.id, found.attempt) == (given.delivery_id(), given)
    assert await log.get("wh_2", given.delivery_id()) is None


def of_one_second(count: int) -> list[Attempt]:
    return [row(1, event_id=f"evt_{n}", at_ms=NOON_MS + 60_000 + n) for n in range(count)]


async def test_a_batch_that_is_recorded_again_is_known(log: AttemptLog) -> None:
    batch = [*of_one_second(5), *[row(minute) for minute in range(2, 5)]]
    assert await insert(log, *batch) == module.Stored(fresh=8, known=0)
    assert await insert(log, *batch) == module.Stored(fresh=0, known=8)

    assert len(events(await pages(log, limit=3))) == 8


async def test_rows_of_batches_that_were_cut_elsewhere_are_told_once(log: AttemptLog) -> None:
    """After a crash the next reader's batch begins or ends at another record."""
    batch = of_one_second(9)
    for first, end in ((0, 6), (2, 4), (3, 9)):
        await insert(log, *batch[first:end], start=first)

    for limit in (2, 50):
        assert events(await pages(log, limit=limit)) == [f"evt_{n}" for n in reversed(range(9))]


async def test_an_attempt_that_was_made_twice_stays_as_it_was_told_first(log: AttemptLog) -> None:
    await insert(log, row(1))
    await insert(log, row(1, status="failed"), start=1)

    (page,) = await pages(log, limit=10)
    assert [one.attempt for one in page.rows] == [row(1)]


async def test_the_rows_of_a_second_are_one_document_for_each_batch(
    log: AttemptLog, mongo: Mongo
) -> None:
    await insert(log, *of_one_second(500))

    assert await mongo.collection(module.CHUNKS).count_documents({}) == 1


async def test_a_list_goes_on_behind_any_number_of_chunks(
    log: AttemptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the chunks of one second do not fit into one fetch."""
    monkeypatch.setattr(log_spans, "SPAN_CHUNKS_MAX", 2)
    batch = of_one_second(7)
    for offset, one in enumerate(batch):
        await insert(log, one, start=offset)
    await insert(log, row(0), start=100)

    assert events(await pages(log, limit=3)) == [*(f"evt_{n}" for n in reversed(range(7))), "evt_0"]


async def test_what_is_no_delivery_id_is_found_nowhere(log: AttemptLog) -> None:
    await insert(log, row(1))
    for nonsense in ("", "zzz", "whd_", "whd_" + "f" * 32):
        assert await log.get("wh_1", nonsense) is None


async def test_nothing_to_insert_is_no_call(log: AttemptLog) -> None:
    assert await log.insert([]) == module.Stored(fresh=0, known=0)


async def test_a_row_that_the_server_refuses_is_named_and_the_others_are_stored(
    log: AttemptLog, mongo: Mongo
) -> None:
    rule = {"workspace_id": {"$ne": "ws_refused"}}
    await mongo.database.command("collMod", module.CHUNKS, validator=rule)
    stored = await insert(log, row(0), row(1, workspace_id="ws_refused"), row(2))

    assert (stored.fresh, len(stored.refused)) == (2, 1)
    assert events(await pages(log, limit=10)) == ["evt_2", "evt_0"]


@pytest.mark.parametrize("code", [91, 189, 11602, 14031, 50])
async def test_a_row_that_fails_for_any_other_reason_is_an_outage(
    log: AttemptLog, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Shutdown, no primary, interrupted, disk full, out of time: the next try may work."""
    failures = [
        {"index": 0, "code": 11_000, "errmsg": "known"},
        {"index": 1, "code": code, "errmsg": "not now"},
    ]
    error = BulkWriteError({"writeErrors": failures, "writeConcernErrors": []})

    async def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(log, "_collection", SimpleNamespace(insert_many=refuse))
    with pytest.raises(Outage):
        await insert(log, row(0), row(1), row(2))


async def test_pages_go_from_the_newest_to_the_oldest_and_meet_without_gap_or_overlap(
    log: AttemptLog,
) -> None:
    await insert(log, *[row(minute) for minute in range(10)])
    found = await pages(log, limit=4)

    assert [len(page.rows) for page in found] == [4, 4, 2]
    assert events(found) == [f"evt_{minute}" for minute in reversed(range(10))]


async def test_a_page_that_ends_with_the_last_row_is_the_last_page(log: AttemptLog) -> None:
    await insert(log, *[row(minute) for minute in range(4)])

    assert [len(page.rows) for page in await pages(log, limit=2)] == [2, 2]


async def test_a_list_holds_the_rows_of_its_endpoint_only(log: AttemptLog) -> None:
    others = ("wh_0", "wh_10", "wh_1:", "wh_2", "wh_")
    await insert(log, row(1), *[row(2, endpoint_id=other) for other in others])

    assert events(await pages(log, limit=10)) == ["evt_1"]


@pytest.mark.parametrize(
    ("asked", "minutes"),
    [
        ({"status": "failed"}, [9, 6, 3, 0]),
        ({"status": "success"}, [8, 7, 5, 4, 2, 1]),
        ({"status": "discarded"}, []),
        ({"event_type": "qr.created"}, [8, 6, 4, 2, 0]),
        ({"status": "failed", "event_type": "qr.created"}, [6, 0]),
        ({"event_id": "evt_3"}, [3]),
        ({"status_code": 404}, []),
        ({"since_ms": NOON_MS + 7 * 60_000}, [9, 8, 7]),
        ({"until_ms": NOON_MS + 2 * 60_000}, [1, 0]),
        ({"since_ms": NOON_MS + 60_000, "until_ms": NOON_MS + 4 * 60_000}, [3, 2, 1]),
        ({"since_ms": NOON_MS + 60_000, "until_ms": NOON_MS + 60_000}, []),
        ({"status": "failed", "until_ms": NOON_MS + 6 * 60_000}, [3, 0]),
        ({"status": "failed", "since_ms": NOON_MS + 4 * 60_000}, [9, 6]),
    ],
)
async def test_filters_leave_what_is_asked_for(
    log: AttemptLog, asked: dict[str, Any], minutes: list[int]
) -> None:
    await insert(
        log,
        *[
            row(
                minute,
                status="success" if minute % 3 else "failed",
                event_type="qr.scanned" if minute % 2 else "qr.created",
            )
            for minute in range(10)
        ],
        *[row(minute, status="failed", endpoint_id="wh_2") for minute in range(10)],
    )
    expected = [f"evt_{minute}" for minute in minutes]

    assert events(await pages(log, limit=20, **asked)) == expected
    assert events(await pages(log, limit=1, **asked)) == expected


async def test_a_filter_that_finds_little_reads_a_bounded_number_of_rows_for_a_page(
    log: AttemptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_spans, "ROWS_MAX", 4)
    monkeypatch.setattr(log_spans, "SPAN_S_MAX", 60)
    await insert(log, *[row(n, event_type="rare" if n in {0, 7} else "common") for n in range(10)])
    found = await pages(log, limit=5, event_type="rare", since_ms=NOON_MS)

    assert [[one.attempt.event_id for one in page.rows] for page in found] == [
        ["evt_7"],
        [],
        ["evt_0"],
    ]


async def test_rows_go_when_their_time_is_over(log: AttemptLog, mongo: Mongo) -> None:
    await insert(log, row(0, started_ms=NOON_MS))
    document = await mongo.collection(module.CHUNKS).find_one({})
    indexes = await mongo.collection(module.CHUNKS).index_information()

    assert document is not None
    assert document["expires_at"].timestamp() * 1000 == NOON_MS + 30 * 86_400_000
    assert any(
        index["key"] == [("expires_at", 1)] and index["expireAfterSeconds"] == 0
        for index in indexes.values()
    )


@pytest.mark.usefixtures("hasty_mongo")
async def test_a_server_that_is_away_is_an_outage(unused_tcp_port: int) -> None:
    mongo = Mongo(f"mongodb://127.0.0.1:{unused_tcp_port}/", "log")
    log = AttemptLog(mongo, retention_days=1, now_ms=now_ms)
    with pytest.raises(Outage):
        await insert(log, row(1))
    mongo.close()
