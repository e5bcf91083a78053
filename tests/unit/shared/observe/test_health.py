"""The health server by itself; ``test_runtime`` has it in a process."""

from __future__ import annotations

import http.client
import platform
import socket
import threading
from collections.abc import Iterator

import msgspec
import pytest
import structlog

from shared.observe import health
from shared.observe.health import HealthServer, Pulse
from shared.version import VERSION, about

ABOUT = about("delivery", "0f3c")


@pytest.fixture
def pulse() -> Pulse:
    return Pulse()


@pytest.fixture
def server(pulse: Pulse) -> Iterator[HealthServer]:
    served = HealthServer(pulse, ABOUT, "127.0.0.1", 0)
    served.start()
    yield served
    served.close()


def answer(server: HealthServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path)
    found = connection.getresponse()
    body = found.read()
    connection.close()
    return found.status, body


def status(server: HealthServer, path: str, method: str = "GET") -> int:
    return answer(server, path, method)[0]


def test_readiness_is_what_the_service_says(server: HealthServer, pulse: Pulse) -> None:
    assert status(server, "/health/ready") == 503
    pulse.ready = True
    assert status(server, "/health/ready") == 200
    pulse.ready = False
    assert status(server, "/health/ready") == 503


def test_liveness_ends_with_the_beats(
    server: HealthServer, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status(server, "/health/live") == 200
    monkeypatch.setattr(pulse, "silent_s", lambda: health.STUCK_AFTER_S + 0.001)
    assert status(server, "/health/live") == 503


def test_a_stuck_loop_is_reported_once_for_each_time(
    server: HealthServer, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the stacks of all threads, which is much to repeat every second."""
    monkeypatch.setattr(health, "_WATCH_EVERY_S", 0.001)
    spells = [*[99.0] * 5, *[0.0] * 2, *[99.0] * 5]
    seen = threading.Event()

    def silent_s() -> float:
        if not spells:
            seen.set()
            return 0.0
        return spells.pop()

    with structlog.testing.capture_logs() as lines:
        monkeypatch.setattr(pulse, "silent_s", silent_s)
        assert seen.wait(20)
    assert [line["event"] for line in lines] == ["loop_stuck", "loop_stuck"]
    assert "MainThread" in lines[0]["stacks"]


def test_it_says_which_release_this_is(server: HealthServer) -> None:
    assert msgspec.json.decode(answer(server, "/version")[1]) == {
        "name": "hooklane-delivery",
        "version": VERSION,
        "revision": "0f3c",
        "python": platform.python_version(),
    }


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/", "GET", 404),
        ("/health", "GET", 404),
        ("/health/live/", "GET", 404),
        ("/metrics", "GET", 200),
        ("/version", "GET", 200),
        ("/metrics", "POST", 501),
    ],
)
def test_there_is_nothing_else(server: HealthServer, path: str, method: str, expected: int) -> None:
    assert status(server, path, method) == expected


def test_a_client_that_sends_nothing_holds_nobody_up(server: HealthServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        assert status(server, "/health/live") == 200


def test_a_closed_server_gives_its_port_back(pulse: Pulse) -> None:
    first = HealthServer(pulse, ABOUT, "127.0.0.1", 0)
    first.start()
    port = first.port
    with pytest.raises(OSError, match="in use"):
        HealthServer(pulse, ABOUT, "127.0.0.1", port)
    first.close()
    second = HealthServer(pulse, ABOUT, "127.0.0.1", port)
    second.start()
    assert status(second, "/health/live") == 200
    second.close()


def test_a_process_is_as_silent_as_the_loop_that_was_silent_the_longest(
    pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("shared.observe.health.time.monotonic", lambda: now[0])
    for second, loops in ((1.0, ("main", "fetcher")), (8.0, ("main",)), (9.0, ())):
        now[0] = second
        for loop in loops:
            pulse.beat(loop)

    assert pulse.silent_s() == 8.0
    pulse.rest("fetcher")
    assert pulse.silent_s() == 1.0
