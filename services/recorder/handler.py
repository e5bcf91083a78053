"""One batch of attempts: log it, count it, disable what has failed too often, tell, commit.

The order carries the guarantee. Rows first; an endpoint is disabled, and people are told, before
its count is stored, because a count that is stored is never folded again; the commit comes last.
Statistics keep their own place in the stream (``counting``), and are written later than that.
Whatever a crash cuts off is done again by the next reader of the batch, and each step takes no
notice of what it finds done: rows have derived ids, an endpoint that was disabled for this already
is as good as disabled now, an announcement that is made again has the same id, counts remember
their offset. People are told of an end after it is published, so that the endpoint itself is not.

Counting starts anew for a partition, from nothing, when the offsets have: there is no committed one
(a new group, a topic that was deleted and created again, for then Kafka drops the group's offsets),
or records come that are older than what was read. The first offset is committed before anything is
counted, so that a crash right after does not start anew a second time. What this gives up is
counts, never rows; an endpoint is then disabled later than it should be, never wrongly. The same
holds for an endpoint that has moved to another partition, since the topic has more of them: its
count begins anew there, and the old one is forgotten, so that nobody takes it for the present one.

Must not import adapters: they come in as ports.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import structlog
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from services.recorder import metrics
from services.recorder.announcing import of_exhausted, of_finding
from services.recorder.book import ENDPOINTS_MAX, Book
from services.recorder.counting import Statistics
from services.recorder.patience import patiently
from services.recorder.reading import Unreadable, read
from shared.kafka.partitioner import partition_for
from shared.models.attempts import Attempt
from shared.models.operational import Announcement
from shared.observe.traces import OFF, Span, Tracer
from shared.policy.health import NEVER, EndpointHealth, Finding, Rule
from shared.storage.chunks import Logged
from shared.topics import ATTEMPTS

INSERT_BYTES_MAX: Final = 8 * 1024 * 1024

Fetched = Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]
Disable = Callable[[str, int, str], Awaitable[object]]
"""Disables an endpoint (id, epoch, reason) and returns when that is published; may raise Outage.

Returns None when it is not disabled for that reason: deleted, enabled again, disabled by somebody.
"""

Announce = Callable[[Sequence[Announcement]], Awaitable[object]]
"""Returns when the announcements are acknowledged; repeating them announces nothing new."""

_log = structlog.get_logger("recorder")


class Stored(Protocol):
    """What became of an insert."""

    @property
    def fresh(self) -> int:
        """Return how many rows are new."""

    @property
    def known(self) -> int:
        """Return how many rows were there already."""

    @property
    def refused(self) -> Sequence[str]:
        """Return why rows will never be taken, one text for each."""


class Log(Protocol):
    """The delivery log. Its calls may raise Outage."""

    async def insert(self, records: Sequence[Logged]) -> Stored:
        """Store records of ``attempts``; what is there already stays."""


class Healths(Protocol):
    """The stored counts. Its calls may raise Outage."""

    async def of_partition(
        self, partition: int, *, from_offset: int, limit: int
    ) -> list[EndpointHealth]:
        """Return what a reader from ``from_offset`` on has to know, up to ``limit``."""

    async def of_endpoints(self, endpoint_ids: Collection[str]) -> list[EndpointHealth]:
        """Return what is known of these endpoints."""

    async def save(self, changed: Sequence[EndpointHealth]) -> None:
        """Store changes that are newer than what is stored."""

    async def restart(self, partition: int) -> None:
        """Forget a partition's counts."""

    async def forget(self, partition: int, endpoint_ids: Collection[str]) -> None:
        """Forget these endpoints' counts, where they were made on this partition."""

    async def profiles(self, endpoint_ids: Collection[str]) -> dict[str, str]:
        """Return the name of each endpoint's profile."""


class Group(Protocol):
    """The consumer group."""

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return the committed offset; may raise Outage."""

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit; returns False when the partitions are not ours any more."""

    def assigned(self) -> Collection[TopicPartition]:
        """Return the partitions that are ours."""

    def partition_count(self, topic: str) -> int | None:
        """Return how many partitions a topic has, if it is known."""


class Recorder:
    """Handles one batch at a time. Keeps a book for each partition until ``release``."""

    def __init__(
        self,
        *,
        group: Group,
        log: Log,
        healths: Healths,
        disable: Disable,
        announce: Announce,
        statistics: Statistics,
        rules: Mapping[str, Rule],
        endpoints_max: int = ENDPOINTS_MAX,
        traces: Tracer = OFF,
    ) -> None:
        self._traces = traces
        self._group = group
        self._log = log
        self._healths = healths
        self._disable = disable
        self._announce = announce
        self._statistics = statistics
        self._rules = rules
        self._endpoints_max = endpoints_max
        self._books: dict[TopicPartition, Book] = {}
        self._oldest_ms: int | None = None

    def release(self) -> None:
        """Forget what is known of the partitions: somebody else may count on from here."""
        self._books.clear()
        self._statistics.release()

    def has_statistics_due(self) -> bool:
        """Return whether ``write_statistics`` should be called by now."""
        unopened = self._statistics.unopened(self._group.assigned())
        return bool(unopened) or self._statistics.is_due()

    def behind_ms(self, now_ms: int) -> int:
        """Return the age of the oldest attempt that is being written, 0 when none is."""
        return 0 if self._oldest_ms is None else max(0, now_ms - self._oldest_ms)

    async def write_statistics(self) -> None:
        """Write what was counted of the batches so far; outages are waited out.

        What was committed by somebody who could not write it any more is among that, also where
        no batch comes.
        """
        for tp in self._statistics.unopened(self._group.assigned()):
            committed = await patiently(partial(self._group.committed, tp))
            await self._statistics.count(tp, committed or 0, ())
        await self._statistics.flush()

    async def handle(self, fetched: Fetched) -> None:
        """Record a batch; returns when all that follows is acknowledged and it is committed.

        Outages are waited out. Cancelled, or when the commit is refused, it leaves things that the
        next reader of the batch finds done.
        """
        self._oldest_ms = min(records[0].timestamp for records in fetched.values())
        try:
            await self._handle(fetched)
        finally:
            self._oldest_ms = None

    async def _handle(self, fetched: Fetched) -> None:
        started_ms = self._traces.now_ms()
        with metrics.BATCH_SECONDS.time():
            reads = {tp: _read(records) for tp, records in fetched.items()}
            await self._insert([one for batch in reads.values() for one in batch])
            for tp, batch in reads.items():
                if not await self._count(tp, fetched[tp][0].offset, batch):
                    return
                await self._statistics.count(tp, fetched[tp][0].offset, batch)
            if not await self._commit(fetched):
                return
        metrics.BATCHES.inc()
        for batch in reads.values():
            for one in batch:
                if one.attempt.traceparent is not None:
                    self._trace(one.attempt, started_ms)

    def _trace(self, attempt: Attempt, started_ms: int) -> None:
        """Record the writing of an attempt, which is that of its batch."""
        parent = self._traces.within(attempt.traceparent)
        if parent is None:
            return
        self._traces.record(
            Span(
                "record",
                "consumer",
                parent.child("record"),
                parent,
                started_ms,
                self._traces.now_ms(),
                (
                    ("messaging.system", "kafka"),
                    ("messaging.destination.name", ATTEMPTS.name),
                    ("hooklane.workspace.id", attempt.workspace_id),
                    ("hooklane.delivery.id", attempt.delivery_id()),
                ),
            )
        )

    async def _insert(self, reads: Sequence[Logged]) -> None:
        for rows in _pieces(reads):
            stored = await patiently(partial(self._log.insert, rows))
            metrics.ROWS.labels("stored").inc(stored.fresh)
            metrics.ROWS.labels("known").inc(stored.known)
            metrics.ROWS.labels("refused").inc(len(stored.refused))
            if stored.refused:
                _log.error("rows_refused", rows=len(stored.refused), first=stored.refused[0])

    async def _count(self, tp: TopicPartition, first_offset: int, reads: Sequence[Logged]) -> bool:
        """Fold one partition's attempts; returns False when the partition is not ours any more."""
        book = await self._book(tp, first_offset)
        if book is None:
            return False
        attempts = [one.attempt for one in reads]
        if unknown := book.unknown(attempts):
            book.learn(await patiently(lambda: self._healths.of_endpoints(unknown)))
        if without := book.without_rule(attempts):
            book.set_rules(await patiently(lambda: self._rules_of(without)))
        announcements: list[Announcement] = []
        for one in reads:
            finding = book.fold(one.offset, one.attempt)
            if finding is not None and await self._holds(finding, one.attempt):
                announcements.append(of_finding(finding, one.attempt))
            exhausted = of_exhausted(one.attempt)
            if exhausted is not None:
                announcements.append(exhausted)
        if announcements:
            await self._announce(announcements)
            metrics.count_announced(announcements)
        if changes := book.changes():
            await patiently(lambda: self._healths.save(changes))
            metrics.HEALTH_WRITES.inc(len(changes))
        return True

    async def _book(self, tp: TopicPartition, first_offset: int) -> Book | None:
        """Return the partition's book, started anew when the offsets have; None: not ours."""
        book = self._books.get(tp)
        if book is None:
            expected = await patiently(lambda: self._group.committed(tp))
        else:
            expected = book.next_offset
        if expected is None or first_offset < expected:
            _log.info("counting_anew", partition=tp.partition, first=first_offset)
            await patiently(lambda: self._healths.restart(tp.partition))
            if not await self._group.commit({tp: first_offset}):
                return None
            book = Book(tp.partition, first_offset, endpoints_max=self._endpoints_max)
        elif book is None:
            book = await self._load(tp, first_offset)
        self._books[tp] = book
        return book

    async def _load(self, tp: TopicPartition, first_offset: int) -> Book:
        stored = await patiently(
            lambda: self._healths.of_partition(
                tp.partition, from_offset=first_offset, limit=self._endpoints_max + 1
            )
        )
        complete = len(stored) <= self._endpoints_max
        moved = self._moved(tp, stored)
        if moved:
            _log.info("counts_forgotten", partition=tp.partition, endpoints=len(moved))
            await patiently(lambda: self._healths.forget(tp.partition, moved))
        return Book(
            tp.partition,
            first_offset,
            [one for one in stored if one.endpoint_id not in moved],
            complete=complete,
            endpoints_max=self._endpoints_max,
        )

    def _moved(self, tp: TopicPartition, stored: Iterable[EndpointHealth]) -> set[str]:
        """Return the endpoints whose attempts are in another partition by now."""
        count = self._group.partition_count(tp.topic)
        if count is None or count <= tp.partition:  # it is not known yet how many there are
            return set()
        ids = (one.endpoint_id for one in stored)
        return {name for name in ids if partition_for(name.encode(), count) != tp.partition}

    async def _rules_of(self, endpoint_ids: Collection[str]) -> dict[str, Rule]:
        """Return each endpoint's rule; one that does not exist (any more) has none."""
        profiles = await self._healths.profiles(endpoint_ids)
        return {
            endpoint_id: self._rules.get(profiles.get(endpoint_id, ""), NEVER)
            for endpoint_id in endpoint_ids
        }

    async def _holds(self, finding: Finding, attempt: Attempt) -> bool:
        """Disable the endpoint where that follows; returns whether people are to be told."""
        reason = finding.reason
        if reason is None:
            return True
        endpoint_id, epoch = attempt.endpoint_id, attempt.epoch
        if await patiently(lambda: self._disable(endpoint_id, epoch, reason)) is None:
            return False
        metrics.DISABLED.labels(reason).inc()
        _log.warning("endpoint_disabled", endpoint_id=endpoint_id, reason=reason)
        return True

    async def _commit(self, fetched: Fetched) -> bool:
        offsets = {tp: records[-1].offset + 1 for tp, records in fetched.items()}
        if not await self._group.commit(offsets):
            return False
        for tp, next_offset in offsets.items():
            self._books[tp].settle(next_offset)
        return True


def _read(records: Iterable[ConsumerRecord[bytes, bytes]]) -> list[Logged]:
    reads, unreadable = read(records)
    if unreadable:
        _report(unreadable)
    return reads


def _report(unreadable: Sequence[Unreadable]) -> None:
    metrics.ROWS.labels("undecodable").inc(len(unreadable))
    first = unreadable[0]
    _log.error(
        "attempts_undecodable",
        records=len(unreadable),
        partition=first.partition,
        first_offset=first.offset,
        reason=first.reason,
    )


def _pieces(reads: Iterable[Logged]) -> Iterable[list[Logged]]:
    """Yield the records in pieces of about ``INSERT_BYTES_MAX``."""
    rows: list[Logged] = []
    size_bytes = 0
    for one in reads:
        if rows and size_bytes + len(one.value) > INSERT_BYTES_MAX:
            yield rows
            rows, size_bytes = [], 0
        rows.append(one)
        size_bytes += len(one.value)
    if rows:
        yield rows
