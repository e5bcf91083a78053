"""Replicas of a running stack's services: added, removed, restarted, as an orchestrator does it.

Those that the stack started are started again by its supervisor when they end; those that were
added here are this module's own. Each has a number; the highest goes first, as in a StatefulSet.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final

from deploy.local import ports
from deploy.local.errors import LocalError
from deploy.local.services import GRACE_S, NAMES, Service
from deploy.local.stack import Stack

READY_WITHIN_S: Final = 60.0
POLL_S: Final = 0.03
WORKERS: Final = tuple(name for name in NAMES if name != "gateway")


class Fleet:
    """The replicas of each service. Call ``close`` at the end; the stack's own stay."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._added: list[Service] = []
        self._urls: dict[str, str] = {}

    def replicas(self, service: str) -> list[Service]:
        """Return the replicas of a service, the lowest number first."""
        own = [child for child in self._stack.children.values() if isinstance(child, Service)]
        return [child for child in (*own, *self._added) if child.service == service]

    def in_rolling_order(self) -> list[Service]:
        """Return all workers in the order in which a rolling update restarts them."""
        return [child for service in WORKERS for child in reversed(self.replicas(service))]

    def url(self, gateway: Service) -> str:
        """Return where a gateway answers."""
        return self._urls.get(gateway.name, self._stack.gateway_url)

    async def add(self, service: str) -> Service:
        """Start one more replica; returns when it is ready."""
        number = len(self.replicas(service))
        env = dict(self._stack.env)
        if service == "gateway":
            env["HOOKLANE_GATEWAY_PORT"] = str(ports.choose())
        logs_dir = self._stack.dev_json.parent / "logs"
        replica = Service(service, number, env=env, logs_dir=logs_dir)
        self._urls[replica.name] = f"http://{ports.HOST}:{env['HOOKLANE_GATEWAY_PORT']}"
        self._added.append(replica)
        await replica.start()
        return replica

    async def remove(self, service: str) -> int | None:
        """End the replica with the highest number, which was added here; returns its exit code."""
        replica = self.replicas(service)[-1]
        code = await stopped(replica)
        self._added.remove(replica)
        return code

    async def restart(self, replica: Service) -> int | None:
        """Restart a replica; returns the exit code of what it was, when the new one is ready."""
        code = await stopped(replica)
        if replica in self._added:
            await replica.start()
            return code
        async with asyncio.timeout(READY_WITHIN_S):
            ready = False
            while not ready:
                await asyncio.sleep(POLL_S)
                ready = replica.is_running and await replica.is_ready()
        return code

    async def close(self) -> None:
        """End what was added."""
        await asyncio.gather(*(replica.stop() for replica in self._added))
        self._added.clear()


async def stopped(replica: Service) -> int | None:
    """Send SIGTERM, and nothing else; return the exit code. Raises LocalError if it goes on."""
    pid = replica.pid
    if pid is None:
        raise LocalError(f"{replica.name} does not run")
    os.kill(pid, signal.SIGTERM)
    try:
        return await asyncio.wait_for(replica.wait(), GRACE_S)
    except TimeoutError:
        raise LocalError(f"{replica.name} goes on {GRACE_S:g} s after SIGTERM") from None
