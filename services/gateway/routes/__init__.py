"""HTTP on one side, handlers on the other; no logic.

Two faces show the same handlers: QR3's and the native one under ``/v1``, XQR's under ``/api/v1``
and ``/api/developer``. Every workspace may use either; an answer follows the guide of its face.
"""

from __future__ import annotations

from litestar import Router
from litestar.enums import HttpMethod
from litestar.routes import HTTPRoute

from services.gateway.guards import enter
from services.gateway.operators import operate
from services.gateway.routes import (
    api_keys,
    audit_log,
    deliveries,
    endpoints,
    erasure,
    event_types,
    events,
    jobs,
    rejected,
    retries,
    signing,
    stats,
    workspace,
    workspaces,
)

NATIVE = "/v1"
XQR = "/api/v1"
XQR_DEVELOPER = "/api/developer"
OPERATOR = "/v1/operator"


def api_routers() -> list[Router]:
    """Return the routers of both faces behind the guard, and the operator's behind its own."""
    common = [*endpoints.COMMON, *deliveries.COMMON]
    routers = [
        Router(
            path=NATIVE,
            route_handlers=[
                *common,
                endpoints.create_with_secret,
                endpoints.ping,
                endpoints.match,
                signing.show_secret,
                signing.rotate,
                *deliveries.NATIVE,
                *erasure.NATIVE,
                *jobs.NATIVE,
                *retries.NATIVE,
                *events.NATIVE,
                *event_types.NATIVE,
                *rejected.NATIVE,
                *api_keys.NATIVE,
                *audit_log.NATIVE,
                *stats.NATIVE,
                *workspace.NATIVE,
            ],
            guards=[enter],
        ),
        Router(path=XQR, route_handlers=[*common, endpoints.create], guards=[enter], tags=["XQR"]),
        Router(
            path=XQR_DEVELOPER,
            route_handlers=[
                signing.developer_secret,
                signing.developer_rotate,
                endpoints.developer_test,
            ],
            guards=[enter],
            tags=["XQR"],
        ),
        Router(path=OPERATOR, route_handlers=[*workspaces.OPERATOR], guards=[operate]),
    ]
    for router in routers:
        _forget_options(router)
    return routers


def _forget_options(router: Router) -> None:
    """Take Litestar's answers to OPTIONS out of ``router``; the application makes them anew.

    A router makes one with the first handler of a path, and its ``Allow`` lists no other method.
    The application gets all handlers of a path at once.
    """
    for route in router.routes:
        assert isinstance(route, HTTPRoute)
        route.route_handlers = [
            handler
            for handler in route.route_handlers
            if handler.http_methods != {HttpMethod.OPTIONS}
        ]
