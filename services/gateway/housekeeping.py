"""What the gateway does besides answering: indexes, sweeps of half-published states, jobs, health.

All loops survive any outage: they log, wait and go on. Cancelling them loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog

from services.gateway import metrics
from services.gateway.handlers import deletions, recovery
from services.gateway.ports import Ports
from services.gateway.routes.health import Checks
from shared.models.deletions import Deletion
from shared.models.errors import HooklaneError
from shared.models.jobs import Job
from shared.runtime import Runtime

SWEEP_EVERY_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0
JOB_STEP_EVERY_S: Final = 1.0  # a job's rate is what a step does
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
    """Take up jobs that nobody works at, one at a time, and do a step of it each second."""
    job: Job | None = None
    while not stopping.is_set():
        try:
            if job is None:
                job = await ports.jobs.claim(holder, ports.now_ms())
            if job is not None:
                job = await recovery.step(ports, job)
        except HooklaneError as error:
            _log.warning("job_waits", reason=str(error))
            job = None  # it is free again when our hold on it is over
        await _pause(stopping, JOB_STEP_EVERY_S)


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
