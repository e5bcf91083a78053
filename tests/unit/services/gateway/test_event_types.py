"""The catalogue of a workspace: what can be made and changed, and what never goes away."""

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from services.gateway.auth import Authenticator, Caller, JwtPolicy
from services.gateway.errors import InvalidFields
from services.gateway.event_schemas import CreateEventType, EventType, UpdateEventType
from services.gateway.handlers import accounts, event_types, events
from services.gateway.handlers.events import Posted
from services.gateway.ports import Ports
from shared.models.errors import Conflict, NotFound, Outage, Poison
from shared.models.operational import OPERATIONAL
from tests.unit.services.gateway.fakes import MemorySink, MemoryWorkspaces, origin, ports


class World:
    """A workspace of QR3's, and a gateway that has looked it up before."""

    def __init__(self, given: Ports, authenticator: Authenticator, key: str) -> None:
        self.ports = given
        self.authenticator = authenticator
        self._key = f"Bearer {key}"

    async def caller(self) -> Caller:
        return await self.authenticator.caller(self._key)

    async def create(self, name: str, **more: Any) -> EventType:
        wanted = CreateEventType(type=name, **more)
        return await event_types.create(self.ports, await self.caller(), wanted)

    async def change(self, name: str, **changes: Any) -> EventType:
        wanted = UpdateEventType(**changes)
        return await event_types.change(self.ports, await self.caller(), name, wanted)

    async def publish(self, name: str) -> str:
        posted = Posted(msgspec.json.encode({"type": name, "data": {}}))
        return await events.publish(
            self.ports,
            await self.caller(),
            posted,
            origin(self.ports),
            self.authenticator.renewed,
        )


@pytest.fixture
async def world() -> World:
    given = ports(sink=MemorySink())
    workspace = await accounts.create_workspace(given, profile="qr3", name="test")
    key = await accounts.create_api_key(given, workspace_id=workspace.id)
    made = World(given, Authenticator(given, JwtPolicy("", "hooklane")), key)
    await made.caller()  # so that it is remembered as it is now
    return made


async def test_a_type_is_shown_with_what_it_was_made_of(world: World) -> None:
    made = await world.create(
        "order.created", description="Placed", aliases=["order.new"], example={"n": 1}
    )

    listed = await event_types.catalogue(world.ports, await world.caller())
    by_alias = await event_types.get(world.ports, await world.caller(), "order.new")
    assert by_alias == made
    assert made in listed
    assert (made.example, made.own, made.archived) == ({"n": 1}, True, False)
    assert {one.type for one in listed if not one.own} >= {"qr.scanned", "webhook.ping"}


async def test_a_type_can_be_published_as_soon_as_it_is_made(world: World) -> None:
    with pytest.raises(Poison):
        await world.publish("order.created")
    await world.create("order.created")

    assert (await world.publish("order.created")).startswith("evt_")


async def test_an_archived_type_is_refused_until_it_is_brought_back(world: World) -> None:
    await world.create("order.created")
    await world.change("order.created", archived=True)
    await world.authenticator.renewed(await world.caller())

    with pytest.raises(Poison, match="archived"):
        await world.publish("order.created")
    await world.change("order.created", archived=False)
    assert await world.publish("order.created")


async def test_a_renamed_type_keeps_its_old_names_as_aliases(world: World) -> None:
    await world.create("a.b", aliases=["a.c"])

    changed = await world.change("a.b", type="a.d")
    again = await world.change("a.b", type="a.c", deprecated=True)

    assert (changed.type, changed.aliases) == ("a.d", ["a.c", "a.b"])
    assert (again.type, again.aliases, again.deprecated) == ("a.c", ["a.b", "a.d"], True)
    for name in ("a.b", "a.c", "a.d"):
        assert await world.publish(name)


async def test_an_alias_cannot_be_taken_away(world: World) -> None:
    await world.create("a.b", aliases=["a.c"])

    with pytest.raises(InvalidFields, match=r"lacks 'a\.c'"):
        await world.change("a.b", aliases=["a.d"])
    assert (await world.change("a.b", aliases=["a.c", "a.d"])).aliases == ["a.c", "a.d"]


@pytest.mark.parametrize(
    "name", ["qr.scanned", "scan.created", "webhook.ping", "a.b", "a.c", "endpoint.failing"]
)
async def test_a_name_that_is_taken_is_refused(world: World, name: str) -> None:
    await world.create("a.b", aliases=["a.c"])
    await world.create("x.y")

    with pytest.raises(Conflict, match="already"):
        await world.create(name)
    with pytest.raises(Conflict, match="already"):
        await world.create("a.z", aliases=[name])
    with pytest.raises(Conflict, match="already"):
        await world.change("x.y", type=name)


async def test_the_products_types_stay_as_they_are(world: World) -> None:
    with pytest.raises(Conflict, match="product"):
        await world.change("qr.scanned", archived=True)
    with pytest.raises(Conflict, match="Hooklane"):
        await world.change("endpoint.failing", archived=True)
    with pytest.raises(NotFound):
        await world.change("nope", archived=True)
    with pytest.raises(NotFound):
        await event_types.get(world.ports, await world.caller(), "nope")


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("type", {"type": "no type"}),
        ("aliases[1]", {"type": "a.b", "aliases": ["a.c", "*"]}),
        ("aliases", {"type": "a.b", "aliases": ["a.b"]}),
        ("aliases", {"type": "a.b", "aliases": [f"a.c{n}" for n in range(11)]}),
        ("description", {"type": "a.b", "description": "x" * 513}),
        ("example", {"type": "a.b", "example": {"a": "x" * 4_096}}),
    ],
)
async def test_a_wrong_field_is_named(world: World, field: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidFields) as caught:
        await world.create(given.pop("type"), **given)

    assert [error.field for error in caught.value.errors] == [field]


async def test_a_workspace_has_a_limit_of_types(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.handlers.event_types.TYPES_MAX", 1)
    await world.create("a.b")

    with pytest.raises(Conflict, match="no more fit"):
        await world.create("a.c")


async def test_what_others_change_meanwhile_is_kept(world: World) -> None:
    store = world.ports.workspaces
    assert isinstance(store, MemoryWorkspaces)
    set_types, refused = store.set_types, [True]

    async def beaten(workspace: Any) -> Any:
        if refused.pop() if refused else False:
            await world.create("x.y")
        return await set_types(workspace)

    store.set_types = beaten  # type: ignore[method-assign]
    await world.create("a.b")

    listed = await event_types.catalogue(world.ports, await world.caller())
    assert [one.type for one in listed if one.own] == ["x.y", "a.b"]


async def test_without_the_store_unknown_types_stay_unknown(world: World) -> None:
    store = world.ports.workspaces
    assert isinstance(store, MemoryWorkspaces)
    store.away = True

    with pytest.raises(Poison, match="unknown event type"):
        await world.publish("order.created")
    with pytest.raises(Outage):
        await world.create("order.created")
    assert await world.publish("qr.scanned")


def test_what_is_absent_from_a_change_stays() -> None:
    assert all(
        getattr(UpdateEventType(), name) is UNSET for name in UpdateEventType.__struct_fields__
    )


async def test_what_hooklane_itself_sends_is_in_the_catalogue(world: World) -> None:
    listed = await event_types.catalogue(world.ports, await world.caller())
    shown = await event_types.get(world.ports, await world.caller(), "endpoint.failing")

    assert [one.type for one in listed if one.operational] == list(OPERATIONAL)
    assert shown.operational
    assert not shown.own
