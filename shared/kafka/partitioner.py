"""Which partition a key belongs to: Kafka's own rule (murmur2, as in the Java client).

Everybody must agree on it, producers outside Hooklane included: a delivery and its retries have to
come back to the worker that owns the endpoint's lane.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from aiokafka.partitioner import murmur2

KEYS_CACHED_MAX = 262_144


@lru_cache(maxsize=KEYS_CACHED_MAX)
def _hash(key: bytes) -> int:
    """Return the positive hash; cached because the pure Python murmur2 costs several µs."""
    return cast("int", murmur2(key)) & 0x7FFF_FFFF


def partition_for(key: bytes, count: int) -> int:
    """Return the partition of ``key`` among ``count`` partitions."""
    return _hash(key) % count
