"""Chunks of the delivery log: one endpoint's rows of one second, packed together. Pure.

A document for each row costs the database 30 µs of CPU and a kilobyte, mostly for what the rows of
an endpoint have in common. So the rows of one batch that share their endpoint and the second in
which they were due are one document: their records' bytes, compressed as a whole.

A chunk's id sorts by second, endpoint and offset in ``attempts``; it is derived from where its
records are, so that a batch which is read again meets its own chunks. Where a batch is cut
elsewhere the second time, a row may be in two chunks: rows have derived ids, and ``merge`` keeps
the first of each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import cramjam
import msgspec

from shared.models import ids
from shared.models.attempts import Attempt, decode_attempt, delivery_id_in, encode_attempt

SLOT_MS: Final = 1_000

_packer = msgspec.msgpack.Encoder()
_unpacker = msgspec.msgpack.Decoder(list[bytes])


class Logged(NamedTuple):
    """A record of ``attempts``: what it says, its offset there and its bytes."""

    attempt: Attempt
    offset: int
    value: bytes


class Chunk(NamedTuple):
    """Rows of one endpoint and second (``due_s``). ``id`` is the document's."""

    id: str
    workspace_id: str
    endpoint_id: str
    due_s: int
    rows: int
    failed: bool
    newest_ms: int
    packed: bytes


class AttemptRow(msgspec.Struct, frozen=True):
    """One row of the log; ``id`` is the delivery id, ``whd_…``."""

    id: str
    attempt: Attempt


def chunk_up(records: Iterable[Logged]) -> list[Chunk]:
    """Return the chunks that hold these records; of a partition they come in their order."""
    groups: dict[tuple[str, int, int], list[Logged]] = {}
    for record in records:
        attempt = record.attempt
        key = (attempt.endpoint_id, attempt.due_ms // SLOT_MS, attempt.partition)
        groups.setdefault(key, []).append(record)
    return [_chunk(group) for group in groups.values()]


def _chunk(group: list[Logged]) -> Chunk:
    first, last = group[0], group[-1]
    due_s = ids.clamp(first.attempt.due_ms) // SLOT_MS
    endpoint_id, partition = first.attempt.endpoint_id, first.attempt.partition
    return Chunk(
        id=f"{due_s:010x}:{endpoint_id}:{first.offset:016x}-{last.offset:x}.{partition}",
        workspace_id=first.attempt.workspace_id,
        endpoint_id=endpoint_id,
        due_s=due_s,
        rows=len(group),
        failed=any(record.attempt.status == "failed" for record in group),
        newest_ms=max(record.attempt.started_ms for record in group),
        packed=pack(record.value for record in group),
    )


def pack(values: Iterable[bytes]) -> bytes:
    """Return records of ``attempts`` packed together."""
    return bytes(cramjam.lz4.compress_block(_packer.encode(list(values))))


def unpack(packed: bytes) -> list[bytes]:
    """Return the records in a chunk, in their order."""
    return _unpacker.decode(cramjam.lz4.decompress_block(packed))


def without_answers(packed: bytes, event_id: str) -> bytes | None:
    """Return a chunk without what receivers answered to an event; None where nothing is."""
    values = unpack(packed)
    erased = [without_answer(value, event_id) for value in values]
    return None if erased == values else pack(erased)


def without_answer(value: bytes, event_id: str) -> bytes:
    """Return a record of ``attempts`` without the receiver's answer, if it is of this event."""
    attempt = decode_attempt(value)
    bare = attempt.without_answer()
    return value if attempt.event_id != event_id or bare == attempt else encode_attempt(bare)


def merge(rows: dict[str, bytes], records: Iterable[bytes]) -> None:
    """Add records of a second to its rows, by id; of a row that is there already the first counts.

    These are the records of its chunks, in the chunks' order.
    """
    for record in records:
        rows.setdefault(delivery_id_in(record), record)


def row_of(row_id: str, record: bytes) -> AttemptRow:
    """Return the row with this id, which is stored as ``record``."""
    return AttemptRow(row_id, decode_attempt(record))
