"""Builds the recorder from the settings; the only file of this service that imports adapters."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from services.recorder import metrics
from services.recorder.counting import Statistics
from services.recorder.handler import Announce, Recorder
from services.recorder.history import AttemptHistory
from services.recorder.patience import patiently
from services.recorder.rejections import Rejections
from shared.config import Settings
from shared.kafka import salvage
from shared.kafka.cluster import Cluster
from shared.kafka.lag import keep_telling
from shared.kafka.member import Fetch, GroupMember
from shared.kafka.names import topic_name
from shared.kafka.publisher import Publisher, Record
from shared.models.operational import OPERATIONAL_HEADER, Announcement, encode_announcement
from shared.policy.health import rule_of
from shared.profiles.profile import load_profiles
from shared.runtime import Runtime
from shared.storage.mongo import attempts, erasures, health, rejected, stats
from shared.storage.mongo.attempts import AttemptLog
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.endpoints import EndpointStore
from shared.storage.mongo.health import HealthStore
from shared.storage.mongo.indexes import ensure_indexes
from shared.storage.mongo.rejected import RejectedStore
from shared.storage.mongo.stats import StatsStore
from shared.topics import ATTEMPTS, ENDPOINTS, EVENTS, REJECTED

SERVICE = "recorder"

BATCH_ROWS_MAX: Final = 1_000
POLL_MS: Final = 1_000
FETCH: Final = Fetch(
    # The broker paces us: a batch is what comes in this time or a few hundred rows, whichever is
    # first. Small batches cost the store several times as much a row.
    bytes_min=128 * 1024,
    wait_ms=200,
    partition_bytes_max=1024 * 1024,
)
LAST_WRITE_S: Final = 3.0  # MongoDB may be away when we are told to stop
BATCH_REJECTED_MAX: Final = 200
_OURS: Final = ((OPERATIONAL_HEADER, b"1"),)
FETCH_REJECTED: Final = Fetch(bytes_min=1, wait_ms=500, partition_bytes_max=1024 * 1024)


async def main(settings: Settings, runtime: Runtime) -> None:
    """Record attempts until told to stop; then finish the batch at hand and commit it."""
    salvage.install()
    cluster = Cluster.of(settings)
    mongo = Mongo(settings.mongo_uri, settings.mongo_database)
    publisher = Publisher(
        cluster=cluster,
        client_id=f"hooklane-{SERVICE}-{settings.instance or 'x'}",
    )
    recorder, member = _build(cluster, settings, runtime, mongo, publisher)
    rejections, other = _build_rejections(cluster, settings, runtime, mongo, publisher)
    try:
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(_tell_lag(recorder, member))
            copying = tasks.create_task(_copy(rejections, other, runtime))
            await _serve(recorder, member, runtime, mongo)
            await copying
            telling.cancel()
    finally:
        await member.leave()
        await other.leave()
        await publisher.stop()
        mongo.close()


async def _serve(recorder: Recorder, member: GroupMember, runtime: Runtime, mongo: Mongo) -> None:
    await member.join(recorder.release)
    prepared = False
    while not runtime.stopping.is_set():
        if not prepared:
            prepared = await member.work(patiently(lambda: _ensure_indexes(mongo)))
            runtime.ready(prepared)
            continue
        fetched = await member.poll(timeout_ms=POLL_MS, records_max=BATCH_ROWS_MAX)
        if fetched:
            await member.work(recorder.handle(fetched))
        if recorder.has_statistics_due():
            await member.work(recorder.write_statistics())
    await member.work(_write_last(recorder))
    runtime.ready(False)


async def _tell_lag(recorder: Recorder, member: GroupMember) -> None:
    """Tell how far the log is behind, also while MongoDB is away and no batch ends."""

    def tell(lag: int) -> None:
        metrics.LAG.set(lag)
        metrics.LAG_SECONDS.set(recorder.behind_ms(_now_ms()) / 1000)

    await keep_telling(member.lag, tell)


async def _write_last(recorder: Recorder) -> None:
    """Write statistics at the end, if that is quick: whoever comes next does it else."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_WRITE_S):
            await recorder.write_statistics()


async def _copy(rejections: Rejections, member: GroupMember, runtime: Runtime) -> None:
    """Copy rejected events until told to stop."""
    await member.join(lambda: None)
    while not runtime.stopping.is_set():
        fetched = await member.poll(timeout_ms=POLL_MS, records_max=BATCH_REJECTED_MAX)
        if fetched:
            await member.work(rejections.handle(fetched))


def _build_rejections(
    cluster: Cluster, settings: Settings, runtime: Runtime, mongo: Mongo, publisher: Publisher
) -> tuple[Rejections, GroupMember]:
    member = GroupMember(
        cluster=cluster,
        settings=settings,
        service=f"{SERVICE}-rejected",
        topics=[topic_name(settings, REJECTED)],
        fetch=FETCH_REJECTED,
        stopping=runtime.stopping,
        beat=runtime.beat,
    )
    copies = RejectedStore(mongo, retention_days=settings.log_retention_days)
    announce = _announcer(settings, publisher)
    return Rejections(group=member, copies=copies, announce=announce), member


def _announcer(settings: Settings, publisher: Publisher) -> Announce:
    """Return what puts operational events where producers put theirs, marked as ours."""
    topic = topic_name(settings, EVENTS)

    async def announce(announcements: Sequence[Announcement]) -> None:
        await publisher.publish(
            [
                Record(topic, one.workspace_id.encode(), encode_announcement(one), _OURS)
                for one in announcements
            ]
        )

    return announce


def _build(
    cluster: Cluster, settings: Settings, runtime: Runtime, mongo: Mongo, publisher: Publisher
) -> tuple[Recorder, GroupMember]:
    extra = Path(settings.profiles_dir) if settings.profiles_dir else None
    profiles = load_profiles(settings.tiers, extra)
    endpoints_topic = topic_name(settings, ENDPOINTS)

    async def send(key: str, value: bytes | None) -> None:
        await publisher.publish([Record(endpoints_topic, key.encode(), value)])

    endpoints = EndpointStore(mongo, send=send, now_ms=_now_ms, entropy=os.urandom)
    member = GroupMember(
        cluster=cluster,
        settings=settings,
        service=SERVICE,
        topics=[topic_name(settings, ATTEMPTS)],
        fetch=FETCH,
        stopping=runtime.stopping,
        beat=runtime.beat,
    )
    recorder = Recorder(
        group=member,
        log=AttemptLog(mongo, retention_days=settings.log_retention_days, now_ms=_now_ms),
        healths=HealthStore(mongo),
        disable=endpoints.disable,
        announce=_announcer(settings, publisher),
        statistics=Statistics(
            ledger=StatsStore(mongo, retention_days=settings.log_retention_days),
            history=AttemptHistory(cluster),
        ),
        traces=runtime.traces,
        rules={name: rule_of(profile.health) for name, profile in profiles.items()},
    )
    return recorder, member


async def _ensure_indexes(mongo: Mongo) -> None:
    stores = (attempts, erasures, health, rejected, stats)
    await ensure_indexes(mongo, tuple(index for store in stores for index in store.INDEXES))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
