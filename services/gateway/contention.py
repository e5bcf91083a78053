"""Changing what others change at the same time: look, decide, store if nobody was faster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from shared.models.errors import Outage

TRIES_MAX: Final = 5

T = TypeVar("T")


async def until_stored(what: str, attempt: Callable[[], Awaitable[T | None]]) -> T:
    """Return what ``attempt`` returns as soon as that is not None: then nobody was faster.

    Raises what ``attempt`` raises, and Outage when somebody always is.
    """
    for _ in range(TRIES_MAX):
        stored = await attempt()
        if stored is not None:
            return stored
    raise Outage(f"{what} is being changed by others all the time")
