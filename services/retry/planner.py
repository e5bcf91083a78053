"""What to move now and when to look again. Pure: queues and the time in, a plan out.

Each queue holds records of one tier's partition, in offset order. A tier's delay is constant, so
that offset order is due order and the head decides: a queue whose head is not due has nothing due.

Rules, each of which a property test holds:

* never early: what moves was due at ``now_ms``;
* order: a queue gives a prefix of itself;
* nothing starves: when not everything that is due fits, each queue with something due gets an equal
  share, and those whose heads are due the longest come first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

K = TypeVar("K")


class Held(Protocol):
    """A record that waits."""

    @property
    def due_ms(self) -> int:
        """Return when it may move."""

    @property
    def size_bytes(self) -> int:
        """Return how much of a move's limit it takes."""


class Limits(NamedTuple):
    """The most that one move takes; a single record always fits."""

    records_max: int
    bytes_max: int


def due_at(wait_until_ms: int, seen_ms: int, delay_ms: int) -> int:
    """Return when a record may move that was first seen at ``seen_ms`` in a tier of ``delay_ms``.

    That is the time its writer set, but at most twice the tier's delay from now: a worker whose
    clock is ahead must not stop everything behind its records.
    """
    return min(wait_until_ms, seen_ms + 2 * delay_ms)


def plan(queues: Mapping[K, Sequence[Held]], now_ms: int, limits: Limits) -> dict[K, int]:
    """Return how many records of each queue's head to move now."""
    heads = sorted(
        (queue[0].due_ms, index, key)
        for index, (key, queue) in enumerate(queues.items())
        if queue and queue[0].due_ms <= now_ms
    )
    counts: dict[K, int] = {}
    records_left, bytes_left = limits
    for position, (_, _, key) in enumerate(heads):
        queues_left = len(heads) - position
        share = Limits(max(1, records_left // queues_left), bytes_left // queues_left)
        count, size_bytes = _due(queues[key], now_ms, share)
        if counts and (records_left < count or bytes_left < size_bytes):
            break
        counts[key] = count
        records_left -= count
        bytes_left -= size_bytes
    return counts


def wake_ms(queues: Mapping[K, Sequence[Held]]) -> int | None:
    """Return when the earliest head is due, None when nothing waits."""
    return min((queue[0].due_ms for queue in queues.values() if queue), default=None)


def _due(queue: Sequence[Held], now_ms: int, share: Limits) -> tuple[int, int]:
    """Return how many records of a due head fit the share, at least one, and their size."""
    count = size_bytes = 0
    for held in islice(queue, share.records_max):
        if held.due_ms > now_ms or (count and size_bytes + held.size_bytes > share.bytes_max):
            break
        count += 1
        size_bytes += held.size_bytes
    return count, size_bytes
