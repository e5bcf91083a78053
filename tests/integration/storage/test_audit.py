"""The audit log on a real MongoDB: an entry is completed once and never touched again."""

import pytest
from msgspec.structs import replace

from shared.models import ids
from shared.models.audit import Actor, Change, Entry, EntryFilter
from shared.storage.mongo.audit import AUDIT_LOG, AuditStore
from shared.storage.mongo.client import DAY_MS, Mongo

pytestmark = pytest.mark.integration

RETENTION_DAYS = 400


def entry(number: int, **changes: object) -> Entry:
    base = Entry(
        id=ids.new_id(ids.AUDIT, number, bytes(10)),
        workspace_id="ws_a",
        time_ms=number,
        actor=Actor(kind="api_key", id="key_1", name="hk_abcde"),
        action="webhook.update",
        object_id="wh_1",
        request_id="req_1",
        address="203.0.113.9",
    )
    return replace(base, **changes)


async def test_an_outcome_is_stored_once(mongo: Mongo) -> None:
    log = AuditStore(mongo, retention_days=RETENTION_DAYS)
    begun = entry(1, object_id=None)
    await log.begin(begun)
    assert await log.page("ws_a", limit=9) == [begun]

    changes = (
        Change(field="url", before=None, after={"$a.b\0": [2**64 - 1]}),
        Change(field="secret", withheld=True),
    )
    done = replace(begun, outcome="succeeded", status=200, changes=changes, object_id="wh_2")
    await log.settle(replace(done, action="another", actor=Actor(kind="operator")))
    await log.settle(replace(done, outcome="failed", status=500, changes=()))

    assert await log.page("ws_a", limit=9) == [done]
    document = await mongo.collection(AUDIT_LOG).find_one({})
    assert document is not None
    assert int(document["expires_at"].timestamp() * 1_000) == 1 + RETENTION_DAYS * DAY_MS


async def test_entries_are_found_by_workspace_and_filter_newest_first(mongo: Mongo) -> None:
    log = AuditStore(mongo, retention_days=RETENTION_DAYS)
    other = Actor(kind="token", id="ada")
    entries = [
        entry(1),
        entry(2, actor=other),
        entry(3, action="webhook.create"),
        entry(4, object_id="wh_2"),
        entry(5, workspace_id="ws_b"),
    ]
    for one in entries:
        await log.begin(one)

    async def found(before: str | None = None, limit: int = 9, **chosen: object) -> list[int]:
        filters = replace(EntryFilter(), **chosen)
        page = await log.page("ws_a", limit=limit, before=before, chosen=filters)
        return [one.time_ms for one in page]

    assert await found() == [4, 3, 2, 1]
    assert await found(limit=2) == [4, 3]
    assert await found(before=entries[2].id) == [2, 1]
    assert await found(before=entries[2].id, since_ms=2) == [2]
    assert await found(since_ms=2, until_ms=4) == [3, 2]
    assert await found(actor="ada") == [2]
    assert await found(action="webhook.create") == [3]
    assert await found(object_id="wh_1", actor="key_1") == [3, 1]
