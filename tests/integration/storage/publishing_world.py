"""A topic that can fail, and a clock, for tests of the publishing protocol on a real MongoDB."""

import asyncio
import random
from collections.abc import Callable

from shared.models.endpoints import EndpointState, WorkspaceState, decode_state
from shared.models.errors import Outage


class Clock:
    """Milliseconds that move when told to."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


def entropy_of(seed: int) -> Callable[[int], bytes]:
    """Return a source of random bytes that repeats itself for the same seed."""
    return random.Random(seed).randbytes


class Topic:
    """The ``endpoints`` topic in memory: what arrived, in order, and what goes wrong.

    ``gate`` holds records back while it is closed; ``down`` is an outage.
    """

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes | None]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.down = False
        self.waiting = asyncio.Event()

    async def send(self, key: str, value: bytes | None) -> None:
        if self.down:
            raise Outage("Kafka did not acknowledge within 5000 ms")
        if not self.gate.is_set():
            self.waiting.set()
            await self.gate.wait()
        self.records.append((key, value))

    def last(self, key: str) -> EndpointState | WorkspaceState | None:
        """Return what compaction would keep of a key; None is a tombstone, or nothing at all."""
        values = [value for known, value in self.records if known == key]
        return None if not values or values[-1] is None else decode_state(key, values[-1])
