"""The records that wait, in bounded queues: one for each partition, in offset order. Pure.

A queue is filled ahead of time and read no further when it is full, so that a tier of millions of
records costs what a tier of a thousand does. All queues together hold at most ``HELD_BYTES_MAX``
and one small poll.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from services.retry.planner import due_at
from shared.models.deliveries import DeliveryMeta, meta_of
from shared.topics import RECORD_BYTES_MAX, Tier

HELD_RECORDS_MAX: Final = 1_000
"""Records held of one partition: what a burst needs until the next fetch is there."""

HELD_BYTES_MAX: Final = 128 * 1024 * 1024
"""Bytes held of all partitions together; each has an equal share of it."""

POLL_RECORDS_MIN: Final = 8  # what a poll may take beyond HELD_BYTES_MAX
_OVERHEAD_BYTES: Final = 1_024  # of one record: its headers, and the objects themselves

Fetched = Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]


class Held(NamedTuple):
    """A record that waits. ``poison`` says why it is no delivery; such a record is due at once."""

    offset: int
    due_ms: int
    size_bytes: int
    record: ConsumerRecord[bytes, bytes]
    poison: str | None = None
    traceparent: str = ""


class TierState(NamedTuple):
    """A tier's numbers: how late its earliest record is, how many are late, how many wait."""

    overdue_ms: int = 0
    overdue_count: int = 0
    waiting_count: int = 0


class Queues:
    """The queues of the partitions that are ours. ``tiers`` maps topics to tiers."""

    def __init__(self, tiers: Mapping[str, Tier]) -> None:
        self.by_partition: defaultdict[TopicPartition, deque[Held]] = defaultdict(deque)
        self._tiers = tiers
        self._held_bytes: defaultdict[TopicPartition, int] = defaultdict(int)
        self._next_offsets: dict[TopicPartition, int] = {}

    def clear(self) -> None:
        """Forget everything."""
        self.by_partition.clear()
        self._held_bytes.clear()
        self._next_offsets.clear()

    def take(self, fetched: Fetched, now_ms: int) -> None:
        """Put records into their queues."""
        for tp, records in fetched.items():
            delay_ms = self._tiers[tp.topic].delay_ms
            helds = [_held(record, now_ms, delay_ms) for record in records]
            self.by_partition[tp].extend(helds)
            self._held_bytes[tp] += sum(held.size_bytes for held in helds)
            self._next_offsets[tp] = records[-1].offset + 1

    def first(self, tp: TopicPartition, count: int) -> list[Held]:
        """Return the first ``count`` records of a queue, which keeps them."""
        return list(islice(self.by_partition[tp], count))

    def drop(self, tp: TopicPartition, count: int) -> None:
        """Take the first ``count`` records out of a queue."""
        queue = self.by_partition[tp]
        for _ in range(count):
            self._held_bytes[tp] -= queue.popleft().size_bytes

    def with_room(self, assigned: Collection[TopicPartition]) -> list[TopicPartition] | None:
        """Return the partitions to read on; None: all of them."""
        share_bytes = HELD_BYTES_MAX // max(1, len(assigned))
        full = {
            tp
            for tp, queue in self.by_partition.items()
            if len(queue) >= HELD_RECORDS_MAX or self._held_bytes[tp] >= share_bytes
        }
        return [tp for tp in assigned if tp not in full] if full else None

    def room_records(self) -> int:
        """Return how many records there is room for, even if they are the largest possible."""
        free_bytes = HELD_BYTES_MAX - sum(self._held_bytes.values())
        return max(POLL_RECORDS_MIN, free_bytes // RECORD_BYTES_MAX)

    def states(
        self, now_ms: int, end_offsets: Mapping[TopicPartition, int]
    ) -> dict[str, TierState]:
        """Return the numbers of each tier, by its name; what is not read yet counts as waiting."""
        states = {tier.name: TierState() for tier in self._tiers.values()}
        for tp, next_offset in self._next_offsets.items():
            name, queue = self._tiers[tp.topic].name, self.by_partition[tp]
            state = states[name]
            unread = max(0, end_offsets.get(tp, 0) - next_offset)
            overdue = [held.due_ms for held in queue if 0 < held.due_ms <= now_ms]
            states[name] = TierState(
                overdue_ms=max(state.overdue_ms, now_ms - min(overdue, default=now_ms)),
                overdue_count=state.overdue_count + len(overdue),
                waiting_count=state.waiting_count + len(queue) + unread,
            )
        return states


def _held(record: ConsumerRecord[bytes, bytes], now_ms: int, delay_ms: int) -> Held:
    size_bytes = len(record.value or b"") + len(record.key or b"") + _OVERHEAD_BYTES
    meta = _meta(record)
    if isinstance(meta, str):
        return Held(record.offset, 0, size_bytes, record, poison=meta)
    due_ms = due_at(meta.wait_until_ms, now_ms, delay_ms)
    return Held(record.offset, due_ms, size_bytes, record, traceparent=meta.traceparent)


def _meta(record: ConsumerRecord[bytes, bytes]) -> DeliveryMeta | str:
    """Return the delivery's metadata, or why the record is no delivery."""
    try:
        meta = meta_of(tuple(record.headers))
    except (msgspec.DecodeError, TypeError) as error:
        return f"its metadata cannot be read: {error}"
    if meta is None:
        return "it has no metadata"
    if record.key is None or record.value is None:
        return "it has no key (the endpoint's id) or no value (the body)"
    return meta
