"""One running Hooklane for all end-to-end tests, in one event loop with its receivers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.receivers import ScriptedReceiver
from tests.support.stack import Hooklane, open_hooklane

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Mark the tests of this folder, and run all of them in the loop that the stack lives in."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def hooklane() -> AsyncIterator[Hooklane]:
    """Return the running stack."""
    async with open_hooklane() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[ScriptedReceiver]:
    """Return a scripted receiver of the test's own."""
    async with ScriptedReceiver() as running:
        yield running
