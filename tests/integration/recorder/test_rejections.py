"""Rejected events become copies that the API can show: complete, once, each workspace its own."""

import pytest

from shared.kafka.names import topic_name
from shared.kafka.publisher import Record
from shared.models.rejected import ORIGIN_HEADER, REASON_HEADER, WORKSPACE_HEADER
from shared.storage.mongo.rejected import RejectedStore
from shared.topics import REJECTED
from tests.integration.recorder.kit import World, recorder
from tests.support.polling import until

pytestmark = pytest.mark.integration

NOW_MS = 4_000_000_000_000  # retention must not take the copies away while a test looks at them


def rejected(world: World, offset: int, workspace: str | None) -> Record:
    """Return a record as fan-out writes it."""
    headers = [
        (REASON_HEADER, b"data must be a JSON object"),
        (
            ORIGIN_HEADER,
            b'{"topic":"events","partition":0,"offset":%d,"timestamp_ms":%d}'
            % (offset, NOW_MS + offset),
        ),
    ]
    if workspace is not None:
        headers.append((WORKSPACE_HEADER, workspace.encode()))
    return Record(
        topic_name(world.settings, REJECTED),
        None,
        b'{"data":%d}' % offset,
        headers,
    )


async def test_each_workspace_sees_its_own_once_and_nobody_sees_nobodys(world: World) -> None:
    store = RejectedStore(world.mongo, retention_days=30)
    records = [rejected(world, n, ("ws_a", "ws_b", None)[n % 3]) for n in range(30)]
    await world.publisher.publish([*records, records[0], records[1]])  # fan-out came back

    async def copied() -> int:
        return await world.mongo.collection("rejected").count_documents({})

    async with recorder(world.settings):
        await until(copied, lambda count: count >= 20, what="all copies", within_s=40)
        await world.publisher.publish([rejected(world, 99, "ws_a")])
        await until(copied, lambda count: count >= 21, what="one more", within_s=40)

    seen = await store.page("ws_a", limit=100)
    assert [one.place.offset for one in seen] == [99, *range(27, -1, -3)]
    assert all(one.value == b'{"data":%d}' % one.place.offset for one in seen)
    assert len(await store.page("ws_b", limit=100)) == 10
    page = await store.page("ws_a", limit=3)
    rest = await store.page("ws_a", limit=100, before=page[-1].id)
    assert [*page, *rest] == seen


async def test_what_is_read_again_does_not_bring_back_what_was_discarded(world: World) -> None:
    store = RejectedStore(world.mongo, retention_days=30)
    records = [rejected(world, n, "ws_a") for n in range(2)]
    await world.publisher.publish(records[:1])

    async def shown() -> int:
        return len(await store.page("ws_a", limit=9))

    async with recorder(world.settings):
        await until(shown, lambda count: count == 1, what="the copy", within_s=40)
        (copy,) = await store.page("ws_a", limit=9)
        await store.discarded(copy)
        await world.publisher.publish(records)
        await until(shown, lambda count: count == 1, what="the other copy", within_s=40)

    (left,) = await store.page("ws_a", limit=9)
    assert left.place.offset == 1
    assert await store.get("ws_a", copy.id) is None
