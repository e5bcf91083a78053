"""A service for the runtime's tests; arguments: the name of a main, and a file for ``sticks``."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from shared import runtime
from shared.config import Settings
from shared.observe import health, inspection
from shared.signing.keyring import Keyring


async def obeys(settings: Settings, own: runtime.Runtime) -> None:
    own.ready()
    await runtime.beat_until(own.stopping, own)


async def ignores(settings: Settings, own: runtime.Runtime) -> None:
    own.ready()
    await asyncio.Event().wait()


async def fails(settings: Settings, own: runtime.Runtime) -> None:
    raise LookupError("the reason")


async def opens(settings: Settings, own: runtime.Runtime) -> None:
    Keyring.parse(settings.secret_keys)


def _block_until_exists(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


async def sticks(settings: Settings, own: runtime.Runtime) -> None:
    """Hold the loop until the file is there, then move again."""
    own.ready()
    own.beat()
    _block_until_exists(Path(sys.argv[2]))
    await runtime.beat_until(own.stopping, own)


if __name__ == "__main__":
    health.STUCK_AFTER_S = 0.3  # type: ignore[misc]
    health._WATCH_EVERY_S = 0.05  # type: ignore[misc]
    inspection.PROFILE_S = 0.2  # type: ignore[misc]
    runtime.CLOSE_WITHIN_S = 0.1  # type: ignore[misc]
    runtime.BEAT_EVERY_S = 0.05  # type: ignore[misc]
    runtime.run("program", globals()[sys.argv[1]])
