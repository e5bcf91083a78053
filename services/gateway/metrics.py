"""The metrics of the gateway: a closed list, and the ASGI layer that counts requests."""

from __future__ import annotations

import time
from typing import Any, Final

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Counter, Gauge, Histogram

from shared.observe.metrics import from_zero
from shared.policy.quotas import RULES

REQUESTS: Final = Counter(
    "hooklane_gateway_requests_total",
    "Requests answered, by route and status",
    labelnames=("method", "route", "status"),
)
REQUEST_SECONDS: Final = Histogram(
    "hooklane_gateway_request_seconds",
    "From a request's head to the last byte of its answer",
    labelnames=("method", "route"),
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
IN_FLIGHT: Final = Gauge("hooklane_gateway_in_flight", "Requests that are being answered")
_EVENTS: Final = Counter(
    "hooklane_gateway_events_total",
    "Events posted, by what became of them: accepted, rejected",
    labelnames=("result",),
)
EVENTS_ACCEPTED: Final = _EVENTS.labels("accepted")  # found once: that costs more than to count
EVENTS_REJECTED: Final = _EVENTS.labels("rejected")
REPUBLISHED: Final = Counter(
    "hooklane_gateway_republished_total",
    "Endpoint and workspace states that the sweeper published for a writer that had stopped",
)

_LIMITS: Final = tuple(rule.name for rule in RULES)
LIMITED: Final = from_zero(
    Counter(
        "hooklane_gateway_limited_total",
        "Requests refused because a limit of their workspace is used up, by limit",
        labelnames=("limit",),
    ),
    _LIMITS,
)
LIMITS_OPEN: Final = from_zero(
    Counter(
        "hooklane_gateway_limits_open_total",
        "Requests let pass uncounted because MongoDB could not be asked about a limit, by limit",
        labelnames=("limit",),
    ),
    _LIMITS,
)

_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_NO_ROUTE: Final = "(none)"


class Measured:
    """Counts and times the requests of an application; labels are bounded by the route table."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._in_flight = 0
        IN_FLIGHT.set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        started = time.perf_counter()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._in_flight += 1
        try:
            await self._app(scope, receive, noted)
        finally:
            self._in_flight -= 1
            _count(scope, status, time.perf_counter() - started)


def _count(scope: Any, status: int, took_s: float) -> None:
    method = scope.get("method", "")
    labels = (method if method in _METHODS else "(other)", scope.get("path_template") or _NO_ROUTE)
    REQUESTS.labels(*labels, str(status)).inc()
    REQUEST_SECONDS.labels(*labels).observe(took_s)
