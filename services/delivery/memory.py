"""What a partition's worker remembers of recent deliveries, so that duplicates are sent once.

Fan-out and retry repeat records after a crash; delivery ids are deterministic, so a repeat is
recognised by endpoint, event, trigger, attempt and number of parkings. The memory is bounded; the
oldest entries go first. It is rebuilt from the ``attempts`` journal when a partition is assigned.
Pure.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from shared.models.attempts import Attempt, Finished
from shared.models.deliveries import DeliveryMeta

FINAL: Final = 1 << 30
"""An attempt number above all others: the delivery has ended."""


class Memory:
    """Recent deliveries of one partition, at most ``size_max``."""

    __slots__ = ("_seen", "_size_max")

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._seen: dict[bytes, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def is_new(self, endpoint_id: str, meta: DeliveryMeta) -> bool:
        """Return whether this record was not seen before, and remember its attempt as begun."""
        key = _key(endpoint_id, meta.event_id, meta.trigger)
        seen = self._seen.get(key)
        if seen is not None and (meta.attempt, meta.parks) <= seen:
            return False
        self._remember(key, (meta.attempt, FINAL))
        return True

    def parked(self, endpoint_id: str, meta: DeliveryMeta) -> None:
        """Let the copy of a record that is put aside come back: its attempt was not made."""
        key = _key(endpoint_id, meta.event_id, meta.trigger)
        if self._seen.get(key) == (meta.attempt, FINAL):
            self._remember(key, (meta.attempt, meta.parks))

    def ended(self, attempt: Attempt | Finished) -> None:
        """Remember that an attempt is done, and whether the delivery ended with it."""
        key = _key(attempt.endpoint_id, attempt.event_id, attempt.trigger)
        stage = (FINAL, 0) if attempt.final else (attempt.attempt, FINAL)
        seen = self._seen.get(key)
        if seen is None or seen < stage:
            self._remember(key, stage)

    def _remember(self, key: bytes, stage: tuple[int, int]) -> None:
        self._seen.pop(key, None)  # to the end of the order
        self._seen[key] = stage
        if len(self._seen) > self._size_max:
            del self._seen[next(iter(self._seen))]


def _key(*parts: str) -> bytes:
    return blake2b("\x00".join(parts).encode(), digest_size=16).digest()
