"""Damaged batches: what can be read is read, what cannot is told, and nothing behind it is lost."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import ConsumerRecord, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kafka import compression, salvage

TP = TopicPartition("events", 0)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
NOT_TEXT = b"\xff\xfe-named"
HEADER_BYTES = 61
LENGTH_END = 12  # base offset and length: how batches are told apart at all
MAGIC_AT = 16
CRC_FROM = 21  # the checksum covers everything from the attributes on
LAST_OFFSET_DELTA_AT = 23


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    salvage.install()


def batch(
    base: int, count: int, *, codec: int = 0, bad_header_at: int | None = None, padding: int = 0
) -> bytes:
    """Return a batch as a broker stores it; one record may have a header name that is no text."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 1_000_000 + 2 * padding)
    for index in range(count):
        name = "stand-in" if index == bad_header_at else "name"
        value = b"%d" % (base + index) + bytes(padding)
        builder.append(index, 1_000 + index, b"k", value, [(name, b"v")])
    builder._buffer = builder._buffer.replace(b"stand-in", NOT_TEXT)
    stored = bytearray(builder.build())
    struct.pack_into(">q", stored, 0, base)
    return bytes(stored)


def read(stored: bytes, *, at: int = 0) -> list[ConsumerRecord[bytes, bytes]]:
    return list(fetch(stored, at))


def fetch(stored: bytes, at: int) -> Iterator[ConsumerRecord[bytes, bytes]]:
    """Return what one fetch from ``at`` gives."""
    records = salvage.SlicingRecords(stored)
    yield from salvage.SalvagingRecords(TP, records, [], at, None, None, True, 0)


def offsets(records: list[ConsumerRecord[bytes, bytes]]) -> list[int]:
    return [record.offset for record in records if record.value is not None]


def reasons(records: list[ConsumerRecord[bytes, bytes]]) -> list[str]:
    return [
        value.decode()
        for record in records
        for name, value in record.headers
        if name == salvage.DAMAGED_HEADER
    ]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_good_batches_are_read_as_ever(codec: int) -> None:
    records = read(batch(0, 3, codec=codec) + batch(3, 2, codec=codec))
    assert offsets(records) == [0, 1, 2, 3, 4]
    assert [record.value for record in records] == [b"0", b"1", b"2", b"3", b"4"]
    assert records[1].headers == (("name", b"v"),)
    assert not reasons(records)


def test_a_fetch_into_the_middle_of_a_batch_begins_there() -> None:
    """The broker sends whole batches."""
    assert offsets(read(batch(0, 5), at=3)) == [3, 4]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_header_name_that_is_not_utf_8_costs_no_record(codec: int, bad: int) -> None:
    """Nor do the records that the producer happened to put into the same batch."""
    records = read(batch(0, 3, codec=codec, bad_header_at=bad) + batch(3, 1, codec=codec))
    assert offsets(records) == [0, 1, 2, 3]
    assert [record.value for record in records] == [b"0", b"1", b"2", b"3"]
    assert records[bad].headers == (("\ufffd\ufffd-named", b"v"),)
    assert records[bad].key == b"k"
    assert not reasons(records)


def test_what_was_returned_before_the_bad_name_is_not_returned_twice() -> None:
    assert offsets(read(batch(0, 5, bad_header_at=3), at=1)) == [1, 2, 3, 4]


def test_a_batch_with_a_wrong_checksum_is_one_record_that_says_so() -> None:
    broken = bytearray(batch(3, 3))
    broken[-1] ^= 1
    records = read(batch(0, 3) + bytes(broken) + batch(6, 2))
    assert offsets(records) == [0, 1, 2, 6, 7]
    placeholder = records[3]
    assert (placeholder.offset, placeholder.key, placeholder.value) == (3, None, None)
    assert "offsets 3 to 5 cannot be decoded: CorruptRecordException" in reasons(records)[0]


def test_a_batch_that_does_not_decompress_is_stepped_over_whole() -> None:
    """Its checksum is right, so it may be believed when it says where it ends."""
    broken = bytearray(batch(0, 3, codec=CODECS["gzip"]))
    broken[HEADER_BYTES:] = b"\x00" * (len(broken) - HEADER_BYTES)
    struct.pack_into(">I", broken, 17, _crc(broken))
    records = read(bytes(broken) + batch(3, 1))
    assert offsets(records) == [3]
    assert "offsets 0 to 2 cannot be decoded" in reasons(records)[0]


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_decompression_bomb_is_stepped_over_without_being_unpacked(codec: str) -> None:
    bomb = batch(0, 1, codec=CODECS[codec], padding=compression.UNPACKED_BYTES_MAX)
    large = batch(1, 1, codec=CODECS[codec], padding=compression.UNPACKED_BYTES_MAX // 2)
    records = read(bomb + large + batch(2, 1))
    assert offsets(records) == [1, 2]
    assert f"{codec}: damaged, or over 64 MiB" in reasons(records)[0]


def test_a_damaged_batch_is_not_believed_about_its_end() -> None:
    """Else everything behind it would be taken for something that was read already."""
    broken = bytearray(batch(0, 3))
    struct.pack_into(">i", broken, LAST_OFFSET_DELTA_AT, 1 << 30)
    records = read(bytes(broken) + batch(3, 2))
    assert offsets(records) == [3, 4]
    assert len(reasons(records)) == 1


def test_a_damaged_batch_at_the_end_of_a_fetch_is_left_behind_one_offset_at_a_time() -> None:
    """The broker sends the batch that has the offset, and whatever came in behind it."""
    broken = bytearray(batch(0, 3))
    broken[-1] ^= 1
    position = 0
    for _ in range(3):
        records = read(bytes(broken), at=position)
        assert offsets(records) == []
        assert [record.offset for record in records] == [position]
        position = records[-1].offset + 1
    assert offsets(read(batch(3, 1), at=position)) == [3]


def test_a_length_that_makes_no_batch_ends_the_fetch() -> None:
    """Where the next one begins cannot be told from here; asking the broker again can."""
    nonsense = struct.pack(">qi", 1, 3) + b"abc"
    records = read(batch(0, 1) + nonsense + batch(1, 1))
    assert offsets(records) == [0]
    assert [record.offset for record in records] == [0, 1]
    assert len(reasons(records)) == 1


def test_the_reason_is_a_record_of_the_partition() -> None:
    """Fan-out rejects it like any other, with the origin of what was lost."""
    broken = bytearray(batch(7, 1))
    broken[-1] ^= 1
    (record,) = read(bytes(broken), at=7)
    assert (record.topic, record.partition, record.offset) == ("events", 0, 7)
    assert isinstance(record.headers, tuple)


class Log:
    """Batches as a broker keeps them: it sends whole ones, from the one with the offset on."""

    def __init__(self) -> None:
        self.end = 0
        self.batches: list[tuple[int, bytearray]] = []

    def append(self, count: int, codec: int) -> bytearray:
        stored = bytearray(batch(self.end, count, codec=codec))
        self.end += count
        self.batches.append((self.end, stored))
        return stored

    def sent(self, position: int) -> bytes:
        return b"".join(bytes(stored) for end, stored in self.batches if end > position)


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_happens_to_a_batch_the_others_come_out_whole(data: st.DataObject) -> None:
    """Any bytes of it may be wrong, but for its place and length, which are the log's own."""
    log = Log()
    whole: list[int] = []
    codec = data.draw(st.sampled_from(list(CODECS.values())))
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    hit = data.draw(st.integers(0, len(sizes) - 1))
    for index, size in enumerate(sizes):
        if index != hit:
            whole += range(log.end, log.end + size)
        stored = log.append(size, codec)
        for _ in range(data.draw(st.integers(1, 3)) if index == hit else 0):
            stored[data.draw(st.integers(LENGTH_END, len(stored) - 1))] = data.draw(
                st.integers(0, 255)
            )
    seen: list[ConsumerRecord[bytes, bytes]] = []
    position = 0
    while position < log.end:
        records = read(log.sent(position), at=position)
        seen += records
        assert records[-1].offset >= position  # each fetch gets on
        position = records[-1].offset + 1
    everything = [record.offset for record in seen]
    assert everything == sorted(set(everything))
    assert [offset for offset in offsets(seen) if offset in whole] == whole
    assert [record.value for record in seen if record.offset in whole] == [b"%d" % o for o in whole]


def test_installing_replaces_what_every_consumer_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)
    monkeypatch.setattr(fetcher, "PartitionRecords", fetcher.PartitionRecords)
    salvage.install()
    salvage.install()
    made: Any = fetcher.PartitionRecords(
        TP, fetcher.MemoryRecords(batch(0, 1)), [], 0, None, None, True, 0
    )
    assert offsets(list(made)) == [0]
    assert isinstance(made, salvage.SalvagingRecords)


def _crc(stored: bytearray) -> int:
    return int(calc_crc32c(bytes(stored[CRC_FROM:])))
