"""What a job reads ahead of its place: rows of the log, and the bodies of the next of them.

A busy second of the log would be read for each piece else, and a fetch from Kafka brings hundreds
of records where a piece needs tens. Bodies are bounded by bytes, and by what a few seconds need. A
body that is given out is looked at once more: its event may have been erased since it was read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

from services.gateway.handlers import deliveries
from services.gateway.ports import BodyAway, BodyUnavailable, Kept, Ports, Row, RowPage
from shared.models.errors import Outage
from shared.models.jobs import Job
from shared.models.searches import Asked

AHEAD_ROWS: Final = 1_000
BODY_PIECES: Final = 8
BODY_BYTES: Final = 4 * 1024 * 1024


class Piece(NamedTuple):
    """Rows, what was sent for each or why it is not to be had, and the place behind them."""

    rows: Sequence[Row]
    bodies: Sequence[Kept | BodyUnavailable]
    next: str | None


class Ahead:
    """What was read ahead. It belongs to whoever works at the job, and is worth nothing to others.

    Bodies are as many as there were of the last size in ``BODY_BYTES``, and at least a piece's.
    """

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        self._bodies: deque[Kept | BodyUnavailable] = deque()  # of the first rows
        self._fitting = 0
        self._place: str | None = None
        self._next: str | None = None

    async def take(self, ports: Ports, job: Job, limit: int) -> Piece:
        """Return the piece behind the job's place; no place behind it is the end. Raises Outage."""
        if not self._rows or self._place != job.before:
            found = await page(ports, job, limit=AHEAD_ROWS, before=job.before)
            self._rows, self._next = deque(found.rows), found.next
            self._bodies.clear()
        count = min(limit, len(self._rows))
        if len(self._bodies) < count:
            await self._read_bodies(ports, count)
        bodies = await ports.job_bodies.unerased(list(islice(self._bodies, count)))
        rows = [self._rows.popleft() for _ in range(count)]
        for _ in range(count):
            self._bodies.popleft()
        self._place = rows[-1].id if self._rows else self._next
        return Piece(rows, bodies, self._place)

    async def _read_bodies(self, ports: Ports, count: int) -> None:
        """Read the bodies of the next rows, of ``count`` at least."""
        end = max(count, min(count * BODY_PIECES, self._fitting))
        wanted = islice(self._rows, len(self._bodies), end)
        try:
            found = await ports.job_bodies.read_many(
                [deliveries.place_of(row.attempt) for row in wanted]
            )
        except BodyAway as error:
            raise Outage(str(error)) from error
        self._bodies += found
        sizes = [len(one.body) for one in found if isinstance(one, Kept)]
        self._fitting = BODY_BYTES * len(sizes) // max(1, sum(sizes))


async def page(ports: Ports, job: Job, *, limit: int, before: str | None) -> RowPage:
    """Return a page of the log of what a job is about, newest first: of whole seconds."""
    asked = Asked(
        limit=limit,
        before=before,
        chosen=job.chosen(),
        since_ms=job.since_ms,
        until_ms=job.until_ms,
        whole_seconds=True,
    )
    return await deliveries.read(ports, job.workspace_id, job.endpoint_id, asked)
