"""From fetched records to attempts. Pure, and total: whatever is in a record, reading goes on.

A record that is no attempt has no row; it stays on Kafka for as long as the topic keeps it, and its
coordinates are in the service's log.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec
from aiokafka.structs import ConsumerRecord

from shared.models.attempts import Attempt, decode_attempt
from shared.storage.chunks import Logged
from shared.topics import RECORD_BYTES_MAX

INTEGER_MAX: Final = (1 << 48) - 1  # beyond it ids do not sort, and MongoDB has no such dates


class Unreadable(NamedTuple):
    """A record that is no attempt."""

    partition: int
    offset: int
    reason: str


def read(
    records: Iterable[ConsumerRecord[bytes, bytes]],
) -> tuple[list[Logged], list[Unreadable]]:
    """Return the attempts of one partition in their order, and what was none."""
    reads: list[Logged] = []
    unreadable: list[Unreadable] = []
    for record in records:
        try:
            value = record.value or b""
            reads.append(Logged(_attempt(value), record.offset, value))
        except msgspec.DecodeError as error:
            unreadable.append(Unreadable(record.partition, record.offset, str(error)[:200]))
    return reads, unreadable


def _attempt(value: bytes) -> Attempt:
    if len(value) > RECORD_BYTES_MAX:  # a small record on Kafka, if it was compressed well
        raise msgspec.DecodeError(f"{len(value)} bytes are more than any attempt has")
    attempt = decode_attempt(value)
    numbers = (attempt.due_ms, attempt.started_ms, attempt.ended_ms, attempt.epoch)
    if min(numbers) < 0 or max(numbers) > INTEGER_MAX:
        raise msgspec.DecodeError(f"a time or the epoch is out of range: {numbers}")
    return attempt
