"""The README's tour and the producers' example, run as a person would: by copy and paste.

The blocks of "Five minutes" run in one shell, in order, in a folder that has this environment as
``.venv`` and a running stack's ``dev.json``. Nothing in them is replaced but the receiver's port.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from deploy.local import cache, java
from tests.architecture.repository import ROOT
from tests.support.producers import CONSOLE_PRODUCER, console_class_path
from tests.support.receivers import ScriptedReceiver
from tests.support.stack import Hooklane, open_hooklane

WITHIN_S: Final = 45
PORT: Final = "9000"
_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_STRICT: Final = "set -euo pipefail\n"

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hooklane() -> AsyncIterator[Hooklane]:
    """Return a running stack."""
    async with open_hooklane() as running:
        yield running


def _tour() -> list[str]:
    """Return the tour's blocks."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, tour = readme.partition("\n## Five minutes\n")
    tour, _, _ = tour.partition("\n## ")
    return _BLOCK.findall(tour)


async def _run(*command: str, cwd: Path) -> str:
    """Run a program and return its output; raises AssertionError when it fails or hangs."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise AssertionError(f"{command[0]} did not end within {WITHIN_S} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):  # all of it has ended, as it should
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.fixture
def checkout(hooklane: Hooklane, tmp_path: Path) -> Path:
    """Return a folder that looks like a checkout in which ``make run`` runs."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".hooklane").mkdir()
    (tmp_path / ".hooklane/dev.json").symlink_to(hooklane.stack.dev_json)
    return tmp_path


async def test_the_tour_runs_as_it_is_written(checkout: Path, unused_tcp_port: int) -> None:
    script = checkout / "tour.sh"
    blocks = [block.replace(PORT, str(unused_tcp_port)) for block in _tour()]
    script.write_text(_STRICT + "".join(blocks), encoding="utf-8")

    output = await _run("bash", str(script), cwd=checkout)

    received = (checkout / ".hooklane/received.log").read_text(encoding="utf-8")
    types = re.findall(r'"(?:type|event)":"([\w.]+)"', received)
    assert types == ["qr.scanned", "qr.scanned", "webhook.ping", "webhook.ping", "link.scanned"]
    assert len(re.findall(r"^X-QR3-Signature: sha256=[0-9a-f]{64}$", received, re.MULTILINE)) == 3
    assert len(re.findall(r"^X-XQR-Signature: sha256=[0-9a-f]{64}$", received, re.MULTILINE)) == 2
    assert '"event_type":"qr.scanned","status":"success","status_code":200' in output
    assert "error" not in output


def _examples(hooklane: Hooklane, workspace_id: str) -> dict[str, list[str]]:
    """Return the producers' examples by language; their server and workspace are those here."""
    guide = (ROOT / "docs/producers.md").read_text(encoding="utf-8")
    text = guide.replace("127.0.0.1:9092", hooklane.bootstrap).replace("ws_…", workspace_id)
    return {
        language: re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for language in ("python", "sh", "java")
    }


def _with_console_producer(folder: Path, class_path: str) -> str:
    """Return a PATH on which ``kafka-console-producer.sh`` is Kafka's own."""
    script = folder / "kafka-console-producer.sh"
    program = shlex.join([str(java.program()), *java.flags(optimise=False), "-cp", class_path])
    script.write_text(f'#!/bin/sh\nexec {program} {CONSOLE_PRODUCER} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return os.pathsep.join((str(folder), os.environ["PATH"]))


async def test_the_producers_examples_publish_events(
    checkout: Path, hooklane: Hooklane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the Java one: the embedded runtime has no compiler, and nothing else needs one."""
    workspace = await hooklane.workspace("qr3")
    examples = _examples(hooklane, workspace.id)
    class_path = await asyncio.to_thread(console_class_path, cache.default_dir())
    monkeypatch.setenv("PATH", _with_console_producer(checkout, class_path))
    commands: list[list[str]] = []
    for number, program in enumerate(examples["python"]):
        (checkout / f"publish{number}.py").write_text(program, encoding="utf-8")
        commands.append([sys.executable, f"publish{number}.py"])
    commands += [["bash", "-c", _STRICT + script] for script in examples["sh"]]

    async with ScriptedReceiver() as receiver:
        await workspace.create(receiver.url("/"), ["qr.scanned"])
        for command in commands:
            await _run(*command, cwd=checkout)
        delivered = await receiver.arrived("/", len(commands))

    assert len(commands) == 3
    assert [one.json()["data"] for one in delivered] == [{"short_code": "r7f3Kx"}] * 3


@pytest.mark.slow
async def test_the_java_example_publishes_an_event(checkout: Path, hooklane: Hooklane) -> None:
    """By a JDK, which runs a single source file; CI has one."""
    workspace = await hooklane.workspace("qr3")
    (program,) = _examples(hooklane, workspace.id)["java"]
    class_path = await asyncio.to_thread(console_class_path, cache.default_dir())
    (checkout / "Publish.java").write_text(program, encoding="utf-8")

    async with ScriptedReceiver() as receiver:
        await workspace.create(receiver.url("/"), ["qr.scanned"])
        printed = await _run("java", "-cp", class_path, "Publish.java", cwd=checkout)
        (delivered,) = await receiver.arrived("/", 1)

    assert "published at " in printed
    assert delivered.json()["data"] == {"short_code": "r7f3Kx"}
