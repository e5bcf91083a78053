"""A service whose loop stops moving: ``python -m tests.support.stuck SERVICE [LOOP]``.

It runs as ever until it is ready; then its main loop, or that of the thread which fetches, blocks
for good. That counts as stuck after ``STUCK_AFTER_S``, sooner than it does elsewhere.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from typing import Any, Final

from shared import runtime
from shared.observe import health

STUCK_AFTER_S: Final = 3.0  # longer than the second between two beats, on a slow machine too
FOR_S: Final = 600.0


class _Runtime:
    """A runtime that blocks a loop once the service is ready."""

    def __init__(self, own: runtime.Runtime, loop: str) -> None:
        self._own = own
        self._blocks_main = loop == health.MAIN
        self._blocked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def ready(self, value: bool = True) -> None:
        """Be ready, and stop to move."""
        self._own.ready(value)
        if value and self._blocks_main:
            asyncio.get_running_loop().call_later(0.5, _blocked)

    def beat(self, loop: str = health.MAIN) -> None:
        """Beat; the fetching thread does so once."""
        self._own.beat(loop)
        if loop != health.MAIN and not self._blocks_main:
            _blocked()


def _blocked() -> None:
    time.sleep(FOR_S)


def main(service: str, loop: str = health.MAIN) -> None:
    """Run the service."""
    wiring = importlib.import_module(f"services.{service}.wiring")

    async def serve(settings: Any, own: runtime.Runtime) -> None:
        await wiring.main(settings, _Runtime(own, loop))

    health.STUCK_AFTER_S = STUCK_AFTER_S  # type: ignore[misc]
    runtime.run(service, serve)


if __name__ == "__main__":
    main(*sys.argv[1:])
