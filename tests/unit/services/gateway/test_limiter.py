"""A gateway holds workspaces to their limits, and lets them pass while MongoDB is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from services.gateway.absence import STORE_PAUSE_MS
from services.gateway.errors import TooLarge, TooMany
from services.gateway.limiter import Limiter, MeteredSink, fields_of
from services.gateway.rooms import check_room
from shared.kafka.publisher import Position, Record
from shared.models.errors import Outage
from shared.models.limits import NO_LIMITS, WorkspaceLimits
from shared.policy.quotas import Standing
from tests.unit.services.gateway.fakes import Clock, MemorySink

EVENT = Record("events", b"ws_a", b"{}")


class MemoryCounters:
    """Counters by workspace, limit and window; ``away`` is an outage."""

    def __init__(self) -> None:
        self.units: dict[tuple[str, str, int], int] = {}
        self.away = False
        self.asked = 0

    async def take(
        self, workspace_id: str, limit: str, *, start_ms: int, end_ms: int, units: int, quota: int
    ) -> int:
        assert start_ms < end_ms
        await self._reached()
        key = (workspace_id, limit, start_ms)
        counted = self.units.get(key, 0) + units
        self.units[key] = min(counted, max(quota, counted - units))
        return counted

    async def give_back(self, workspace_id: str, limit: str, *, start_ms: int, units: int) -> None:
        await self._reached()
        self.units[workspace_id, limit, start_ms] -= units

    async def _reached(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise Outage("MongoDB does not answer")


class Gateway:
    """A limiter and what it needs; ``noted`` is what the last call was told."""

    def __init__(self, counters: MemoryCounters | None = None, clock: Clock | None = None) -> None:
        self.counters = counters or MemoryCounters()
        self.clock = clock or Clock()
        self.limiter = Limiter(self.counters, self.clock)
        self.noted: Sequence[Standing] = ()

    async def publish(self, limits: WorkspaceLimits, count: int = 1) -> None:
        await self.limiter.take("ws_a", limits, "events", count, self._note)

    async def call(self, limits: WorkspaceLimits) -> None:
        await self.limiter.take("ws_a", limits, "requests", 1, self._note)

    def _note(self, standings: Sequence[Standing]) -> None:
        self.noted = standings


def counted(name: str, limit: str) -> float:
    metric = f"hooklane_gateway_{name}_total"
    return REGISTRY.get_sample_value(metric, {"limit": limit}) or 0.0


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


async def test_without_limits_nothing_is_asked(gateway: Gateway) -> None:
    await gateway.publish(NO_LIMITS, 1_000)
    await gateway.publish(WorkspaceLimits(requests_per_second=1), 1_000)

    assert gateway.counters.asked == 0
    assert fields_of(gateway.noted) == ()


async def test_a_used_up_limit_is_named_with_the_time_to_wait(gateway: Gateway) -> None:
    limits = WorkspaceLimits(requests_per_second=2)
    before = counted("limited", "requests_per_second")
    await gateway.call(limits)
    await gateway.call(limits)
    with pytest.raises(TooMany, match="2 requests per second") as caught:
        await gateway.call(limits)

    assert (caught.value.limit, caught.value.retry_after_s) == ("requests_per_second", 1)
    assert counted("limited", "requests_per_second") == before + 1
    assert fields_of(gateway.noted) == (
        ("RateLimit-Policy", '"requests_per_second";q=2;w=1'),
        ("RateLimit", '"requests_per_second";r=0;t=1'),
    )
    gateway.clock.now_ms += 1_000
    await gateway.call(limits)


async def test_what_one_limit_refuses_does_not_count_against_the_others(gateway: Gateway) -> None:
    limits = WorkspaceLimits(events_per_second=5, events_per_day=8, events_per_month=100)
    await gateway.publish(limits, 5)
    gateway.clock.now_ms += 1_000
    with pytest.raises(TooMany) as caught:
        await gateway.publish(limits, 4)
    assert caught.value.limit == "events_per_day"
    assert [one.name for one in gateway.noted] == ["events_per_second", "events_per_day"]
    assert [one.remaining for one in gateway.noted] == [5, 3]

    await gateway.publish(limits, 3)

    assert [one.remaining for one in gateway.noted] == [2, 0, 92]
    assert ';qu="events"' in dict(fields_of(gateway.noted))["RateLimit-Policy"]


async def test_more_at_once_than_a_limit_ever_lets_pass_is_too_large(gateway: Gateway) -> None:
    with pytest.raises(TooLarge, match="send fewer at a time"):
        await gateway.publish(WorkspaceLimits(events_per_second=10), 11)


async def test_gateways_share_a_limit(gateway: Gateway) -> None:
    other, limits = Gateway(gateway.counters, gateway.clock), WorkspaceLimits(events_per_day=10)
    for one in (gateway, other) * 5:
        await one.publish(limits)
    for one in (gateway, other):
        with pytest.raises(TooMany):
            await one.publish(limits)


async def test_a_share_serves_many_requests_also_those_that_come_at_once(gateway: Gateway) -> None:
    limits = WorkspaceLimits(events_per_day=100_000)
    await asyncio.gather(*(gateway.publish(limits) for _ in range(100)))

    assert gateway.counters.asked == 1


async def test_limits_are_open_and_that_is_counted_while_mongodb_is_away(gateway: Gateway) -> None:
    limits = WorkspaceLimits(events_per_day=1)
    gateway.counters.away = True
    before = counted("limits_open", "events_per_day")
    for _ in range(20):
        await gateway.publish(limits)

    assert gateway.counters.asked == 1, "each try takes two seconds"
    assert counted("limits_open", "events_per_day") == before + 20
    gateway.counters.away = False
    gateway.clock.now_ms += STORE_PAUSE_MS
    await gateway.publish(limits)
    with pytest.raises(TooMany):
        await gateway.publish(limits)


async def test_a_gateway_that_stops_gives_back_what_it_has_not_spent(gateway: Gateway) -> None:
    limits = WorkspaceLimits(events_per_day=10_000)
    await gateway.publish(limits, 3)
    assert list(gateway.counters.units.values()) == [10]

    for _ in range(2):
        await gateway.limiter.stop()
        assert list(gateway.counters.units.values()) == [3]


async def test_a_gateway_stops_though_mongodb_is_away(gateway: Gateway) -> None:
    await gateway.publish(WorkspaceLimits(events_per_day=10_000))
    gateway.counters.away = True

    await gateway.limiter.stop()


async def test_a_limit_that_is_changed_holds_from_then_on(gateway: Gateway) -> None:
    await gateway.publish(WorkspaceLimits(events_per_day=3), 3)
    await gateway.publish(WorkspaceLimits(events_per_day=5), 2)
    with pytest.raises(TooMany):
        await gateway.publish(WorkspaceLimits(events_per_day=5))


async def test_what_kafka_did_not_take_does_not_count(gateway: Gateway) -> None:
    limits = WorkspaceLimits(events_per_day=1)

    class Away:
        async def publish_within(
            self, records: Sequence[Record], timeout_ms: int
        ) -> list[Position]:
            raise Outage(f"Kafka did not acknowledge {len(records)} in {timeout_ms} ms")

    async def take(count: int):  # type: ignore[no-untyped-def]
        return await gateway.limiter.take("ws_a", limits, "events", count, lambda _: None)

    for _ in range(3):
        with pytest.raises(Outage):
            await MeteredSink(Away(), take).publish_within([EVENT], 1)
    sink = MemorySink()
    await MeteredSink(sink, take).publish_within([EVENT], 1)
    with pytest.raises(TooMany):
        await MeteredSink(sink, take).publish_within([EVENT], 1)

    assert len(sink.records) == 1


def test_there_is_room_below_the_number_that_a_workspace_may_have() -> None:
    check_room(NO_LIMITS, "webhooks", 1_000_000)
    check_room(WorkspaceLimits(webhooks=2), "webhooks", 1)
    with pytest.raises(Exception, match="may have 2 webhooks, and has 2") as caught:
        check_room(WorkspaceLimits(webhooks=2), "webhooks", 2)
    assert getattr(caught.value, "limit", None) == "webhooks"
