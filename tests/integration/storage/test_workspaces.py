"""Workspaces and API keys on a real MongoDB."""

import pytest

from shared.models.endpoints import WorkspaceState
from shared.models.errors import Outage
from shared.models.management import ApiKey, Workspace
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.workspaces import ApiKeyStore, WorkspaceStore
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


async def test_an_api_key_is_found_by_its_digest_until_it_is_revoked(mongo: Mongo) -> None:
    keys = ApiKeyStore(mongo)
    await keys.add(KEY)
    await keys.add(KEY)

    assert await keys.find(KEY.digest) == KEY
    assert await keys.find("cd" * 32) is None
    assert await keys.revoke("ws_b", KEY.hint) == 0
    assert await keys.revoke("ws_a", KEY.hint) == 1
    assert await keys.find(KEY.digest) is None
