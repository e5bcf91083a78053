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
from services.gateway.handlers import recovery
from services.gateway.ports import Ports
from services.gateway.routes.health import Checks
from services.gateway.uses import Uses
from shared.models.errors import HooklaneError
from shared.models.jobs import Job
from shared.runtime import Runtime

SWEEP_EVERY_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0
NOTE_EVERY_S: Final = 60.0
JOB_STEP_EVERY_S: Final = 1.0  # a job's rate is what a step does

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


async def keep_noting(stopping: asyncio.Event, uses: Uses) -> None:
    """Write once a minute which API keys were used, and at the end."""
    while not stopping.is_set():
        await _pause(stopping, NOTE_EVERY_S)
        try:
            await uses.flush()
        except HooklaneError as error:
            _log.warning("uses_wait", reason=str(error))


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
