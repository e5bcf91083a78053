"""How a service runs, as its supervisor sees it: signals, exit codes, health, log."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.version import VERSION

ROOT = Path(__file__).parents[3]
PATIENCE_S = 20.0


class Program:
    """The program as a process; its log is read line by line."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("HOOKLANE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.shared.runtime_program", *arguments],
            cwd=ROOT,
            env={**kept, "PYTHONPATH": str(ROOT), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []

    def read_until(self, event: str) -> dict[str, Any]:
        """Return the first line of this event from here on."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == event:
                return self.lines[-1]
        raise AssertionError(f"no {event} in {self.lines}")

    def signalled(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        stdout, self.stderr = self.process.communicate(timeout=PATIENCE_S)
        self.lines += [json.loads(line) for line in stdout.splitlines()]
        return self.process.returncode

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def get(self, path: str) -> tuple[int, str]:
        """Ask the health server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def poll(self, path: str, status: int) -> None:
        """Ask until the answer has this status."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.get(path)[0]) != status:
            assert time.monotonic() < deadline, f"{path} is {found}, not {status}"

    @property
    def port(self) -> int:
        starting = next((line for line in self.lines if line["event"] == "starting"), None)
        return int((starting or self.read_until("starting"))["health_port"])


@pytest.fixture
def start() -> Iterator[Any]:
    started: list[Program] = []

    def begin(*arguments: str, **environ: str) -> Program:
        started.append(Program(*arguments, **environ))
        return started[-1]

    yield begin
    for program in started:
        program.process.kill()
        program.process.wait()
        for pipe in (program.process.stdout, program.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_service_cleanly(start: Any, number: signal.Signals) -> None:
    program = start("obeys", HOOKLANE_SECRET_KEYS="a:TOPSECRET")
    program.poll("/health/ready", 200)
    assert program.get("/health/live")[0] == 200
    assert "python_info" in program.get("/metrics")[1]
    assert program.get("/elsewhere")[0] == 404
    program.signalled(number)
    assert program.exit_code() == 0
    assert program.events() == ["starting", "stopped"]
    assert program.stderr == ""
    assert "TOPSECRET" not in json.dumps(program.lines)
    assert {line["service"] for line in program.lines} == {"program"}


def test_the_first_line_says_which_release_starts(start: Any) -> None:
    program = start("obeys", HOOKLANE_REVISION="0f3c")
    starting = program.read_until("starting")
    assert (starting["version"], starting["revision"]) == (VERSION, "0f3c")
    told = json.loads(program.get("/version")[1])
    assert (told["name"], told["revision"]) == ("hooklane-program", "0f3c")
    program.signalled()
    assert program.exit_code() == 0


def test_a_second_signal_does_not_wait(start: Any) -> None:
    program = start("ignores", HOOKLANE_DRAIN_TIMEOUT_MS="600000")
    program.poll("/health/ready", 200)
    program.signalled()
    program.signalled(signal.SIGINT)  # two of a kind could arrive as one
    assert program.exit_code() == 1
    assert program.events()[-1] == "stopped_at_once"


def test_nobody_waits_for_ever_for_a_service_that_does_not_stop(start: Any) -> None:
    """It may be waiting for a broker that is away; its work is not acknowledged, so not lost."""
    program = start("ignores", HOOKLANE_DRAIN_TIMEOUT_MS="1")
    program.poll("/health/ready", 200)
    program.signalled()
    assert program.exit_code() == 1
    assert program.events()[-1] == "stopped_at_once"


def test_a_fault_of_ours_is_logged_and_ends_the_process(start: Any) -> None:
    """Its supervisor starts it again."""
    program = start("fails")
    assert program.exit_code() == 1
    failed = program.lines[-1]
    assert (failed["event"], failed["level"]) == ("failed", "error")
    assert "LookupError: the reason" in failed["exception"]


def test_a_setting_that_cannot_be_used_is_one_line(start: Any) -> None:
    program = start("obeys", HOOKLANE_PARTITIONS="many")
    assert program.exit_code() == 1
    assert program.stderr.startswith("hooklane-program: HOOKLANE_PARTITIONS='many'")
    assert program.stderr.count("\n") == 1
    assert program.lines == []


def test_a_key_ring_that_cannot_be_used_is_one_line(start: Any) -> None:
    """It is found out when the service puts itself together."""
    program = start("opens", HOOKLANE_SECRET_KEYS="k1:short")
    assert program.exit_code() == 1
    failed = program.lines[-1]
    assert (failed["event"], failed["level"]) == ("settings_unusable", "error")
    assert "32 bytes" in failed["error"]
    assert "exception" not in failed


def test_a_service_may_have_as_many_connections_as_the_system_allows(start: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        program = start("obeys")
        program.read_until("starting")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)[0] > 4_096
    program.signalled()
    assert program.exit_code() == 0


def test_a_busy_health_port_is_told_with_the_fix(start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program = start("obeys", HOOKLANE_HEALTH_PORT=str(taken.getsockname()[1]))
        assert program.exit_code() == 1
    assert program.events() == ["health_port_unusable"]
    assert "HOOKLANE_HEALTH_PORT" in program.lines[0]["fix"]
    assert program.stderr == ""


def test_a_stuck_loop_fails_its_liveness_and_its_stacks_are_logged(
    start: Any, tmp_path: Path
) -> None:
    """Health is served from another thread, which the loop cannot hold up."""
    released = tmp_path / "released"
    program = start("sticks", str(released))
    program.poll("/health/live", 503)
    stuck = program.read_until("loop_stuck")
    assert "in sticks" in stuck["stacks"]
    assert stuck["service"] == "program"
    assert program.get("/health/ready")[0] == 200
    released.touch()
    program.poll("/health/live", 200)
    program.signalled()
    assert program.exit_code() == 0
    assert program.events().count("loop_stuck") == 1


def test_sigusr1_writes_the_stacks_and_what_tasks_wait_for(start: Any) -> None:
    program = start("obeys")
    program.read_until("starting")
    program.poll("/health/ready", 200)
    program.signalled(signal.SIGUSR1)
    line = program.read_until("stacks")
    assert "-- MainThread" in line["stacks"]
    assert any("beat_until" in task or "obeys" in task for task in line["tasks"])
    program.signalled()
    assert program.exit_code() == 0


def test_a_loop_that_is_stuck_can_be_looked_at_and_says_where_it_is(
    start: Any, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    program = start("sticks", str(release))
    program.read_until("loop_stuck")
    program.signalled(signal.SIGUSR1)
    assert "_block_until_exists" in program.read_until("stacks")["stacks"]
    release.touch()
    program.signalled()
    assert program.exit_code() == 0


def test_sigusr2_writes_a_profile_for_a_flame_graph(start: Any, tmp_path: Path) -> None:
    release = tmp_path / "release"
    program = start("sticks", str(release), TMPDIR=str(tmp_path))
    program.read_until("starting")
    program.poll("/health/ready", 200)
    program.signalled(signal.SIGUSR2)
    line = program.read_until("profile_written")
    release.touch()
    program.signalled()
    assert program.exit_code() == 0

    profile = Path(line["path"])
    assert profile.parent == tmp_path
    assert profile.stat().st_mode & 0o077 == 0
    main = [text for text in profile.read_text().splitlines() if text.startswith("MainThread;")]
    assert any("_block_until_exists" in text.rsplit(" ", 1)[0] for text in main)
    assert all(text.rsplit(" ", 1)[1].isdecimal() for text in main)
    assert any("_block_until_exists" in place for place in line["hottest"])
