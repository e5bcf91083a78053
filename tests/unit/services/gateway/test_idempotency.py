"""One key, one call: the same answer again, whoever dies or is away in between."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.idempotency import Once, Origin, Reply, keyed_event_id
from services.gateway.ports import Claims
from shared.models.claims import HELD_MS, KEPT_MS, Claim, claim_of
from shared.models.errors import Conflict, Invalid, Outage
from shared.signing.keyring import Keyring
from tests.unit.services.gateway.fakes import Clock, MemoryClaims

DAY_MS = 86_400_000


class World:
    """Gateways over one store; ``performed`` are the event ids of the calls that went through."""

    def __init__(self) -> None:
        self.claims = MemoryClaims()
        self.clock = Clock()
        self.random = random.Random(7)
        self.performed: list[str] = []

    def gateway(self) -> Once:
        claims: Claims = self.claims
        return Once(
            claims,
            keyring=Keyring({"k1": bytes(32)}),
            now_ms=self.clock,
            entropy=self.random.randbytes,
        )

    def wanted(self, *, key: str = "k", request: bytes = b"{}", workspace: str = "ws_a") -> Claim:
        return claim_of(
            workspace_id=workspace,
            call="POST /v1/events",
            key=key,
            request=request,
            holder=self.random.randbytes(12).hex(),
            now_ms=self.clock(),
        )

    async def perform(self, origin: Origin) -> Reply:
        self.performed.append(origin.event_id(0))
        return Reply(202, msgspec.json.encode({"id": self.performed[-1]}))


def failing(error: Exception) -> Callable[[Origin], Awaitable[Reply]]:
    async def perform(origin: Origin) -> Reply:
        raise error

    return perform


@pytest.fixture
def world() -> World:
    return World()


async def test_the_same_request_gets_the_same_answer_from_any_gateway(world: World) -> None:
    first = await world.gateway().call(world.wanted(), world.perform, alone=True)
    again = await world.gateway().call(world.wanted(), world.perform, alone=True)

    assert not first.replayed
    assert again == first._replace(replayed=True)
    assert len(world.performed) == 1


async def test_another_request_under_the_key_is_refused(world: World) -> None:
    await world.gateway().call(world.wanted(), world.perform, alone=True)

    with pytest.raises(Conflict, match="another request"):
        await world.gateway().call(world.wanted(request=b"[]"), world.perform, alone=True)


async def test_another_request_under_a_key_that_is_under_way_is_refused(world: World) -> None:
    gateway, go = world.gateway(), asyncio.Event()

    async def slow(origin: Origin) -> Reply:
        await go.wait()
        return await world.perform(origin)

    first = asyncio.create_task(gateway.call(world.wanted(), slow, alone=True))
    await asyncio.sleep(0)
    with pytest.raises(Conflict):
        await gateway.call(world.wanted(request=b"[]"), world.perform, alone=True)
    go.set()

    assert (await first).status == 202


async def test_a_key_is_a_workspaces_own(world: World) -> None:
    gateway = world.gateway()
    await gateway.call(world.wanted(), world.perform, alone=True)
    await gateway.call(world.wanted(workspace="ws_b", request=b"[]"), world.perform, alone=True)

    assert len(set(world.performed)) == 2


@pytest.mark.parametrize("gateways", [1, 3])
async def test_a_thousand_at_once_are_one(world: World, gateways: int) -> None:
    several = [world.gateway() for _ in range(gateways)]

    replies = await asyncio.gather(
        *(
            several[number % gateways].call(world.wanted(), world.perform, alone=True)
            for number in range(1_000)
        )
    )

    assert len(world.performed) == 1
    assert {reply.body for reply in replies} == {replies[0].body}
    assert sum(not reply.replayed for reply in replies) == 1


async def test_a_caller_that_hangs_up_cancels_nothing(world: World) -> None:
    gateway, go = world.gateway(), asyncio.Event()

    async def slow(origin: Origin) -> Reply:
        await go.wait()
        return await world.perform(origin)

    first = asyncio.create_task(gateway.call(world.wanted(), slow, alone=True))
    await asyncio.sleep(0)
    second = asyncio.create_task(gateway.call(world.wanted(), slow, alone=True))
    await asyncio.sleep(0)
    first.cancel()
    go.set()

    assert (await second).status == 202
    assert len(world.performed) == 1


async def test_a_refused_call_frees_its_key(world: World) -> None:
    gateway = world.gateway()
    with pytest.raises(Invalid):
        await gateway.call(world.wanted(), failing(Invalid("no")), alone=True)

    corrected = await gateway.call(world.wanted(request=b"[]"), world.perform, alone=True)

    assert (corrected.status, corrected.replayed) == (202, False)


async def test_after_an_outage_the_repeat_is_the_same_event(world: World) -> None:
    gateway = world.gateway()
    seen: list[str] = []

    async def unclear(origin: Origin) -> Reply:
        seen.append(origin.event_id(0))
        raise Outage("Kafka did not acknowledge")

    with pytest.raises(Outage):
        await gateway.call(world.wanted(), unclear, alone=True)
    with pytest.raises(Conflict):  # the first one may be published: nothing else gets its key
        await gateway.call(world.wanted(request=b"[]"), world.perform, alone=True)
    await gateway.call(world.wanted(), world.perform, alone=True)

    assert world.performed == seen


async def test_a_gateway_that_died_is_taken_over_with_its_time_and_ids(world: World) -> None:
    dead = world.wanted()
    await world.claims.add(dead)
    world.clock.now_ms += HELD_MS

    origins: list[Origin] = []

    async def perform(origin: Origin) -> Reply:
        origins.append(origin)
        return await world.perform(origin)

    reply = await world.gateway().call(world.wanted(), perform, alone=True)

    assert not reply.replayed
    assert origins[0].time_ms == dead.time_ms
    assert world.performed == [keyed_event_id(dead, 0)]
    assert origins[0].claim is not None
    assert origins[0].claim.takeovers == 1


async def test_a_key_that_somebody_holds_is_waited_for_and_not_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.idempotency.WAIT_S", 0.01)
    await world.claims.add(world.wanted())

    with pytest.raises(Outage, match="still under way"):
        await world.gateway().call(world.wanted(), world.perform, alone=True)

    assert world.performed == []


async def test_a_day_later_the_key_is_free_and_makes_another_event(world: World) -> None:
    gateway = world.gateway()
    await gateway.call(world.wanted(), world.perform, alone=True)
    world.clock.now_ms += KEPT_MS

    again = await gateway.call(world.wanted(), world.perform, alone=True)

    assert not again.replayed
    assert len(set(world.performed)) == 2


async def test_without_the_store_events_go_on_and_a_repeat_is_the_same_event(world: World) -> None:
    world.claims.away = True

    first = await world.gateway().call(world.wanted(), world.perform, alone=True)
    world.clock.now_ms += 60_000
    await world.gateway().call(world.wanted(), world.perform, alone=True)
    world.claims.away = False
    await world.gateway().call(world.wanted(), world.perform, alone=True)

    assert not first.replayed
    assert len(world.performed) == 3
    assert len(set(world.performed)) == 1


async def test_the_store_is_not_asked_again_at_once_after_it_was_away(world: World) -> None:
    gateway = world.gateway()
    world.claims.away = True
    for number in range(10):
        await gateway.call(world.wanted(key=str(number)), world.perform, alone=True)

    assert world.claims.asked == 1


async def test_a_call_that_needs_the_store_says_that_it_is_away(world: World) -> None:
    world.claims.away = True

    with pytest.raises(Outage, match="MongoDB"):
        await world.gateway().call(world.wanted(), world.perform, alone=False)

    assert world.performed == []


async def test_no_answer_is_stored_in_clear(world: World) -> None:
    async def secretive(_: Origin) -> Reply:
        return Reply(201, b'{"secret":"whsec_open"}')

    await world.gateway().call(world.wanted(), secretive, alone=False)

    assert b"whsec_open" not in msgspec.json.encode(world.claims.known)


steps = st.lists(
    st.sampled_from(["go", "outage", "dies before", "dies after", "store away"]),
    max_size=8,
)


@given(steps=steps)
async def test_whatever_happens_to_it_a_key_makes_one_event(steps: list[str]) -> None:
    """A gateway may die before its answer was kept, the stores may come and go: one event id."""
    world = World()
    acknowledged: list[bytes] = []
    for step in [*steps, "go"]:
        gateway, wanted = world.gateway(), world.wanted()
        world.clock.now_ms += HELD_MS  # so that a dead gateway's hold is over
        world.claims.away = step == "store away"
        if step == "dies before":
            await world.claims.add(wanted)
        elif step == "dies after":
            if await world.claims.add(wanted):
                await world.perform(gateway.origin(wanted))
        elif step == "outage":
            with contextlib.suppress(Outage):  # unless it had been answered before
                await gateway.call(wanted, failing(Outage("Kafka")), alone=True)
        else:
            reply = await gateway.call(wanted, world.perform, alone=True)
            acknowledged.append(reply.body)

    assert len(set(world.performed)) == 1
    assert len(set(acknowledged)) == 1
