"""Our producers pack quickly, with what every consumer can read."""

from __future__ import annotations

from aiokafka.codec import lz4_decode, lz4_encode
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.kafka import compression

LZ4 = 3
VALUE = b'{"event_id":"evt_%032x","status":"success","attempt":1}'
HEADER_BYTES = 61


def packed() -> bytes:
    """Return the compressed part of a batch as aiokafka's producer makes it."""
    builder = BatchBuilder(1 << 20, LZ4, is_transactional=False)
    for number in range(300):
        builder.append(timestamp=1, key=b"key", value=VALUE % (number * 7_919**5))
    builder.close()
    return bytes(builder._build())[HEADER_BYTES:]


def test_batches_are_packed_at_the_quick_level() -> None:
    """Should this fail, an upgrade has moved the function that is replaced."""
    compression.hasten()
    batch = packed()
    records = lz4_decode(batch)

    assert batch == lz4_encode(records, compression.LZ4_LEVEL)
    assert batch != lz4_encode(records)
    assert len(batch) < len(records) / 2
