"""Waiting out an outage of MongoDB: try again for as long as it takes, and say so once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from shared.models.errors import Outage

T = TypeVar("T")

BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 3.0

_log = structlog.get_logger("recorder")


async def patiently(operation: Callable[[], Awaitable[T]]) -> T:
    """Return what ``operation`` returns, trying it again after each Outage.

    Cancelling ends the wait. The operation must be one that may be repeated.
    """
    loop = asyncio.get_running_loop()
    away_since: float | None = None
    delay_s = BACKOFF_MIN_S
    while True:
        try:
            result = await operation()
        except Outage as outage:
            if away_since is None:
                away_since = loop.time()
                _log.error("storage_away", error=str(outage))
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, BACKOFF_MAX_S)
        else:
            if away_since is not None:
                _log.info("storage_back", away_s=round(loop.time() - away_since, 1))
            return result
