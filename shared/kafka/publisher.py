"""Publishing to Kafka: what ``publish`` returned for is on the broker, whatever dies afterwards.

Guarantees: ``acks=all``, idempotent, in order for each partition within one call; a call returns
only when every record is acknowledged. An outage is waited out for as long as it takes, because
there is nothing better that the caller could do; ``publish_within`` is for callers who have to
answer somebody. A failed batch cannot be sent again as it is, so it is rebuilt from its records.

Cancelling a call leaves it open whether its records arrive. Batches are as large as the records at
hand allow (no linger: nothing waits for a batch to fill).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from itertools import chain, count
from typing import Any, Final

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import RecordMetadata

from shared.kafka import compression, refusals
from shared.kafka.cluster import Cluster
from shared.kafka.partitioner import partition_for
from shared.models.errors import HooklaneError, Outage
from shared.topics import RECORD_BYTES_MAX

BATCH_BYTES_MAX: Final = 512 * 1024  # aiokafka's default of 16 KiB is 35 deliveries
REQUEST_BYTES_MAX: Final = 4 * RECORD_BYTES_MAX
BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0
STOP_WITHIN_S: Final = 5.0
REQUEST_TIMEOUT_MS: Final = 10_000
COUNTS_AGE_MS: Final = 30_000  # how late it is noticed that a topic has more partitions

_REFUSALS: Final = (InvalidTopicError, MessageSizeTooLargeError, RecordListTooLargeError)

_log = structlog.get_logger("publisher")


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record to produce. Without ``partition`` the key decides, without both any partition.

    A header's value may be null, as Kafka has it.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where a record went. ``offset`` is -1 when the broker acknowledged without saying where."""

    partition: int
    offset: int


class RecordRefusedError(HooklaneError):
    """The broker will never take a record (its size, its form): a fault of ours, not an outage."""


class Publisher:
    """An idempotent producer that does not give up. One for each process is enough."""

    def __init__(self, *, cluster: Cluster, client_id: str) -> None:
        self._cluster = cluster
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()
        self._spread = count()

    async def start(self) -> None:
        """Connect; waits out a broker that is not there yet."""
        compression.hasten()
        await self._connected()

    async def stop(self) -> None:
        """Disconnect, without waiting for a broker that is away. No call may be under way."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stopped(producer)

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        """Produce all records and return their positions, in the order given.

        Raises RecordRefusedError when the broker refuses a record for good; then others of the
        same call may have arrived.
        """
        positions: list[Position | None] = [None] * len(records)
        waiting: list[int] = list(range(len(records)))
        delay_s = BACKOFF_MIN_S
        while waiting:
            failure = await self._attempt(records, waiting, positions)
            waiting = [index for index in waiting if positions[index] is None]
            if failure is not None and waiting:
                refusals.tell(failure)
                _log.warning("publish_waits", error=repr(failure), records=len(waiting))
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, BACKOFF_MAX_S)
        return [position for position in positions if position is not None]

    async def publish_within(self, records: Sequence[Record], timeout_ms: int) -> list[Position]:
        """Do as ``publish``, but raise Outage when it takes longer; records may still arrive."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await self.publish(records)
        except TimeoutError:
            raise Outage(f"Kafka did not acknowledge within {timeout_ms} ms") from None

    async def _attempt(
        self, records: Sequence[Record], waiting: list[int], positions: list[Position | None]
    ) -> KafkaError | None:
        """Try to produce the waiting records once; returns what went wrong, if anything."""
        producer = await self._connected()
        failures: list[KafkaError] = []
        handed_over = []
        try:
            groups = await self._grouped(producer, records, waiting)
            for (topic, partition), members in groups.items():
                for batch, indices in _batches(producer, records, members):
                    future = await _handed_over(producer, batch, topic, partition)
                    handed_over.append((partition, indices, future))
        except KafkaError as error:
            failures.append(error)
        for partition, indices, future in handed_over:
            try:
                base = (await future).offset
            except KafkaError as error:
                failures.append(error)
                continue
            for step, index in enumerate(indices):
                positions[index] = Position(partition, base + step if base >= 0 else -1)
        return await self._after(producer, failures)

    async def _grouped(
        self, producer: AIOKafkaProducer, records: Sequence[Record], waiting: Iterable[int]
    ) -> dict[tuple[str, int], list[int]]:
        """Return the indices of the waiting records by topic and partition, order kept."""
        groups: dict[tuple[str, int], list[int]] = {}
        counts: dict[str, int] = {}
        for index in waiting:
            record = records[index]
            count = counts.get(record.topic)
            if count is None:
                count = counts[record.topic] = len(await producer.partitions_for(record.topic))
            partition = record.partition
            if partition is None:
                if record.key is None:
                    partition = next(self._spread) % count
                else:
                    partition = partition_for(record.key, count)
            elif partition >= count:
                counts[record.topic] = await _count_with(producer, record.topic, partition)
            groups.setdefault((record.topic, partition), []).append(index)
        return groups

    async def _connected(self) -> AIOKafkaProducer:
        """Return a started producer; tries until there is one."""
        delay_s = BACKOFF_MIN_S
        while True:
            if self._producer is not None:
                return self._producer
            async with self._lock:
                if self._producer is None:
                    self._producer = await self._try_connect()
            if self._producer is None:
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, BACKOFF_MAX_S)

    async def _try_connect(self) -> AIOKafkaProducer | None:
        producer = AIOKafkaProducer(
            **self._cluster.client,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
            linger_ms=0,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=50,
            metadata_max_age_ms=COUNTS_AGE_MS,
        )
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            refusals.tell(error)
            _log.warning("kafka_unreachable", error=repr(error), cluster=repr(self._cluster))
            await producer.stop()
            return None
        except asyncio.CancelledError:
            await producer.stop()
            raise
        return producer

    async def _after(
        self, producer: AIOKafkaProducer, failures: Sequence[KafkaError]
    ) -> KafkaError | None:
        """Refuse what can never work; drop a producer that an error has made useless.

        aiokafka retries what can be retried by itself and never lets an idempotent batch expire, so
        the error of a batch means that this producer's sequence is broken. Batches behind a refused
        one fail too, for the gap that it left: the refusal is what counts.
        """
        spoilt = any(not isinstance(error, UnknownTopicOrPartitionError) for error in failures)
        if spoilt and self._producer is producer:  # else another call sees to it
            self._producer = None
            await _stopped(producer)
        for error in failures:
            if isinstance(error, _REFUSALS):
                raise RecordRefusedError(f"Kafka refuses a record for good: {error!r}") from error
        return failures[0] if failures else None


async def _count_with(producer: AIOKafkaProducer, topic: str, partition: int) -> int:
    """Return how many partitions a topic has, asked anew: one is named that was not known.

    Raises UnknownTopicOrPartitionError while Kafka does not know it either.
    """
    await producer.client.force_metadata_update()
    count = len(await producer.partitions_for(topic))
    if partition >= count:
        raise UnknownTopicOrPartitionError(f"{topic} has {count} partitions, and no {partition}")
    return count


async def _handed_over(
    producer: AIOKafkaProducer, batch: Any, topic: str, partition: int
) -> asyncio.Future[RecordMetadata]:
    """Return the future of a batch once the one before it has left, however long that takes."""
    while True:
        try:
            future: asyncio.Future[RecordMetadata] = await producer.send_batch(
                batch, topic, partition=partition
            )
        except KafkaTimeoutError as error:
            _log.warning("publish_waits", error=repr(error), topic=topic, partition=partition)
        else:
            return future


async def _stopped(producer: AIOKafkaProducer) -> None:
    """Close a producer; calls that still wait for it fail then, and are tried with another one.

    ``stop`` flushes first, for as long as the broker is away, and does nothing when called again.
    What was handed over during the flush would be left without an answer, and its caller too.
    """
    try:
        await asyncio.wait_for(producer.stop(), STOP_WITHIN_S)
    except TimeoutError:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(producer._sender.close(), STOP_WITHIN_S)
        await producer.client.close()
    except (KafkaError, OSError) as error:
        _log.warning("producer_stop_failed", error=repr(error))
    finally:
        _fail_what_is_left(producer._message_accumulator)


def _fail_what_is_left(accumulator: Any) -> None:
    """Answer every batch that will not be sent any more."""
    left = {*accumulator._pending_batches, *chain(*accumulator._batches.values())}
    # A batch between two tries is in the other set, but its callback looks for it in this one.
    accumulator._pending_batches |= left
    accumulator.fail_all(ProducerClosed())
    for batch in left:  # its caller may be gone, and asyncio complains of unread exceptions
        batch.future.exception()
        batch._drain_waiter.exception()


def _batches(
    producer: AIOKafkaProducer, records: Sequence[Record], members: Sequence[int]
) -> Iterable[tuple[Any, list[int]]]:
    """Yield full batch builders for one partition with the indices of the records inside."""
    batch = producer.create_batch()
    inside: list[int] = []
    for index in members:
        record = records[index]
        appended = batch.append(
            key=record.key,
            value=record.value,
            timestamp=record.timestamp_ms,
            headers=list(record.headers),
        )
        if appended is None:
            yield batch, inside
            batch, inside = producer.create_batch(), []
            batch.append(
                key=record.key,
                value=record.value,
                timestamp=record.timestamp_ms,
                headers=list(record.headers),
            )
        inside.append(index)
    batch.close()
    yield batch, inside
