"""The supervisor: what dies comes back, what keeps dying is given up, all stop in order."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.errors import LocalError
from deploy.local.processes import Child
from deploy.local.supervisor import Notice, RestartPolicy, Supervisor
from tests.support.polling import until_true

SLEEP = "import time; time.sleep(600)"
AT_ONCE = RestartPolicy(pauses_s=(0.0,))


class Recorded(Child):
    """Adds its name to a list when it has stopped."""

    stopped: list[str]

    async def stop(self, *, grace_s: float | None = None) -> None:
        await super().stop(grace_s=grace_s)
        self.stopped.append(self.name)


class World:
    """A supervisor, and what it has said."""

    def __init__(self, logs_dir: Path, policy: RestartPolicy) -> None:
        self.notices: list[Notice] = []
        self.stopped: list[str] = []
        self.supervisor = Supervisor(self.notices.append, policy)
        self._logs_dir = logs_dir

    def child(self, name: str, code: str = SLEEP) -> Child:
        child = Recorded(name, [sys.executable, "-c", code], logs_dir=self._logs_dir)
        child.stopped = self.stopped
        return child

    def said(self) -> list[str]:
        return [notice.kind for notice in self.notices]


@asynccontextmanager
async def world(logs_dir: Path, policy: RestartPolicy = AT_ONCE) -> AsyncIterator[World]:
    made = World(logs_dir, policy)
    try:
        yield made
    finally:
        await made.supervisor.stop()


async def test_a_child_that_is_killed_runs_again_under_another_id(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        child = here.child("delivery")
        await here.supervisor.start(child)
        before = here.supervisor.pids()["delivery"]

        await child.kill9()
        await until_true(lambda: "restarted" in here.said(), what="a restart")

        assert here.supervisor.pids()["delivery"] not in {before, None}
        assert here.said() == ["ended", "restarted"]
        assert "delivery ended with code -9" in here.notices[0].text


async def test_a_child_that_keeps_dying_young_is_given_up_with_its_last_words(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, RestartPolicy(young_deaths_max=3, pauses_s=(0.0,))) as here:
        await here.supervisor.start(here.child("fanout", "raise SystemExit('no such topic')"))

        failure = await here.supervisor.failure()

        assert "fanout keeps ending: it ended with code 1 (no such topic" in str(failure)
        assert here.said().count("ended") == 2
        assert here.said()[-1] == "given_up"


async def test_a_child_that_cannot_be_started_again_is_given_up(tmp_path: Path) -> None:
    class ReadyOnce(Child):
        starts = 0

        async def is_ready(self) -> bool:
            self.starts += 1
            return self.starts == 1

    nobody_is_young = RestartPolicy(young_s=0.0, pauses_s=(0.0,))
    async with world(tmp_path, nobody_is_young) as here:
        child = ReadyOnce("mongo", [sys.executable, "-c", "pass"], logs_dir=tmp_path)
        await here.supervisor.start(child)

        failure = await here.supervisor.failure()

        assert "mongo keeps ending" in str(failure)
        assert "restarted" not in here.said()


async def test_the_last_stage_stops_first(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.supervisor.start(here.child("kafka"))
        await here.supervisor.start(here.child("gateway"))

    assert here.stopped == ["gateway", "kafka"]


async def test_nothing_is_restarted_once_it_stops(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.supervisor.start(here.child("kafka"), here.child("mongo"))

    assert here.notices == []
    assert here.supervisor.pids() == {}


async def test_a_stage_that_cannot_start_is_an_error_and_stop_ends_the_rest(
    tmp_path: Path,
) -> None:
    class NeverReady(Child):
        async def is_ready(self) -> bool:
            return False

    async with world(tmp_path) as here:
        good = here.child("kafka")
        bad = NeverReady("mongo", [sys.executable, "-c", "raise SystemExit(3)"], logs_dir=tmp_path)

        with pytest.raises(LocalError, match="mongo ended with code 3"):
            await here.supervisor.start(good, bad)

        assert good.is_running
    assert not good.is_running
