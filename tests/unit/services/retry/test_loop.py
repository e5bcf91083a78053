"""The loop against a broker and a clock of the test's own: a tier of a day takes milliseconds."""

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from prometheus_client import REGISTRY

from services.retry.handler import WAIT_MS_MAX, Retry
from shared.models.deliveries import META_HEADER, REASON_HEADER
from shared.observe.traces import OFF, Context, Span, Tracer
from shared.topics import Tiers
from tests.unit.services.retry.kit import NOON_MS, World, delivery, record

TIERS = {f"p-{tier.topic}": tier for tier in Tiers.parse("5s,1h,24h").all}
SECONDS, HOUR, DAY = (TopicPartition(topic, 0) for topic in TIERS)
DAY_MS = 86_400_000
HOUR_MS = 3_600_000


async def run(world: World, until_ms: int, traces: Tracer = OFF) -> Retry:
    world.stop_at_ms = until_ms
    world.stopping.clear()
    retry = Retry(
        group=world,
        sink=world,
        clock=world.clock,
        tiers=TIERS,
        deliveries_topic="p-deliveries",
        dead_topic="p-dead",
        traces=traces,
    )
    await retry.run(world.stopping)
    return retry


async def test_each_tier_moves_its_records_when_they_are_due_and_not_a_millisecond_before() -> None:
    world = World(
        {
            SECONDS: [delivery(SECONDS, 0, NOON_MS + 5_000)],
            HOUR: [delivery(HOUR, 0, NOON_MS + 1), delivery(HOUR, 1, NOON_MS + HOUR_MS)],
            DAY: [delivery(DAY, 0, NOON_MS + DAY_MS)],
        }
    )
    await run(world, NOON_MS + DAY_MS + 1)

    moved = [at_ms - NOON_MS for at_ms, _ in world.published]
    assert moved == [1, 5_000, HOUR_MS, DAY_MS]
    assert world.committed == {SECONDS: 1, HOUR: 2, DAY: 1}


async def test_no_poll_waits_longer_than_it_may_take_to_notice_that_the_clock_was_set() -> None:
    world = World({DAY: [delivery(DAY, 0, NOON_MS + DAY_MS)]})
    await run(world, NOON_MS + DAY_MS)

    assert max(world.polls) == WAIT_MS_MAX


async def test_a_record_moves_byte_for_byte_with_its_key_and_its_headers() -> None:
    given = delivery(SECONDS, 7, NOON_MS)
    world = World({SECONDS: [given]})
    await run(world, NOON_MS + 1_000)

    ((_, moved),) = world.published
    assert moved.topic == "p-deliveries"
    assert (moved.key, moved.value) == (given.key, given.value)
    assert tuple(moved.headers) == given.headers
    assert moved.partition is None  # the key decides, as it did for the first attempt


async def test_a_backlog_after_downtime_moves_in_order_and_completely() -> None:
    count = 5_000
    backlog = [delivery(HOUR, n, NOON_MS - DAY_MS + n) for n in range(count)]
    world = World({HOUR: backlog, SECONDS: [delivery(SECONDS, 0, NOON_MS)]})
    await run(world, NOON_MS + 1_000)

    bodies = [moved.value for _, moved in world.published if moved.value != b"body 0"]
    assert bodies == [given.value for given in backlog[1:]]
    assert world.committed == {HOUR: count, SECONDS: 1}
    assert max(at_ms for at_ms, _ in world.published) == NOON_MS
    assert world.publishes < 10


async def test_records_that_come_in_a_trickle_share_their_moves() -> None:
    world = World({SECONDS: [delivery(SECONDS, n, NOON_MS + 5_000 + n) for n in range(100)]})
    await run(world, NOON_MS + 6_000)

    times = sorted({at_ms for at_ms, _ in world.published})
    assert len(world.published) == 100
    assert len(times) <= 7
    late = [at_ms - (NOON_MS + 5_000 + n) for n, (at_ms, _) in enumerate(world.published)]
    assert min(late) >= 0
    assert max(late) <= 20


async def test_a_clock_that_is_set_back_does_not_hold_up_what_is_due_by_it() -> None:
    world = World({SECONDS: [delivery(SECONDS, 0, NOON_MS)]})
    retry = await run(world, NOON_MS + 1)
    world.now_ms -= 10 * HOUR_MS
    world.tiers = {SECONDS: [*world.tiers[SECONDS], delivery(SECONDS, 1, world.now_ms)]}
    world.stopping.clear()
    world.stop_at_ms = world.now_ms + 1_000
    await retry.run(world.stopping)

    assert [moved.value for _, moved in world.published] == [b"body 0", b"body 1"]


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_what_is_no_delivery_goes_to_dead_with_its_reason_and_stops_nobody(
    position: int,
) -> None:
    tier: list[ConsumerRecord[bytes, bytes]] = [delivery(HOUR, n, NOON_MS + n) for n in range(3)]
    tier[position] = record(HOUR, position, [("x", b"1"), (META_HEADER, b"\xc1")], value=b"?")
    world = World({HOUR: tier})
    await run(world, NOON_MS + 1_000)

    dead = [moved for _, moved in world.published if moved.topic == "p-dead"]
    assert [moved.value for moved in dead] == [b"?"]
    assert dead[0].headers[:2] == (("x", b"1"), (META_HEADER, b"\xc1"))
    reason = dict(dead[0].headers)[REASON_HEADER] or b""
    assert reason.startswith(b"its metadata cannot be read")
    assert len(world.published) == 3
    assert world.committed == {HOUR: 3}


async def test_a_record_that_the_broker_refuses_stays_behind_and_the_others_move() -> None:
    world = World({HOUR: [delivery(HOUR, n, NOON_MS) for n in range(4)]})
    world.refused = {b"body 2"}
    before = REGISTRY.get_sample_value("hooklane_retry_refused_total") or 0.0
    await run(world, NOON_MS + 1_000)

    assert [moved.value for _, moved in world.published] == [b"body 0", b"body 1", b"body 3"]
    assert world.committed == {HOUR: 4}
    assert REGISTRY.get_sample_value("hooklane_retry_refused_total") == before + 1


async def test_a_partition_that_was_taken_away_moves_nothing_from_memory() -> None:
    world = World({HOUR: [delivery(HOUR, 0, NOON_MS + HOUR_MS)]})
    retry = await run(world, NOON_MS + 10_000)
    retry.release()
    world.stop_at_ms = NOON_MS + 2 * HOUR_MS
    world.stopping.clear()
    await retry.run(world.stopping)

    assert world.published == []
    assert world.committed == {}


async def test_the_metrics_say_how_long_the_earliest_record_is_overdue() -> None:
    world = World({HOUR: [delivery(HOUR, n, NOON_MS + HOUR_MS) for n in range(3)]})
    retry = await run(world, NOON_MS + 1_000)
    world.now_ms = NOON_MS + HOUR_MS + 90_000
    retry.report()

    def sample(name: str) -> float | None:
        return REGISTRY.get_sample_value(f"hooklane_retry_{name}", {"tier": "1h"})

    assert sample("overdue_seconds") == 90.0
    assert sample("overdue_count") == 3.0
    assert sample("waiting") == 3.0


async def test_the_wait_of_a_traced_delivery_is_a_span_beside_its_attempts() -> None:
    parent = Context("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    spans: list[Span] = []
    traced = delivery(HOUR, 0, NOON_MS + 2_000, traceparent=str(parent))
    world = World({HOUR: [traced, delivery(HOUR, 1, NOON_MS + 2_000)]})
    traces = Tracer(ratio=1.0, sink=spans.append, now_ms=lambda: world.now_ms)
    await run(world, NOON_MS + 10_000, traces=traces)

    (span,) = spans
    assert (span.name, span.parent) == ("wait 1h", parent)
    assert span.start_ms == NOON_MS
    assert span.end_ms >= NOON_MS + 2_000
    assert dict(span.attributes)["hooklane.attempt"] == 2
