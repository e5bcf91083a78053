"""A retry service in this process or in one of its own, and what to give it and to look at."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import ConsumerRecord

from services.retry.wiring import main
from shared.config import Settings
from shared.kafka.admin import partitions_of
from shared.kafka.cluster import Cluster
from shared.kafka.names import group_name, topic_name
from shared.kafka.publisher import Publisher, Record
from shared.models.deliveries import META_HEADER, DeliveryMeta, encode_meta, meta_of
from shared.observe.health import Pulse
from shared.runtime import Runtime
from shared.topics import DEAD, DELIVERIES, Topic, tier_topic
from tests.support.polling import until
from tests.support.servers import environ_of

Moved: TypeAlias = "ConsumerRecord[bytes, bytes]"


def now_ms() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000


def event_of(moved: Moved) -> str:
    """Return the id of the event that a delivery is about."""
    meta = meta_of(moved.headers)
    assert meta is not None
    return meta.event_id


class World:
    """The topics around a retry service, as one test sees them."""

    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        self.settings = settings
        self.publisher = publisher

    async def park(
        self, tier: str, events: Sequence[str], *, due_ms: int | None = None, endpoints: int = 7
    ) -> None:
        """Put deliveries into a tier, due after its delay or at ``due_ms``."""
        row = self.settings.tiers.named(tier)
        due_ms = now_ms() + row.delay_ms if due_ms is None else due_ms
        topic = topic_name(self.settings, tier_topic(row))
        records = []
        for number, event_id in enumerate(events):
            meta = DeliveryMeta(event_id, "a.b", "ws_1", 2, "event", 1, due_ms - 1, due_ms)
            header = (META_HEADER, encode_meta(meta))
            key = f"wh_{number % endpoints}".encode()
            records.append(Record(topic, key, f"body of {event_id}".encode(), (header,)))
        await self.publisher.publish(records)

    async def moved(self, topic: Topic = DELIVERIES) -> list[Moved]:
        """Return everything on ``deliveries`` (or another topic), each partition in order."""
        name = topic_name(self.settings, topic)
        tps = [TopicPartition(name, n) for n in range(partitions_of(self.settings, topic))]
        consumer = AIOKafkaConsumer(
            **Cluster.of(self.settings).client, auto_offset_reset="earliest"
        )
        consumer.assign(tps)
        await consumer.start()
        try:
            records: list[Moved] = []
            for tp, end in (await consumer.end_offsets(tps)).items():
                while await consumer.position(tp) < end:
                    records += (await consumer.getmany(tp, timeout_ms=200)).get(tp, ())
        finally:
            await consumer.stop()
        return records

    async def all_moved(self, events: Sequence[str], *, within_s: float = 30) -> list[Moved]:
        """Wait until each of these events is on ``deliveries``; others may not be there."""
        wanted = set(events)
        found = await until(
            self.moved,
            lambda records: len({event_of(one) for one in records}) >= len(wanted),
            what=f"{len(wanted)} deliveries",
            within_s=within_s,
        )
        assert {event_of(one) for one in found} == wanted
        return found

    async def dead(self) -> list[Moved]:
        """Return everything on ``deliveries.dead``."""
        return await self.moved(DEAD)

    async def members(self) -> int:
        """Return how many members the group has."""
        admin = AIOKafkaAdminClient(**Cluster.of(self.settings).client)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([group_name(self.settings, "retry")])
        finally:
            await admin.close()
        ((_, _, _, _, _, members, *_),) = answer.groups
        return len(members)


@asynccontextmanager
async def retry(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """Run the service in this process; leaving stops it as SIGTERM does."""
    runtime = Runtime(Pulse())
    task = asyncio.ensure_future(main(settings, runtime))
    try:
        yield task
    finally:
        runtime.stopping.set()
        await task


async def retry_process(settings: Settings) -> asyncio.subprocess.Process:
    """Start ``python -m services.retry``."""
    names = ("topic_prefix", "partitions", "instance", "retry_tiers")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.retry"),
        env=environ_of(settings, *names, log_level="warning"),
    )
