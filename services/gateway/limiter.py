"""Holding workspaces to their rates and quotas, together with the other gateways.

``take`` lets units pass or raises TooMany. It asks the counters in MongoDB once for a share of a
limit (``shared.policy.quotas``), not once for each request; a workspace without limits costs
nothing. While MongoDB is away everything passes and is counted in a metric: publishing must work
then (invariant 5). ``RateLimit`` and ``RateLimit-Policy`` are those of
draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from services.gateway import metrics
from services.gateway.absence import Absence
from services.gateway.errors import TooLarge, TooMany
from services.gateway.ports import Counters, Sink
from shared.kafka.publisher import Position, Record
from shared.models.errors import Outage
from shared.models.limits import WorkspaceLimits
from shared.policy.quotas import (
    RULES,
    Purse,
    Rule,
    Standing,
    Unit,
    standing_of,
    window_of,
)

PURSES_MAX: Final = 10_000

_log = structlog.get_logger("gateway")

Note = Callable[[Sequence[Standing]], None]
"""Takes what the answer to a request is to say about limits."""

_UNITS: Final[Mapping[Unit, str]] = {"requests": "", "events": ';qu="events"'}
"""The quota unit: requests are meant where it is absent."""


class _Held(NamedTuple):
    """A purse, and what lets one request at a time fill it."""

    purse: Purse
    filling: asyncio.Lock


class Limiter:
    """The limits of all workspaces, as one gateway sees them. One loop owns it."""

    def __init__(self, counters: Counters, now_ms: Callable[[], int]) -> None:
        self._counters = counters
        self._now_ms = now_ms
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._absence = Absence(now_ms)

    async def take(
        self, workspace_id: str, limits: WorkspaceLimits, unit: Unit, count: int, note: Note
    ) -> Callable[[], None]:
        """Let ``count`` units pass; returns what to call if they did not pass after all.

        Raises TooMany, and TooLarge for more at once than a limit ever lets pass. Either way
        ``note`` hears how the caller stands with the limits that were asked.
        """
        asked: list[Purse] = []
        spent: list[Purse] = []

        def give_back() -> None:
            for purse in spent:
                purse.give_back(count)

        try:
            for rule in RULES:
                quota = rule.quota(limits)
                if rule.unit != unit or quota is None:
                    continue
                held = self._of(workspace_id, rule, quota)
                asked.append(held.purse)
                if await self._spend(workspace_id, held, count):
                    spent.append(held.purse)
        except BaseException:
            give_back()
            raise
        finally:
            note([standing_of(purse, self._now_ms()) for purse in asked])
        return give_back

    async def stop(self) -> None:
        """Give back what was taken of quotas and not spent; an outage leaves it taken."""
        now_ms = self._now_ms()
        try:
            for (workspace_id, limit), (purse, _) in self._held.items():
                left = purse.empty()
                if left and purse.window.end_ms > now_ms:
                    await self._counters.give_back(
                        workspace_id, limit, start_ms=purse.window.start_ms, units=left
                    )
        except Outage as error:
            _log.warning("quotas_not_given_back", reason=str(error))

    def _of(self, workspace_id: str, rule: Rule, quota: int) -> _Held:
        """Return the purse of a limit for the window of this moment."""
        key, now_ms = (workspace_id, rule.name), self._now_ms()
        held = self._held.get(key)
        if held is None or held.purse.window.end_ms <= now_ms or held.purse.quota != quota:
            purse = Purse(rule, quota, window_of(rule.period, now_ms))
            held = self._held[key] = _Held(purse, asyncio.Lock())
        self._held.move_to_end(key)
        if len(self._held) > PURSES_MAX:
            self._held.popitem(last=False)
        return held

    async def _spend(self, workspace_id: str, held: _Held, count: int) -> bool:
        """Spend ``count`` units; returns False where they pass uncounted, raises as ``take``."""
        purse = held.purse
        if purse.spend(count):
            return True
        async with held.filling:
            now_ms = self._now_ms()
            if not purse.spend(count):
                if count > purse.quota:
                    raise _too_large(purse, count)
                if purse.may_ask(now_ms) and not await self._filled(workspace_id, purse, count):
                    metrics.LIMITS_OPEN.labels(purse.rule.name).inc()
                    return False
                if not purse.spend(count):
                    metrics.LIMITED.labels(purse.rule.name).inc()
                    raise _too_many(purse, now_ms)
        return True

    async def _filled(self, workspace_id: str, purse: Purse, count: int) -> bool:
        """Ask the counter for what ``count`` needs; returns False where MongoDB is away."""
        if self._absence:
            return False
        now_ms, start_ms = self._now_ms(), purse.window.start_ms
        units, limit = purse.wanted(count), purse.rule.name
        try:
            counted = await self._counters.take(
                workspace_id,
                limit,
                start_ms=start_ms,
                end_ms=purse.window.end_ms,
                units=units,
                quota=purse.quota,
            )
            unused = purse.fill(units, counted, count=count, now_ms=now_ms)
            if unused:
                await self._counters.give_back(workspace_id, limit, start_ms=start_ms, units=unused)
        except Outage as error:
            self._absence.note()
            _log.warning("limits_open", limit=limit, reason=str(error))
            return False
        return True


class MeteredSink:
    """Kafka for writing, for the events of one request: they count before they are written."""

    def __init__(self, sink: Sink, take: Callable[[int], Awaitable[Callable[[], None]]]) -> None:
        self._sink = sink
        self._take = take

    async def publish_within(self, records: Sequence[Record], timeout_ms: int) -> list[Position]:
        """Publish, as the sink does; raises TooMany or TooLarge besides.

        What was not acknowledged does not count: the caller will try it again.
        """
        give_back = await self._take(len(records))
        try:
            return await self._sink.publish_within(records, timeout_ms)
        except BaseException:
            give_back()
            raise


def fields_of(standings: Sequence[Standing]) -> tuple[tuple[str, str], ...]:
    """Return the header fields that say how a caller stands; none where nothing is limited."""
    if not standings:
        return ()
    policy = ", ".join(
        f'"{one.name}";q={one.quota};w={one.window_s}{_UNITS[one.unit]}' for one in standings
    )
    state = ", ".join(f'"{one.name}";r={one.remaining};t={one.reset_s}' for one in standings)
    return (("RateLimit-Policy", policy), ("RateLimit", state))


def _too_many(purse: Purse, now_ms: int) -> TooMany:
    name, left_s = purse.rule.name, purse.window.left_s(now_ms)
    return TooMany(
        f"this workspace may have {purse.quota} {name.replace('_', ' ')}, and they are used up; "
        f"try again in {left_s} seconds",
        limit=name,
        retry_after_s=left_s,
    )


def _too_large(purse: Purse, count: int) -> TooLarge:
    words = purse.rule.name.replace("_", " ")
    return TooLarge(
        f"there are {count} events, and this workspace may have {purse.quota} {words}: "
        "send fewer at a time"
    )
