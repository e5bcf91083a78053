"""Copies of rejected events, so that the API can show them and people are told: batch by batch.

Reads on in a group of its own, so that a flood of rejections delays no row of the delivery log. A
batch is committed when its copies are stored and announced; their ids derive from where the events
were, so what is read again is there already, and is announced as the same operational event. Must
not import adapters: they come in as ports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

import msgspec
import structlog
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from services.recorder import metrics
from services.recorder.announcing import of_rejected
from services.recorder.handler import Announce
from services.recorder.patience import patiently
from shared.models.rejected import Rejected, read_rejected

Fetched = Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]

_log = structlog.get_logger("recorder")


class Group(Protocol):
    """The consumer group."""

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit; returns False when the partitions are not ours any more."""


class Copies(Protocol):
    """Where the copies are kept."""

    async def insert(self, rejected: Sequence[Rejected]) -> None:
        """Store copies; what is there already stays. May raise Outage."""


class Rejections:
    """Copies what is on ``events.rejected``."""

    def __init__(self, *, group: Group, copies: Copies, announce: Announce) -> None:
        self._group = group
        self._copies = copies
        self._announce = announce

    async def handle(self, fetched: Fetched) -> None:
        """Copy a batch, announce and commit it; outages are waited out."""
        records = [record for batch in fetched.values() for record in batch]
        copies = [copy for record in records if (copy := _copy_of(record)) is not None]
        await patiently(partial(self._copies.insert, copies))
        announcements = [told for copy in copies if (told := of_rejected(copy)) is not None]
        if announcements:
            await self._announce(announcements)
            metrics.count_announced(announcements)
        metrics.REJECTED.labels("copied").inc(len(copies))
        metrics.REJECTED.labels("nobodys").inc(len(records) - len(copies))
        await self._group.commit({tp: batch[-1].offset + 1 for tp, batch in fetched.items()})


def _copy_of(record: ConsumerRecord[bytes, bytes]) -> Rejected | None:
    try:
        return read_rejected(record.value, record.headers)
    except msgspec.DecodeError as error:
        _log.warning("rejection_unreadable", offset=record.offset, reason=str(error)[:200])
        return None
