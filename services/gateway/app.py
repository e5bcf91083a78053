"""The HTTP application: routes, errors, limits. Litestar ends here, at ``create_app``."""

from __future__ import annotations

from typing import Final

from litestar import Litestar
from litestar.datastructures import State

from services.gateway.admission import tell_limits
from services.gateway.auditing import settle
from services.gateway.auth import Authenticator
from services.gateway.errors import on_error
from services.gateway.idempotency import Once
from services.gateway.limiter import Limiter
from services.gateway.openapi import openapi_config
from services.gateway.openapi_structs import StructSchemas
from services.gateway.ports import Ports
from services.gateway.requests import ApiRequest
from services.gateway.routes import api_routers
from services.gateway.routes.errors import error_catalogue
from services.gateway.routes.health import OPERATORS, Checks
from services.gateway.routes.signing import public_keys
from services.gateway.sources import Networks
from shared.version import about

REQUEST_BYTES_MAX: Final = 64 * 1024
"""What a management call may send; the calls that publish events have limits of their own."""


def create_app(
    *,
    ports: Ports,
    authenticator: Authenticator,
    checks: Checks,
    public_url: str = "",
    proxies: Networks = (),
    operator_key_sha256: str = "",
    revision: str = "",
) -> Litestar:
    """Return the application over these ports; ``state.limiter`` is to be stopped after it."""
    once = Once(ports.claims, keyring=ports.keyring, now_ms=ports.now_ms, entropy=ports.entropy)
    return Litestar(
        route_handlers=[*api_routers(), public_keys, error_catalogue, *OPERATORS],
        request_class=ApiRequest,
        request_max_body_size=REQUEST_BYTES_MAX,
        exception_handlers={Exception: on_error},
        before_send=[settle, tell_limits],
        openapi_config=openapi_config(public_url),
        plugins=[StructSchemas()],
        logging_config=None,
        state=State(
            {
                "ports": ports,
                "authenticator": authenticator,
                "checks": checks,
                "once": once,
                "proxies": proxies,
                "limiter": Limiter(ports.counters, ports.now_ms),
                "operator_key_sha256": operator_key_sha256,
                "about": about("gateway", revision),
            }
        ),
    )
