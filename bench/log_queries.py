"""``python -m bench.log_queries``: how long the API's log lists take over a log of many rows.

It starts a MongoDB of its own, fills the log (some rows a second for each of so many endpoints, two
percent failed) and the statistics, also of a month before, and asks each list and search in turn,
for random pages, through the storage adapters: HTTP and JSON are not in the figures (of statistics,
JSON is). ``--mongo`` names a server to use instead.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from bench.log_stats import StatsBench
from deploy.local.mongo import Mongo as Server
from shared.models import ids
from shared.models.attempts import Attempt, encode_attempt
from shared.models.errors import Outage
from shared.models.searches import Asked, AttemptFilter
from shared.storage.chunks import Logged
from shared.storage.mongo import attempts, stats
from shared.storage.mongo.attempts import AttemptLog
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.indexes import ensure_indexes
from shared.storage.mongo.log_search import LogSearch

DATABASE: Final = "bench-log"
BATCH: Final = 1_000
FAILED_EVERY: Final = 50
RARE_EVERY: Final = 997
PAGE: Final = 50
INSERT_TRIES: Final = 10
QUIET: Final = f"wh_{0xFFFF:032x}"
QUIET_ROWS: Final = 100
QUIET_EVERY_MS: Final = 4 * 3_600_000
SILENT: Final = f"wh_{0xFFFFF:032x}"
FAILED: Final = AttemptFilter(status="failed")
RARE: Final = AttemptFilter(event_type="qr.flagged")
FIRST: Final = Asked(limit=PAGE)

Question = Callable[[], Awaitable[object]]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    root = argparse.ArgumentParser(prog="python -m bench.log_queries", description="Times lists")
    root.add_argument("--rows", type=int, default=1_000_000)
    root.add_argument("--endpoints", type=int, default=30)
    root.add_argument("--per-second", type=int, default=10, help="rows of each endpoint")
    root.add_argument("--workspaces", type=int, default=2)
    root.add_argument("--asked", type=int, default=100, help="times each question is asked")
    root.add_argument("--mongo", default="", help="a server to use, instead of one of its own")
    return root


class LogBench:
    """A filled log and the questions about it."""

    def __init__(self, mongo: Mongo, given: argparse.Namespace) -> None:
        self._given = given
        self._rate_per_s = given.endpoints * given.per_second
        self._start_ms = int(time.time() * 1000) - given.rows // self._rate_per_s * 1_000
        self._log = AttemptLog(mongo, retention_days=30, now_ms=_now_ms)
        self._search = LogSearch(mongo, retention_days=30, now_ms=_now_ms)
        self._stats = StatsBench(
            mongo,
            endpoints=given.endpoints,
            workspaces=given.workspaces,
            now_ms=_now_ms(),
        )
        self._random = random.Random(1)

    def _attempt(self, number: int, endpoint_id: str = "", ago_ms: int = 0) -> Attempt:
        """Return an attempt; of the endpoint that is named, and before the others, if one is."""
        endpoint = number % self._given.endpoints
        due_ms = self._start_ms + number * 1_000 // self._rate_per_s - ago_ms
        failed = number % FAILED_EVERY == 0
        return Attempt(
            workspace_id=f"ws_{endpoint % self._given.workspaces:032x}",
            endpoint_id=endpoint_id or f"wh_{endpoint:032x}",
            event_id=f"evt_{due_ms - 5:012x}{number:020x}",
            event_type="qr.flagged" if number % RARE_EVERY == 0 else "qr.scanned",
            trigger="event",
            attempt=1,
            status="failed" if failed else "success",
            final=True,
            due_ms=due_ms,
            started_ms=due_ms,
            partition=1 if endpoint_id else 0,
            offset=number,
            revision=1,
            epoch=1,
            status_code=500 if failed else 200,
            url=f"https://customer-{endpoint}.example.com/webhooks",
            request_headers="Content-Type: application/json\r\n" * 4,
            response_headers=(("content-type", "text/plain"),),
            response_body=b"OK",
            response_time_ms=10.0 + number % 90,
        )

    async def fill(self) -> None:
        """Write the log and the statistics."""
        await self._stats.fill_month()
        for start in range(0, self._given.rows, BATCH):
            batch = [self._attempt(n) for n in range(start, min(start + BATCH, self._given.rows))]
            await self._insert([Logged(one, one.offset, encode_attempt(one)) for one in batch])
        await self._stats.finish()

        quiet = [self._attempt(n, QUIET, n * QUIET_EVERY_MS) for n in range(QUIET_ROWS)]
        await self._insert([Logged(one, one.offset, encode_attempt(one)) for one in quiet])

    async def _insert(self, batch: list[Logged]) -> None:
        """Store a batch; the embedded server pauses for seconds while it is being filled."""
        for _ in range(INSERT_TRIES):
            try:
                await self._log.insert(batch)
            except Outage:
                continue
            await self._stats.count(batch)
            return
        raise RuntimeError("MongoDB does not take the log")

    def _any(self) -> Attempt:
        return self._attempt(self._random.randrange(self._given.rows))

    async def _searched(self, chosen: AttemptFilter) -> None:
        """Ask for a page from a random place on."""
        one = self._any()
        await self._search.page(one.workspace_id, _from(one, chosen))

    async def _first_page(self) -> None:
        await self._search.page(self._any().workspace_id, FIRST)

    async def _event(self) -> None:
        one = self._any()
        found = await self._search.of_event(
            one.workspace_id,
            one.event_id,
            since_ms=ids.time_ms_of(one.event_id) - 1_000,
            until_ms=one.due_ms + 60_000,
        )
        if not found.rows:
            raise RuntimeError(f"{one.event_id} was not found")

    async def _endpoint(self, chosen: AttemptFilter) -> None:
        one = self._any()
        await self._log.page(one.endpoint_id, _from(one, chosen))

    async def _endpoint_first(self) -> None:
        await self._log.page(self._any().endpoint_id, FIRST)

    async def _delivery(self) -> None:
        one = self._any()
        if await self._log.get(one.endpoint_id, one.delivery_id()) is None:
            raise RuntimeError(f"{one.delivery_id()} was not found")

    def questions(self) -> dict[str, Question]:
        """Return what is asked, by name."""
        return {
            "workspace, first page": self._first_page,
            "workspace, any page": lambda: self._searched(AttemptFilter()),
            "workspace, status=failed": lambda: self._searched(FAILED),
            "workspace, rare event type": lambda: self._searched(RARE),
            "workspace, status_code": lambda: self._searched(AttemptFilter(status_code=404)),
            "event by id": self._event,
            "webhook, any page": lambda: self._endpoint(AttemptFilter()),
            "webhook, first page": self._endpoint_first,
            "webhook, status=failed": lambda: self._endpoint(FAILED),
            "webhook, rare event type": lambda: self._endpoint(RARE),
            "webhook, a few a day": lambda: self._log.page(QUIET, FIRST),
            "webhook, nothing at all": lambda: self._log.page(SILENT, FIRST),
            "delivery by id": self._delivery,
            **self._stats.questions(),
        }

    async def ask(self, name: str, question: Question) -> str:
        """Return the line with how long a question takes."""
        times_ms: list[float] = []
        for _ in range(self._given.asked):
            began = time.perf_counter()
            await question()
            times_ms.append((time.perf_counter() - began) * 1_000)
        p50, p95 = statistics.median(times_ms), statistics.quantiles(times_ms, n=20)[-1]
        return f"{name:32}{p50:8.1f}{p95:8.1f}{max(times_ms):8.1f}"


def _from(one: Attempt, chosen: AttemptFilter) -> Asked:
    """Return the page behind an attempt."""
    return Asked(limit=PAGE, before=one.delivery_id(), chosen=chosen)


def _now_ms() -> int:
    return int(time.time() * 1_000)


async def measure(uri: str, given: argparse.Namespace) -> None:
    """Fill, ask, print."""
    mongo = Mongo(uri, DATABASE)
    await ensure_indexes(mongo, (*attempts.INDEXES, *stats.INDEXES))
    bench = LogBench(mongo, given)
    await bench.fill()
    print(f"{given.rows} rows; milliseconds     p50     p95     max")
    for name, question in bench.questions().items():
        print(await bench.ask(name, question), flush=True)
    mongo.close()


async def run(given: argparse.Namespace) -> None:
    """Measure on a server of its own, or on the one that is given."""
    if given.mongo:
        await measure(given.mongo, given)
        return
    with tempfile.TemporaryDirectory(prefix="hooklane-log-") as folder:
        server = Server(Path(folder) / "mongo", logs_dir=Path(folder) / "logs")
        await server.start()
        try:
            await measure(server.uri, given)
        finally:
            await server.kill9()


if __name__ == "__main__":
    asyncio.run(run(parser().parse_args()))
