"""Builds fan-out from the settings; the only file of this service that imports adapters."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.fanout import metrics
from services.fanout.app import beat_while_fetching, create_app, lag_of
from services.fanout.handler import FanoutHandler, Planner
from shared.config import Settings
from shared.kafka import salvage
from shared.kafka.cluster import Cluster
from shared.kafka.lag import keep_telling
from shared.kafka.names import group_instance, group_name, topic_name
from shared.kafka.publisher import Publisher
from shared.kafka.registry import RegistryReader
from shared.policy.matching import Registry
from shared.profiles.profile import load_profiles
from shared.runtime import Runtime, beat_until
from shared.topics import DELIVERIES, ENDPOINTS, EVENTS, REJECTED

SERVICE = "fanout"
FETCHER = "fetcher"  # Faust's consumer has a thread and a loop of its own


async def main(settings: Settings, runtime: Runtime) -> None:
    """Run fan-out until it is told to stop; then finish the batch at hand and commit."""
    salvage.install()
    cluster = Cluster.of(settings)
    profiles = load_profiles(
        settings.tiers, Path(settings.profiles_dir) if settings.profiles_dir else None
    )
    registry = Registry(profiles)
    client_id = f"hooklane-{SERVICE}-{settings.instance or 'x'}"
    reader = RegistryReader(
        cluster=cluster,
        topic=topic_name(settings, ENDPOINTS),
        view=registry,
        client_id=client_id,
    )
    publisher = Publisher(cluster=cluster, client_id=client_id)
    beating = asyncio.create_task(beat_until(runtime.stopping, runtime))
    await reader.start()
    await publisher.start()
    handler = FanoutHandler(
        planner=Planner(
            registry=registry,
            profiles=profiles,
            deliveries_topic=topic_name(settings, DELIVERIES),
            rejected_topic=topic_name(settings, REJECTED),
            traces=runtime.traces,
        ),
        barrier=reader,
        sink=publisher,
        traces=runtime.traces,
    )
    app = create_app(
        group=group_name(settings, SERVICE),
        cluster=cluster,
        topic=topic_name(settings, EVENTS),
        session_timeout_ms=settings.session_timeout_ms,
        instance=group_instance(settings, SERVICE),
        handle=handler.handle,
        joined=lambda: runtime.ready(not runtime.stopping.is_set()),
    )

    def fetching() -> None:
        if not runtime.stopping.is_set():
            runtime.beat(FETCHER)

    await app.start()
    beat_while_fetching(app, fetching)
    telling = asyncio.create_task(keep_telling(lambda: lag_of(app), metrics.LAG.set))
    await runtime.stopping.wait()
    runtime.ready(False)
    telling.cancel()
    runtime.rest(FETCHER)
    await app.stop()
    await publisher.stop()
    await reader.stop()
    await beating
