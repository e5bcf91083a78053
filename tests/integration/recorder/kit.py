"""A recorder in this process or in one of its own, and what to give it and to look at."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from services.recorder.wiring import main
from shared.config import Settings
from shared.kafka.cluster import Cluster
from shared.kafka.names import group_name, topic_name
from shared.kafka.publisher import Publisher, Record
from shared.models.attempts import Attempt, encode_attempt
from shared.models.management import Endpoint
from shared.models.stats import DAY_MS, Counts, Reading, total
from shared.observe.health import Pulse
from shared.policy.health import EndpointHealth
from shared.runtime import Runtime
from shared.storage.mongo.attempts import CHUNKS as LOG
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.endpoints import EndpointStore
from shared.storage.mongo.health import HealthStore
from shared.storage.mongo.stats import StatsReader
from shared.topics import ATTEMPTS, ENDPOINTS
from tests.support.log_rows import log_rows
from tests.support.polling import until
from tests.support.servers import environ_of
from tests.unit.services.recorder.kit import NOON_MS, attempt

LATER_MS = 4_000_000_000_000  # retention must not take the rows away while a test looks at them


def attempts_of(endpoint_id: str, statuses: Iterable[str], *, start: int = 0) -> list[Attempt]:
    """Return an endpoint's attempts in order; ``start`` numbers the first of them."""
    return [
        attempt(
            status,  # type: ignore[arg-type]
            endpoint_id=endpoint_id,
            event_id=f"evt_{start + n:06}",
            at_ms=LATER_MS + start + n,
        )
        for n, status in enumerate(statuses)
    ]


def endpoint(endpoint_id: str, profile: str = "qr3") -> Endpoint:
    """Return an active endpoint."""
    return Endpoint(
        id=endpoint_id,
        workspace_id="ws_1",
        profile=profile,
        url="https://receiver.example/in",
        events=("*",),
        secret="sealed",
        secret_hint="abcd…",
        created_ms=NOON_MS,
        updated_ms=NOON_MS,
    )


class World:
    """The servers around a recorder, as one test sees them."""

    def __init__(self, settings: Settings, mongo: Mongo, publisher: Publisher) -> None:
        self.settings = settings
        self.mongo = mongo
        self.publisher = publisher
        self.healths = HealthStore(mongo)
        self.endpoints = EndpointStore(
            mongo, send=self._send, now_ms=lambda: NOON_MS, entropy=os.urandom
        )

    async def produce(self, attempts: Sequence[Attempt], *, partition: int | None = None) -> None:
        """Write attempts as the delivery worker does."""
        topic = topic_name(self.settings, ATTEMPTS)
        await self.publisher.publish(
            [
                Record(topic, one.endpoint_id.encode(), encode_attempt(one), partition=partition)
                for one in attempts
            ]
        )

    async def rows(self) -> list[str]:
        """Return the rows in the log as ``endpoint:delivery``, sorted; one told twice is one."""
        found = await log_rows(self.mongo.collection(LOG))
        return sorted(f"{one.endpoint_id}:{one.delivery_id()}" for one in found)

    async def logged(self, attempts: Sequence[Attempt]) -> None:
        """Wait until the log holds exactly these attempts."""
        expected = sorted(f"{one.endpoint_id}:{one.delivery_id()}" for one in attempts)
        rows = await until(
            self.rows, lambda rows: len(rows) >= len(expected), what="all rows", within_s=40
        )
        assert rows == expected

    async def statistics(self) -> Counts:
        """Return what was counted of the workspace in all."""
        since_ms = LATER_MS // DAY_MS * DAY_MS
        reader = StatsReader(self.mongo)
        found = await reader.read(
            ["ws_1"], Reading(DAY_MS, since_ms, since_ms + 7 * DAY_MS, by_type=False)
        )
        return total(one for types in found["ws_1"].values() for one in types.values())

    async def counted(self, endpoint_id: str, failures: int) -> EndpointHealth:
        """Wait until this many failures in a row are counted."""

        async def look() -> list[EndpointHealth]:
            return await self.healths.of_endpoints([endpoint_id])

        found = await until(
            look,
            lambda found: bool(found) and found[0].health.failures == failures,
            what=f"{failures} failures of {endpoint_id}",
            within_s=40,
        )
        return found[0]

    async def committed(self) -> dict[int, int]:
        """Return the group's committed offsets by partition."""
        topic = topic_name(self.settings, ATTEMPTS)
        async with self.consumer(group=group_name(self.settings, "recorder")) as consumer:
            found = {
                number: await consumer.committed(TopicPartition(topic, number))
                for number in range(self.settings.partitions)
            }
        return {number: offset for number, offset in found.items() if offset is not None}

    async def members(self) -> int:
        """Return how many members the group has."""
        admin = AIOKafkaAdminClient(**Cluster.of(self.settings).client)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups(
                [group_name(self.settings, "recorder")]
            )
        finally:
            await admin.close()
        ((_, _, _, _, _, members, *_),) = answer.groups
        return len(members)

    async def states(self) -> list[bytes | None]:
        """Return all values on ``endpoints``, in order."""
        tp = TopicPartition(topic_name(self.settings, ENDPOINTS), 0)
        async with self.consumer() as consumer:
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            values: list[bytes | None] = []
            while await consumer.position(tp) < end:
                fetched = await consumer.getmany(tp, timeout_ms=200)
                values += [record.value for record in fetched.get(tp, ())]
        return values

    @asynccontextmanager
    async def consumer(self, group: str | None = None) -> AsyncIterator[Any]:
        """Give a consumer that has joined nothing."""
        consumer = AIOKafkaConsumer(
            **Cluster.of(self.settings).client,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def _send(self, key: str, value: bytes | None) -> None:
        topic = topic_name(self.settings, ENDPOINTS)
        await self.publisher.publish([Record(topic, key.encode(), value)])


@asynccontextmanager
async def recorder(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """Run a recorder in this process; leaving stops it as SIGTERM does."""
    runtime = Runtime(Pulse())
    task = asyncio.ensure_future(main(settings, runtime))
    try:
        yield task
    finally:
        runtime.stopping.set()
        await task


async def recorder_process(settings: Settings) -> asyncio.subprocess.Process:
    """Start ``python -m services.recorder``."""
    names = ("topic_prefix", "partitions", "instance", "mongo_uri", "mongo_database")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.recorder"),
        env=environ_of(settings, *names, log_level="warning"),
    )
