"""Children: ready means ready, stopped means gone, and nothing outlives its parent."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from deploy.local import processes
from deploy.local.errors import LocalError
from deploy.local.processes import TETHER, Child
from tests.support.polling import until_true

SLEEP = "import time; time.sleep(600)"
DEAF = f"""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
{SLEEP}
"""
# Starts a process of its own and says its id.
PARENT = f"""
import subprocess, sys, time
print("child", subprocess.Popen([sys.executable, "-c", {SLEEP!r}]).pid, flush=True)
time.sleep(600)
"""
# A supervisor with one child, which it names and then forgets.
SUPERVISOR = f"""
import asyncio, pathlib, sys, time
from deploy.local.processes import Child
child = Child("sleeper", [sys.executable, "-c", {SLEEP!r}], logs_dir=pathlib.Path(sys.argv[1]))
asyncio.run(child.start())
print(child.pid, flush=True)
time.sleep(600)
"""

MakeChild = Callable[..., Child]


@pytest.fixture
async def make_child(tmp_path: Path) -> AsyncIterator[MakeChild]:
    """Return a maker of children that run a piece of Python; they are gone after the test."""
    async with AsyncExitStack() as closing:

        def make(code: str, **settings: float) -> Child:
            child = Child("child", [sys.executable, "-c", code], logs_dir=tmp_path, **settings)  # type: ignore[arg-type]
            closing.push_async_callback(child.kill9)
            return child

        yield make


class Printing(Child):
    """Is ready when its log has a certain text."""

    async def is_ready(self) -> bool:
        return "ready" in self.log_path.read_text()


async def test_start_returns_when_the_program_is_ready_and_not_before(tmp_path: Path) -> None:
    child = Printing(
        "child", [sys.executable, "-c", f"print('ready', flush=True); {SLEEP}"], logs_dir=tmp_path
    )

    await child.start()

    assert child.tail() == ["ready"]
    assert child.is_running
    await child.stop()


async def test_a_program_that_ends_while_starting_is_an_error_with_its_last_words(
    tmp_path: Path,
) -> None:
    child = Printing(
        "gateway", [sys.executable, "-c", "raise SystemExit('no such topic')"], logs_dir=tmp_path
    )

    with pytest.raises(LocalError) as failure:
        await child.start()

    assert "gateway ended with code 1 (no such topic; log: " in str(failure.value)
    assert "\n" not in str(failure.value)


async def test_a_program_that_is_not_ready_in_time_is_an_error_and_is_gone(tmp_path: Path) -> None:
    child = Printing(
        "gateway", [sys.executable, "-c", SLEEP], logs_dir=tmp_path, ready_within_s=0.2
    )

    with pytest.raises(LocalError, match=r"gateway was not ready within 0\.2 s"):
        await child.start()

    assert not child.is_running


async def test_a_program_that_does_not_exist_is_an_error_that_names_it(tmp_path: Path) -> None:
    child = Printing("gateway", ["/nowhere/program"], logs_dir=tmp_path)

    with pytest.raises(LocalError, match="cannot run /nowhere/program"):
        await child.start()


async def test_stop_ends_a_program_that_listens_with_a_signal_it_can_hear(
    make_child: MakeChild,
) -> None:
    child = make_child(SLEEP)
    await child.start()

    await child.stop()

    assert await child.wait() == -signal.SIGTERM


async def test_stop_kills_a_program_that_does_not_listen(make_child: MakeChild) -> None:
    child = make_child(DEAF, grace_s=0.2)
    await child.start()
    await until_true(child.tail, what="the child ignores SIGTERM")

    await child.stop()

    assert await child.wait() == -signal.SIGKILL


async def test_what_a_child_has_started_ends_with_it(make_child: MakeChild) -> None:
    child = make_child(PARENT)
    await child.start()
    [line] = await until_true(child.tail, what="the child's child")
    grandchild = psutil.Process(int(line.split()[1]))

    await child.kill9()

    await until_true(lambda: _is_gone(grandchild), what="the end of the child's child")


async def test_a_child_can_be_started_again_and_keeps_one_log(make_child: MakeChild) -> None:
    child = make_child("print('hello')")

    assert await child.run() == 0
    assert await child.run() == 0

    assert child.tail() == ["hello", "hello"]


async def test_a_child_that_runs_is_not_started_twice(make_child: MakeChild) -> None:
    child = make_child(SLEEP)
    await child.start()

    with pytest.raises(RuntimeError, match="child runs already"):
        await child.start()

    assert child.is_running


async def test_a_log_that_grew_too_long_is_set_aside(
    make_child: MakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES_MAX", 5)
    child = make_child("print('hello')")

    await child.run()
    await child.run()

    assert child.tail() == ["hello"]
    assert child.log_path.with_suffix(".log.1").read_text() == "hello\n"


async def test_a_child_that_was_never_started_can_be_stopped(make_child: MakeChild) -> None:
    child = make_child(SLEEP)

    await child.stop()

    assert await child.wait() is None
    assert child.pid is None
    assert child.tail() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills orphans")
async def test_a_child_dies_with_its_supervisor_even_at_kill_9(tmp_path: Path) -> None:
    supervisor = _run_supervisor(tmp_path)
    try:
        assert supervisor.stdout is not None
        child = psutil.Process(int(supervisor.stdout.readline()))
        await until_true(lambda: _runs_its_program(child), what="the end of the child's start")
        assert os.getsid(child.pid) != os.getsid(supervisor.pid)
    finally:
        supervisor.kill()
        supervisor.communicate()

    await until_true(lambda: _is_gone(child), what="the end of the orphan")


async def test_a_program_whose_parent_is_gone_already_is_not_run(tmp_path: Path) -> None:
    somebody_else = os.getppid()
    tether = [sys.executable, "-I", "-S", str(TETHER), str(somebody_else)]
    child = Child("tether", [*tether, "/usr/bin/touch", str(tmp_path / "ran")], logs_dir=tmp_path)

    assert await child.run() == 1

    assert not (tmp_path / "ran").exists()
    assert f"its parent {somebody_else} is gone" in child.last_words()


def _runs_its_program(process: psutil.Process) -> bool:
    return str(TETHER) not in process.cmdline()


def _run_supervisor(logs_dir: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(logs_dir)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _is_gone(process: psutil.Process) -> bool:
    """Tell whether it has ended; one that nobody has reaped yet counts."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
