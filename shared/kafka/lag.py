"""How far a consumer is behind: what its partitions hold that it has not finished.

The ends are asked of the broker, not taken from the last fetch: a consumer that is stuck, or holds
as much as it may, does not fetch, and that is when somebody wants to know. One request to each
broker in ``EVERY_S``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Final, TypeVar

import structlog
from aiokafka.errors import KafkaError

EVERY_S: Final = 2.0
WITHIN_S: Final = 5.0

K = TypeVar("K", bound=Hashable)

_log = structlog.get_logger("kafka")


def behind(ends: Mapping[K, int], finished: Mapping[K, int]) -> int:
    """Return how many offsets are not finished; ``finished`` is what to read next, per partition.

    What is only in one of the two was given up, or taken over, while somebody asked.
    """
    return sum(max(0, end - finished[key]) for key, end in ends.items() if key in finished)


async def keep_telling(
    read: Callable[[], Awaitable[int | None]], tell: Callable[[int], object]
) -> None:
    """Tell how far behind a consumer is, for ever; None, or an outage, keeps the last number."""
    while True:
        try:
            async with asyncio.timeout(WITHIN_S):
                lag = await read()
        except (KafkaError, OSError, TimeoutError) as error:
            _log.debug("lag_unknown", error=repr(error))
        else:
            if lag is not None:
                tell(lag)
        await asyncio.sleep(EVERY_S)
