"""More partitions, by the procedure of the operations guide, with work on its way everywhere.

Producers go on, lanes have a backlog, retries wait in a tier, and one receiver has asked for quiet.
Everything arrives once, nobody is sent to by two workers at once, and what a worker has to know
after a crash is known of the new partitions, too.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Final

import pytest
from pymongo import AsyncMongoClient

from deploy.local.services import REPOSITORY, Service, make_services
from shared.kafka.partitioner import partition_for
from shared.storage.mongo.attempts import CHUNKS
from tests.support.log_rows import log_rows
from tests.support.polling import until, until_true
from tests.support.receivers import OK, Answer, Received, ScriptedReceiver, failing
from tests.support.stack import FAST, PARTITIONS, Hooklane, Workspace, open_hooklane

WRITERS: Final = ("gateway", "fanout", "retry")
COUNTS: Final = {"gateway": 1, "fanout": 1, "retry": 1, "delivery": 2, "recorder": 1}
GROWN: Final = 2 * PARTITIONS - 1  # odd, so that partitions of one endpoint have two owners
EVENTS: Final = 400
ANSWER_S: Final = 0.1  # so that each lane has a backlog of 40 s: longer than growing takes
PACE_S: Final = 0.2
TIER: Final = "5s"
FAILURES: Final = 8  # of an endpoint in a row: fewer than disable it
WITHIN_S: Final = 120.0

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(400)]


@asynccontextmanager
async def running(hooklane: Hooklane) -> AsyncIterator[dict[str, Service]]:
    """Run the services in the test's own hands: nobody starts again what it has stopped."""
    made = make_services(COUNTS, env=hooklane.stack.env, own={}, logs_dir=hooklane.logs_dir)
    try:
        await asyncio.gather(*(service.start() for service in made))
        yield {service.name: service for service in made}
    finally:
        await asyncio.gather(*(service.stop() for service in made))


def moves(endpoint_id: str) -> bool:
    """Return whether an endpoint's partition is another one after the growth."""
    key = endpoint_id.encode()
    return partition_for(key, GROWN) != partition_for(key, PARTITIONS)


async def create_both(
    workspace: Workspace, receiver: ScriptedReceiver, name: str, *answers: Answer
) -> list[str]:
    """Create an endpoint that moves and one that stays, for one request at a time; their paths."""
    paths: dict[bool, str] = {}
    while len(paths) < 2:
        path = f"/{name}-{len(paths)}"
        receiver.script(path, *answers)
        made = await workspace.create(
            receiver.url(path), concurrency=1, retry_delays=[TIER] * 2, events=("qr.scanned",)
        )
        if paths.setdefault(moves(made["id"]), path) != path:
            await workspace.call("DELETE", f"/v1/webhooks/{made['id']}")
    return list(paths.values())


async def publish(hooklane: Hooklane, workspace: Workspace, enough: asyncio.Event) -> list[str]:
    """Publish at once what makes a backlog, then at a pace until it is enough; returns the ids."""
    ids = [f"evt_early_{number}" for number in range(EVENTS)]
    await hooklane.publish(*(workspace.event("qr.scanned", event_id) for event_id in ids))
    while not enough.is_set():
        ids.append(f"evt_late_{len(ids)}")
        await hooklane.publish(workspace.event("qr.scanned", ids[-1]))
        with suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), PACE_S)
    return ids


async def grow(hooklane: Hooklane) -> tuple[int, str]:
    """Run the operators' command; returns its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.kafka.admin", "grow", "--partitions", str(GROWN)),
        cwd=REPOSITORY,
        env={**os.environ, **hooklane.stack.env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def accepted(requests: Sequence[Received]) -> Counter[str]:
    return Counter(request.event_id for request in requests if request.status == 200)


def overlaps(requests: Sequence[Received]) -> int:
    """Return how many requests came before the one before them was answered."""
    in_order = sorted(requests, key=lambda request: request.arrived_s)
    return sum(later.arrived_s < earlier.answered_s for earlier, later in pairwise(in_order))


async def test_partitions_are_added_under_load_and_no_endpoint_is_in_two_lanes() -> None:
    async with (
        open_hooklane(counts=dict.fromkeys(COUNTS, 0)) as hooklane,
        ScriptedReceiver() as receiver,
        running(hooklane) as services,
    ):
        workspace = await hooklane.workspace(FAST)
        slow = Answer(delay_s=ANSWER_S)
        paths = [
            # Several, as the new partition of one may be the same worker's.
            *await create_both(workspace, receiver, "busy", slow),
            *await create_both(workspace, receiver, "busier", slow),
            *await create_both(workspace, receiver, "busiest", slow),
            *await create_both(workspace, receiver, "failing", *[failing()] * FAILURES, slow),
            *await create_both(workspace, receiver, "quiet", failing(429, retry_after="5"), OK),
        ]
        enough = asyncio.Event()
        publishing = asyncio.create_task(publish(hooklane, workspace, enough))
        await asyncio.gather(*(receiver.arrived(path, within_s=60) for path in paths))

        await asyncio.gather(*(services[name].stop() for name in WRITERS))
        code, said = await grow(hooklane)
        assert code == 0, said
        print(said)
        await asyncio.gather(*(services[name].start() for name in WRITERS))
        await asyncio.gather(*(_one_more(receiver, path) for path in paths))
        enough.set()
        ids = await publishing
        await _all_arrived(receiver, paths, ids)
        await _in_the_log(hooklane, len(paths) * len(ids))  # so nothing is in flight any more

        await services["delivery"].kill9()
        await services["delivery-2"].kill9()
        await asyncio.gather(*(services[name].start() for name in ("delivery", "delivery-2")))
        last = [f"evt_last_{number}" for number in range(20)]
        await hooklane.publish(*(workspace.event("qr.scanned", event_id) for event_id in last))
        await _all_arrived(receiver, paths, ids + last)
        assert {path: overlaps(receiver.at(path)) for path in paths} == dict.fromkeys(paths, 0)
        await _in_the_log(hooklane, len(paths) * (len(ids) + len(last)))


async def _one_more(receiver: ScriptedReceiver, path: str) -> None:
    await receiver.arrived(path, len(receiver.at(path)) + 1, within_s=WITHIN_S)


async def _all_arrived(
    receiver: ScriptedReceiver, paths: Sequence[str], ids: Sequence[str]
) -> None:
    """Wait until every endpoint has accepted every event, and see that it got none twice."""
    wanted = Counter(ids)
    for path in paths:
        got = await until_true(
            lambda path=path: accepted(receiver.at(path)),  # type: ignore[misc]
            lambda got: got.keys() >= wanted.keys(),
            what=f"{len(ids)} events at {path}",
            within_s=WITHIN_S,
        )
        assert got - wanted == Counter(), path


async def _in_the_log(hooklane: Hooklane, wanted: int) -> None:
    """Wait until the log has so many successes, of every partition, and see that it has no more."""
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
        hooklane.stack.env["HOOKLANE_MONGO_URI"]
    )
    async with client:
        rows = await until(
            lambda: log_rows(client["hooklane"][CHUNKS]),
            lambda rows: sum(row.status == "success" for row in rows) >= wanted,
            what=f"{wanted} successes in the log",
            within_s=WITHIN_S,
        )
    assert sum(row.status == "success" for row in rows) == wanted
    assert {row.partition for row in rows} & set(range(PARTITIONS, GROWN))
