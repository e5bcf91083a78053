"""The loop around the engine: fetch, hand over partitions, commit, drain.

Guarantees: offsets are committed only as far as the engine has finished them, and never for a
partition that was taken away; a partition that is given up first finishes what is in flight (for
``HANDOVER_S`` at the most). Nothing sleeps while records could be fetched; when too much is open
the partitions are paused and the loop goes on polling.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from services.delivery import metrics
from services.delivery.engine import Arrival, Engine
from services.delivery.journal import Journal
from services.delivery.partition import Commit, Partition, Remembered
from shared.kafka import refusals
from shared.kafka.lag import behind, keep_telling
from shared.runtime import Runtime

FETCH_WAIT_MS: Final = 100
PAUSED_WAIT_MS: Final = 20
RECORDS_MAX: Final = 200
NEWS_EVERY_MS: Final = 10_000  # how late new partitions are noticed
PARTITION_BYTES_MAX: Final = 1024 * 1024  # of a fetch; records are compressed about four times
COMMIT_EVERY_S: Final = 0.5
HANDOVER_S: Final = 3.0
RETRY_AFTER_S: Final = 0.2
RESUME_AT: Final = 0.7  # of the bound: resuming at the bound itself would flap

_log = structlog.get_logger("delivery")


class Consumer:
    """Feeds the engine from ``deliveries`` and commits what it has finished."""

    def __init__(
        self,
        *,
        kafka: AIOKafkaConsumer,
        topic: str,
        journal: Journal,
        engine: Engine,
        runtime: Runtime,
        open_records_max: int,
        open_bytes_max: int,
        drain_timeout_s: float,
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._journal = journal
        self._engine = engine
        self._runtime = runtime
        self._open_records_max = open_records_max
        self._open_bytes_max = open_bytes_max
        self._drain_timeout_s = drain_timeout_s
        self._partitions: dict[int, Partition] = {}
        self._remembered: dict[int, Remembered] = {}  # of those given up in the last rebalance
        self._crowded: set[TopicPartition] = set()
        self._paused = False
        self._commit_lock = asyncio.Lock()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Consume until the runtime stops; then drain, commit and return."""
        self._kafka.subscribe([self._topic], listener=_Listener(self))
        tasks = [
            asyncio.create_task(self._engine.run_outbox()),
            asyncio.create_task(self._engine.run_sweeper()),
            asyncio.create_task(self._commit_often()),
            asyncio.create_task(keep_telling(self._lag, metrics.LAG.set)),
        ]
        consuming = asyncio.create_task(self._consume())
        stopping = asyncio.create_task(self._runtime.stopping.wait())
        try:
            loops: list[asyncio.Future[None]] = [consuming, self._failure, *tasks]
            waited_for: set[asyncio.Future[Any]] = {stopping, *loops}
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            for loop in loops:
                if loop.done():
                    loop.result()  # a loop that ended has failed: let it be known
            await self._cancel(consuming)
            await self._drain()
        finally:
            await self._cancel(stopping, consuming, *tasks)

    async def give_up(self, numbers: Iterable[int]) -> None:
        """Finish what is in flight of these partitions, commit, and let go of them."""
        leaving = {self._partitions[number] for number in numbers if number in self._partitions}
        if not leaving:
            return
        for partition in leaving:
            partition.closing = True
        self._engine.forget(leaving)
        quiet = await self._engine.quiet(leaving, HANDOVER_S)
        await self._commit()
        for partition in leaving:
            partition.revoked = True
            del self._partitions[partition.number]
            if quiet:  # else it is not known what became of some
                self._remembered[partition.number] = partition.remembered()
        _log.info("partitions_given_up", partitions=_numbers(leaving), quiet=quiet)

    async def take_over(self, numbers: Iterable[int]) -> None:
        """Open newly assigned partitions and be ready; waits out an outage.

        aiokafka fetches while this is under way, and what it hands out then is dropped, as nobody
        can take it yet. So each partition is read again from its start.
        """
        new = {number for number in numbers if number not in self._partitions}
        remembered, self._remembered = self._remembered, {}
        while True:
            try:
                opened = await self._journal.open(new, remembered)
            except (KafkaError, OSError) as error:
                refusals.tell(error)
                _log.warning("journal_waits", error=repr(error))
                await asyncio.sleep(RETRY_AFTER_S)
            else:
                break
        self._partitions.update(opened)
        for partition in opened.values():
            self._kafka.seek(self._tp(partition.number), partition.start)
        self._paused = False
        self._runtime.ready(not self._runtime.stopping.is_set())
        _log.info("partitions_taken_over", partitions=_numbers(opened.values()))

    def fail(self, error: Exception) -> None:
        """End the worker: it owns partitions that it could not open."""
        if not self._failure.done():
            self._failure.set_exception(error)

    async def _consume(self) -> None:
        while True:
            self._throttle()
            try:
                fetched = await self._fetched()
            except KafkaError as error:
                refusals.tell(error)
                _log.warning("fetch_failed", error=repr(error))
                await asyncio.sleep(RETRY_AFTER_S)
                continue
            arrivals = [
                Arrival(partition, record.offset, record.key, record.value, record.headers)
                for tp, records in fetched.items()
                if (partition := self._partitions.get(tp.partition)) is not None
                for record in records
            ]
            if arrivals:
                await self._engine.take(arrivals)
                await asyncio.sleep(0)  # a full buffer returns at once: let answers come in between

    async def _fetched(self) -> Mapping[TopicPartition, Sequence[Any]]:
        """Return records, waiting for the first ones.

        Where one partition has more than a batch at hand, all others go before it each time: it may
        be a flood's, and aiokafka reads a partition to its end before it turns to the next.
        """
        assigned = self._kafka.assignment()
        crowded = self._crowded & assigned
        calm = assigned - crowded
        fetched: dict[TopicPartition, Sequence[Any]] = {}
        if crowded:
            if calm:
                fetched |= await self._records(calm, 0)
            self._crowded -= crowded
            try:
                fetched |= await self._records(crowded, 0)
            except KafkaError as error:
                if not fetched:
                    raise
                # aiokafka has passed the others by: they are not handed out again.
                _log.warning("fetch_failed", error=repr(error))
        if fetched:
            return fetched
        return await self._records(assigned, PAUSED_WAIT_MS if self._paused else FETCH_WAIT_MS)

    async def _records(
        self, partitions: Iterable[TopicPartition], timeout_ms: int
    ) -> dict[TopicPartition, Sequence[Any]]:
        fetched: dict[TopicPartition, Sequence[Any]] = await self._kafka.getmany(
            *partitions, timeout_ms=timeout_ms, max_records=RECORDS_MAX
        )
        if sum(map(len, fetched.values())) >= RECORDS_MAX:
            self._crowded.add(next(reversed(fetched)))  # the one whose rest was left
        return fetched

    def _throttle(self) -> None:
        """Pause fetching while too much is open, resume when there is room again."""
        fill = max(
            self._engine.open_records / self._open_records_max,
            self._engine.open_bytes / self._open_bytes_max,
        )
        assignment = self._kafka.assignment()
        if fill >= 1 and assignment:
            self._kafka.pause(*assignment)
            self._paused = True
        elif self._paused and fill < RESUME_AT:
            self._kafka.resume(*assignment)
            self._paused = False

    async def _lag(self) -> int:
        finished = {self._tp(number): own.position for number, own in self._partitions.items()}
        return behind(await self._kafka.end_offsets(list(finished)), finished)

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            await self._commit()

    async def _commit(self) -> None:
        """Commit what has changed; a failure is tried again with the next commit."""
        async with self._commit_lock:
            due = {
                partition: commit
                for partition in self._partitions.values()
                if (commit := partition.commit_due()) is not None and not partition.revoked
            }
            if not due:
                return
            try:
                await self._kafka.commit(
                    {
                        self._tp(partition.number): _offset(commit)
                        for partition, commit in due.items()
                    }
                )
            except (CommitFailedError, IllegalStateError) as error:
                _log.info("commit_superseded", error=str(error))
                return
            except KafkaError as error:
                refusals.tell(error)
                _log.warning("commit_failed", error=repr(error))
                return
            for partition, commit in due.items():
                partition.committed(commit)

    def _tp(self, number: int) -> TopicPartition:
        return TopicPartition(self._topic, number)

    async def _drain(self) -> None:
        """Start nothing more, wait for what is in flight, commit."""
        self._runtime.ready(False)
        self._engine.stop_starting()
        for partition in self._partitions.values():
            partition.closing = True
        quiet = await self._engine.quiet(set(self._partitions.values()), self._drain_timeout_s)
        await self._commit()
        _log.info("drained", quiet=quiet, in_flight=self._engine.in_flight)

    @staticmethod
    async def _cancel(*tasks: asyncio.Task[object]) -> None:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes rebalances on; aiokafka waits for these calls."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._consumer.give_up(tp.partition for tp in revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        try:
            await self._consumer.take_over(tp.partition for tp in assigned)
        except Exception as error:  # aiokafka would log it, and nobody would read the partitions
            self._consumer.fail(error)
            raise


def _offset(commit: Commit) -> OffsetAndMetadata:
    return OffsetAndMetadata(commit.offset, commit.metadata)


def _numbers(partitions: Iterable[Partition]) -> list[int]:
    return sorted(partition.number for partition in partitions)
