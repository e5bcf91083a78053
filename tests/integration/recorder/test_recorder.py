"""The recorder between the real Kafka and the real MongoDB."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from msgspec import json
from msgspec.structs import replace

from shared.config import Settings
from shared.kafka.admin import create_topics
from shared.kafka.cluster import Cluster
from shared.kafka.names import group_name, topic_name
from shared.kafka.publisher import Record
from shared.models.stats import Counts
from shared.topics import ATTEMPTS
from tests.integration.recorder.kit import World, attempts_of, endpoint, recorder
from tests.support.polling import until
from tests.unit.services.recorder.kit import attempt

pytestmark = pytest.mark.integration

FAIL, SUCCEED = "failed", "success"


async def active(world: World, endpoint_id: str, wanted: bool) -> Any:
    """Wait until an endpoint is active or not, and return it."""
    return await until(
        lambda: world.endpoints.get("ws_1", endpoint_id),
        lambda found: found is not None and found.active is wanted,
        what=f"{endpoint_id} active: {wanted}",
    )


async def test_every_attempt_is_one_row_however_often_its_record_was_written(
    world: World, settings: Settings
) -> None:
    attempts = [one for n in range(20) for one in attempts_of(f"wh_{n}", [SUCCEED] * 10)]
    await world.produce(attempts)
    await world.produce(attempts[50:150])
    async with recorder(settings):
        await world.produce(attempts[:30])
        await world.logged(attempts)
        await until(
            world.committed, lambda offsets: sum(offsets.values()) == 330, what="the commits"
        )


async def test_ten_failures_in_a_row_disable_an_endpoint_and_publish_that(
    world: World, settings: Settings
) -> None:
    await world.endpoints.create(endpoint("wh_1"))
    await world.endpoints.create(endpoint("wh_2"))
    nine = attempts_of("wh_2", [FAIL] * 9 + [SUCCEED] + [FAIL] * 9)
    async with recorder(settings):
        await world.produce([*attempts_of("wh_1", [FAIL] * 10), *nine])
        disabled = await active(world, "wh_1", False)
        await world.counted("wh_2", 9)

    assert disabled.disabled_reason == "consecutive_failures"
    assert (await active(world, "wh_2", True)).revision == 1
    last = json.decode((await world.states())[-1] or b"")
    assert (last["id"], last["active"], last["revision"]) == ("wh_1", False, 2)
    assert await world.healths.failures("wh_1", epoch=1) == 10


async def test_an_endpoint_that_was_enabled_again_has_ten_more(
    world: World, settings: Settings
) -> None:
    created = await world.endpoints.create(endpoint("wh_1"))
    async with recorder(settings):
        await world.produce(attempts_of("wh_1", [FAIL] * 10))
        disabled = await active(world, "wh_1", False)
        again = replace(disabled, active=True, disabled_reason=None, epoch=created.epoch + 1)
        await world.endpoints.replace(again)
        late = attempts_of("wh_1", [FAIL] * 5, start=10)
        ours = [replace(one, epoch=2) for one in attempts_of("wh_1", [FAIL] * 9, start=20)]
        await world.produce([*late, *ours])
        await world.counted("wh_1", 9)
        assert (await active(world, "wh_1", True)).epoch == 2
        await world.produce([replace(attempts_of("wh_1", [FAIL], start=40)[0], epoch=2)])
        await active(world, "wh_1", False)


async def test_a_receiver_that_is_gone_disables_its_endpoint_at_once(
    world: World, settings: Settings
) -> None:
    await world.endpoints.create(endpoint("wh_1", profile="standard"))
    async with recorder(settings):
        await world.produce([replace(attempts_of("wh_1", [FAIL])[0], reason="gone")])
        disabled = await active(world, "wh_1", False)

    assert disabled.disabled_reason == "gone"


async def test_days_of_failures_disable_where_the_profile_says_so(
    world: World, settings: Settings
) -> None:
    await world.endpoints.create(endpoint("wh_1", profile="standard"))
    many = attempts_of("wh_1", [FAIL] * 30)
    last = replace(many[-1], event_id="evt_last", ended_ms=many[0].ended_ms + 5 * 86_400_000)
    async with recorder(settings):
        await world.produce(many)
        await world.counted("wh_1", 30)
        await active(world, "wh_1", True)
        await world.produce([last])
        await active(world, "wh_1", False)


async def test_a_restart_goes_on_counting_where_the_last_run_ended(
    world: World, settings: Settings
) -> None:
    await world.endpoints.create(endpoint("wh_1"))
    first, second = attempts_of("wh_1", [FAIL] * 6), attempts_of("wh_1", [FAIL] * 4, start=6)
    async with recorder(settings):
        await world.produce(first)
        await world.counted("wh_1", 6)
    async with recorder(settings):
        await world.produce(second)
        await active(world, "wh_1", False)
        await world.logged([*first, *second])


async def test_a_success_after_a_restart_ends_the_run_of_before(
    world: World, settings: Settings
) -> None:
    async with recorder(settings):
        await world.produce(attempts_of("wh_1", [FAIL] * 6))
        await world.counted("wh_1", 6)
    async with recorder(settings):
        await world.produce(attempts_of("wh_1", [SUCCEED], start=6))
        await world.counted("wh_1", 0)


@pytest.mark.parametrize("again_from", [0, 1, 7, 14])
async def test_reading_again_from_an_earlier_offset_changes_nothing(
    world: World, settings: Settings, again_from: int
) -> None:
    attempts = attempts_of("wh_1", [FAIL] * 5 + [SUCCEED] * 2 + [FAIL] * 8)
    async with recorder(settings):
        await world.produce(attempts)
        before = await world.counted("wh_1", 8)
        committed = {before.partition: len(attempts)}
        await until(world.committed, lambda now: now == committed, what="all of them committed")
    tp = TopicPartition(topic_name(settings, ATTEMPTS), before.partition)
    async with world.consumer(group=group_name(settings, "recorder")) as consumer:
        consumer.assign([tp])
        await consumer.commit({tp: again_from})
    async with recorder(settings):
        await until(
            world.committed, lambda now: now == committed, what="the same offsets as before"
        )
        await world.logged(attempts)
        assert await world.counted("wh_1", 8) == before
    assert await world.statistics() == Counts(2, 13, 13)


async def test_what_is_no_attempt_is_passed_over(world: World, settings: Settings) -> None:
    topic = topic_name(settings, ATTEMPTS)
    attempts = attempts_of("wh_1", [SUCCEED] * 4)
    foreign = [b"", b"{}", b"\xff" * 99, None, b'{"x":' + b"[" * 50_000]
    await world.produce(attempts[:2], partition=0)
    await world.publisher.publish([Record(topic, b"wh_1", one, partition=0) for one in foreign])
    await world.produce(attempts[2:], partition=0)
    async with recorder(settings):
        await world.logged(attempts)
        await until(world.committed, lambda offsets: offsets.get(0) == 9, what="the commit")


async def test_a_ping_and_a_discarded_delivery_are_logged_and_not_counted(
    world: World, settings: Settings
) -> None:
    ping = attempt("failed", trigger="ping", event_id="evt_ping", at_ms=4_000_000_000_000)
    gone = attempt("discarded", epoch=0, event_id="evt_gone", at_ms=4_000_000_000_000)
    last = attempts_of("wh_1", [FAIL], start=5)
    async with recorder(settings):
        await world.produce([ping, gone, *last])
        await world.logged([ping, gone, *last])
        await world.counted("wh_1", 1)


async def test_a_topic_that_was_created_again_is_logged_in_full_and_counted_from_nothing(
    world: World, settings: Settings
) -> None:
    first = attempts_of("wh_1", [FAIL] * 6)
    async with recorder(settings):
        await world.produce(first)
        await world.counted("wh_1", 6)
        await until(world.committed, bool, what="a commit")
    topic = topic_name(settings, ATTEMPTS)
    admin = AIOKafkaAdminClient(**Cluster.of(settings).client)
    await admin.start()
    await admin.delete_topics([topic])

    async def topics() -> list[str]:
        return list(await admin.list_topics())

    await until(topics, lambda names: topic not in names, what="the deletion")
    await admin.close()
    assert topic in await create_topics(settings)
    second = attempts_of("wh_1", [FAIL] * 3, start=50)
    async with recorder(settings):
        await world.produce(second)
        await world.counted("wh_1", 3)
        await world.logged([*first, *second])
    assert await world.statistics() == Counts(0, 9, 9)
