"""The publishing protocol on a real MongoDB: whatever stops, the newest state ends up last."""

import asyncio
import random

import msgspec
import pytest

from shared.models import ids
from shared.models.endpoints import EndpointState
from shared.models.errors import Outage
from shared.models.management import Endpoint
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.endpoints import ENDPOINTS, EndpointStore
from shared.storage.mongo.publishing import TOKEN_GRACE_MS, TOKEN_STALE_MS
from tests.integration.storage.publishing_world import Clock, Topic, entropy_of

pytestmark = pytest.mark.integration

WORKSPACE = "ws_a"


def endpoint(number: int = 1) -> Endpoint:
    return Endpoint(
        id=ids.new_id(ids.ENDPOINT, 1_800_000_000_000 + number, bytes(10)),
        workspace_id=WORKSPACE,
        profile="qr3",
        url="https://example.com/hook",
        events=("qr.scanned",),
        secret="k1:sealed",
        secret_hint="my-s…",
        created_ms=1_800_000_000_000,
        updated_ms=1_800_000_000_000,
    )


async def renamed(store: EndpointStore, current: Endpoint, url: str) -> Endpoint | None:
    return await store.replace(msgspec.structs.replace(current, url=url))


async def stored(mongo: Mongo, identifier: str) -> dict[str, object]:
    document = await mongo.collection(ENDPOINTS).find_one({"_id": identifier})
    assert document is not None
    return document


async def test_a_change_is_published_before_the_call_returns(
    endpoints: EndpointStore, topic: Topic, mongo: Mongo
) -> None:
    created = await endpoints.create(endpoint())

    assert topic.last(created.id) == created.state()

    changed = await renamed(endpoints, created, "https://example.com/other")

    assert changed is not None
    assert changed.revision == 2
    assert topic.last(created.id) == changed.state()
    document = await stored(mongo, created.id)
    assert document["published_revision"] == 2
    assert document["publishers"] == []


async def test_a_deleted_endpoint_becomes_a_tombstone_and_is_kept_for_late_writers(
    endpoints: EndpointStore, topic: Topic, mongo: Mongo
) -> None:
    created = await endpoints.create(endpoint())

    assert await endpoints.delete(WORKSPACE, created.id)

    assert topic.records[-1] == (created.id, None)
    assert await endpoints.get(WORKSPACE, created.id) is None
    assert await endpoints.page(WORKSPACE, limit=10) == []
    document = await stored(mongo, created.id)
    assert "tombstone_at" in document


async def test_deleting_twice_says_that_there_is_nothing_any_more(
    endpoints: EndpointStore,
) -> None:
    created = await endpoints.create(endpoint())

    assert await endpoints.delete(WORKSPACE, created.id)
    assert not await endpoints.delete(WORKSPACE, created.id)


async def test_a_writer_that_is_overtaken_repairs_its_own_late_record(
    mongo: Mongo, clock: Clock, endpoints: EndpointStore, topic: Topic
) -> None:
    created = await endpoints.create(endpoint())
    slow_topic = Topic()
    slow = EndpointStore(mongo, send=slow_topic.send, now_ms=clock, entropy=entropy_of(2))
    slow_topic.gate.clear()
    slow_topic.records = topic.records  # the same topic, through a slower connection
    late = asyncio.create_task(renamed(slow, created, "https://example.com/first"))
    await slow_topic.waiting.wait()

    current = await endpoints.get(WORKSPACE, created.id)
    assert current is not None
    second = await renamed(endpoints, current, "https://example.com/second")
    slow_topic.gate.set()
    result = await late

    urls = [decoded.url for decoded in map(_state, topic.records) if decoded is not None]
    assert urls[-2:] == ["https://example.com/first", "https://example.com/second"]
    assert second is not None
    assert result == second


async def test_a_writer_that_dies_before_publishing_is_finished_by_the_sweep(
    endpoints: EndpointStore, topic: Topic, clock: Clock, mongo: Mongo
) -> None:
    created = await endpoints.create(endpoint())
    topic.gate.clear()
    dying = asyncio.create_task(renamed(endpoints, created, "https://example.com/new"))
    await topic.waiting.wait()
    dying.cancel()
    topic.gate.set()

    assert await endpoints.sweep() == 0, "a young token may belong to a living writer"
    clock.now_ms += TOKEN_STALE_MS + 1
    assert await endpoints.sweep() == 1

    last = topic.last(created.id)
    assert isinstance(last, EndpointState)
    assert last.url == "https://example.com/new"
    assert last.revision == 2
    assert (await stored(mongo, created.id))["published_revision"] == 2


async def test_a_stale_token_goes_only_with_a_second_publication_after_the_grace(
    endpoints: EndpointStore, topic: Topic, clock: Clock, mongo: Mongo
) -> None:
    created = await endpoints.create(endpoint())
    topic.down = True
    with pytest.raises(Outage):
        await renamed(endpoints, created, "https://example.com/new")
    topic.down = False
    clock.now_ms += TOKEN_STALE_MS + 1

    assert await endpoints.sweep() == 1
    assert len(_tokens(await stored(mongo, created.id))) == 1
    assert await endpoints.sweep() == 0, "nothing to do until the grace is over"

    # What the dead writer had in its buffer arrives late, after the sweep's record.
    stale = created.state()
    assert stale is not None
    topic.records.append((created.id, msgspec.json.encode(stale)))

    clock.now_ms += TOKEN_GRACE_MS
    assert await endpoints.sweep() == 1
    assert _tokens(await stored(mongo, created.id)) == []
    last = topic.last(created.id)
    assert isinstance(last, EndpointState)
    assert last.url == "https://example.com/new"


async def test_a_creation_that_was_not_published_never_shows_and_is_withdrawn(
    endpoints: EndpointStore, topic: Topic, clock: Clock
) -> None:
    topic.down = True
    with pytest.raises(Outage):
        await endpoints.create(endpoint())

    assert await endpoints.page(WORKSPACE, limit=10) == []
    assert await endpoints.get(WORKSPACE, endpoint().id) is None

    topic.down = False
    again = await endpoints.create(endpoint(2))
    clock.now_ms += TOKEN_STALE_MS + 1
    assert await endpoints.sweep() == 1

    assert topic.records[-1] == (endpoint().id, None)
    assert [shown.id for shown in await endpoints.page(WORKSPACE, limit=10)] == [again.id]


async def test_a_creation_that_is_withdrawn_meanwhile_fails_for_its_caller(
    mongo: Mongo, clock: Clock, endpoints: EndpointStore, topic: Topic
) -> None:
    topic.gate.clear()
    slow = asyncio.create_task(endpoints.create(endpoint()))
    await topic.waiting.wait()
    sweeper = EndpointStore(mongo, send=Topic().send, now_ms=clock, entropy=entropy_of(3))
    clock.now_ms += TOKEN_STALE_MS + 1
    assert await sweeper.sweep() == 1
    topic.gate.set()

    with pytest.raises(Outage):
        await slow

    assert topic.records[-1] == (endpoint().id, None)
    assert await endpoints.get(WORKSPACE, endpoint().id) is None


async def test_a_deletion_that_was_not_published_can_be_repeated(
    endpoints: EndpointStore, topic: Topic
) -> None:
    created = await endpoints.create(endpoint())
    topic.down = True
    with pytest.raises(Outage):
        await endpoints.delete(WORKSPACE, created.id)
    topic.down = False

    assert await endpoints.delete(WORKSPACE, created.id)
    assert topic.records[-1] == (created.id, None)
    assert not await endpoints.delete(WORKSPACE, created.id)


async def test_two_changes_of_one_revision_do_not_overwrite_each_other(
    endpoints: EndpointStore,
) -> None:
    created = await endpoints.create(endpoint())
    first = await renamed(endpoints, created, "https://example.com/first")

    assert first is not None
    assert await renamed(endpoints, created, "https://example.com/second") is None


async def test_a_document_that_is_behind_without_a_token_is_found_by_the_first_sweep(
    endpoints: EndpointStore, topic: Topic, mongo: Mongo
) -> None:
    created = await endpoints.create(endpoint())
    await mongo.collection(ENDPOINTS).update_one({"_id": created.id}, {"$inc": {"revision": 1}})

    assert await endpoints.sweep() == 0
    assert await endpoints.sweep(everything=True) == 1

    last = topic.last(created.id)
    assert isinstance(last, EndpointState)
    assert last.revision == 2


async def test_a_sweep_stops_at_an_outage_and_the_next_one_goes_on(
    endpoints: EndpointStore, topic: Topic, clock: Clock
) -> None:
    created = await endpoints.create(endpoint())
    topic.down = True
    with pytest.raises(Outage):
        await renamed(endpoints, created, "https://example.com/new")
    clock.now_ms += TOKEN_STALE_MS + 1
    with pytest.raises(Outage):
        await endpoints.sweep()
    topic.down = False

    assert await endpoints.sweep() == 1
    last = topic.last(created.id)
    assert isinstance(last, EndpointState)
    assert last.url == "https://example.com/new"


@pytest.mark.parametrize("seed", range(8))
async def test_after_any_interleaving_and_crashes_the_sweeps_leave_the_newest_state_last(
    seed: int, mongo: Mongo, clock: Clock, topic: Topic
) -> None:
    """Writers change one endpoint over slow connections; some die; records arrive in any order."""
    chance = random.Random(seed)
    stores = [
        EndpointStore(mongo, send=_slow(topic, chance), now_ms=clock, entropy=entropy_of(number))
        for number in range(4)
    ]
    created = await stores[0].create(endpoint())
    writers = [
        asyncio.create_task(_writer(store, chance, f"https://example.com/{number}"))
        for number, store in enumerate(stores)
        for _ in range(3)
    ]
    for writer in chance.sample(writers, 4):
        await asyncio.sleep(0)
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    sweeper = EndpointStore(mongo, send=topic.send, now_ms=clock, entropy=entropy_of(99))
    for step_ms in (TOKEN_STALE_MS + 1, TOKEN_GRACE_MS, TOKEN_GRACE_MS):
        clock.now_ms += step_ms
        await sweeper.sweep()

    document = await stored(mongo, created.id)
    assert document["publishers"] == []
    assert document["published_revision"] == document["revision"]
    current = await sweeper.get(WORKSPACE, created.id)
    assert topic.last(created.id) == (None if current is None else current.state())


async def _writer(store: EndpointStore, chance: random.Random, url: str) -> None:
    for _ in range(3):
        current = await store.get(WORKSPACE, endpoint().id)
        if current is None:
            return
        if chance.random() < 0.05:
            await store.delete(WORKSPACE, current.id)
        else:
            await renamed(store, current, url)


def _slow(topic: Topic, chance: random.Random):  # type: ignore[no-untyped-def]
    """Return a connection over which records take turns by chance before they arrive."""

    async def send(key: str, value: bytes | None) -> None:
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        await topic.send(key, value)

    return send


def _state(record: tuple[str, bytes | None]) -> EndpointState | None:
    return None if record[1] is None else msgspec.json.decode(record[1], type=EndpointState)


def _tokens(document: dict[str, object]) -> list[str]:
    return msgspec.convert(document["publishers"], list[str])
