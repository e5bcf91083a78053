"""The five services as children of the local stack, and what they are told.

A service gets the environment of `make run` with the settings of the stack on top; it is ready
when its own health server says so. Each process of a service has a number, which makes it a static
member of its Kafka group: after a crash it takes up its partitions at once.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.local import ports
from deploy.local.processes import Child
from shared.config import PREFIX

NAMES: Final = ("gateway", "fanout", "delivery", "retry", "recorder")
REPOSITORY: Final = Path(__file__).resolve().parents[2]
_PROBE_TIMEOUT_S: Final = 1.0
GRACE_S: Final = 30.0  # longer than the services' own drain deadline


class Service(Child):
    """One process of a service."""

    def __init__(
        self, service: str, number: int, *, env: Mapping[str, str], logs_dir: Path
    ) -> None:
        name = service if number == 0 else f"{service}-{number + 1}"
        self.service = service
        self.health_port = ports.choose()
        own = {
            "HOOKLANE_INSTANCE": str(number),
            "HOOKLANE_HEALTH_PORT": str(self.health_port),
            "PYTHONPATH": str(REPOSITORY),
        }
        super().__init__(
            name,
            [sys.executable, "-m", f"services.{service}"],
            logs_dir=logs_dir,
            env={**_without_settings(os.environ), **env, **own},
            ready_within_s=60,
            grace_s=GRACE_S,
        )

    async def is_ready(self) -> bool:
        """Ask the service's health server."""
        return await asyncio.to_thread(answers_ok, self.health_port, "/health/ready")


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without Hooklane's variables: a stack says which ones count."""
    return {name: text for name, text in environ.items() if not name.startswith(PREFIX)}


def answers_ok(port: int, path: str) -> bool:
    """Tell whether a GET on the loopback interface is answered with 200."""
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    except http.client.HTTPException:
        return False
    finally:
        connection.close()


def make_services(
    counts: Mapping[str, int],
    *,
    env: Mapping[str, str],
    own: Mapping[str, Mapping[str, str]],
    logs_dir: Path,
) -> Sequence[Service]:
    """Return the processes of all services; one gateway, as it owns a port.

    `own` has settings of single services, which go before `env`.
    """
    return [
        Service(name, number, env={**env, **own.get(name, {})}, logs_dir=logs_dir)
        for name in NAMES
        for number in range(counts.get(name, 1))
    ]
