"""Reading a part of ``attempts`` once more, by its offsets, beside the group.

That is seldom: when a partition was taken over from somebody who had read further than was counted.
So each reading has a consumer of its own. What Kafka has forgotten is passed over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.recorder.reading import read
from shared.kafka.cluster import Cluster
from shared.models.errors import Outage
from shared.storage.chunks import Logged

READ_WAIT_MS: Final = 500


class AttemptHistory:
    """Reads from a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def between(
        self, tp: TopicPartition, start: int, end: int
    ) -> AsyncIterator[Sequence[Logged]]:
        """Yield the attempts from the offset ``start`` up to ``end``; raises Outage.

        What is unreadable among them is passed over: its first reader has told of it.
        """
        if start >= end:
            return
        consumer = AIOKafkaConsumer(
            **self._cluster.client,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            place = max(start, (await consumer.beginning_offsets([tp]))[tp])
            stop = min(end, (await consumer.end_offsets([tp]))[tp])
            consumer.assign([tp])
            consumer.seek(tp, place)
            while place < stop:
                fetched = await consumer.getmany(tp, timeout_ms=READ_WAIT_MS)
                reads, _ = read(fetched.get(tp, ()))
                yield [one for one in reads if start <= one.offset < end]
                place = await consumer.position(tp)
        except (KafkaError, OSError) as error:
            raise Outage(f"Kafka does not answer: {error!r}") from error
        finally:
            await consumer.stop()
