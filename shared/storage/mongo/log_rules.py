"""What holds for new rows of the log: how long a workspace keeps them, and what was erased.

Looked up when rows are written, remembered for ``FRESH_MS``: a batch of the recorder asks MongoDB
nothing most of the time, and what somebody has set holds for every row that is written later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from shared.models.attempts import encode_attempt
from shared.storage.chunks import Logged
from shared.storage.mongo.client import DAY_MS, Document, Mongo, outages
from shared.storage.mongo.workspaces import WORKSPACES

FRESH_MS: Final = 10_000
HORIZON_MS: Final = 14 * DAY_MS
"""How long after an event was erased a row of it may come: its retries, and whatever is behind."""

OVERLAP_MS: Final = 60_000  # how far the clocks of those who erase may be apart
ERASURES: Final = "erasures"  # written by ``erasures``


class Rules(NamedTuple):
    """The rules for some rows. ``retention_ms`` is by workspace; ``erased`` are events of them."""

    retention_ms: Mapping[str, int]
    erased: Collection[tuple[str, str]]

    def kept(self, record: Logged) -> Logged:
        """Return what is kept of a record: of an erased event, not what the receiver answered."""
        attempt = record.attempt
        if not self.erased or (attempt.workspace_id, attempt.event_id) not in self.erased:
            return record
        bare = attempt.without_answer()
        return record._replace(attempt=bare, value=encode_attempt(bare))


class LogRules:
    """Remembers the rules. Raises Outage where something has to be looked up."""

    def __init__(self, mongo: Mongo, *, retention_days: int, now_ms: Callable[[], int]) -> None:
        self._workspaces = mongo.collection(WORKSPACES)
        self._marks = mongo.collection(ERASURES)
        self._days_max = retention_days
        self._now_ms = now_ms
        self._retention_ms: dict[str, int] = {}
        self._erased: dict[tuple[str, str], int] = {}
        self._looked_ms: int | None = None

    async def of(self, workspace_ids: Collection[str]) -> Rules:
        """Return the rules for rows of these workspaces."""
        now_ms = self._now_ms()
        if self._looked_ms is None or now_ms >= self._looked_ms + FRESH_MS:
            await self._look_for_erasures(now_ms)
            self._retention_ms.clear()
            self._looked_ms = now_ms
        unknown = [one for one in workspace_ids if one not in self._retention_ms]
        if unknown:
            await self._look_up(unknown)
        return Rules(self._retention_ms, self._erased)

    async def _look_up(self, workspace_ids: Collection[str]) -> None:
        with outages():
            found: list[Document] = await self._workspaces.find(
                {"_id": {"$in": list(workspace_ids)}}, {"retention_days": 1}
            ).to_list(None)
        chosen = {one["_id"]: one.get("retention_days") for one in found}
        for workspace_id in workspace_ids:
            days = min(chosen.get(workspace_id) or self._days_max, self._days_max)
            self._retention_ms[workspace_id] = days * DAY_MS

    async def _look_for_erasures(self, now_ms: int) -> None:
        """Learn the marks that were made since the last look, and forget old ones."""
        oldest_ms = now_ms - HORIZON_MS
        since_ms = oldest_ms if self._looked_ms is None else self._looked_ms - OVERLAP_MS
        with outages():
            found: list[Document] = await self._marks.find(
                {"erased_ms": {"$gte": since_ms}}
            ).to_list(None)
        known = {event: at_ms for event, at_ms in self._erased.items() if at_ms >= oldest_ms}
        new = {(one["workspace_id"], one["event_id"]): int(one["erased_ms"]) for one in found}
        self._erased = known | new
