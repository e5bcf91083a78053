"""The gateway's background work survives outages and says whether events are accepted."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.gateway import housekeeping
from services.gateway.routes.health import Checks
from services.gateway.uses import Uses
from shared.models.errors import Outage
from shared.observe.health import Pulse
from shared.runtime import Runtime
from tests.support.polling import until_true
from tests.unit.services.gateway.fakes import MemoryKeys


class Store:
    """Notes how it was swept; fails the first time."""

    def __init__(self) -> None:
        self.swept: list[bool] = []

    async def sweep(self, *, everything: bool = False) -> int:
        self.swept.append(everything)
        if len(self.swept) == 1:
            raise Outage("MongoDB does not answer")
        return 1


class Dependency:
    """Answers unless it is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away

    async def ping(self) -> None:
        if self.away:
            raise Outage("away")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "SWEEP_EVERY_S", 0.001)
    monkeypatch.setattr(housekeeping, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(housekeeping, "NOTE_EVERY_S", 0.001)


async def test_the_sweep_waits_out_outages_and_looks_at_everything_once() -> None:
    stopping, store = asyncio.Event(), Store()
    prepared: list[bool] = []

    async def prepare() -> None:
        prepared.append(True)
        if len(prepared) == 1:
            raise Outage("MongoDB does not answer")

    task = asyncio.create_task(housekeeping.keep_swept(stopping, prepare=prepare, stores=[store]))
    await until_true(lambda: len(store.swept) >= 4, what="four sweeps")
    stopping.set()
    await task

    assert len(prepared) == 2
    assert store.swept[:4] == [True, True, False, False]


async def test_the_runtime_is_told_whether_events_are_accepted() -> None:
    pulse = Pulse()
    runtime = Runtime(pulse)
    kafka, mongodb = Dependency(), Dependency(away=True)
    checks = Checks(kafka=kafka.ping, mongodb=mongodb.ping)
    task = asyncio.create_task(housekeeping.keep_reporting(runtime, checks))

    def ready() -> bool:
        return pulse.ready

    await asyncio.sleep(0)
    assert not ready(), "MongoDB was never there"
    mongodb.away = False
    await until_true(ready, what="ready")
    mongodb.away = True
    assert (await checks.readiness()).status == "degraded"
    assert ready()
    kafka.away = True
    await until_true(lambda: not ready(), what="not ready")
    kafka.away = False
    await until_true(ready, what="ready again")
    runtime.stopping.set()
    await task

    assert not ready()


async def test_uses_of_keys_are_written_in_the_end_and_after_an_outage() -> None:
    stopping, keys = asyncio.Event(), MemoryKeys()
    uses = Uses(keys)
    keys.away = True
    uses.note("ab", 7)
    task = asyncio.create_task(housekeeping.keep_noting(stopping, uses))
    await until_true(lambda: keys.noted >= 2, what="two tries")
    keys.away = False
    await until_true(lambda: keys.used_ms == {"ab": 7}, what="the use of the key")
    uses.note("ab", 8)
    stopping.set()
    await task

    assert keys.used_ms == {"ab": 8}


class Claims:
    """Something to be worked at, whenever it is asked for."""

    def __init__(self) -> None:
        self.claimed = 0

    async def claim(self, _: str, __: int) -> object:
        self.claimed += 1
        return SimpleNamespace(id="job_1", sent=0, rate_per_s=1)


@pytest.mark.parametrize("kind", ["jobs", "deletions"])
async def test_a_fault_of_ours_in_one_tenants_work_stops_nothing(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise KeyError("a fault of ours")

    claims, stopping = Claims(), asyncio.Event()
    ports: Any = SimpleNamespace(now_ms=lambda: 0, **{kind: claims})
    monkeypatch.setattr(getattr(housekeeping, kind), "step", fail)
    monkeypatch.setattr(housekeeping, "JOB_LOOK_EVERY_S", 0.001)
    keep = housekeeping.keep_working if kind == "jobs" else housekeeping.keep_deleting
    task = asyncio.create_task(keep(stopping, ports, "me"))
    await until_true(lambda: claims.claimed >= 3, what="more work")
    stopping.set()
    await task
