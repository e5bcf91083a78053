"""Faust with our consumer on the real Kafka: every batch is handled, and none leaves a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from services.fanout.app import BatchConsumer, create_app, lag_of
from tests.integration.kafka.kit import make_topic
from tests.support.polling import until, until_true
from tests.support.servers import KafkaServer, fresh_name

pytestmark = pytest.mark.integration

BATCHES = 30
RECORDS = 3  # of each batch: what Faust takes for a gap are those before the last


async def test_batches_leave_nothing_behind(kafka_server: KafkaServer) -> None:
    """Faust's memory of gaps would grow with each batch, and with it the time for the next.

    The lag is what is on the topic and not handled, whether it was fetched or not.
    """
    topic = await make_topic(kafka_server.cluster)
    handled: list[bytes | None] = []
    going_on = asyncio.Event()
    going_on.set()
    joined = asyncio.Event()

    async def handle(records: list[ConsumerRecord[bytes, bytes]]) -> None:
        await going_on.wait()
        handled.extend(record.value for record in records)

    app = create_app(
        group=fresh_name("group"),
        cluster=kafka_server.cluster,
        topic=topic,
        session_timeout_ms=6_000,
        instance=None,
        handle=handle,
        joined=joined.set,
    )
    producer = AIOKafkaProducer(**kafka_server.cluster.client)
    await producer.start()
    await app.start()
    try:
        for number in range(BATCHES):
            batch = producer.create_batch()
            for record in range(RECORDS):
                value = b"%d" % (number * RECORDS + record)
                batch.append(key=None, value=value, timestamp=None)
            await (await producer.send_batch(batch, topic, partition=0))
            await _handled(handled, (number + 1) * RECORDS)
        consumer = cast("BatchConsumer", app.consumer)
        assert joined.is_set()
        assert handled == [b"%d" % number for number in range(BATCHES * RECORDS)]
        assert sum(len(gaps) for gaps in consumer._gap.values()) == 0
        assert await lag_of(app) == 0
        going_on.clear()
        await producer.send_and_wait(topic, b"held", partition=0)
        await until(lambda: lag_of(app), lambda lag: lag == 1, what="one record behind")
        going_on.set()
        await until(lambda: lag_of(app), lambda lag: lag == 0, what="nothing behind")
    finally:
        await producer.stop()
        await asyncio.wait_for(app.stop(), 30)


async def _handled(handled: Sequence[bytes | None], count: int) -> None:
    await until_true(lambda: len(handled) >= count, what=f"{count} records handled", within_s=30)
