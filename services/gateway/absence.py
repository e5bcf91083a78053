"""Not asking a store again for some time that did not answer: each try takes two seconds.

For what goes on without it, so that callers do not wait for it one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

STORE_PAUSE_MS: Final = 5_000


class Absence:
    """Whether a store was away just now. One for each who asks it."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._until_ms = 0

    def __bool__(self) -> bool:
        return self._now_ms() < self._until_ms

    def note(self) -> None:
        """Take note that the store did not answer."""
        self._until_ms = self._now_ms() + STORE_PAUSE_MS
