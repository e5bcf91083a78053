"""Reading on behind a batch that cannot be decoded.

Producers choose what they write, and disks fail. aiokafka raises when a batch has a wrong
checksum, an unreadable compression or a header name that is not UTF-8, leaves the position where it
was, and raises again for ever: one bad batch stops a partition. After ``install`` such a batch is
replaced by ONE record without key and value, whose header ``DAMAGED_HEADER`` says why and which
offsets were lost; the batches behind it are read as usual.

This replaces a class inside aiokafka (pinned exactly in ``pyproject.toml``); the integration tests
with broken batches fail if an upgrade moves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import structlog
from aiokafka.consumer import fetcher
from aiokafka.structs import ConsumerRecord

DAMAGED_HEADER: Final = "hooklane-damaged"

_log = structlog.get_logger("salvage")


class _Remembering:
    """Hands out a fetch's batches and remembers the last one."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.has_next = records.has_next
        self.last: Any = None

    def next_batch(self) -> Any:
        self.last = self._records.next_batch()
        return self.last


class SalvagingRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """aiokafka's records of one fetched partition, which survive a damaged batch."""

    def __init__(self, tp: Any, records: Any, *args: Any) -> None:
        self.next_fetch_offset = 0  # set by aiokafka's constructor
        super().__init__(tp, _Remembering(records), *args)

    def _unpack_records(self) -> Iterator[ConsumerRecord[bytes, bytes]]:
        while True:
            try:
                yield from super()._unpack_records()
            except Exception as error:
                if self._records.last is None:
                    raise
                yield self._placeholder(error)
            else:
                return

    def _placeholder(self, error: Exception) -> ConsumerRecord[bytes, bytes]:
        """Return the record that stands for the unread rest of the last batch, and step over it."""
        first, after = self.next_fetch_offset, self._records.last.next_offset
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
    fetcher.PartitionRecords = SalvagingRecords
