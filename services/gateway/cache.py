"""Remembering what was looked up lately, so that an outage of the store does not stop callers.

A bounded memory of positive answers. A fresh entry spares the look-up; a stale one is looked up
again; when that fails with ``Outage`` the stale answer stands, for as long as the outage lasts.
What the store does not know is not remembered: a new key works at once. The price: a revoked key
works for up to ``FRESH_MS`` longer, and while the store is away.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from shared.models.errors import Outage

FRESH_MS: Final = 5 * 60 * 1_000
OUTAGE_PAUSE_MS: Final = 5_000
"""How long a stale answer is given without asking again, after the store did not answer."""

ENTRIES_MAX: Final = 10_000

V = TypeVar("V")


class Remembered(Generic[V]):
    """Look-ups of one kind, by key; the least recently used entry goes first."""

    def __init__(
        self,
        look_up: Callable[[str], Awaitable[V | None]],
        now_ms: Callable[[], int],
        *,
        fresh_ms: int = FRESH_MS,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._look_up = look_up
        self._now_ms = now_ms
        self._fresh_ms = fresh_ms
        self._entries_max = entries_max
        self._entries: OrderedDict[str, tuple[V, int]] = OrderedDict()  # value, fresh until

    async def get(self, key: str, *, anew: bool = False) -> V | None:
        """Return what the store says of ``key``; raises Outage where nothing is remembered.

        ``anew``: the store is asked, however fresh what is remembered is.
        """
        known = self._entries.get(key)
        if known is not None and not anew and self._now_ms() < known[1]:
            self._entries.move_to_end(key)
            return known[0]
        try:
            found = await self._look_up(key)
        except Outage:
            if known is None:
                raise
            self._remember(key, known[0], OUTAGE_PAUSE_MS)
            return known[0]
        if found is None:
            self._entries.pop(key, None)
        else:
            self._remember(key, found, self._fresh_ms)
        return found

    def _remember(self, key: str, value: V, for_ms: int) -> None:
        self._entries[key] = (value, self._now_ms() + for_ms)
        self._entries.move_to_end(key)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)
