"""What aiokafka's codecs lack: bounds when batches are unpacked, haste when they are packed.

**Bounds.** A batch of 10 KB may unpack to 300 MB, and aiokafka unpacks it whole: one hostile or
careless producer would end every consumer of a topic for lack of memory, again at each restart.
After ``bound`` a batch that unpacks to more than ``UNPACKED_BYTES_MAX`` raises ``TooLarge``
instead, and ``shared.kafka.salvage`` steps over it as over any other damaged batch. Raw snappy
expands 21 times at the most, and a broker takes batches of a few MB, so it needs no bound.

**Haste.** aiokafka packs lz4 at level 9, which takes 8 to 12 µs for an attempt's record where level
1 takes 1.1, for 8 % less of bytes (batches of 30 to 300). It offers no setting for it.

Both replace functions inside aiokafka, pinned exactly in ``pyproject.toml``; tests fail if an
upgrade moves them.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import Final

import cramjam
from aiokafka.codec import lz4_encode
from aiokafka.record import default_records
from aiokafka.record._crecords import default_records as compiled_records

UNPACKED_BYTES_MAX: Final = 64 * 1024 * 1024

LZ4_LEVEL: Final = 1

_BOUNDED: Final = ("gzip", "lz4", "zstd")
_RECORDS: Final = (default_records, compiled_records)


class TooLarge(ValueError):
    """A batch unpacks to more than ``UNPACKED_BYTES_MAX``, or is no compressed data at all."""


class _Unpacker:
    """Unpacks one codec into a buffer that all share; only touched pages of it cost memory."""

    _buffer = bytearray(UNPACKED_BYTES_MAX)
    _lock = Lock()  # consumers may run in several threads

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._into = getattr(cramjam, codec).decompress_into

    def __call__(self, packed: bytes) -> bytes:
        with self._lock:
            try:
                size = self._into(packed, self._buffer)
            except cramjam.DecompressionError as error:
                limit = f"{UNPACKED_BYTES_MAX >> 20} MiB"
                raise TooLarge(f"{self._codec}: damaged, or over {limit}: {error}") from None
            return bytes(memoryview(self._buffer)[:size])


def bound() -> None:
    """Bound what every aiokafka consumer of this process unpacks."""
    for codec in _BOUNDED:
        for module in _RECORDS:
            setattr(module, f"{codec}_decode", _Unpacker(codec))


def hasten() -> None:
    """Pack lz4 batches quickly in every aiokafka producer of this process."""
    for module in _RECORDS:
        module.lz4_encode = partial(lz4_encode, level=LZ4_LEVEL)
