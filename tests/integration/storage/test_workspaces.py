"""Workspaces and API keys on a real MongoDB."""

import pytest
from msgspec.structs import replace

from shared.models import ids
from shared.models.endpoints import WorkspaceState
from shared.models.errors import Outage
from shared.models.management import ApiKey, EarlierKey, Workspace
from shared.storage.mongo.api_keys import ApiKeyStore
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.workspaces import WorkspaceStore
from tests.integration.storage.publishing_world import Clock, Topic, entropy_of

pytestmark = pytest.mark.integration

WORKSPACE = Workspace(id="ws_a", name="Ålesund", profile="qr3", created_ms=1)
KEY = ApiKey(
    digest="ab" * 32,
    hint="hk_abcde",
    workspace_id="ws_a",
    scopes=("events:write",),
    created_ms=1,
    name="ci",
    id=ids.derived_id(ids.API_KEY, 1, "ab" * 32),
)


@pytest.fixture
def workspaces(mongo: Mongo, clock: Clock, topic: Topic) -> WorkspaceStore:
    return WorkspaceStore(mongo, send=topic.send, now_ms=clock, entropy=entropy_of(1))


async def test_a_workspace_is_published_when_it_is_created(
    workspaces: WorkspaceStore, topic: Topic
) -> None:
    created = await workspaces.create(WORKSPACE)

    assert created == WORKSPACE
    assert await workspaces.get("ws_a") == WORKSPACE
    assert topic.last("ws_a") == WorkspaceState(id="ws_a", profile="qr3", name="Ålesund")


async def test_a_workspace_that_was_not_published_does_not_exist(
    workspaces: WorkspaceStore, topic: Topic
) -> None:
    topic.down = True
    with pytest.raises(Outage):
        await workspaces.create(WORKSPACE)

    assert await workspaces.get("ws_a") is None


async def test_an_api_key_is_found_by_its_digest_and_says_when_it_was_revoked(
    mongo: Mongo,
) -> None:
    keys = ApiKeyStore(mongo)
    await keys.add(KEY)
    await keys.add(KEY)

    assert await keys.find(KEY.digest) == KEY
    assert await keys.find("cd" * 32) is None
    assert await keys.of_workspace("ws_b") == []
    assert await keys.of_workspace("ws_a") == [KEY]
    revoked = await keys.replace(KEY, replace(KEY, revoked_ms=7))
    assert revoked == replace(KEY, revoked_ms=7, revision=2)
    assert await keys.find(KEY.digest) == revoked
    assert await keys.of_workspace("ws_a") == []
    assert await keys.replace(revoked, replace(KEY, revoked_ms=None)) == replace(KEY, revision=3)


async def test_a_rotated_key_is_found_by_each_secret_that_it_has(mongo: Mongo) -> None:
    keys = ApiKeyStore(mongo)
    await keys.add(KEY)
    earlier = EarlierKey(digest=KEY.digest, hint=KEY.hint, until_ms=9)
    rotated = await keys.replace(KEY, replace(KEY, digest="cd" * 32, earlier=(earlier,)))
    assert rotated is not None
    await keys.used({KEY.digest: 5, "cd" * 32: 7, "ef" * 32: 9})
    await keys.used({"cd" * 32: 6})
    again = await keys.replace(rotated, replace(rotated, digest="ef" * 32, earlier=()))

    assert again == replace(KEY, digest="ef" * 32, revision=3, last_used_ms=7)
    assert await keys.replace(KEY, KEY) is None
    for digest in (KEY.digest, "ef" * 32):  # the first one says that it was replaced
        assert await keys.find(digest) == again
    assert await keys.find("cd" * 32) is None


async def test_a_key_from_before_rotations_works_on(mongo: Mongo) -> None:
    """Such a document has neither ``id`` nor ``digests`` nor a revision."""
    document = {
        "_id": KEY.digest,
        "hint": KEY.hint,
        "workspace_id": "ws_a",
        "scopes": ["events:write"],
        "created_ms": 1,
        "name": "ci",
    }
    await mongo.collection("api_keys").insert_one(document)
    keys = ApiKeyStore(mongo)

    assert await keys.find(KEY.digest) == KEY
    assert await keys.of_workspace("ws_a") == [KEY]
    await keys.used({KEY.digest: 5})
    renamed = await keys.replace(KEY, replace(KEY, name="x"))
    assert renamed == replace(KEY, name="x", revision=2, last_used_ms=5)
    assert await keys.find(KEY.digest) == renamed
