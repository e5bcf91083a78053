"""Builds the delivery worker from the settings; the only file here that imports adapters."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from services.delivery.consumer import (
    FETCH_WAIT_MS,
    NEWS_EVERY_MS,
    PARTITION_BYTES_MAX,
    RECORDS_MAX,
    Consumer,
)
from services.delivery.destination import Destinations
from services.delivery.engine import Engine
from services.delivery.journal import Journal
from services.delivery.lanes import Lanes
from services.delivery.outbox import Names
from services.delivery.partition import Depth
from services.delivery.trail import Trail
from shared.config import Settings
from shared.http.ares import AresResolver
from shared.http.transport import Transport
from shared.kafka import salvage, seats
from shared.kafka.cluster import Cluster
from shared.kafka.connect import connected
from shared.kafka.names import group_instance, group_name, topic_name
from shared.kafka.publisher import Publisher
from shared.kafka.registry import RegistryReader
from shared.policy.addresses import EgressPolicy
from shared.policy.matching import Registry
from shared.profiles.profile import load_profiles
from shared.runtime import Runtime, beat_until
from shared.signing.keyring import Keyring
from shared.topics import ATTEMPTS, DELIVERIES, ENDPOINTS

SERVICE: Final = "delivery"
MEMORY: Final = Depth(least=2_000, recent_ms=60_000, most=10_000)  # of each partition


async def main(settings: Settings, runtime: Runtime) -> None:
    """Run the worker until it is told to stop; then finish what is in flight and commit."""
    salvage.install()
    cluster = Cluster.of(settings)
    client_id = f"hooklane-{SERVICE}-{settings.instance or 'x'}"
    profiles = load_profiles(
        settings.tiers, Path(settings.profiles_dir) if settings.profiles_dir else None
    )
    keyring = Keyring.parse(settings.secret_keys)
    registry = Registry(profiles)
    reader = RegistryReader(
        cluster=cluster,
        topic=topic_name(settings, ENDPOINTS),
        view=registry,
        client_id=client_id,
    )
    publisher = Publisher(cluster=cluster, client_id=client_id)
    egress = _egress(settings)
    transport = Transport(policy=egress, resolver=AresResolver())
    journal = Journal(
        cluster=cluster,
        group=group_name(settings, SERVICE),
        deliveries=topic_name(settings, DELIVERIES),
        attempts=topic_name(settings, ATTEMPTS),
        depth=MEMORY,
        now_ms=lambda: int(time.time() * 1_000),
    )
    engine = Engine(
        lanes=Lanes(
            cap=settings.lane_concurrency,
            inflight_max=settings.inflight_max,
            waiting_max=settings.open_records_max,
        ),
        destinations=Destinations(
            profiles=profiles,
            tiers=settings.tiers,
            keyring=keyring,
            egress=egress,
        ),
        view=registry,
        barrier=reader,
        sender=transport,
        sink=publisher,
        names=Names(settings.topic_prefix, topic_name(settings, ATTEMPTS)),
        tiers=settings.tiers,
        response_bytes_max=settings.response_body_bytes_max,
        trail=Trail(lines=settings.attempt_log, traces=runtime.traces),
    )
    async with AsyncExitStack() as closing:
        beating = asyncio.create_task(beat_until(asyncio.Event(), runtime))
        closing.callback(beating.cancel)
        closing.push_async_callback(transport.close)
        for part in (publisher, reader, journal):
            closing.push_async_callback(part.stop)
            await part.start()
        kafka = await connected(lambda: _consumer(cluster, settings, client_id))
        closing.push_async_callback(seats.leave, kafka)
        consumer = Consumer(
            kafka=kafka,
            topic=topic_name(settings, DELIVERIES),
            journal=journal,
            engine=engine,
            runtime=runtime,
            open_records_max=settings.open_records_max,
            open_bytes_max=settings.open_bytes_max,
            drain_timeout_s=settings.drain_timeout_ms / 1000,
        )
        await consumer.run()


def _egress(settings: Settings) -> EgressPolicy:
    return EgressPolicy(
        allow=settings.egress_networks,
        require_https=settings.require_https,
        ports=settings.egress_port_set,
    )


def _consumer(cluster: Cluster, settings: Settings, client_id: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **cluster.client,
        client_id=client_id,
        group_id=group_name(settings, SERVICE),
        group_instance_id=group_instance(settings, SERVICE),
        partition_assignment_strategy=(StickyPartitionAssignor,),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_poll_records=RECORDS_MAX,
        max_partition_fetch_bytes=PARTITION_BYTES_MAX,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=seats.heartbeat_ms(settings.session_timeout_ms),
        rebalance_timeout_ms=30_000,
        metadata_max_age_ms=NEWS_EVERY_MS,
    )
