"""Attempts as records of Kafka, and the recorder's ports in memory, which can crash anywhere."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from shared.models.attempts import Attempt, Status, encode_attempt
from shared.models.errors import Outage
from shared.models.operational import Announcement, encode_announcement
from shared.policy.health import EndpointHealth
from shared.storage.chunks import Logged
from tests.unit.services.recorder.ledger import Ledger

NOON_MS = 1_790_000_000_000
PARTITION = TopicPartition("attempts", 0)


def attempt(status: Status = "success", *, at_ms: int = NOON_MS, **given: Any) -> Attempt:
    """Return an attempt; ``given`` replaces fields."""
    fields: dict[str, Any] = {
        "workspace_id": "ws_1",
        "endpoint_id": "wh_1",
        "event_id": "evt_1",
        "event_type": "qr.scanned",
        "trigger": "event",
        "attempt": 1,
        "status": status,
        "final": True,
        "due_ms": at_ms,
        "started_ms": at_ms,
        "ended_ms": at_ms,
        "partition": 0,
        "offset": 0,
        "revision": 1,
        "epoch": 1,
        **given,
    }
    return Attempt(**fields)


def record(
    offset: int, value: bytes | None, tp: TopicPartition = PARTITION
) -> ConsumerRecord[bytes, bytes]:
    """Return the record of ``attempts`` at ``offset``."""
    return ConsumerRecord(
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        timestamp=NOON_MS,
        timestamp_type=0,
        key=b"wh_1",
        value=value,
        checksum=None,
        serialized_key_size=4,
        serialized_value_size=len(value or b""),
        headers=(),
    )


def records(attempts: Sequence[Attempt]) -> list[ConsumerRecord[bytes, bytes]]:
    """Return a partition that begins with these attempts."""
    return [record(offset, encode_attempt(one)) for offset, one in enumerate(attempts)]


class Crash(BaseException):
    """The process ends here."""


class Stored(NamedTuple):
    fresh: int
    known: int
    refused: tuple[str, ...] = ()


class Store:
    """What outlives a crash: rows, healths, endpoints, statistics and committed offsets.

    ``calls_left`` calls work; the next one crashes, before or after it has taken effect. ``away``
    calls fail with Outage first.
    """

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.healths: dict[str, EndpointHealth] = {}
        self.profile_of: dict[str, str] = {}
        self.disabled: dict[str, str] = {}
        self.announced: dict[str, bytes] = {}
        self.committed_offsets: dict[TopicPartition, int] = {}
        self.calls: list[str] = []
        self.calls_left: int | None = None
        self.away = 0
        self.ours = True
        self.count: int | None = None  # of the topic's partitions
        self.ledger = Ledger(self._quietly)

    async def insert(self, records: Sequence[Logged]) -> Stored:
        self._before("insert")
        ids = [f"{one.attempt.endpoint_id}:{one.attempt.delivery_id()}" for one in records]
        known = sum(row_id in self.rows for row_id in ids)
        for row_id, record in zip(ids, records, strict=True):
            self.rows.setdefault(row_id, record.value)
        self._after()
        return Stored(len(records) - known, known)

    async def of_partition(
        self, partition: int, *, from_offset: int, limit: int
    ) -> list[EndpointHealth]:
        self._before("of_partition")
        matters = [
            one
            for one in self.healths.values()
            if one.partition == partition and (one.health.failures > 0 or one.offset >= from_offset)
        ]
        return matters[:limit]

    async def of_endpoints(self, endpoint_ids: Collection[str]) -> list[EndpointHealth]:
        self._before("of_endpoints")
        return [one for one in self.healths.values() if one.endpoint_id in endpoint_ids]

    async def save(self, changed: Sequence[EndpointHealth]) -> None:
        self._before("save")
        for one in changed:
            stored = self.healths.get(one.endpoint_id)
            if stored is None or stored.partition != one.partition or stored.offset < one.offset:
                self.healths[one.endpoint_id] = one
        self._after()

    async def restart(self, partition: int) -> None:
        self._before("restart")
        self.healths = {k: v for k, v in self.healths.items() if v.partition != partition}
        self._after()

    async def forget(self, partition: int, endpoint_ids: Collection[str]) -> None:
        self._before("forget")
        for name in endpoint_ids:
            if name in self.healths and self.healths[name].partition == partition:
                del self.healths[name]
        self._after()

    async def profiles(self, endpoint_ids: Collection[str]) -> dict[str, str]:
        self._before("profiles")
        return {name: self.profile_of[name] for name in endpoint_ids if name in self.profile_of}

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        self._before("announce")
        for one in announcements:
            value = encode_announcement(one)
            assert self.announced.setdefault(one.id, value) == value, "one id, one event"
        self._after()

    async def disable(self, endpoint_id: str, epoch: int, reason: str) -> object:
        self._before("disable")
        if self.disabled.setdefault(endpoint_id, reason) != reason:
            return None
        self._after()
        return endpoint_id, epoch

    async def committed(self, partition: TopicPartition) -> int | None:
        self._before("committed")
        return self.committed_offsets.get(partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        self._before("commit")
        if not self.ours:
            return False
        self.committed_offsets.update(offsets)
        self._after()
        return True

    def assigned(self) -> Collection[TopicPartition]:
        return (PARTITION,)

    def partition_count(self, topic: str) -> int | None:
        assert topic == PARTITION.topic
        return self.count

    def _before(self, call: str) -> None:
        self._quietly()
        self.calls.append(call)

    def _quietly(self) -> None:
        if self.away > 0:
            self.away -= 1
            raise Outage("away")
        self._crash_if_due()

    def _after(self) -> None:
        self._crash_if_due()

    def _crash_if_due(self) -> None:
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise Crash
