"""Keeps a set of children running, in stages, and stops them in the opposite order.

A stage is what one `start()` call was given: its children start together and stop together, and
the last stage stops first, so that services end before the servers they need. A child that ends
unasked is started again, after a pause that grows while it keeps dying young; in the end it is
given up, and `failure()` says so. Ending the whole is left to the caller.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from deploy.local.errors import LocalError
from deploy.local.processes import Child

NoticeKind = Literal["ended", "restarted", "given_up"]


class Notice(msgspec.Struct, frozen=True):
    """What happened to a child: for a person to read, and a sign that process ids changed."""

    child: str
    kind: NoticeKind
    text: str


class RestartPolicy(msgspec.Struct, frozen=True):
    """How a child that ended is started again.

    A death before the child was ready, or within `young_s` after, is a young one. With
    `young_deaths_max` of them in a row the child is given up; the pause before a start is taken
    from `pauses_s` by their number.
    """

    young_s: float = 5.0
    young_deaths_max: int = 3
    pauses_s: tuple[float, ...] = (0.0, 0.2, 1.0)

    def count(self, young_deaths: int, ran_s: float) -> int:
        """Return the number of young deaths in a row after one more death."""
        return young_deaths + 1 if ran_s < self.young_s else 0

    def is_hopeless(self, young_deaths: int) -> bool:
        """Tell whether the child is given up."""
        return young_deaths >= self.young_deaths_max

    def pause_s(self, young_deaths: int) -> float:
        """Return how long to wait before the next start."""
        return self.pauses_s[min(young_deaths, len(self.pauses_s) - 1)]


class Supervisor:
    """Owns children from `start()` to `stop()`, both called in the same event loop."""

    def __init__(
        self, notify: Callable[[Notice], None], policy: RestartPolicy | None = None
    ) -> None:
        self._notify = notify
        self._policy = policy or RestartPolicy()
        self._stages: list[tuple[Child, ...]] = []
        self._watches: list[asyncio.Task[None]] = []
        self._failures: asyncio.Queue[LocalError] = asyncio.Queue()

    def pids(self) -> dict[str, int]:
        """Return the process id of every child that runs, by name, in the order of their start."""
        children = [child for stage in self._stages for child in stage]
        return {child.name: child.pid for child in children if child.pid is not None}

    async def start(self, *children: Child) -> None:
        """Start one stage and return when all of it is ready.

        Raises the error of the first child that could not be started; call `stop()` then, too.
        """
        self._stages.append(children)
        outcomes = await asyncio.gather(
            *(child.start() for child in children), return_exceptions=True
        )
        for error in outcomes:
            if error is not None:
                raise error
        self._watches += [asyncio.create_task(self._watch(child)) for child in children]

    async def failure(self) -> LocalError:
        """Wait until a child is given up, and return what there is to say about it."""
        return await self._failures.get()

    async def stop(self) -> None:
        """Stop every child, the last stage first; bounded, as each child has its own deadline."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for stage in reversed(self._stages):
            await asyncio.gather(*(child.stop() for child in stage))

    async def _watch(self, child: Child) -> None:
        """Start the child again whenever it ends, until it is given up. Ends by cancellation."""
        young_deaths = 0
        ready_s = time.monotonic()
        while True:
            code = await child.wait()
            young_deaths = self._policy.count(young_deaths, time.monotonic() - ready_s)
            reason = f"ended with code {code} ({child.last_words()})"
            if self._policy.is_hopeless(young_deaths):
                self._give_up(child, reason)
                return
            self._notify(Notice(child.name, "ended", f"{child.name} {reason}"))
            await asyncio.sleep(self._policy.pause_s(young_deaths))
            try:
                await child.start()
            except LocalError:
                ready_s = math.inf  # it does not run, so the next round counts a young death
                continue
            ready_s = time.monotonic()
            self._notify(Notice(child.name, "restarted", f"{child.name} runs again"))

    def _give_up(self, child: Child, reason: str) -> None:
        text = f"{child.name} keeps ending: it {reason}"
        self._notify(Notice(child.name, "given_up", text))
        self._failures.put_nowait(LocalError(text))
