"""The endpoint store on a real MongoDB: tenants, pages, disabling."""

from typing import Any

import msgspec
import pytest

from shared.models import ids
from shared.models.endpoints import EndpointState
from shared.models.errors import Outage
from shared.models.management import Endpoint, EndpointFilter
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.endpoints import ENDPOINTS, EndpointStore
from shared.storage.mongo.indexes import INDEXES
from tests.integration.storage.publishing_world import Clock, Topic, entropy_of

pytestmark = pytest.mark.integration


def endpoint(number: int, workspace_id: str = "ws_a") -> Endpoint:
    return Endpoint(
        id=ids.new_id(ids.ENDPOINT, 1_800_000_000_000 + number, bytes(10)),
        workspace_id=workspace_id,
        profile="qr3",
        url=f"https://example.com/{number}",
        events=("qr.scanned", "*"),
        secret="k1:sealed",
        secret_hint="my-s…",
        description="an endpoint",
        created_ms=1_800_000_000_000,
        updated_ms=1_800_000_000_000,
    )


async def test_an_endpoint_is_read_as_it_was_stored(endpoints: EndpointStore) -> None:
    created = await endpoints.create(endpoint(1))

    assert created == endpoint(1)
    assert await endpoints.get("ws_a", created.id) == created


async def test_another_workspace_does_not_see_or_change_an_endpoint(
    endpoints: EndpointStore,
) -> None:
    created = await endpoints.create(endpoint(1))
    foreign = msgspec.structs.replace(created, workspace_id="ws_b")

    assert await endpoints.get("ws_b", created.id) is None
    assert await endpoints.page("ws_b", limit=10) == []
    assert await endpoints.replace(foreign) is None
    assert not await endpoints.delete("ws_b", created.id)
    assert await endpoints.get("ws_a", created.id) == created


async def test_pages_are_newest_first_and_complete(endpoints: EndpointStore) -> None:
    for number in (3, 1, 5, 2, 4):
        await endpoints.create(endpoint(number))
    await endpoints.create(endpoint(6, "ws_b"))

    first = await endpoints.page("ws_a", limit=2)
    second = await endpoints.page("ws_a", limit=2, before=first[-1].id)
    third = await endpoints.page("ws_a", limit=2, before=second[-1].id)

    urls = [shown.url.rpartition("/")[2] for shown in (*first, *second, *third)]
    assert urls == ["5", "4", "3", "2", "1"]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (EndpointFilter(), [4, 3, 2, 1]),
        (EndpointFilter(status="active"), [4, 1]),
        (EndpointFilter(status="paused"), [3]),
        (EndpointFilter(status="disabled"), [2]),
        (EndpointFilter(names=("qr.created", "invented")), [4]),
        (EndpointFilter(names=("qr.scanned", "*")), [3, 2, 1]),
        (EndpointFilter(text="EXAMPLE.com/1"), [1]),
        (EndpointFilter(text="example_com"), []),
        (EndpointFilter(text="(prod"), [4]),
        (EndpointFilter(metadata={"team": "a"}), [3, 1]),
        (EndpointFilter(metadata={"team": "a", "stage": "x"}), [3]),
        (EndpointFilter(status="active", metadata={"team": "a"}), [1]),
    ],
)
async def test_a_page_is_narrowed_by_filters_together(
    endpoints: EndpointStore, chosen: EndpointFilter, found: list[int]
) -> None:
    changes: list[dict[str, Any]] = [
        {"metadata": {"team": "a"}},
        {"active": False, "paused_ms": 5},
        {"paused_ms": 5, "metadata": {"team": "a", "stage": "x"}},
        {"events": ("qr.created",), "description": "Billing (Prod)"},
    ]
    for number, change in enumerate(changes, start=1):
        await endpoints.create(msgspec.structs.replace(endpoint(number), **change))

    first = await endpoints.page("ws_a", limit=2, chosen=chosen)
    rest = await endpoints.page(
        "ws_a", limit=9, chosen=chosen, before=first[-1].id if first else None
    )

    seen = [*first, *rest] if first else rest
    assert [int(shown.url.rpartition("/")[2]) for shown in seen] == found


async def test_only_the_revision_that_is_meant_is_deleted(endpoints: EndpointStore) -> None:
    created = await endpoints.create(endpoint(1))

    assert not await endpoints.delete("ws_a", created.id, revision=created.revision + 1)
    assert await endpoints.get("ws_a", created.id) == created
    assert await endpoints.delete("ws_a", created.id, revision=created.revision)
    assert await endpoints.get("ws_a", created.id) is None


async def test_disabling_counts_only_in_the_epoch_it_was_decided_in(
    endpoints: EndpointStore, topic: Topic
) -> None:
    created = await endpoints.create(endpoint(1))

    assert await endpoints.disable(created.id, created.epoch + 1, "10 failures") is None
    disabled = await endpoints.disable(created.id, created.epoch, "10 failures")
    assert await endpoints.disable(created.id, created.epoch, "again") is None
    repeated = await endpoints.disable(created.id, created.epoch, "10 failures")
    assert repeated == disabled, "whoever was cut off before it heard of it hears of it now"

    assert disabled is not None
    assert not disabled.active
    assert disabled.disabled_reason == "10 failures"
    last = topic.last(created.id)
    assert isinstance(last, EndpointState)
    assert (last.active, last.disabled_reason) == (False, "10 failures")


async def test_a_deleted_endpoint_is_not_disabled(endpoints: EndpointStore) -> None:
    created = await endpoints.create(endpoint(1))
    await endpoints.delete("ws_a", created.id)

    assert await endpoints.disable(created.id, created.epoch, "10 failures") is None


async def test_every_index_of_the_table_exists(mongo: Mongo) -> None:
    for index in INDEXES:
        known = await mongo.collection(index.collection).index_information()
        keys = [tuple(map(tuple, information["key"])) for information in known.values()]
        assert index.keys in keys


async def test_a_page_is_read_from_its_index(mongo: Mongo, endpoints: EndpointStore) -> None:
    await endpoints.create(endpoint(1))
    query = {"find": ENDPOINTS, "filter": {"workspace_id": "ws_a"}, "sort": {"_id": -1}}

    plan = await mongo.database.command("explain", query)

    assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])


@pytest.mark.usefixtures("hasty_mongo")
async def test_a_server_that_is_away_is_an_outage(clock: Clock) -> None:
    away = Mongo("mongodb://127.0.0.1:9/", "nowhere")
    store = EndpointStore(away, send=Topic().send, now_ms=clock, entropy=entropy_of(1))

    with pytest.raises(Outage):
        await store.get("ws_a", "wh_1")
    with pytest.raises(Outage):
        await away.ping()
    away.close()
