"""The images' health check, against a real health server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import ports
from shared.observe.health import HealthServer, Pulse
from shared.observe.probe import failure, main
from shared.version import about

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def pulse() -> Pulse:
    return Pulse()


@pytest.fixture
def server(pulse: Pulse) -> Iterator[HealthServer]:
    served = HealthServer(pulse, about("delivery", ""), "127.0.0.1", 0)
    served.start()
    yield served
    served.close()


def test_a_ready_service_is_well_and_another_is_told_of(server: HealthServer, pulse: Pulse) -> None:
    assert "503" in failure("127.0.0.1", server.port)
    pulse.ready = True
    assert failure("127.0.0.1", server.port) == ""


def test_a_port_that_nobody_listens_on_is_named() -> None:
    port = ports.choose()

    assert f"127.0.0.1:{port} does not answer" in failure("127.0.0.1", port)


def test_as_a_command_it_ends_as_a_health_check_has_to(server: HealthServer, pulse: Pulse) -> None:
    def run(port: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "shared.observe.probe"],
            cwd=ROOT,
            env={"HOOKLANE_HEALTH_PORT": port},
            capture_output=True,
            text=True,
            check=False,
        )

    pulse.ready = True
    assert run(str(server.port)).returncode == 0
    pulse.ready = False
    refused = run(str(server.port))
    assert refused.returncode == 1
    assert refused.stderr == f"127.0.0.1:{server.port} answers 'HTTP/1.0 503 Service Unavailable'\n"


@pytest.mark.parametrize("port", ["", "0", "http"])
def test_a_port_that_cannot_be_asked_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("HOOKLANE_HEALTH_PORT", port)

    with pytest.raises(SystemExit, match="is no port to ask"):
        main()
