"""Faust stays in this file: it fetches ``events``, keeps the group membership and commits.

Stock Faust hands an agent one record at a time (65 to 80 µs of CPU each) and cannot be trusted
with exceptions, un-awaited sends or out-of-order acknowledgements. So its consumer is taught to
hand the agent ONE event for each fetch, of all partitions together, and to fetch again only when
that batch is finished, at least ``PACE_S`` after the last start: batches then grow with the backlog
and nothing waits when there is none.

An offset is marked for commit only after ``handle`` returned for its batch. ``handle`` does not
raise for anything a producer wrote; should it raise, that is a fault of ours: the batch stays
unacknowledged and is tried again until it works, because Faust acknowledges what an agent raised
for. Private methods of Faust are overridden; the version is pinned exactly.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import faust
import structlog
import uvloop
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.auth import CredentialsT
from mode import Service

from services.fanout import metrics
from shared.kafka import refusals, seats
from shared.kafka.cluster import Cluster
from shared.kafka.lag import behind

BEAT_EVERY_S: Final = 1.0
PACE_S: Final = 0.003
FETCH_WAIT_MS: Final = 100  # Faust's own 1,500 would be the latency of an idle system's first event
RETRY_MIN_S: Final = 0.05
RETRY_MAX_S: Final = 2.0
RECORDS_MAX: Final = 4_000
ASK_EVERY_S: Final = 1.0

Handle = Callable[[list[ConsumerRecord[bytes, bytes]]], Awaitable[None]]

_log = structlog.get_logger("fanout")


class Batch(NamedTuple):
    """All records of one fetch. ``lasts`` has the last offset of each partition in it."""

    records: list[ConsumerRecord[bytes, bytes]]
    lasts: dict[TP, int]
    generation: int


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread, whose consumer answers at once, honours transactions, leaves its group."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"
        return consumer

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit what is ours; what fails goes with the next commit. Stock Faust ends its thread.

        The offsets stay marked (``BatchConsumer._new_offset``), so nothing is forgotten.
        """
        assigned = self.assignment()
        due = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        self.tp_last_committed_at.update(dict.fromkeys(due, time.monotonic()))
        try:
            await self._ensure_consumer().commit(
                {TopicPartition(tp.topic, tp.partition): offset for tp, offset in due.items()}
            )
        except (CommitFailedError, IllegalStateError) as error:
            _log.info("commit_refused", error=str(error))
            return False
        except KafkaError as error:
            refusals.tell(error)
            _log.warning("commit_failed", error=repr(error))
            return False
        return True

    async def ask(self) -> None:
        """Raise what keeps us from the group, if anything; stock Faust never asks."""
        await self.call_thread(self._check)

    async def _check(self) -> None:
        coordinator = None if self._consumer is None else self._consumer._coordinator
        if coordinator is not None:  # the consumer has started
            coordinator.check_errors()

    async def on_thread_stop(self) -> None:
        """Give the seat up: everything is committed, and the consumer stops next."""
        if self._consumer is not None:
            await seats.give_up(self._consumer)
        await super().on_thread_stop()


class BatchConsumer(driver.Consumer):
    """Yields one message for each fetch; commits what ``finished`` was called for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._free = asyncio.Event()
        self._free.set()
        self._not_before = 0.0

    def _new_consumer_thread(self) -> Any:
        """Return the thread, with the same kind of loop as ours: asyncio's own costs half more."""
        return _ConsumerThread(
            self, loop=self.loop, beacon=self.beacon, thread_loop=uvloop.new_event_loop()
        )

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109
        """Yield the next batch as one message, once the last one is finished."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._free.wait()
        if self.should_stop or not self._free.is_set():
            return
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        generation = self.app.consumer_generation_id
        try:
            fetched, _ = await self._wait_next_records(timeout)
        except KafkaError as error:  # it would end Faust's fetching for good
            refusals.tell(error)
            _log.warning("fetch_failed", error=repr(error))
            await asyncio.sleep(RETRY_MAX_S)
            return
        if not fetched or self.should_stop:
            return
        if not self.flow_active or self.app.consumer_generation_id != generation:
            await self._rewind()
            return
        batch = _merge(fetched, generation)
        if batch is None:
            return
        self._not_before = loop.time() + PACE_S
        self._free.clear()
        first = next(iter(batch.lasts))
        message: Any = self._to_message(first, fetched[first][-1])
        message.value = batch
        yield first, message

    @Service.task
    async def _wait_out_refusals(self) -> None:
        """Ask now and then what the group refuses us: until somebody has asked, it is not tried."""
        while not self.should_stop:
            await self.sleep(ASK_EVERY_S)
            try:
                await cast("_ConsumerThread", self._thread).ask()
            except KafkaError as error:
                refusals.tell(error)
                _log.warning("group_waits", error=repr(error))

    def finished(self, batch: Batch) -> None:
        """Mark a batch's offsets for commit and let the next fetch start.

        The message itself is acknowledged by Faust; the other partitions of the batch are marked
        here. A batch of an earlier generation is not marked: its partitions may have moved.
        """
        if batch.generation == self.app.consumer_generation_id:
            for tp, offset in batch.lasts.items():
                self._acked[tp].append(offset)
        self._free.set()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Start afresh: batches of the former generation are finished or forgotten."""
        await super().on_partitions_assigned(assigned, generation_id)
        self._free.set()

    async def lag(self) -> int:
        """Return how many records of our partitions are not finished."""
        assigned = self.assignment()
        known = {tp: self._acked_until(tp) for tp in assigned}
        return behind(await self.highwaters(*assigned), known) if assigned else 0

    def _acked_until(self, tp: TP) -> int:
        """Return what to read next of a partition were we to start now; 0 where nobody has read."""
        marked = max(self._acked[tp], default=-1) + 1
        return max(marked, self._committed_offset[tp] or 0)

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset to commit: batches finish in order, so the highest one marked."""
        marked = self._acked[tp]
        if not marked:
            return None
        highest = max(marked)
        marked[:] = [highest]
        self._acked_index[tp] = {highest}
        return int(highest) + 1

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Forget it: offsets between two batches are no gap, ``_new_offset`` passes over them.

        Faust would keep an interval for each batch for ever, and sort all of them at each batch.
        """

    async def _rewind(self) -> None:
        """Give back what was fetched while a rebalance began."""
        with contextlib.suppress(Exception):
            await self.perform_seek()


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = BatchConsumer


def _merge(fetched: Any, generation: int) -> Batch | None:
    records: list[ConsumerRecord[bytes, bytes]] = []
    lasts: dict[TP, int] = {}
    for tp, chunk in fetched.items():
        if chunk:
            records.extend(chunk)
            lasts[TP(tp.topic, tp.partition)] = chunk[-1].offset
    return Batch(records, lasts, generation) if records else None


def create_app(
    *,
    group: str,
    cluster: Cluster,
    topic: str,
    session_timeout_ms: int,
    instance: str | None,
    handle: Handle,
    joined: Callable[[], None],
) -> faust.App:
    """Return the Faust app whose one agent passes every batch of ``topic`` to ``handle``.

    ``joined`` is called whenever partitions were assigned.
    """
    url = ";".join(f"aiokafka://{server.strip()}" for server in cluster.bootstrap.split(","))
    app = faust.App(
        group,
        broker=url,
        broker_credentials=_credentials(cluster),
        store="memory://",
        datadir=Path(tempfile.gettempdir()) / "hooklane-fanout",  # unused, but Faust makes it
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        key_serializer="raw",
        value_serializer="raw",
        broker_session_timeout=session_timeout_ms / 1000,
        broker_heartbeat_interval=seats.heartbeat_ms(session_timeout_ms) / 1000,
        broker_rebalance_timeout=30,
        broker_commit_interval=0.5,
        broker_max_poll_records=RECORDS_MAX,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance,
        stream_wait_empty=True,
    )
    app.transport = BatchTransport(app.conf.broker_consumer, app, loop=app.loop)
    source = app.topic(topic, value_type=bytes)

    @app.on_partitions_assigned.connect
    async def tell(*_: Any, **__: Any) -> None:
        joined()

    @app.agent(source, concurrency=1)
    async def match(stream: Any) -> None:
        async for batch in stream:
            await _until_handled(handle, batch)
            cast("BatchConsumer", app.consumer).finished(batch)

    return app


def _credentials(cluster: Cluster) -> CredentialsT | None:
    """Return what Faust's own clients say who they are by; it makes them, not we."""
    if cluster.has_login:
        return SASLCredentials(
            username=cluster.username,
            password=cluster.password,
            mechanism=cluster.mechanism,
            ssl_context=cluster.tls,
        )
    return None if cluster.tls is None else SSLCredentials(cluster.tls)


def beat_while_fetching(app: faust.App, beat: Callable[[], None]) -> None:
    """Beat from the thread that fetches, until it ends; for a started app.

    Its loop is another one than ours: stuck, or dead, it would leave a fan-out that looks alive.
    """
    consumer = cast("BatchConsumer", app.consumer)
    loop: asyncio.AbstractEventLoop = consumer._thread.thread_loop

    def again() -> None:
        beat()
        loop.call_later(BEAT_EVERY_S, again)

    loop.call_soon_threadsafe(again)


async def lag_of(app: faust.App) -> int:
    """Return how many records of its partitions the app has not handled; for a started app."""
    return await cast("BatchConsumer", app.consumer).lag()


async def _until_handled(handle: Handle, batch: Batch) -> None:
    """Call ``handle`` until it returns: an exception must never reach Faust."""
    delay_s = RETRY_MIN_S
    while True:
        try:
            with metrics.BATCH_SECONDS.time():
                await handle(batch.records)
        except Exception:
            _log.exception("batch_failed", records=len(batch.records))
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_MAX_S)
        else:
            return
