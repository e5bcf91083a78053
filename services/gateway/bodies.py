"""Reading a webhook's exact bytes back from ``deliveries``, by partition and offset.

Kafka keeps the bodies, the log keeps their coordinates. One consumer without a group seeks to the
record; reads are short and take turns. Every one ends within ``READ_TIMEOUT_S``, whatever Kafka
does, and says why when there is nothing: the topic's retention, or an outage.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from services.gateway.ports import BodyAway, BodyUnavailable, Kept, Place
from shared.kafka.cluster import Cluster
from shared.models.deliveries import meta_of
from shared.models.errors import Outage

KafkaRecord: TypeAlias = "ConsumerRecord[bytes, bytes]"

READ_TIMEOUT_S: Final = 5.0
FETCH_BYTES: Final = 256 * 1024  # of a partition; a batch or record that is larger comes whole
FETCH_TIMEOUT_MS: Final = 1_000
FAR: Final = 1_000  # records that are cheaper to skip by seeking than by reading
_AWAY: Final = "Kafka does not answer just now; try again"
_GONE: Final = "Kafka has removed it: the retention of the topic is over"
_FOREIGN: Final = "Kafka has another record there: the topic was made anew"


class DeliveriesReader:
    """Reads records of ``deliveries``. Connects when it is first used."""

    def __init__(self, *, cluster: Cluster, topic: str, client_id: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self._client_id = client_id
        self._consumer: AIOKafkaConsumer | None = None
        self._connecting = asyncio.Lock()
        self._turn = asyncio.Lock()

    async def stop(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def ping(self) -> None:
        """Return when the broker answers; raises Outage."""
        consumer = await self._connected()
        try:
            await consumer.end_offsets([TopicPartition(self._topic, 0)])
        except KafkaError as error:
            raise Outage(f"Kafka does not answer: {error!r}") from error

    async def read(self, place: Place) -> Kept:
        """Return what was sent for this event to this endpoint; raises BodyUnavailable."""
        (found,) = await self.read_many([place])
        if isinstance(found, BodyUnavailable):
            raise found
        return found

    async def read_many(self, places: Sequence[Place]) -> list[Kept | BodyUnavailable]:
        """Return what was sent, in order, or why it is not to be had; raises BodyAway.

        All partitions are read side by side, and places that are near each other together.
        """
        wanted: dict[TopicPartition, set[int]] = {}
        for place in places:
            wanted.setdefault(TopicPartition(self._topic, place.partition), set()).add(place.offset)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S), self._turn:
                found = await self._records(wanted)
        except (TimeoutError, Outage, KafkaError) as error:
            raise BodyAway(_AWAY) from error
        return [_judged(found[place.partition, place.offset], place) for place in places]

    async def _records(
        self, wanted: Mapping[TopicPartition, Collection[int]]
    ) -> dict[tuple[int, int], KafkaRecord | BodyUnavailable]:
        """Return the records at these offsets, or why there is none."""
        consumer = await self._connected()
        firsts = await consumer.beginning_offsets(list(wanted))
        ends = await consumer.end_offsets(list(wanted))
        found: dict[tuple[int, int], KafkaRecord | BodyUnavailable] = {
            (tp.partition, offset): BodyUnavailable(_FOREIGN if offset >= ends[tp] else _GONE)
            for tp, offsets in wanted.items()
            for offset in offsets
        }
        left = {
            tp: deque(there)
            for tp, offsets in wanted.items()
            if (there := sorted(one for one in offsets if firsts[tp] <= one < ends[tp]))
        }
        if not left:
            return found  # a consumer that is assigned and not waited for would break
        consumer.assign(list(left))
        try:
            for tp, offsets in left.items():
                consumer.seek(tp, offsets[0])
            while left:
                for tp in list(left):
                    for record in await _next(consumer, tp, left[tp]):
                        if (tp.partition, record.offset) in found:
                            found[tp.partition, record.offset] = record
                    _go_on(consumer, left, tp, await consumer.position(tp))
                    await asyncio.sleep(0)  # what is at hand is unpacked at once: let callers in
        finally:
            consumer.unsubscribe()
        return found

    async def _connected(self) -> AIOKafkaConsumer:
        """Return a started consumer; raises Outage."""
        async with self._connecting:
            if self._consumer is not None:
                return self._consumer
            consumer = AIOKafkaConsumer(
                **self._cluster.client,
                client_id=self._client_id,
                enable_auto_commit=False,
                auto_offset_reset="none",
                max_partition_fetch_bytes=FETCH_BYTES,
            )
            try:
                await consumer.start()
            except (KafkaError, OSError) as error:
                await consumer.stop()
                raise Outage(f"Kafka does not answer: {error!r}") from error
            self._consumer = consumer
            return consumer


async def _next(
    consumer: AIOKafkaConsumer, tp: TopicPartition, offsets: Iterable[int]
) -> list[KafkaRecord]:
    """Return what a partition holds from where its consumer stands, as far as it is wanted.

    All partitions are fetched at once, and far more than that: what nobody wants is not unpacked.
    """
    position = end = await consumer.position(tp)
    for offset in offsets:
        if offset > end + FAR:
            break
        end = offset + 1
    count = max(1, end - position)
    fetched = await consumer.getmany(tp, timeout_ms=FETCH_TIMEOUT_MS, max_records=count)
    found: list[KafkaRecord] = fetched.get(tp, [])
    return found


def _go_on(
    consumer: AIOKafkaConsumer,
    left: dict[TopicPartition, deque[int]],
    tp: TopicPartition,
    position: int,
) -> None:
    """Go to what is left of a partition behind what was read; a gap that is far is leapt over."""
    offsets = left[tp]
    while offsets and offsets[0] < position:
        offsets.popleft()
    if not offsets:
        del left[tp]
        consumer.pause(tp)
    elif offsets[0] > position + FAR:
        consumer.seek(tp, offsets[0])


def _judged(found: KafkaRecord | BodyUnavailable, place: Place) -> Kept | BodyUnavailable:
    """Return the record if it is of this event and endpoint."""
    if isinstance(found, BodyUnavailable):
        return found
    try:
        meta = meta_of(found.headers)
    except msgspec.DecodeError:
        meta = None
    if meta is None or meta.event_id != place.event_id or found.key != place.endpoint_id.encode():
        return BodyUnavailable(_FOREIGN)
    return Kept(found.value or b"", meta)
