"""Reading a webhook's exact bytes back from ``deliveries``, by partition and offset.

Kafka keeps the bodies, the log keeps their coordinates. One consumer without a group seeks to the
record; reads are short and take turns. Every read ends within ``READ_TIMEOUT_S``, whatever Kafka
does, and says why when there is nothing: the topic's retention, or an outage.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from services.gateway.ports import BodyAway, BodyUnavailable, Kept
from shared.models.deliveries import DeliveryMeta, meta_of
from shared.models.errors import Outage

READ_TIMEOUT_S: Final = 5.0
_AWAY: Final = "Kafka does not answer just now; try again"
_GONE: Final = "Kafka has removed it: the retention of the topic is over"
_FOREIGN: Final = "Kafka has another record there: the topic was made anew"


class DeliveriesReader:
    """Reads single records of ``deliveries``. Connects when it is first used."""

    def __init__(self, *, bootstrap: str, topic: str, client_id: str) -> None:
        self._bootstrap = bootstrap
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

    async def read(self, *, partition: int, offset: int, endpoint_id: str, event_id: str) -> Kept:
        """Return what was sent for this event to this endpoint; raises BodyUnavailable."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S), self._turn:
                record = await self._record(TopicPartition(self._topic, partition), offset)
        except (TimeoutError, Outage, KafkaError) as error:
            raise BodyAway(_AWAY) from error
        meta = _meta_of(record, endpoint_id, event_id)
        if meta is None:
            raise BodyUnavailable(_FOREIGN)
        return Kept(record.value or b"", meta)

    async def _record(self, partition: TopicPartition, offset: int) -> ConsumerRecord[bytes, bytes]:
        """Return the record at ``offset``; raises BodyUnavailable where there is none."""
        consumer = await self._connected()
        first = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        if offset < first:
            raise BodyUnavailable(_GONE)
        if offset >= end:
            raise BodyUnavailable(_FOREIGN)
        consumer.assign([partition])
        try:
            consumer.seek(partition, offset)
            record: ConsumerRecord[bytes, bytes] = await consumer.getone(partition)
        finally:
            consumer.unsubscribe()
        if record.offset != offset:
            raise BodyUnavailable(_GONE)
        return record

    async def _connected(self) -> AIOKafkaConsumer:
        """Return a started consumer; raises Outage."""
        async with self._connecting:
            if self._consumer is not None:
                return self._consumer
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                client_id=self._client_id,
                enable_auto_commit=False,
                auto_offset_reset="none",
            )
            try:
                await consumer.start()
            except (KafkaError, OSError) as error:
                await consumer.stop()
                raise Outage(f"Kafka does not answer: {error!r}") from error
            self._consumer = consumer
            return consumer


def _meta_of(
    record: ConsumerRecord[bytes, bytes], endpoint_id: str, event_id: str
) -> DeliveryMeta | None:
    """Return the record's metadata if it is of this event and endpoint."""
    try:
        meta = meta_of(record.headers)
    except msgspec.DecodeError:
        return None
    ours = meta is not None and meta.event_id == event_id and record.key == endpoint_id.encode()
    return meta if ours else None
