"""When API keys were last used: collected in memory, written now and then, off every call's way.

A key is written at most once for each ``flush``, whatever its calls. What a gateway that dies has
not written yet is lost: it is a hint for people, good to a minute or two.
"""

from __future__ import annotations

from typing import Final

from services.gateway.ports import ApiKeys
from shared.models.errors import Outage

KEYS_MAX: Final = 10_000
"""How many keys are collected between two writes; others are noted at a later call."""


class Uses:
    """The uses since the last write. One for each gateway."""

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys
        self._times_ms: dict[str, int] = {}

    def note(self, digest: str, now_ms: int) -> None:
        """Take note that the key with this digest is used now."""
        if digest in self._times_ms or len(self._times_ms) < KEYS_MAX:
            self._times_ms[digest] = now_ms

    async def flush(self) -> None:
        """Write what was noted; raises Outage, and keeps it for the next time then."""
        taken, self._times_ms = self._times_ms, {}
        try:
            await self._api_keys.used(taken)
        except Outage:
            self._times_ms = {**taken, **self._times_ms}
            raise
