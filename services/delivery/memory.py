"""What a partition's worker remembers of recent deliveries, so that duplicates are sent once.

Fan-out and retry repeat records after a crash; delivery ids are deterministic, so a repeat is
recognised by endpoint, event, trigger, attempt and number of parkings. The memory is bounded. It is
rebuilt from the ``attempts`` journal when a partition is assigned, or brought up to date if the
partition was ours a moment ago. Pure.
"""

from __future__ import annotations

from typing import Final

from shared.models.attempts import Attempt, Finished
from shared.models.deliveries import DeliveryMeta

_PARKS: Final = 1 << 20
_BEGUN: Final = _PARKS - 1  # above all numbers of parkings: the attempt was begun
_ENDED: Final = 1 << 60  # above all attempts: nothing follows


class Memory:
    """Recent deliveries of one partition: at least the last ``size``, at most twice as many.

    They are kept in two generations; when the younger one is full, the older one is dropped. (A
    dict that is emptied from its beginning has to find that beginning each time: 25 µs of it.)
    """

    __slots__ = ("_old", "_size", "_young")

    def __init__(self, size: int) -> None:
        self._size = size
        # How far each delivery is, as one number (``_stage``): tuples would be the garbage
        # collector's to walk through, a quarter of a million of them.
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def is_new(self, endpoint_id: str, meta: DeliveryMeta) -> bool:
        """Return whether this record was not seen before, and remember its attempt as begun."""
        key = _key(endpoint_id, meta.event_id, meta.trigger)
        if _stage(meta.attempt, meta.parks) <= self._seen(key):
            return False
        self._remember(key, _stage(meta.attempt, _BEGUN))
        return True

    def parked(self, endpoint_id: str, meta: DeliveryMeta) -> None:
        """Let the copy of a record that is put aside come back: its attempt was not made."""
        key = _key(endpoint_id, meta.event_id, meta.trigger)
        if self._seen(key) == _stage(meta.attempt, _BEGUN):
            self._remember(key, _stage(meta.attempt, meta.parks))

    def withdrawn(self, endpoint_id: str, meta: DeliveryMeta) -> None:
        """Let a record come back that was begun and given up before anything was sent."""
        key = _key(endpoint_id, meta.event_id, meta.trigger)
        if self._seen(key) == _stage(meta.attempt, _BEGUN):
            self._remember(key, _stage(meta.attempt, meta.parks) - 1)

    def ended(self, attempt: Attempt | Finished) -> None:
        """Remember that an attempt is done, and whether the delivery ended with it."""
        key = _key(attempt.endpoint_id, attempt.event_id, attempt.trigger)
        stage = _ENDED if attempt.final else _stage(attempt.attempt, _BEGUN)
        if self._seen(key) < stage:
            self._remember(key, stage)

    def _seen(self, key: str) -> int:
        return self._young.get(key) or self._old.get(key, 0)

    def _remember(self, key: str, stage: int) -> None:
        self._young[key] = stage
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}


def _stage(attempt: int, parks: int) -> int:
    return attempt * _PARKS + min(parks, _BEGUN)


def _key(endpoint_id: str, event_id: str, trigger: str) -> str:
    return f"{endpoint_id}\x00{event_id}\x00{trigger}"
