"""Serving the application inside the service's own loop, and stopping without cutting anybody off.

Granian (HTTP parsing, connections, time limits for request heads in Rust) runs embedded, so that
the requests and the gateway's background work share one loop and one shutdown: on ``stopping`` no
new connection is accepted, requests that are in flight finish, then ``serve`` returns.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import structlog
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from shared.config import ConfigError

BACKLOG: Final = 1_024
HEAD_TIMEOUT_MS: Final = 10_000
HEAD_BYTES_MAX: Final = 64 * 1024

_log = structlog.get_logger("gateway")


def claim_port(host: str, port: int) -> int:
    """Return ``port``, or a free one for 0; raises ConfigError when it is taken.

    Granian shares its port (SO_REUSEPORT), so that two gateways on one port would each get some of
    the requests without anybody noticing; a plain bind notices.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"HOOKLANE_GATEWAY_HOST={host} HOOKLANE_GATEWAY_PORT={port} cannot be used: "
                f"{error.strerror}; choose another port, or 0 for any free one"
            ) from error
        return int(probe.getsockname()[1])


async def serve(
    app: Any, *, host: str, port: int, stopping: asyncio.Event, drain_timeout_ms: int
) -> None:
    """Serve ``app`` until ``stopping`` is set and the requests in flight are answered.

    Requests that take longer than ``drain_timeout_ms`` to finish are cut off.
    """
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,  # what the application needs is started by wiring
        websockets=False,
        backlog=BACKLOG,
        log_enabled=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEAD_TIMEOUT_MS, max_buffer_size=HEAD_BYTES_MAX
        ),
    )
    serving = asyncio.create_task(server.serve())
    stop = asyncio.create_task(stopping.wait())
    _log.info("listening", host=host, port=port)
    try:
        await asyncio.wait((serving, stop), return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            server.stop()  # type: ignore[no-untyped-call]
            await asyncio.wait((serving,), timeout=drain_timeout_ms / 1_000)
        if serving.done():
            serving.result()
        else:
            _log.warning("drain_timed_out", timeout_ms=drain_timeout_ms)
    finally:
        stop.cancel()
        serving.cancel()
