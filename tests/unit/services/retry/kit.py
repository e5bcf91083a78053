"""Records of retry tiers, and a consumer group without a broker for the loop's tests."""

import asyncio
import contextlib
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from shared.kafka.publisher import Position, Record, RecordRefusedError
from shared.models.deliveries import META_HEADER, DeliveryMeta, encode_meta, meta_of

NOON_MS = 1_790_000_000_000


def meta(
    due_ms: int, *, event_id: str = "evt_1", not_before_ms: int = 0, traceparent: str = ""
) -> DeliveryMeta:
    return DeliveryMeta(
        event_id=event_id,
        event_type="qr.scanned",
        workspace_id="ws_1",
        attempt=2,
        trigger="event",
        revision=1,
        accepted_ms=due_ms - 1,
        due_ms=due_ms,
        not_before_ms=not_before_ms,
        traceparent=traceparent,
    )


def record(
    tp: TopicPartition,
    offset: int,
    headers: Sequence[tuple[str, bytes]],
    *,
    key: bytes | None = b"wh_1",
    value: bytes | None = b"{}",
) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord(
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        timestamp=NOON_MS,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=tuple(headers),
    )


def delivery(
    tp: TopicPartition, offset: int, due_ms: int, **given: Any
) -> ConsumerRecord[bytes, bytes]:
    value = given.pop("value", f"body {offset}".encode())
    header = (META_HEADER, encode_meta(meta(due_ms, event_id=f"evt_{offset}", **given)))
    return record(tp, offset, [header], value=value)


def _meta(given: ConsumerRecord[bytes, bytes]) -> DeliveryMeta | None:
    with contextlib.suppress(msgspec.DecodeError):
        return meta_of(given.headers)
    return None


class World:
    """Time, a broker's tiers and its acknowledgements: polling is what makes time pass."""

    def __init__(self, tiers: Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]):
        self.now_ms = NOON_MS
        self.tiers = tiers
        self.positions = dict.fromkeys(tiers, 0)
        self.committed: dict[TopicPartition, int] = {}
        self.published: list[tuple[int, Record]] = []
        self.publishes = 0
        self.refused: set[bytes] = set()
        self.polls: list[int] = []
        self.times_ms = [
            held.wait_until_ms
            for records in tiers.values()
            for given in records
            for held in [_meta(given)]
            if held is not None
        ]
        self.stopping = asyncio.Event()
        self.stop_at_ms = NOON_MS

    def clock(self) -> int:
        return self.now_ms

    async def poll(
        self,
        *,
        timeout_ms: int,
        records_max: int,
        partitions: Collection[TopicPartition] | None = None,
    ) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
        self.polls.append(timeout_ms)
        fetched: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {}
        for tp in self.tiers if partitions is None else partitions:
            start = self.positions[tp]
            taken = [r for r in self.tiers[tp] if r.offset >= start][:records_max]
            if taken:
                records_max -= len(taken)
                fetched[tp] = taken
                self.positions[tp] = taken[-1].offset + 1
            if records_max == 0:
                break
        if not fetched:
            self._pass(timeout_ms)
        if self.now_ms >= self.stop_at_ms:
            self.stopping.set()
        return fetched

    def _pass(self, timeout_ms: int) -> None:
        """Let the poll's time pass; long waits are skipped up to a second before the next thing."""
        ahead = [ms for ms in (*self.times_ms, self.stop_at_ms) if ms > self.now_ms]
        skipped_ms = min(ahead, default=self.now_ms) - 1_000 - self.now_ms
        self.now_ms += max(timeout_ms, skipped_ms if timeout_ms == 1_000 else 0)

    async def work(self, job: Coroutine[Any, Any, None]) -> bool:
        await job
        return True

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        self.committed.update(offsets)
        return True

    def assigned(self) -> Collection[TopicPartition]:
        return list(self.tiers)

    def end_offset(self, partition: TopicPartition) -> int | None:
        return len(self.tiers[partition])

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        if any(given.value in self.refused for given in records):
            raise RecordRefusedError("too large")
        self.publishes += 1
        self.published += [(self.now_ms, given) for given in records]
        return [Position(0, index) for index in range(len(records))]
