"""Routes of operators: health, version and metrics. No credential is needed.

``ready`` means that events are accepted: with Kafka. Without MongoDB the gateway is ``degraded``
and stays in service, because publishing goes on (invariant 5); at the start it waits for MongoDB
once, since before that it knows no caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from litestar import Response, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.gateway.openapi import PUBLIC
from services.gateway.requests import ApiRequest
from services.gateway.schemas import Dependencies, Liveness, Readiness
from shared.models.errors import Outage
from shared.version import About

PING_TIMEOUT_S: Final = 2.0

Probe = Callable[[], Awaitable[object]]


class Checks:
    """Asks the gateway's dependencies whether they answer."""

    def __init__(self, *, kafka: Probe, mongodb: Probe) -> None:
        self._kafka = kafka
        self._mongodb = mongodb
        self._met_mongodb = False

    async def readiness(self) -> Readiness:
        """Return the state of the gateway and of each dependency, within ``PING_TIMEOUT_S``."""
        kafka, mongodb = await asyncio.gather(_answers(self._kafka), _answers(self._mongodb))
        self._met_mongodb = self._met_mongodb or mongodb
        if not kafka or not self._met_mongodb:
            status: Literal["ready", "degraded", "not ready"] = "not ready"
        else:
            status = "ready" if mongodb else "degraded"
        return Readiness(
            status=status, dependencies=Dependencies(kafka=_word(kafka), mongodb=_word(mongodb))
        )


async def _answers(probe: Probe) -> bool:
    try:
        async with asyncio.timeout(PING_TIMEOUT_S):
            await probe()
    except (Outage, TimeoutError):
        return False
    return True


def _word(answers: bool) -> Literal["up", "down"]:
    return "up" if answers else "down"


@get(
    "/health/live",
    operation_id="get_liveness",
    summary="Whether the process answers",
    security=PUBLIC,
    tags=["Operators"],
)
async def live() -> Liveness:
    """Answer."""
    return Liveness()


@get(
    "/health/ready",
    operation_id="get_readiness",
    summary="Whether events are accepted",
    description="503 when they are not; `degraded` when MongoDB is away and only publishing works.",
    security=PUBLIC,
    tags=["Operators"],
)
async def ready(request: ApiRequest) -> Response[Readiness]:
    """Answer with the state of each dependency."""
    checks: Checks = request.app.state.checks
    readiness = await checks.readiness()
    return Response(readiness, status_code=503 if readiness.status == "not ready" else 200)


@get(
    "/metrics",
    operation_id="get_metrics",
    summary="Metrics in Prometheus' text format",
    security=PUBLIC,
    tags=["Operators"],
    media_type=CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8"),  # Litestar adds it
)
async def metrics() -> bytes:
    """Answer with every metric of this process."""
    return generate_latest()


@get(
    "/version",
    operation_id="get_version",
    summary="Which release answers",
    description="`revision` is the source's, null where the build did not say.",
    security=PUBLIC,
    tags=["Operators"],
)
async def version(request: ApiRequest) -> About:
    """Answer with what this process is."""
    itself: About = request.app.state.about
    return itself


OPERATORS: Final = (live, ready, metrics, version)
