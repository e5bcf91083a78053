"""Waiting in tests: bounded, and never silent about what was seen last.

There is no other waiting: nothing sleeps for a time that somebody guessed, and a test that fails
says what the system looked like when its patience ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

POLL_EVERY_S: Final = 0.03
WITHIN_S: Final = 15.0  # generous: the machine may be shared
_SHOWN_CHARS_MAX: Final = 2_000

T = TypeVar("T")


async def until(
    look: Callable[[], Awaitable[T]],
    wanted: Callable[[T], bool],
    *,
    what: str,
    within_s: float = WITHIN_S,
    every_s: float = POLL_EVERY_S,
) -> T:
    """Look again and again until what is seen is ``wanted``, and return it.

    Raises AssertionError with ``what`` was waited for and the last thing seen.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        seen = await look()
        if wanted(seen):
            return seen
        if time.monotonic() > deadline_s:
            shown = repr(seen)[:_SHOWN_CHARS_MAX]
            raise AssertionError(f"{what}: not within {within_s:g} s; last seen: {shown}")
        await asyncio.sleep(every_s)


async def until_true(
    look: Callable[[], T],
    wanted: Callable[[T], bool] = bool,
    *,
    what: str,
    within_s: float = WITHIN_S,
) -> T:
    """Do as ``until`` for what can be seen without waiting."""

    async def seen() -> T:
        return look()

    return await until(seen, wanted, what=what, within_s=within_s)
