"""A replica's seat in its consumer group: kept through a crash, given up when it stops.

A static member (``HOOKLANE_INSTANCE``) that dies keeps its partitions for the session timeout: it
is started again and goes on with them. One that is told to stop has finished what it had begun, and
waiting for it would only hold its partitions up: it leaves, and the others have them within a
fraction of a second. It cannot know whether it is restarted, replaced or no longer wanted, and need
not: leaving is right for all three. Only the last member of a group keeps its seat. Nobody would
take its partitions, and the first to join an empty group waits for more of its kind (the broker's
``group.initial.rebalance.delay.ms``, 3 s unless set otherwise).

aiokafka never lets a static member leave, and has no setting for it. ``give_up`` touches a private
attribute of it; the version is pinned exactly, and a test fails if an upgrade moves it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DescribeGroupsRequest

HEARTBEAT_MS_MAX: Final = 200  # how late a member hears that somebody came or left
ASK_WITHIN_S: Final = 1.0

_log = structlog.get_logger("kafka")


def heartbeat_ms(session_timeout_ms: int) -> int:
    """Return how often a member sends a heartbeat: the answer tells it of a rebalance."""
    return max(1, min(HEARTBEAT_MS_MAX, session_timeout_ms // 6))


async def give_up(consumer: AIOKafkaConsumer) -> None:
    """Have a static member leave its group when it is stopped, if others are there to go on.

    To be called right before ``consumer.stop()``, with everything committed. Where the broker does
    not say who else is there, the seat is kept: its session runs out.
    """
    coordinator: Any = consumer._coordinator
    if getattr(coordinator, "_group_instance_id", None) is None:
        return
    try:
        async with asyncio.timeout(ASK_WITHIN_S):
            members = await _member_count(coordinator)
    except (KafkaError, OSError, TimeoutError) as error:
        _log.info("seat_kept", group=coordinator.group_id, reason=repr(error))
        return
    if members > 1:
        coordinator._group_instance_id = None


async def leave(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer; a static member leaves its group as ``give_up`` says."""
    await give_up(consumer)
    await consumer.stop()


async def _member_count(coordinator: Any) -> int:
    request = DescribeGroupsRequest([coordinator.group_id])
    await coordinator.ensure_coordinator_known()
    response = await coordinator._send_req(request)
    return sum(len(group[5]) for group in response.groups)
