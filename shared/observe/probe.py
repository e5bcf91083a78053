"""``python -m shared.observe.probe``: whether the service of this container is ready.

For the images, whose base has no HTTP client of its own. Exits with 0 when ``/health/ready`` on
HOOKLANE_HEALTH_PORT is answered with 200, else with 1 and one line that says what was seen. It runs
every few seconds beside the service that it asks, so it imports only what it cannot do without.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Final

PATH: Final = "/health/ready"
WITHIN_S: Final = 2.0
_LINE_BYTES_MAX: Final = 256


def failure(host: str, port: int) -> str:
    """Return why a service is not ready, in a line; empty when it is."""
    try:
        with socket.create_connection((host, port), timeout=WITHIN_S) as connection:
            connection.sendall(f"GET {PATH} HTTP/1.0\r\n\r\n".encode())
            status = connection.recv(_LINE_BYTES_MAX).partition(b"\r\n")[0].decode("latin-1")
    except OSError as error:
        return f"{host}:{port} does not answer: {error}"
    return "" if status.split(" ")[1:2] == ["200"] else f"{host}:{port} answers {status!r}"


def main() -> None:
    """Ask the service that has the environment's port."""
    port = os.environ.get("HOOKLANE_HEALTH_PORT", "")
    if not port.isdigit() or port == "0":
        sys.exit(
            f"HOOKLANE_HEALTH_PORT={port!r} is no port to ask: give the service one of its own"
        )
    sys.exit(failure("127.0.0.1", int(port)) or 0)


if __name__ == "__main__":
    main()
