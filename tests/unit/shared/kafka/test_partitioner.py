"""Keys go where the Java client puts them: producers and Hooklane must agree."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from shared.kafka.partitioner import partition_for


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        # from Apache Kafka's own UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
@pytest.mark.parametrize("count", [1, 4, 12, 1_000])
def test_the_vectors_of_the_java_client(key: bytes, hashed: int, count: int) -> None:
    assert partition_for(key, count) == (hashed & 0x7FFF_FFFF) % count


@given(key=st.binary(max_size=40), count=st.integers(1, 64))
def test_aiokafkas_partitioner_agrees(key: bytes, count: int) -> None:
    everyone = list(range(count))
    assert partition_for(key, count) == DefaultPartitioner()(key, everyone, everyone)
