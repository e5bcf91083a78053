"""Deleting a workspace: everything goes, whatever stops half-way; nobody else loses anything."""

import asyncio
from typing import Any

import msgspec
import pytest

from services.gateway import auth, housekeeping
from services.gateway.handlers import deletions
from services.gateway.handlers.deletions import kafka_until_ms, settled_after_ms
from services.gateway.housekeeping import keep_deleting
from services.gateway.ports import Ports
from shared.models.deletions import HELD_MS, Deletion
from shared.models.errors import Outage
from shared.models.times import iso_ms
from shared.storage.mongo.attempts import CHUNKS
from shared.topics import ENDPOINTS
from tests.integration.gateway.belongings import belongings, state_without
from tests.integration.gateway.conftest import OPERATOR, Gateway, MakeTenant, Tenant
from tests.integration.gateway.reading import records_of
from tests.support.polling import until

pytestmark = pytest.mark.integration

GO_BY_THEMSELVES = ("idempotency", "endpoints", "workspaces", "deletions")
"""Collections that may name it for a day or, for how the deletion went, longer."""


TRIANGULAR = [number * (number + 1) // 2 for number in range(1, 40)]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "TENANT_FRESH_MS", 0)
    monkeypatch.setattr(deletions, "ENDPOINTS_AT_ONCE", 2)


def later(ports: Ports, ahead_ms: int) -> Ports:
    at_ms = ports.now_ms() + ahead_ms
    return msgspec.structs.replace(ports, now_ms=lambda: at_ms)


async def work(ports: Ports) -> int:
    """Do what is to be done of deletions at this time; returns in how many steps."""
    steps, deletion = 0, await ports.deletions.claim("tester", ports.now_ms())
    while deletion is not None:
        steps, deletion = steps + 1, await deletions.step(ports, deletion)
    return steps


async def left_of(gateway: Gateway, tenant: Tenant) -> set[str]:
    """Return in which collections something names a workspace."""
    found = set()
    database = gateway.parts.mongo.database
    for name in await database.list_collection_names():
        async for document in database[name].find({}):
            if tenant.id in repr(document):
                found.add(name)
    return found


async def begun(gateway: Gateway, tenant: Tenant) -> dict[str, object]:
    path = f"/v1/operator/workspaces/{tenant.id}"
    answer = await gateway.client.delete(path, headers=OPERATOR)
    assert answer.status_code == 202, answer.text
    shown: dict[str, object] = answer.json()
    return shown


async def shown(gateway: Gateway, tenant: Tenant) -> dict[str, object]:
    path = f"/v1/operator/workspaces/{tenant.id}/deletion"
    progress: dict[str, object] = (await gateway.client.get(path, headers=OPERATOR)).json()
    return progress


async def test_everything_that_belongs_to_it_is_deleted_and_nothing_else(
    gateway: Gateway, make_tenant: MakeTenant
) -> None:
    mine, other = await make_tenant("qr3"), await make_tenant("qr3")
    webhooks = [(await belongings(gateway, mine)).webhook for _ in range(3)]
    await belongings(gateway, other)
    path, ports = f"/v1/operator/workspaces/{mine.id}", gateway.parts.ports
    limits = {"limits": {"events_per_day": 10}}
    await gateway.client.patch(path, headers=OPERATOR, json=limits)
    event = {"type": "qr.scanned", "data": {}}
    await gateway.client.post("/v1/events", headers=mine.key, json=event)
    others_before = await state_without(gateway, mine)
    assert {"api_keys", "counters", "jobs", "rejected"} < await left_of(gateway, mine)

    progress = await begun(gateway, mine)
    assert progress["state"] == "running"
    refused = await gateway.client.post("/v1/events", headers=mine.key, json=event)
    assert refused.json()["type"] == "/errors#workspace_suspended"
    assert (await gateway.client.patch(path, headers=OPERATOR, json=limits)).status_code == 409
    assert await work(ports) > 3
    progress = await shown(gateway, mine)

    assert await left_of(gateway, mine) <= set(GO_BY_THEMSELVES)
    assert progress["state"] == "waiting"
    deleted: Any = progress["deleted"]
    assert set(deleted) == {
        *("webhooks", "api_keys", "audit_log", "jobs", "rejected_events", "log_chunks", "stats"),
        "counters",
    }
    assert (deleted["webhooks"], deleted["api_keys"], deleted["jobs"]) == (3, 4, 3)
    assert (await gateway.client.get(path, headers=OPERATOR)).status_code == 404
    assert (await gateway.client.get("/v1/webhooks", headers=mine.key)).status_code == 401
    states = await records_of(gateway.settings, ENDPOINTS)
    last = {record.key: record for record in states}
    ended = [last[key.encode()] for key in (mine.id, *webhooks)]
    assert [record.value for record in ended] == [None] * 4
    tombstones = {(ENDPOINTS.name, f"{one.partition}-{one.offset}") for one in ended}
    after = await state_without(gateway, mine)
    assert {place: text for place, text in after.items() if place not in tombstones} == (
        others_before
    )
    taken = {"id": mine.id, "name": "x", "profile": "qr3"}
    again = await gateway.client.post("/v1/operator/workspaces", headers=OPERATOR, json=taken)
    assert again.status_code == 409


@pytest.mark.slow
async def test_what_was_on_its_way_is_deleted_too_before_it_is_done(
    gateway: Gateway, qr3: Tenant
) -> None:
    ports = gateway.parts.ports
    await begun(gateway, qr3)
    await work(ports)
    late = {"_id": "late", "workspace_id": qr3.id, "due_s": 1}
    collection = gateway.parts.mongo.database[CHUNKS]
    await collection.insert_one(late)
    assert await work(ports) == 0
    await work(later(ports, settled_after_ms(ports.limits.tiers)))
    progress = await shown(gateway, qr3)

    assert await collection.find_one({"_id": "late"}) is None
    assert (progress["state"], progress["deleted"]) == (
        "done",
        {"api_keys": 1, "audit_log": 1, "log_chunks": 1},
    )
    until_ms = kafka_until_ms(ports.limits.tiers, 0)
    assert set(progress["kafka_until"]) == set(until_ms)  # type: ignore[call-overload]
    assert iso_ms(until_ms["events"]) == "1970-01-08T00:00:00.000Z"
    assert "retry" in until_ms
    assert "endpoints" not in until_ms
    assert await begun(gateway, qr3) == progress


@pytest.mark.slow
async def test_another_gateway_goes_on_where_one_was_cut_off(
    gateway: Gateway, make_tenant: MakeTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off anywhere: before each single thing that is deleted, and before each note of it."""
    tenant, ports = await make_tenant("qr3"), gateway.parts.ports
    for _ in range(3):
        await belongings(gateway, tenant)
    calls = 0

    def cut_off(where: object, name: str) -> None:
        """Have calls fail, ever more seldom, half of them after they were done."""
        real = getattr(where, name)

        async def call(*given: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            fails = calls in TRIANGULAR
            if fails and calls % 2:
                raise Outage("before")
            answer = await real(*given, **named)
            if fails:
                raise Outage("after")
            return answer

        monkeypatch.setattr(where, name, call)

    for where, name in (
        (ports.endpoints, "delete"),
        (ports.deletions, "purge"),
        (ports.deletions, "purge_health"),
        (ports.deletions, "save"),
        (ports.workspaces, "replace"),
        (ports.workspaces, "delete"),
    ):
        cut_off(where, name)
    await gateway.client.delete(f"/v1/operator/workspaces/{tenant.id}", headers=OPERATOR)
    ahead_ms, cut = 0, 0
    while (await shown(gateway, tenant))["state"] == "running":
        ahead_ms += HELD_MS + 1
        assert ahead_ms < 100 * HELD_MS
        try:
            await work(later(ports, ahead_ms))
        except Outage:
            cut += 1

    assert cut >= 5
    assert await left_of(gateway, tenant) <= set(GO_BY_THEMSELVES)
    last = {record.key: record.value for record in await records_of(gateway.settings, ENDPOINTS)}
    assert last[tenant.id.encode()] is None


@pytest.mark.slow
async def test_a_gateway_that_was_overtaken_leaves_it_alone(gateway: Gateway, qr3: Tenant) -> None:
    ports = gateway.parts.ports
    await begun(gateway, qr3)
    mine = await ports.deletions.claim("slow", ports.now_ms())
    assert mine is not None
    assert await ports.deletions.claim("quick", ports.now_ms()) is None
    over = later(ports, HELD_MS + 1)
    theirs = await ports.deletions.claim("quick", over.now_ms())
    assert theirs is not None

    assert await deletions.step(ports, mine) is None
    progress = await shown(gateway, qr3)
    assert (progress["state"], progress["deleted"]) == ("running", {})
    going: Deletion | None = theirs
    while going is not None:
        going = await deletions.step(over, going)
    assert (await shown(gateway, qr3))["state"] == "waiting"


@pytest.mark.slow
async def test_a_gateway_does_it_in_the_background(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(housekeeping, "DELETION_STEP_EVERY_S", 0.0)
    await begun(gateway, qr3)
    stopping = asyncio.Event()
    task = asyncio.create_task(keep_deleting(stopping, gateway.parts.ports, "tester"))
    try:
        await until(
            lambda: shown(gateway, qr3), lambda one: one["state"] == "waiting", what="all deleted"
        )
    finally:
        stopping.set()
        await task
