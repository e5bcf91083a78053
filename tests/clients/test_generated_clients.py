"""Clients that maintained generators make from the OpenAPI document go through a webhook's life.

The document is the running gateway's, the clients are made here and now, without a warning, and the
webhook's receiver is a real one. ``tests/clients/build`` first.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.architecture.repository import ROOT
from tests.support.receivers import OK, ScriptedReceiver, failing, is_signed
from tests.support.stack import Hooklane, Workspace, open_hooklane

pytestmark = [
    pytest.mark.slow,
    pytest.mark.node,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

HERE: Final = Path(__file__).parent
BUILT: Final = ROOT / ".cache/clients"
PYTHON: Final = BUILT / "python/bin"
TYPESCRIPT: Final = BUILT / "typescript"
NODE: Final = TYPESCRIPT / "node_modules/.bin"
SAYS_MORE: Final = ("warning", "error", "unable", "skipp")
"""What generators say when something of the document is not in the client."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hooklane() -> AsyncIterator[Hooklane]:
    """Return the running stack."""
    async with open_hooklane() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def document(hooklane: Hooklane, tmp_path: Path) -> Path:
    """Return a file with the document that the gateway serves."""
    workspace = await hooklane.workspace("fast")
    answer = await workspace.http.get("/openapi.json")
    path = tmp_path / "openapi.json"
    path.write_bytes(answer.content)
    return path


async def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """Run a program and return what it printed; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await process.communicate()
    assert process.returncode == 0, f"{command}: {printed.decode()}{said.decode()}"
    return printed.decode()


def said_of(output: str) -> list[str]:
    """Return the lines in which a generator says that something is amiss."""
    return [line for line in output.splitlines() if any(word in line.lower() for word in SAYS_MORE)]


async def python_client(document: Path) -> Sequence[str | Path]:
    """Make the Python client; returns how its scenario is called."""
    package = document.parent / "hooklane_client"
    generator = PYTHON / "openapi-python-client"
    config = HERE / "python/generator.yaml"
    said = await run(
        *(generator, "generate", "--path", document, "--config", config, "--meta", "none"),
        *("--output-path", package, "--fail-on-warning"),
        cwd=document.parent,
    )
    assert not said_of(said), said
    return PYTHON / "python", HERE / "python/scenario.py"


async def typescript_client(document: Path) -> Sequence[str | Path]:
    """Make and compile the TypeScript client; returns how its scenario is called."""
    for name in ("client", "out"):
        shutil.rmtree(TYPESCRIPT / name, ignore_errors=True)
    for name in ("scenario.ts", "tsconfig.json"):
        shutil.copy(HERE / "typescript" / name, TYPESCRIPT)
    said = await run(NODE / "openapi-ts", "-i", document, "-o", "client", cwd=TYPESCRIPT)
    assert not said_of(said), said
    await run(NODE / "tsc", "-p", TYPESCRIPT, cwd=TYPESCRIPT)
    return "node", TYPESCRIPT / "out/scenario.js"


async def seen_by(command: Sequence[str | Path], workspace: Workspace, url: str, cwd: Path) -> Any:
    """Return what a scenario has seen."""
    gateway = str(workspace.http.base_url).removesuffix("/")
    arguments = (gateway, workspace.api_key, url)
    return json.loads(await run(*command, *arguments, cwd=cwd, PYTHONPATH=str(cwd)))


@pytest.mark.parametrize("made", [python_client, typescript_client])
async def test_a_generated_client_goes_through_a_webhooks_life(
    hooklane: Hooklane, document: Path, made: Any
) -> None:
    command = await made(document)
    workspace = await hooklane.workspace("fast")
    async with ScriptedReceiver() as receiver:
        receiver.script("/", OK, failing(), OK)
        seen = await seen_by(command, workspace, receiver.url("/"), document.parent)

        first, second, third = seen["events"]
        assert receiver.ids_at("/") == [first, second, second, third]
        before, after = seen["secrets"]
        signed = [is_signed(request, before) for request in receiver.at("/")]
        assert signed == [True, True, True, False]
        assert is_signed(receiver.at("/")[-1], after)
        assert seen["body"] == receiver.at("/")[0].body.decode()
    assert (seen["answered"], seen["recovered"], seen["gone"]) == (200, 1, 404)
    assert seen["metadata"] == {"team": "billing"}
    status, kind = seen["stale"]
    assert status == 412
    assert kind.endswith("precondition_failed")
    assert seen["refused"]["statuses"] == [400, 404, 401]
    assert seen["refused"]["fields"] == ["url", "events[0]"]
    endings = ("invalid_request", "not_found", "unauthorised")
    for given, ending in zip(seen["refused"]["types"], endings, strict=True):
        assert given.endswith(ending)
