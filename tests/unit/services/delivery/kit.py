"""A delivery worker's engine with everything around it in the test's hands.

Lanes, destinations, partitions and settling are the real ones; the sender answers when the test
says so, and the sink acknowledges when the test says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from services.delivery.engine import Arrival, Engine
from services.delivery.lanes import Lanes
from services.delivery.memory import Memory
from services.delivery.outbox import Delivery, Names
from services.delivery.partition import Partition
from services.delivery.trail import Trail
from shared.http.messages import Outcome, OutgoingRequest
from shared.kafka.publisher import Position, Record
from shared.models.attempts import Attempt, decode_attempt
from shared.models.deliveries import (
    META_HEADER,
    DeliveryMeta,
    decode_meta,
    encode_meta,
)
from shared.models.endpoints import EndpointState, WorkspaceState
from tests.unit.services.delivery.builders import (
    DESTINATIONS,
    TIERS,
    endpoint,
    meta,
)

CAP = 2
PATIENCE_S = 20.0


class Sender:
    """Keeps requests until the test answers them."""

    def __init__(self) -> None:
        self.waiting: list[tuple[OutgoingRequest, Callable[[Outcome], None]]] = []
        self.started = 0
        self.asked = asyncio.Event()

    def start(self, request: OutgoingRequest, done: Callable[[Outcome], None]) -> None:
        self.started += 1
        self.asked.set()
        self.waiting.append((request, done))

    def answer(self, outcome: Outcome) -> OutgoingRequest:
        request, done = self.waiting.pop(0)
        done(outcome)
        return request


class Sink:
    """Acknowledges while ``open`` is set; remembers the order in which records were given to it.

    What goes to a topic that is ``stuck`` is never acknowledged.
    """

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[Record] = []
        self.attempts: list[Attempt] = []
        self.called = asyncio.Event()
        self.recorded = asyncio.Event()
        self.stuck: set[str] = set()

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        self.asked += records
        if records:
            self.called.set()
        await self.open.wait()
        if self.stuck & {record.topic for record in records}:
            await asyncio.Event().wait()
        positions = []
        for record in records:
            if record.topic == "p.attempts":
                self.attempts.append(decode_attempt(record.value or b""))
                self.recorded.set()
            positions.append(Position(record.partition or 0, len(self.attempts) - 1))
        return positions

    def topics(self) -> list[str]:
        return [record.topic for record in self.asked]


class View:
    """The endpoints; ``catch_up`` brings in what the topic has that we have not."""

    def __init__(self) -> None:
        self.endpoints: dict[str, EndpointState] = {}
        self.workspaces: dict[str, WorkspaceState] = {}
        self.topic: dict[str, EndpointState] = {}
        self.workspace_topic: dict[str, WorkspaceState] = {}
        self.caught_up = 0

    async def catch_up(self) -> None:
        self.caught_up += 1
        self.endpoints |= self.topic
        self.workspaces |= self.workspace_topic

    def know(self, *states: EndpointState) -> None:
        self.endpoints |= {state.id: state for state in states}


class Worker:
    """An engine with everything around it."""

    def __init__(self) -> None:
        self.sender, self.sink, self.view = Sender(), Sink(), View()
        self.view.know(endpoint())
        self.partition = self.take_over()
        lanes: Lanes[Delivery] = Lanes(cap=CAP, inflight_max=100, waiting_max=100)
        self.engine = Engine(
            lanes=lanes,
            destinations=DESTINATIONS,
            view=self.view,
            barrier=self.view,
            sender=self.sender,
            sink=self.sink,
            names=Names("p.", "p.attempts"),
            tiers=TIERS,
            response_bytes_max=4_096,
            trail=Trail(),
        )

    @staticmethod
    def take_over(start: int = 0) -> Partition:
        return Partition(0, start=start, journal=(), journal_end=0, memory=Memory(100))

    async def read(
        self,
        offset: int,
        key: bytes | None = b"wh_1",
        *,
        headers: Sequence[tuple[str, Any]] | None = None,
        value: bytes | None = b'{"a":1}',
        **given: Any,
    ) -> None:
        given = {"event_id": f"evt_{offset}"} | given
        if headers is None:
            headers = ((META_HEADER, encode_meta(meta(**given))),)
        await self.engine.take([Arrival(self.partition, offset, key, value, headers)])

    async def settle(self) -> None:
        """Wait until nothing is in flight or unpublished."""
        assert await self.engine.quiet({self.partition}, PATIENCE_S)

    def committed(self) -> int:
        due = self.partition.commit_due()
        return -1 if due is None else due.offset

    def continued(self) -> tuple[str, DeliveryMeta]:
        """Return the one record that is no attempt: its topic and metadata."""
        (record,) = (record for record in self.sink.asked if record.topic != "p.attempts")
        meta_header = dict(record.headers)[META_HEADER]
        assert meta_header is not None
        return record.topic, decode_meta(meta_header)
