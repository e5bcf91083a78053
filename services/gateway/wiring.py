"""Builds the gateway from the settings; the only file of this service that imports adapters.

Nothing is connected here: MongoDB and Kafka are reached when they are first needed, so the gateway
starts, and says that it is not ready, while they are away.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from services.gateway.app import create_app
from services.gateway.auth import JWT_SECRET_BYTES_MIN, Authenticator, JwtPolicy
from services.gateway.bodies import DeliveriesReader
from services.gateway.delivery_settings import Limits
from services.gateway.gathering import Gatherer
from services.gateway.guarded import GuardedBodies
from services.gateway.handlers.endpoints import PUBLISH_TIMEOUT_MS
from services.gateway.housekeeping import (
    keep_deleting,
    keep_noting,
    keep_reporting,
    keep_swept,
    keep_working,
)
from services.gateway.jwks import FETCH_BYTES_MAX, FETCH_TIMEOUT_S, Provider, check_url
from services.gateway.limiter import Limiter
from services.gateway.metrics import Measured
from services.gateway.ports import Ports
from services.gateway.routes.health import Checks
from services.gateway.server import claim_port, serve
from shared.config import ConfigError, Settings
from shared.http.fetching import fetcher
from shared.kafka.cluster import Cluster
from shared.kafka.names import topic_name
from shared.kafka.publisher import Publisher, Record
from shared.observe.traces import OFF, Tracer
from shared.policy.addresses import EgressPolicy
from shared.profiles.profile import load_profiles
from shared.runtime import Runtime
from shared.signing.keyring import Keyring
from shared.storage.mongo import counters, deletions, indexes
from shared.storage.mongo.api_keys import ApiKeyStore
from shared.storage.mongo.attempts import AttemptLog
from shared.storage.mongo.audit import AuditStore
from shared.storage.mongo.claims import ClaimStore
from shared.storage.mongo.client import Mongo
from shared.storage.mongo.counters import CounterStore
from shared.storage.mongo.deletions import DeletionStore
from shared.storage.mongo.endpoints import EndpointStore
from shared.storage.mongo.erasures import ErasureStore
from shared.storage.mongo.health import HealthStore
from shared.storage.mongo.indexes import ensure_indexes
from shared.storage.mongo.jobs import JobStore
from shared.storage.mongo.log_search import LogSearch
from shared.storage.mongo.rejected import RejectedStore
from shared.storage.mongo.stats import StatsReader
from shared.storage.mongo.workspaces import WorkspaceStore
from shared.topics import DELIVERIES, ENDPOINTS, EVENTS

SERVICE: Final = "gateway"
HOLDER_BYTES: Final = 12
_SHA256: Final = re.compile("[0-9a-f]{64}")
ALL_INDEXES: Final = (*indexes.INDEXES, *counters.INDEXES, *deletions.INDEXES)


class Parts(NamedTuple):
    """The gateway without its HTTP server."""

    ports: Ports
    jwt_policy: JwtPolicy
    provider: Provider | None
    mongo: Mongo
    reader: DeliveriesReader
    stores: tuple[WorkspaceStore, EndpointStore]


async def main(settings: Settings, runtime: Runtime) -> None:
    """Serve until told to stop; then answer what is in flight, and close."""
    port = claim_port(settings.gateway_host, settings.gateway_port)
    async with open_parts(settings, runtime.traces) as parts:
        checks = Checks(kafka=parts.reader.ping, mongodb=parts.mongo.ping)
        authenticator = Authenticator(parts.ports, parts.jwt_policy, parts.provider)
        app = create_app(
            ports=parts.ports,
            authenticator=authenticator,
            checks=checks,
            public_url=settings.public_url,
            proxies=settings.proxy_networks,
            operator_key_sha256=operator_digest(settings),
            revision=settings.revision,
        )
        limiter: Limiter = app.state.limiter
        holder = os.urandom(HOLDER_BYTES).hex()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_reporting(runtime, checks))
            tasks.create_task(keep_noting(runtime.stopping, authenticator.uses))
            tasks.create_task(keep_working(runtime.stopping, parts.ports, holder))
            tasks.create_task(keep_deleting(runtime.stopping, parts.ports, holder))
            tasks.create_task(
                keep_swept(
                    runtime.stopping,
                    prepare=lambda: ensure_indexes(parts.mongo, ALL_INDEXES),
                    stores=parts.stores,
                )
            )
            await serve(
                Measured(app),
                host=settings.gateway_host,
                port=port,
                stopping=runtime.stopping,
                drain_timeout_ms=settings.drain_timeout_ms,
            )
        await limiter.stop()


@asynccontextmanager
async def open_parts(settings: Settings, traces: Tracer = OFF) -> AsyncIterator[Parts]:
    """Build everything below the HTTP server, and close it at the end.

    Raises ConfigError for settings that cannot work.
    """
    keyring, jwt_policy, provider = _keyring(settings), _jwt_policy(settings), _provider(settings)
    cluster = Cluster.of(settings)
    client_id = f"hooklane-{SERVICE}-{settings.instance or 'x'}"
    publisher = Publisher(cluster=cluster, client_id=client_id)
    gatherer = Gatherer(publisher)
    endpoints_topic = topic_name(settings, ENDPOINTS)

    async def send(key: str, value: bytes | None) -> None:
        await publisher.publish_within(
            [Record(endpoints_topic, key.encode(), value)], PUBLISH_TIMEOUT_MS
        )

    mongo = Mongo(settings.mongo_uri, settings.mongo_database)
    workspaces = WorkspaceStore(mongo, send=send, now_ms=now_ms, entropy=os.urandom)
    endpoints = EndpointStore(mongo, send=send, now_ms=now_ms, entropy=os.urandom)
    reader, job_reader = (
        DeliveriesReader(
            cluster=cluster,
            topic=topic_name(settings, DELIVERIES),
            client_id=f"{client_id}-{readers}",
        )
        for readers in ("bodies", "jobs")
    )
    erasures = ErasureStore(mongo, retention_days=settings.log_retention_days)
    ports = Ports(
        workspaces=workspaces,
        api_keys=ApiKeyStore(mongo),
        audit=AuditStore(mongo, retention_days=settings.audit_retention_days),
        endpoints=endpoints,
        log=AttemptLog(mongo, retention_days=settings.log_retention_days, now_ms=now_ms),
        search=LogSearch(mongo, retention_days=settings.log_retention_days, now_ms=now_ms),
        stats=StatsReader(mongo),
        health=HealthStore(mongo),
        claims=ClaimStore(mongo),
        jobs=JobStore(mongo, retention_days=settings.log_retention_days),
        counters=CounterStore(mongo),
        deletions=DeletionStore(mongo, retention_days=settings.log_retention_days),
        rejected=RejectedStore(mongo, retention_days=settings.log_retention_days),
        erasures=erasures,
        bodies=GuardedBodies(reader, erasures),
        job_bodies=GuardedBodies(job_reader, erasures),
        sink=gatherer,
        profiles=load_profiles(
            settings.tiers, Path(settings.profiles_dir) if settings.profiles_dir else None
        ),
        keyring=keyring,
        egress=EgressPolicy(
            allow=settings.egress_networks,
            require_https=settings.require_https,
            ports=settings.egress_port_set,
        ),
        limits=Limits(concurrency_max=settings.lane_concurrency, tiers=settings.tiers),
        retention_days=settings.log_retention_days,
        events_topic=topic_name(settings, EVENTS),
        deliveries_topic=topic_name(settings, DELIVERIES),
        now_ms=now_ms,
        entropy=os.urandom,
        traces=traces,
    )
    try:
        yield Parts(ports, jwt_policy, provider, mongo, reader, (workspaces, endpoints))
    finally:
        await gatherer.stop()
        await reader.stop()
        await job_reader.stop()
        await publisher.stop()
        mongo.close()


def now_ms() -> int:
    """Return the wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def _keyring(settings: Settings) -> Keyring:
    try:
        return Keyring.parse(settings.secret_keys)
    except ValueError as error:
        raise ConfigError(f"HOOKLANE_SECRET_KEYS: {error}") from None


def operator_digest(settings: Settings) -> str:
    """Return the SHA-256 of the operator's key, empty for none.

    Raises ConfigError for what is none, without showing it: it may be the key itself.
    """
    digest = settings.operator_key_sha256.lower()
    if digest and _SHA256.fullmatch(digest) is None:
        raise ConfigError(
            "HOOKLANE_OPERATOR_KEY_SHA256 is not 64 hex digits: set the SHA-256 of the operator's "
            "key, not the key; without one nobody is the operator"
        )
    return digest


def _jwt_policy(settings: Settings) -> JwtPolicy:
    secret = settings.jwt_secret
    if secret and len(secret.encode()) < JWT_SECRET_BYTES_MIN:
        raise ConfigError(
            f"HOOKLANE_JWT_SECRET has under {JWT_SECRET_BYTES_MIN} bytes; HS256 needs as many "
            "(RFC 7518, 3.2): set a longer one, or none to refuse tokens"
        )
    return JwtPolicy(
        secret, settings.jwt_issuer, settings.jwt_workspace_claim, settings.jwt_role_claim
    )


def _provider(settings: Settings) -> Provider | None:
    url = settings.jwks_url
    if not url:
        return None
    for name in ("jwks_issuer", "jwks_audience"):
        if not getattr(settings, name):
            raise ConfigError(
                f"HOOKLANE_{name.upper()} is empty; an identity provider (HOOKLANE_JWKS_URL) needs "
                "it: a token of another issuer, or for another service, must not be taken"
            )
    try:
        check_url(url, require_https=settings.require_https)
    except ValueError as error:
        raise ConfigError(f"HOOKLANE_JWKS_URL {error}") from None
    return Provider(
        issuer=settings.jwks_issuer,
        audience=settings.jwks_audience,
        fetch=fetcher(url, bytes_max=FETCH_BYTES_MAX, timeout_s=FETCH_TIMEOUT_S),
        now_ms=now_ms,
    )
