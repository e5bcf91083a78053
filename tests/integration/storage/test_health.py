"""Counts on the real server: the newest record wins, whoever writes last."""

from collections.abc import AsyncIterator

import pytest

from shared.policy.health import HEALTHY, EndpointHealth, Health
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.endpoints import ENDPOINTS
from shared.storage.mongo.health import HEALTH, INDEXES, HealthStore
from shared.storage.mongo.indexes import ensure_indexes
from tests.support.servers import MongoServer, fresh_name

pytestmark = pytest.mark.integration


@pytest.fixture
async def mongo(mongo_server: MongoServer) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongo_server.uri, fresh_name("health"))
    await ensure_indexes(mongo, INDEXES)
    yield mongo
    mongo.close()


@pytest.fixture
def healths(mongo: Mongo) -> HealthStore:
    return HealthStore(mongo)


def of(failures: int, offset: int, *, name: str = "wh_1", partition: int = 3) -> EndpointHealth:
    health = Health(failures, 7, 2) if failures else HEALTHY
    return EndpointHealth(name, health, partition, offset)


async def test_what_is_saved_is_found_again(healths: HealthStore) -> None:
    await healths.save([of(1, 10), of(2, 11, name="wh_2")])

    assert await healths.of_endpoints(["wh_1", "wh_2", "wh_3"]) == [
        of(1, 10),
        of(2, 11, name="wh_2"),
    ]
    assert await healths.failures("wh_2", 2) == 2
    assert await healths.failures("wh_2", 3) == 0  # enabled again since
    assert await healths.failures("wh_3", 2) == 0


async def test_a_late_writer_changes_nothing(healths: HealthStore) -> None:
    await healths.save([of(3, 30)])
    await healths.save([of(1, 10), of(5, 30), of(4, 40, name="wh_2")])

    assert await healths.of_endpoints(["wh_1", "wh_2"]) == [of(3, 30), of(4, 40, name="wh_2")]


async def test_an_endpoint_that_has_moved_to_another_partition_is_counted_there(
    healths: HealthStore,
) -> None:
    await healths.save([of(3, 5_000)])
    await healths.save([of(1, 2, partition=4)])

    assert await healths.of_endpoints(["wh_1"]) == [of(1, 2, partition=4)]


async def test_a_reader_is_told_who_is_failing_and_whose_change_it_may_read_again(
    healths: HealthStore,
) -> None:
    failing, old, recent = of(1, 1), of(0, 9, name="wh_2"), of(0, 10, name="wh_3")
    await healths.save([failing, old, recent, of(1, 50, name="wh_4", partition=4)])

    found = await healths.of_partition(3, from_offset=10, limit=10)
    assert sorted(found, key=lambda one: one.endpoint_id) == [failing, recent]
    assert len(await healths.of_partition(3, from_offset=10, limit=1)) == 1


async def test_starting_anew_forgets_one_partition(healths: HealthStore) -> None:
    other = of(1, 1, name="wh_2", partition=4)
    await healths.save([of(1, 1), other])
    await healths.restart(3)

    assert await healths.of_endpoints(["wh_1", "wh_2"]) == [other]


async def test_only_a_healthy_endpoint_is_forgotten_some_day(
    healths: HealthStore, mongo: Mongo
) -> None:
    await healths.save([of(1, 1), of(0, 1, name="wh_2")])
    await healths.save([of(0, 2)])
    await healths.save([of(1, 3)])

    documents = await mongo.collection(HEALTH).find({}).to_list(10)
    assert [one["_id"] for one in documents if "healthy_at" in one] == ["wh_2"]


async def test_the_profile_of_an_endpoint_is_known_while_it_exists(
    healths: HealthStore, mongo: Mongo
) -> None:
    await mongo.collection(ENDPOINTS).insert_one({"_id": "wh_1", "profile": "qr3", "url": "x"})

    assert await healths.profiles({"wh_1", "wh_2"}) == {"wh_1": "qr3"}


async def test_an_endpoint_is_forgotten_where_it_was_counted(healths: HealthStore) -> None:
    gone, moved = of(1, 1), of(1, 1, name="wh_2", partition=4)
    other = of(1, 1, name="wh_3")
    await healths.save([gone, moved, other])
    await healths.forget(3, ["wh_1", "wh_2"])

    found = await healths.of_endpoints(["wh_1", "wh_2", "wh_3"])
    assert sorted(found, key=lambda one: one.endpoint_id) == [moved, other]
