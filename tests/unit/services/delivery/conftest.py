"""The engine's worker for one test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.unit.services.delivery.kit import Worker


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    made = Worker()
    flusher = asyncio.create_task(made.engine.run_outbox())
    yield made
    assert not flusher.done(), flusher.exception()
    flusher.cancel()
    await asyncio.wait({flusher})
