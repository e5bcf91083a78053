"""The read barrier: an endpoint that exists is matched, however slow the view of endpoints is.

Fan-out's endpoint view is read from a topic and may lag. Here its reader is held back on purpose:
with the barrier a batch waits for the view, without it the first event misses its endpoint. The
second test shows that the first one can fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord

from services.fanout.handler import Barrier, FanoutHandler, Planner
from shared.kafka.cluster import Cluster
from shared.kafka.publisher import Position, Record
from shared.kafka.registry import RegistryReader
from shared.models.endpoints import EndpointState, WorkspaceState, encode_state
from shared.policy.matching import Registry
from shared.profiles.profile import load_profiles
from shared.topics import DEFAULT_TIERS, Tiers
from tests.support.servers import KafkaServer, fresh_name

pytestmark = pytest.mark.integration

STILL_WAITS_S: Final = 0.3
WORKSPACE: Final = WorkspaceState(id="ws_1", profile="qr3")
ENDPOINT: Final = EndpointState(
    id="wh_1",
    workspace_id=WORKSPACE.id,
    profile=WORKSPACE.profile,
    url="https://example.com/",
    events=("*",),
    secret="sealed",
)
EVENT: Final = {"id": "evt_1", "type": "qr.created", "workspace_id": WORKSPACE.id, "data": {}}


class HeldBackReader(RegistryReader):
    """A registry's reader that reads nothing while it is held."""

    def __init__(self, *, cluster: Cluster, topic: str, view: Registry) -> None:
        super().__init__(cluster=cluster, topic=topic, view=view, client_id="test")
        self._free = asyncio.Event()
        self._free.set()
        self._stands = asyncio.Event()

    async def hold(self) -> None:
        """Return when the reader stands still, behind any fetch that was under way."""
        self._stands.clear()
        self._free.clear()
        await self._stands.wait()

    def let_go(self) -> None:
        """Let it read on."""
        self._free.set()

    async def _read_once(self, reader: AIOKafkaConsumer) -> None:
        if not self._free.is_set():
            self._stands.set()
            await self._free.wait()
        await super()._read_once(reader)


class NoBarrier:
    """What fan-out would do without the barrier: go on with the view that it has."""

    async def catch_up(self) -> None:
        """Wait for nothing."""


class Sink:
    """Keeps what fan-out publishes."""

    def __init__(self) -> None:
        self.keys: list[bytes | None] = []

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        """Keep the records' keys: endpoint ids."""
        self.keys += [record.key for record in records]
        return [Position(0, 0) for _ in records]


class Scene:
    """A registry that is read from Kafka, and an endpoint that is on the topic but not yet seen."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        profiles = load_profiles(Tiers.parse(DEFAULT_TIERS))
        registry = Registry(profiles)
        self.sink = Sink()
        self.reader = HeldBackReader(cluster=cluster, topic=topic, view=registry)
        self._planner = Planner(
            registry=registry,
            profiles=profiles,
            deliveries_topic="deliveries",
            rejected_topic="events.rejected",
        )

    async def handle_first_event(self, barrier: Barrier) -> None:
        """Handle the event that was produced right after the endpoint was created."""
        value = msgspec.json.encode(EVENT)
        record = ConsumerRecord(
            "events", 0, 0, 1_773_568_800_000, 0, None, value, None, -1, len(value), ()
        )
        handler = FanoutHandler(planner=self._planner, barrier=barrier, sink=self.sink)
        await handler.handle([record])


@asynccontextmanager
async def scene(cluster: Cluster) -> AsyncIterator[Scene]:
    """Read a workspace, hold the reader, and acknowledge the creation of an endpoint."""
    topic = fresh_name("endpoints")
    admin = AIOKafkaAdminClient(**cluster.client)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(**cluster.client, acks="all") as producer:
        await producer.send_and_wait(topic, encode_state(WORKSPACE), key=b"ws_1")
        here = Scene(cluster, topic)
        await here.reader.start()
        try:
            await here.reader.hold()
            await producer.send_and_wait(topic, encode_state(ENDPOINT), key=b"wh_1")
            yield here
        finally:
            await here.reader.stop()


async def test_with_the_barrier_the_first_event_waits_for_the_view_and_is_matched(
    kafka_server: KafkaServer,
) -> None:
    """The batch is not matched before the view holds what was acknowledged before it."""
    async with scene(kafka_server.cluster) as here:
        handling = asyncio.create_task(here.handle_first_event(here.reader))
        _, waiting = await asyncio.wait({handling}, timeout=STILL_WAITS_S)
        assert handling in waiting
        assert here.sink.keys == []
        here.reader.let_go()
        await handling
        assert here.sink.keys == [b"wh_1"]


async def test_without_the_barrier_the_first_event_would_be_missed(
    kafka_server: KafkaServer,
) -> None:
    """The same event, the same view: matched against the past, it reaches nobody."""
    async with scene(kafka_server.cluster) as here:
        await here.handle_first_event(NoBarrier())
        assert here.sink.keys == []
        here.reader.let_go()
        await here.reader.catch_up()
        await here.handle_first_event(NoBarrier())
        assert here.sink.keys == [b"wh_1"]
