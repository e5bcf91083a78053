"""Statistics for ``log_queries``: a month of them before its rows, its rows, and the questions.

A question goes through the gateway's handler up to the bytes of the answer; HTTP is not in it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import TopicPartition

from services.gateway.auth import Caller
from services.gateway.handlers import stats
from services.gateway.handlers.stats import Query
from services.gateway.ports import Ports
from services.gateway.routes.stats import stats_of
from services.recorder.counting import Statistics
from shared.models.stats import DAY_MS, HOUR_MS, MINUTE_MS, Counts, Key, Segment
from shared.models.times import iso_ms
from shared.storage.chunks import Logged
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.stats import StatsReader, StatsStore

DAYS: Final = 30
TYPES: Final = ("qr.scanned", "qr.created", "qr.flagged")
PARTITION: Final = TopicPartition("attempts", 0)
PARTITIONS: Final = 12  # of the month before
SEGMENT_ROWS: Final = 9_000  # half a minute, at the rate of the log

_encoder = msgspec.json.Encoder()


class _Endpoint(NamedTuple):
    id: str
    partition: int


class _Endpoints:
    """The endpoints of the workspaces, in turn, and the partitions of their attempts."""

    def __init__(self, endpoints: int, workspaces: int) -> None:
        self.of: dict[str, list[_Endpoint]] = {}
        for number in range(endpoints):
            workspace_id = f"ws_{number % workspaces:032x}"
            one = _Endpoint(f"wh_{number:032x}", 1 + number // workspaces % PARTITIONS)
            self.of.setdefault(workspace_id, []).append(one)

    async def page(self, workspace_id: str, *, limit: int) -> list[_Endpoint]:
        return self.of[workspace_id][:limit]

    async def get(self, workspace_id: str, endpoint_id: str) -> _Endpoint | None:
        return next((one for one in self.of[workspace_id] if one.id == endpoint_id), None)


class _NoHistory:
    """Nobody has read further than was counted."""

    async def between(
        self,
        tp: TopicPartition,  # noqa: ARG002
        start: int,  # noqa: ARG002
        end: int,  # noqa: ARG002
    ) -> AsyncIterator[Sequence[Logged]]:
        nothing: tuple[Sequence[Logged], ...] = ()
        for reads in nothing:
            yield reads


class StatsBench:
    """The statistics of ``endpoints`` of ``workspaces``, and questions about them at ``now_ms``."""

    def __init__(self, mongo: Mongo, *, endpoints: int, workspaces: int, now_ms: int) -> None:
        self._store = StatsStore(mongo, retention_days=DAYS)
        self._statistics = Statistics(ledger=self._store, history=_NoHistory())
        self._endpoints = _Endpoints(endpoints, workspaces)
        self._now_ms = now_ms
        self._random = random.Random(2)
        given: dict[str, Any] = dict.fromkeys(Ports.__struct_fields__)
        given |= {"endpoints": self._endpoints, "stats": StatsReader(mongo)}
        self._ports = Ports(**{**given, "now_ms": lambda: now_ms})

    async def fill_month(self) -> None:
        """Write statistics of each hour and event type of the days before."""
        for day in range(1, DAYS):
            midnight_ms = (self._now_ms // DAY_MS - day) * DAY_MS
            for partition in range(1, PARTITIONS + 1):
                segment = Segment(
                    partition=partition,
                    era=0,
                    start=DAYS - day,
                    end=DAYS - day + 1,
                    cells=tuple(self._cells_of(midnight_ms, partition)),
                )
                await self._store.write([segment])

    def _cells_of(self, midnight_ms: int, partition: int) -> list[tuple[Key, Counts]]:
        return [
            (Key(workspace_id, one.id, event_type, at_ms // MINUTE_MS), self._counts())
            for workspace_id, endpoints in self._endpoints.of.items()
            for one in endpoints
            if one.partition == partition
            for at_ms in range(midnight_ms, midnight_ms + DAY_MS, HOUR_MS)
            for event_type in TYPES
        ]

    def _counts(self) -> Counts:
        slots = {self._random.randrange(60, 100): self._random.randrange(1, 99) for _ in range(20)}
        return Counts(900, 20, 3, 1, slots)

    async def count(self, batch: Sequence[Logged]) -> None:
        """Count a batch of the log, as the recorder does."""
        await self._statistics.count(PARTITION, batch[0].offset, batch)
        if batch[0].offset // SEGMENT_ROWS != (batch[-1].offset + 1) // SEGMENT_ROWS:
            await self._statistics.flush()

    async def finish(self) -> None:
        """Write what was counted last."""
        await self._statistics.flush()

    def questions(self) -> dict[str, Callable[[], Awaitable[object]]]:
        """Return what is asked, by name."""

        def ago(length_ms: int) -> str:
            return iso_ms(self._now_ms - length_ms)

        month = ago((DAYS - 1) * DAY_MS)
        return {
            "stats, a day by hour": lambda: self._ask(Query()),
            "stats, 2 hours by minute": lambda: self._ask(Query(since=ago(2 * HOUR_MS))),
            "stats, 30 days by day": lambda: self._ask(Query(since=month)),
            "stats, 14 days by hour": lambda: self._ask(
                Query(since=ago(14 * DAY_MS), bucket="hour")
            ),
            "stats, a day by webhook": lambda: self._ask(Query(group_by="webhook_id")),
            "stats, 30 days by webhook": lambda: self._ask(
                Query(since=month, group_by="webhook_id")
            ),
            "stats, 30 days by event type": lambda: self._ask(
                Query(since=month, group_by="event_type")
            ),
            "stats, webhook, 30 days": lambda: self._ask(Query(since=month), webhook=True),
        }

    async def _ask(self, query: Query, *, webhook: bool = False) -> None:
        workspace_id = self._random.choice(list(self._endpoints.of))
        if webhook:
            one = self._random.choice(self._endpoints.of[workspace_id])
            query = msgspec.structs.replace(query, webhook_id=one.id)
        answer = stats_of(await stats.get(self._ports, _caller(workspace_id), query))
        if not answer.totals.attempts:
            raise RuntimeError(f"{query} found nothing")
        _encoder.encode(answer)


def _caller(workspace_id: str) -> Caller:
    given: dict[str, Any] = {"profile": None, "scopes": frozenset(), "credential": "api_key"}
    return Caller(workspace_id=workspace_id, **given)
