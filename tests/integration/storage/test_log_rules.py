"""What holds for new rows of the log, on the real server: retention, and what was erased."""

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from shared.models.attempts import Attempt, encode_attempt
from shared.models.erasures import Erasure
from shared.storage.chunks import SLOT_MS, Logged
from shared.storage.mongo import attempts, erasures
from shared.storage.mongo.attempts import CHUNKS, AttemptLog
from shared.storage.mongo.client import DAY_MS, Mongo
from shared.storage.mongo.erasures import ErasureStore
from shared.storage.mongo.indexes import ensure_indexes
from shared.storage.mongo.log_rules import FRESH_MS
from shared.storage.mongo.workspaces import WORKSPACES
from tests.support.log_rows import log_rows
from tests.support.servers import MongoServer, fresh_name
from tests.unit.services.recorder.kit import attempt

pytestmark = pytest.mark.integration

START_MS = 4_000_000_000_000  # retention must not take the rows away while a test looks at them
OFFSETS = count()


class World:
    """A log at a time that can be moved."""

    def __init__(self, mongo: Mongo) -> None:
        self.mongo = mongo
        self.now_ms = START_MS
        self.log = AttemptLog(mongo, retention_days=30, now_ms=lambda: self.now_ms)
        self.erasures = ErasureStore(mongo, retention_days=30)

    async def insert(self, **given: Any) -> Attempt:
        one = attempt(at_ms=self.now_ms, response_body=b"secret", **given)
        await self.log.insert([Logged(one, next(OFFSETS), encode_attempt(one))])
        return one

    async def keep(self, workspace_id: str, days: int | None) -> None:
        where, fields = {"_id": workspace_id}, {"$set": {"retention_days": days}}
        await self.mongo.collection(WORKSPACES).update_one(where, fields, upsert=True)

    async def erase(self, event_id: str, *rows: Attempt, at_ms: int = START_MS) -> Erasure:
        given = Erasure(workspace_id="ws_1", event_id=event_id, erased_ms=at_ms)
        return await self.erasures.erase(given, [one.due_ms // SLOT_MS for one in rows])

    async def days_kept(self) -> list[int]:
        chunks = self.mongo.collection(CHUNKS).find({}).sort("_id", 1)
        return [
            round((one["expires_at"].timestamp() - one["due_s"]) * 1_000) // DAY_MS
            async for one in chunks
        ]

    async def answers(self) -> dict[str, bytes]:
        rows = await log_rows(self.mongo.collection(CHUNKS))
        return {f"{one.event_id}/{one.attempt}": one.response_body for one in rows}


@pytest.fixture
async def world(mongo_server: MongoServer) -> AsyncIterator[World]:
    mongo = Mongo(mongo_server.uri, fresh_name("rules"))
    await ensure_indexes(mongo, (*attempts.INDEXES, *erasures.INDEXES))
    yield World(mongo)
    mongo.close()


async def test_rows_are_kept_as_long_as_their_workspace_wants_them_when_they_are_written(
    world: World,
) -> None:
    """Within ten seconds of the change, and never longer than the deployment keeps the log."""
    await world.keep("ws_1", 7)
    for days in (90, None):
        await world.insert()
        await world.insert(workspace_id="ws_2")
        await world.keep("ws_1", days)
        world.now_ms += FRESH_MS
    await world.insert()

    assert sorted(await world.days_kept()) == [7, 30, 30, 30, 30]


async def test_what_is_written_after_an_event_was_erased_has_no_answer_in_it(world: World) -> None:
    first = await world.insert(event_id="evt_a")
    await world.erase("evt_a", first)
    late = await world.insert(event_id="evt_a", attempt=2)
    world.now_ms += FRESH_MS
    await world.insert(event_id="evt_a", attempt=3)
    await world.insert(event_id="evt_b")
    await world.insert(event_id="evt_a", workspace_id="ws_2", endpoint_id="wh_2")

    known = {"evt_a/1": b"", "evt_a/3": b"", "evt_b/1": b"secret"}
    rows = await log_rows(world.mongo.collection(CHUNKS))
    foreign = [one.response_body for one in rows if one.workspace_id == "ws_2"]
    ours = {f"{one.event_id}/{one.attempt}": one for one in rows if one.workspace_id == "ws_1"}
    answers = {name: one.response_body for name, one in ours.items()}
    assert answers == {**known, "evt_a/2": b"secret"}
    assert foreign == [b"secret"]

    standing = await world.erase("evt_a", first, late, at_ms=START_MS + 1)

    assert standing.erased_ms == START_MS
    assert (await world.answers())["evt_a/2"] == b""


class Interrupted:
    """The log's collection; before it is written to for the first time, something else happens."""

    def __init__(self, collection: Any, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self.find = collection.find
        self._write = collection.bulk_write
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    async def bulk_write(self, changes: Any, **options: Any) -> Any:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await self._write(changes, **options)


async def test_events_of_one_chunk_are_erased_at_the_same_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = (
        attempt(event_id=f"evt_{name}", at_ms=START_MS, response_body=b"secret") for name in "abc"
    )
    await world.log.insert([Logged(one, next(OFFSETS), encode_attempt(one)) for one in (a, b, c)])
    chunks = world.mongo.collection(CHUNKS)
    other = World(world.mongo)
    between = Interrupted(chunks, lambda: other.erase("evt_b", b))
    monkeypatch.setattr(world.erasures, "_chunks", between)

    await world.erase("evt_a", a)

    assert await world.answers() == {"evt_a/1": b"", "evt_b/1": b"", "evt_c/1": b"secret"}
    assert await world.erasures.get("ws_2", "evt_a") is None
