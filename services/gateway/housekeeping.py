"""What the gateway does besides answering: indexes, sweeps of half-published states, jobs, health.

All loops survive any outage: they log, wait and go on. Cancelling them loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog

from services.gateway import metrics
from services.gateway.handlers import deletions, jobs
from services.gateway.handlers.ahead import Ahead
from services.gateway.ports import Ports
from services.gateway.routes.health import Checks
from services.gateway.uses import Uses
from shared.models.deletions import Deletion
from shared.models.errors import HooklaneError
from shared.models.jobs import Job
from shared.runtime import Runtime

SWEEP_EVERY_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0
JOB_LOOK_EVERY_S: Final = 0.5
JOB_TURN_S: Final = 10.0
JOBS_AT_ONCE: Final = 8
NOTE_EVERY_S: Final = 60.0
DELETION_STEP_EVERY_S: Final = 0.1  # it leaves room for callers

_log = structlog.get_logger("gateway")


class Sweepable(Protocol):
    """A store whose unfinished publications can be finished."""

    async def sweep(self, *, everything: bool = False) -> int:
        """Publish what others began and did not finish; returns how many there were."""


async def keep_swept(
    stopping: asyncio.Event,
    *,
    prepare: Callable[[], Awaitable[None]],
    stores: Sequence[Sweepable],
) -> None:
    """Call ``prepare`` until it works, then sweep the stores every few seconds.

    The first sweep of each run looks at everything.
    """
    prepared = everything = False
    while not stopping.is_set():
        try:
            if not prepared:
                await prepare()
                prepared = everything = True
            for store in stores:
                metrics.REPUBLISHED.inc(await store.sweep(everything=everything))
            everything = False
        except HooklaneError as error:
            _log.warning("sweep_waits", reason=str(error))
        await _pause(stopping, SWEEP_EVERY_S)


async def keep_working(stopping: asyncio.Event, ports: Ports, holder: str) -> None:
    """Take up jobs that nobody works at, ``JOBS_AT_ONCE``, until ``stopping`` is set."""
    working: set[asyncio.Task[None]] = set()
    aheads: dict[str, Ahead] = {}
    async with asyncio.TaskGroup() as tasks:
        for number in itertools.count():
            if stopping.is_set():
                return
            working = {task for task in working if not task.done()}
            has_room = len(working) < JOBS_AT_ONCE
            job = await _claimed(ports, f"{holder}.{number}") if has_room else None
            if job is not None:
                working.add(tasks.create_task(_work(stopping, ports, job, aheads)))
            else:
                await _pause(stopping, JOB_LOOK_EVERY_S)


async def _claimed(ports: Ports, holder: str) -> Job | None:
    try:
        return await ports.jobs.claim(holder, ports.now_ms())
    except HooklaneError as error:
        _log.warning("jobs_wait", reason=str(error))
    except Exception:  # as in a job
        _log.exception("claim_failed")
    return None


async def _work(
    stopping: asyncio.Event, ports: Ports, claimed: Job, aheads: dict[str, Ahead]
) -> None:
    """Work at a job for a turn, at its rate; then it is the turn of one that has waited.

    What was read ahead is kept for its next turn, of as many jobs as are worked at.
    """
    job: Job | None = claimed
    ahead = aheads.pop(claimed.id, None) or Ahead()
    turn_ends_s = time.monotonic() + JOB_TURN_S
    try:
        while job is not None and not stopping.is_set():
            began_s, before = time.monotonic(), job.sent
            job = await jobs.step(ports, job, ahead)
            now_s = time.monotonic()
            if job is None:
                return
            rest_s = jobs.rest_s(job.rate_per_s, job.sent - before, now_s - began_s)
            await _pause(stopping, rest_s)
            if now_s > turn_ends_s:
                break
        if job is not None:
            aheads[job.id] = ahead
            if len(aheads) > JOBS_AT_ONCE:
                del aheads[next(iter(aheads))]
            await ports.jobs.hold(job, ports.now_ms())
    except HooklaneError as error:
        # It is free again when our hold on it is over.
        _log.warning("job_waits", reason=str(error))
    except Exception:  # a fault of ours in one tenant's job must not stop the gateway for all
        _log.exception("job_failed")


async def keep_noting(stopping: asyncio.Event, uses: Uses) -> None:
    """Write once a minute which API keys were used, and at the end."""
    while not stopping.is_set():
        await _pause(stopping, NOTE_EVERY_S)
        try:
            await uses.flush()
        except HooklaneError as error:
            _log.warning("uses_wait", reason=str(error))


async def keep_deleting(stopping: asyncio.Event, ports: Ports, holder: str) -> None:
    """Take up deletions of workspaces that nobody works at, and do them piece by piece."""
    deletion: Deletion | None = None
    while not stopping.is_set():
        try:
            if deletion is None:
                deletion = await ports.deletions.claim(holder, ports.now_ms())
            if deletion is not None:
                deletion = await deletions.step(ports, deletion)
        except HooklaneError as error:
            _log.warning("deletion_waits", reason=str(error))
            deletion = None  # it is free again when our hold on it is over
        except Exception:  # as with jobs
            _log.exception("deletion_failed")
            deletion = None
        await _pause(stopping, LOOK_EVERY_S if deletion is None else DELETION_STEP_EVERY_S)


async def keep_reporting(runtime: Runtime, checks: Checks) -> None:
    """Tell the runtime once a second that the loop moves and whether events are accepted."""
    while not runtime.stopping.is_set():
        runtime.beat()
        runtime.ready((await checks.readiness()).status != "not ready")
        await _pause(runtime.stopping, LOOK_EVERY_S)
    runtime.ready(False)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
