"""Membership in a consumer group, for services that finish one piece of work before the next.

Guarantees:

* The membership outlives any wait. ``work`` keeps polling, without taking records, for as long as
  its job waits for MongoDB or Kafka; records that nobody takes are fetched no further, so memory
  stays bounded (one fetch for each partition).
* A revoked partition never commits. When partitions are revoked, the job under way may finish and
  commit within ``REVOKE_GRACE_S``; then it is cancelled. ``release`` runs after that and before
  anybody else gets the partitions, and records that were fetched for the former assignment are
  dropped: the assignment is eager, so every partition is read again from its committed offset.
* Errors of the client end the membership, not the service: it joins again, until it is stopped.

Cancelling: ``poll`` takes nothing that it does not return. Waits end when ``stopping`` is set;
a job then has ``drain_timeout_s`` to finish. Offsets are committed by the job, never here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord

from shared.config import Settings
from shared.kafka import refusals, seats
from shared.kafka.cluster import Cluster
from shared.kafka.lag import behind
from shared.kafka.names import group_instance, group_name
from shared.models.errors import Outage

T = TypeVar("T")
Fetched = dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]

BEAT_EVERY_S: Final = 1.0
REVOKE_GRACE_S: Final = 3.0
REJOIN_AFTER_S: Final = 0.3
LEAVE_TIMEOUT_S: Final = 5.0
RETRY_BACKOFF_MS: Final = 250  # the client logs each try while the broker is away

_NOWHERE: Final = TopicPartition("", 0)  # polling it keeps the membership and takes no records

_log = structlog.get_logger("kafka")


class Fetch(NamedTuple):
    """What one fetch may take: the broker answers at ``bytes_min``, or after ``wait_ms``."""

    bytes_min: int
    wait_ms: int
    partition_bytes_max: int


class GroupMember:
    """One consumer of a service's group. ``poll`` and ``work`` are for one task alone."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        settings: Settings,
        service: str,
        topics: Collection[str],
        fetch: Fetch,
        stopping: asyncio.Event,
        beat: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._service = service
        self._topics = topics
        self._fetch = fetch
        self._stopping = stopping
        self._beat = beat
        self._release: Callable[[], None] | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._job: asyncio.Task[None] | None = None
        self._generation = 0
        self._rebalancing = True
        self._broken: KafkaError | None = None
        self._next_offsets: dict[TopicPartition, int] = {}  # committed, as far as we know

    async def join(self, release: Callable[[], None]) -> None:
        """Join the group; returns with partitions assigned, or when the service is stopping.

        ``release`` is called whenever partitions were taken away, to forget what is known of them.
        """
        self._release = release
        await self._joined()

    async def poll(
        self,
        *,
        timeout_ms: int,
        records_max: int,
        partitions: Collection[TopicPartition] | None = None,
    ) -> Fetched:
        """Return records, of the given partitions only, or nothing after ``timeout_ms``."""
        if self._broken is not None:
            await self._leave(self._broken)
        consumer = await self._joined()
        if consumer is None:
            return {}
        wanted = (_NOWHERE,) if partitions is not None and not partitions else partitions or ()
        try:
            fetched = await self._attended(self._fetched(consumer, timeout_ms, records_max, wanted))
        except KafkaError as error:
            await self._leave(error)
            return {}
        if fetched is None or fetched[0] != self._generation:
            return {}
        return fetched[1]

    async def work(self, job: Coroutine[Any, Any, None]) -> bool:
        """Run ``job`` and stay in the group meanwhile; returns whether it has finished.

        False: it was abandoned, because its partitions were revoked or the time to drain is over.
        An exception of the job is raised.
        """
        task = asyncio.create_task(job)
        self._job = task
        loop = asyncio.get_running_loop()
        drained_by: float | None = None
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=BEAT_EVERY_S)
                self._beat()
                if self._stopping.is_set() and drained_by is None:
                    drained_by = loop.time() + self._settings.drain_timeout_ms / 1000
                if drained_by is not None and loop.time() > drained_by:
                    task.cancel()
                elif not task.done():
                    await self.poll(timeout_ms=0, records_max=1, partitions=())
        finally:
            task.cancel()
            self._job = None
        if task.cancelled():
            return False
        task.result()
        return True

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit the offsets to read next; an outage is waited out. For use inside a job only.

        False: the partitions are not ours any more, or the membership is lost; what was not
        committed will be read again, by us or by somebody else.
        """
        if self._consumer is None or self._rebalancing or not offsets:
            return not offsets
        try:
            await self._consumer.commit(dict(offsets))
        except (CommitFailedError, IllegalStateError) as error:
            _log.info("commit_refused", error=str(error))
            return False
        except KafkaError as error:
            self._broken = error
            return False
        self._next_offsets |= offsets
        return True

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return the committed offset, None when there is none; raises Outage."""
        if self._consumer is None:
            raise Outage("not a member of the group")
        try:
            offset: int | None = await self._consumer.committed(partition)
        except KafkaError as error:
            self._broken = error
            raise Outage(f"Kafka does not tell the committed offset: {error!r}") from error
        return offset

    def assigned(self) -> frozenset[TopicPartition]:
        """Return the partitions that are ours."""
        return frozenset(() if self._consumer is None else self._consumer.assignment())

    def partition_count(self, topic: str) -> int | None:
        """Return how many partitions a topic of ours has, None when that is not known."""
        known = None if self._consumer is None else self._consumer.partitions_for_topic(topic)
        return None if known is None else len(known)

    def end_offset(self, partition: TopicPartition) -> int | None:
        """Return the partition's end as of the last fetch, None when nothing was fetched yet."""
        if self._consumer is None or partition not in self.assigned():
            return None
        end: int | None = self._consumer.highwater(partition)
        return end

    async def lag(self) -> int | None:
        """Return how many records of our partitions are not committed, None when nobody can tell.

        May be called while a job is under way; raises KafkaError.
        """
        consumer, generation = self._consumer, self._generation
        if consumer is None or self._rebalancing:
            return None
        assigned = consumer.assignment()
        for tp in assigned - self._next_offsets.keys():
            committed: int | None = await consumer.committed(tp)
            if generation == self._generation:
                self._next_offsets.setdefault(tp, committed or 0)
        return behind(await consumer.end_offsets(assigned), self._next_offsets)

    async def leave(self) -> None:
        """Leave the group for good; the last member keeps its seat, as ``seats`` says."""
        if self._consumer is not None:
            await seats.give_up(self._consumer)
        await self._disconnect()

    async def revoked(self) -> None:
        """Give the partitions up: called before anybody else may have them."""
        self._generation += 1
        job = self._job
        if job is not None and not job.done():
            _, late = await asyncio.wait({job}, timeout=REVOKE_GRACE_S)
            if late:
                _log.info("job_abandoned", reason="its partitions were revoked")
                job.cancel()
                await asyncio.wait({job})
        self._rebalancing = True
        self._next_offsets.clear()
        if self._release is not None:
            self._release()

    def assigned_anew(self) -> None:
        """Take note that partitions were assigned."""
        self._rebalancing = False

    async def _joined(self) -> AIOKafkaConsumer | None:
        while self._consumer is None and not self._stopping.is_set():
            await self._try_join()
        return self._consumer

    async def _try_join(self) -> None:
        consumer = self._make()
        consumer.subscribe(list(self._topics), listener=_Listener(self))
        try:
            await self._attended(consumer.start())
            if not self._stopping.is_set():
                self._consumer = consumer
        except (KafkaError, OSError) as error:
            refusals.tell(error)
            _log.warning("kafka_unreachable", error=repr(error))
        finally:
            if self._consumer is not consumer:
                await _stopped(consumer)
        if self._consumer is None:
            await self._attended(asyncio.sleep(REJOIN_AFTER_S))

    def _make(self) -> AIOKafkaConsumer:
        settings, service = self._settings, self._service
        return AIOKafkaConsumer(
            **self._cluster.client,
            client_id=f"hooklane-{service}-{settings.instance or 'x'}",
            group_id=group_name(settings, service),
            group_instance_id=group_instance(settings, service),
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=seats.heartbeat_ms(settings.session_timeout_ms),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_min_bytes=self._fetch.bytes_min,
            fetch_max_wait_ms=self._fetch.wait_ms,
            max_partition_fetch_bytes=self._fetch.partition_bytes_max,
            metadata_max_age_ms=30_000,
            retry_backoff_ms=RETRY_BACKOFF_MS,
        )

    async def _fetched(
        self,
        consumer: AIOKafkaConsumer,
        timeout_ms: int,
        records_max: int,
        partitions: Collection[TopicPartition],
    ) -> tuple[int, Fetched]:
        """Return the fetch with the generation it belongs to; a rebalance may come right after."""
        fetched = await consumer.getmany(
            *partitions, timeout_ms=timeout_ms, max_records=records_max
        )
        return self._generation, fetched

    async def _attended(self, wait: Awaitable[T]) -> T | None:
        """Return what ``wait`` comes to, or None when the service is stopping first."""
        task = asyncio.ensure_future(wait)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while not task.done() and not stopping.done():
                await asyncio.wait(
                    {task, stopping}, timeout=BEAT_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                )
                self._beat()
            return task.result() if task.done() else None
        finally:
            stopping.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _leave(self, error: KafkaError) -> None:
        """End a membership that an error has spoilt."""
        refusals.tell(error)
        _log.warning("group_left", error=repr(error))
        self._broken = None
        await self.revoked()
        await self._disconnect()

    async def _disconnect(self) -> None:
        """Stop the consumer. A static member keeps its seat until its session runs out."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stopped(consumer)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes the group's changes on."""

    def __init__(self, member: GroupMember) -> None:
        self._member = member

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002
        await self._member.revoked()

    async def on_partitions_assigned(self, assigned: object) -> None:  # noqa: ARG002
        self._member.assigned_anew()


async def _stopped(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer; a broker that is away must not hold us up."""
    try:
        await asyncio.wait_for(consumer.stop(), timeout=LEAVE_TIMEOUT_S)
    except (KafkaError, TimeoutError, OSError) as error:
        _log.warning("consumer_stop_failed", error=repr(error))
