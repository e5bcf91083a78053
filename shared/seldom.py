"""What is said once in a while, however often there is reason to. Pure: no clock of its own."""

from __future__ import annotations

from typing import Final

REASONS_MAX: Final = 100  # of which is remembered when they were told


class Seldom:
    """Tells whether a reason is due to be told: at first, and again after ``every_s``."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._told_s: dict[str, float] = {}

    def due(self, reason: str, now_s: float) -> bool:
        """Return whether to tell it now; then it counts as told."""
        if now_s - self._told_s.get(reason, -self._every_s) < self._every_s:
            return False
        if len(self._told_s) >= REASONS_MAX:
            self._told_s.clear()
        self._told_s[reason] = now_s
        return True
