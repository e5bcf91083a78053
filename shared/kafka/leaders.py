"""Waiting until topics can be written to, which a broker that makes them needs a moment for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient

LEADERS_WITHIN_S: Final = 60.0


async def led(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, int]:
    """Return the partition counts of topics that exist, once every partition has a leader.

    Raises TimeoutError when one has none after ``LEADERS_WITHIN_S``.
    """
    async with asyncio.timeout(LEADERS_WITHIN_S):
        while True:
            descriptions: list[dict[str, Any]] = await admin.describe_topics(list(names))
            partitions = [partition for found in descriptions for partition in found["partitions"]]
            if all(found["partitions"] for found in descriptions) and all(
                partition["leader"] >= 0 for partition in partitions
            ):
                return {found["topic"]: len(found["partitions"]) for found in descriptions}
            await asyncio.sleep(0.1)
