"""Statistics of attempts: what is counted, how times are kept, what they travel in. Pure.

Counts add up: those of two sets of attempts, added, are those of both together. So any window is
the sum of its parts, and so is any group.

Times are counted in slots that grow by a fixed factor (eight to a doubling), from which any
percentile can be told within ``TIME_ERROR``, however many are added up. A histogram has at most
``SLOT_MAX`` slots, whatever receivers do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

import msgspec

from shared.models import wire
from shared.models.attempts import Attempt

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
MINUTES_KEPT_MS: Final = 2 * DAY_MS
SLOTS_PER_DOUBLING: Final = 8
SLOT_UNIT_MS: Final = 0.1  # the precision of ``response_time_ms``; anything shorter is this long
SLOT_MAX: Final = 256  # 4,294,967 * SLOT_UNIT_MS = 7 minutes: no attempt takes as long
TIME_ERROR: Final = 2 ** (0.5 / SLOTS_PER_DOUBLING) - 1
"""By how much a percentile may be off, as a part of it: 4.5 %. A slot is told as its middle."""


_BOUNDS_MS: Final = [SLOT_UNIT_MS * 2 ** (n / SLOTS_PER_DOUBLING) for n in range(SLOT_MAX)]


class Counts(msgspec.Struct, array_like=True):
    """What is counted of attempts. New fields come last, with a default: it is stored as it is.

    ``failed`` are failed attempts, ``exhausted`` those of them after which nothing follows;
    ``discarded`` are deliveries that were given up without one. ``times`` has the receivers'
    answers by slot: an attempt that got none (a timeout, a refused connection) is not in it.
    """

    succeeded: int = 0
    failed: int = 0
    exhausted: int = 0
    discarded: int = 0
    times: dict[int, int] = {}

    @property
    def attempts(self) -> int:
        """Return how many attempts were made."""
        return self.succeeded + self.failed

    def count(self, attempt: Attempt) -> None:
        """Count one attempt."""
        if attempt.status == "success":
            self.succeeded += 1
        elif attempt.status == "failed":
            self.failed += 1
            self.exhausted += attempt.final
        else:
            self.discarded += 1
        if attempt.status_code is not None and attempt.response_time_ms is not None:
            slot = slot_of(attempt.response_time_ms)
            self.times[slot] = self.times.get(slot, 0) + 1

    def add(self, other: Counts) -> None:
        """Add the counts of other attempts."""
        self.succeeded += other.succeeded
        self.failed += other.failed
        self.exhausted += other.exhausted
        self.discarded += other.discarded
        times = self.times  # a struct's field costs more to read than all else here
        for slot, number in other.times.items():
            times[slot] = times.get(slot, 0) + number


class Key(NamedTuple):
    """What attempts are counted by. ``minute`` is that in which they were due, since 1970."""

    workspace_id: str
    endpoint_id: str
    event_type: str
    minute: int


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """The counts of the records of one partition of ``attempts`` from ``start`` up to ``end``.

    ``era`` numbers the lives of the topic: offsets of different ones do not compare. ``last_id``
    is the delivery id of the record before ``end``, by which its life is recognised.
    """

    partition: int
    era: int
    start: int
    end: int
    last_id: str = ""
    cells: tuple[tuple[Key, Counts], ...] = ()


class Reading(NamedTuple):
    """What is read of a series: the buckets that begin from ``since_ms`` on, before ``until_ms``.

    ``bucket_ms`` is a minute, an hour or a day. Without ``by_type`` what is said of types is not
    theirs: only the sum of a bucket's cells is right.
    """

    bucket_ms: int
    since_ms: int
    until_ms: int
    by_type: bool


Cells: TypeAlias = dict[int, dict[str, Counts]]
"""Counts by the start of their bucket (Unix milliseconds) and by event type."""

_segment_encoder = msgspec.msgpack.Encoder()
_segment_decoder = msgspec.msgpack.Decoder(Segment)


def encode_segment(segment: Segment) -> bytes:
    """Return the segment's bytes."""
    return _segment_encoder.encode(segment)


def decode_segment(value: bytes) -> Segment:
    """Return the segment; raises msgspec.DecodeError for foreign bytes."""
    return wire.decode(_segment_decoder, value)


def total(counts: Iterable[Counts]) -> Counts:
    """Return the sum."""
    whole = Counts()
    for one in counts:
        whole.add(one)
    return whole


def slot_of(time_ms: float) -> int:
    """Return the slot of a time: slot n holds what is above slot n-1 and up to its own bound."""
    return bisect_left(_BOUNDS_MS, time_ms)


def slot_ms(slot: int) -> float:
    """Return the middle of a slot (the geometric one), which stands for all in it."""
    middle: float = 2 ** ((slot - 0.5) / SLOTS_PER_DOUBLING)
    return SLOT_UNIT_MS * (middle if slot else 1.0)


def percentile(times: Mapping[int, int], percent: int) -> float | None:
    """Return the milliseconds within which ``percent`` of the answers came; None without any.

    It is the time of rank ``ceil(percent * n / 100)``, as far as slots tell.
    """
    rank = -(-percent * sum(times.values()) // 100)
    for slot in sorted(times):
        rank -= times[slot]
        if rank <= 0:
            return slot_ms(slot)
    return None
