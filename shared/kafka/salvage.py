"""Reading on behind a batch that cannot be decoded.

Producers choose what they write, and disks fail. aiokafka raises when a batch has a wrong checksum,
an unreadable compression or a header name that is not UTF-8, leaves the position where it was, and
raises again for ever: one bad batch stops a partition. After ``install``:

* a header name that is not UTF-8 is read with replacement characters, so that its record, and those
  that the producer happened to put into the same batch, are handled like any other;
* what cannot be decoded at all (or is a decompression bomb) is replaced by ONE record without key
  and value, whose header ``DAMAGED_HEADER`` says why and which offsets were lost. Nothing behind it
  is passed over: a batch with a wrong checksum is not believed when it says where it ends, but ends
  where the next one begins. Where no good one follows yet, it takes several such records, one for
  each fetch.

This replaces two classes inside aiokafka (pinned exactly in ``pyproject.toml``); the tests with
broken batches fail if an upgrade moves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import structlog
from aiokafka.consumer import fetcher
from aiokafka.record import default_records, memory_records
from aiokafka.structs import ConsumerRecord

from shared.kafka import compression

DAMAGED_HEADER: Final = "hooklane-damaged"

_HEADER_BYTES: Final = 61
_MAGIC_AT: Final = 16
_MAGIC: Final = 2  # the record format since Kafka 0.11; brokers convert older ones

_log = structlog.get_logger("salvage")


class SlicingRecords(memory_records._MemoryRecordsPy):  # type: ignore[misc]
    """The batches of one fetched partition; ``slice`` has the bytes of the last one."""

    slice: memoryview | None = None

    def next_batch(self) -> Any:
        """Return the next batch; raises when it is none that we know."""
        self.slice = self._next_slice
        return super().next_batch()

    @property
    def following(self) -> memoryview | None:
        """Return the bytes of the batch that ``next_batch`` will return, None at the end."""
        following: memoryview | None = self._next_slice
        return following

    @property
    def stuck(self) -> bool:
        """Return whether the last batch had no usable length, so that nothing follows it."""
        return self.slice is not None and self.slice is self._next_slice


class _LenientBytes(bytearray):
    """Bytes that decode as far as they are text; aiokafka decodes nothing but header names."""

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return _LenientBytes(part) if isinstance(part, bytearray) else part

    def decode(self, *_: str) -> str:
        return super().decode("utf-8", "replace")


class _LenientBatch(default_records._DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer)


class SalvagingRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """aiokafka's records of one fetched partition, which survive a damaged batch."""

    def __init__(self, tp: Any, records: SlicingRecords, *args: Any) -> None:
        self.next_fetch_offset = 0  # set by aiokafka's constructor
        super().__init__(tp, records, *args)

    def _unpack_records(self) -> Iterator[ConsumerRecord[bytes, bytes]]:
        while True:
            try:
                yield from super()._unpack_records()
            except Exception as error:
                yield from self._salvaged(error)
                if self._records.stuck:
                    return  # where the next batch begins is unknown: fetch again
            else:
                return

    def _salvaged(self, error: Exception) -> Iterator[ConsumerRecord[bytes, bytes]]:
        """Yield what can be had of the rest of the last batch, and step over it."""
        batch = _intact(self._records.slice)
        if batch is None:
            following = _intact(self._records.following)
            after = self.next_fetch_offset + 1 if following is None else following.base_offset
            yield self._placeholder(error, after)
            return
        try:
            for record in batch:
                if record.offset >= self.next_fetch_offset:
                    self.next_fetch_offset = record.offset + 1
                    yield self._consumer_record(self._tp, record)
        except Exception as unreadable:
            yield self._placeholder(unreadable, batch.next_offset)
        else:
            self.next_fetch_offset = batch.next_offset

    def _placeholder(self, error: Exception, after: int) -> ConsumerRecord[bytes, bytes]:
        """Return the record that stands for the offsets up to ``after``, and step over them."""
        first = self.next_fetch_offset
        self.next_fetch_offset = max(after, first + 1)
        reason = f"offsets {first} to {self.next_fetch_offset - 1} cannot be decoded: {error!r}"
        tp = self._tp
        _log.error("batch_damaged", topic=tp.topic, partition=tp.partition, reason=reason)
        header = (DAMAGED_HEADER, reason.encode("utf-8", "replace"))
        return ConsumerRecord(
            tp.topic, tp.partition, first, -1, 0, None, None, None, -1, -1, (header,)
        )


def install() -> None:
    """Make every aiokafka consumer of this process read on behind damaged batches."""
    compression.bound()
    fetcher.MemoryRecords = SlicingRecords
    fetcher.PartitionRecords = SalvagingRecords


def _intact(batch: memoryview | None) -> Any:
    """Return a batch whose checksum is right, to be read leniently, else None."""
    if batch is None or len(batch) < _HEADER_BYTES or batch[_MAGIC_AT] != _MAGIC:
        return None
    lenient = _LenientBatch(batch)
    return lenient if lenient.validate_crc() else None
