"""Builds retry from the settings; the only file of this service that imports adapters.

One consumer reads all tiers: with a consumer for each, a dozen memberships would send heartbeats
and long polls for topics that mostly wait, and a rebalance of one tier would not spare the others.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from services.retry.handler import Retry
from shared.config import Settings
from shared.kafka import salvage
from shared.kafka.cluster import Cluster
from shared.kafka.member import Fetch, GroupMember
from shared.kafka.names import topic_name
from shared.kafka.publisher import Publisher
from shared.runtime import Runtime
from shared.topics import DEAD, DELIVERIES, tier_topic

SERVICE = "retry"

FETCH: Final = Fetch(
    # Records are read long before they are due, so they may come in batches. Small fetches bound
    # what the client holds besides our queues: there are a dozen partitions for each of many tiers.
    bytes_min=16 * 1024,
    wait_ms=100,
    partition_bytes_max=128 * 1024,
)


async def main(settings: Settings, runtime: Runtime) -> None:
    """Wait and move until told to stop; then finish the move under way and commit it."""
    salvage.install()
    cluster = Cluster.of(settings)
    tiers = {topic_name(settings, tier_topic(tier)): tier for tier in settings.tiers.all}
    publisher = Publisher(
        cluster=cluster,
        client_id=f"hooklane-{SERVICE}-{settings.instance or 'x'}",
    )
    member = GroupMember(
        cluster=cluster,
        settings=settings,
        service=SERVICE,
        topics=list(tiers),
        fetch=FETCH,
        stopping=runtime.stopping,
        beat=runtime.beat,
    )
    retry = Retry(
        group=member,
        sink=publisher,
        clock=lambda: time.time_ns() // 1_000_000,
        tiers=tiers,
        deliveries_topic=topic_name(settings, DELIVERIES),
        dead_topic=topic_name(settings, DEAD),
        traces=runtime.traces,
    )
    try:
        await member.join(retry.release)
        runtime.ready()
        async with asyncio.TaskGroup() as tasks:
            reporting = tasks.create_task(retry.keep_reporting())
            await retry.run(runtime.stopping)
            reporting.cancel()
        runtime.ready(False)
    finally:
        await member.leave()
        await publisher.stop()
