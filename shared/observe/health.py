"""Health, version and metrics of a process over HTTP, from a thread of its own.

``/health/live`` is 200 while the main loop has moved lately, ``/health/ready`` while the service
can work; ``/version`` says which release this is, ``/metrics`` is Prometheus text. The thread
answers even when the event loop is stuck: that is what liveness is about. When it is stuck the
watchdog also logs the stacks of all threads, once for each time.
"""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Final

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.observe.inspection import stacks
from shared.version import About

STUCK_AFTER_S: Final = 15.0
REQUEST_TIMEOUT_S: Final = 5.0
MAIN: Final = "main"
_WATCH_EVERY_S: Final = 1.0

_log = structlog.get_logger("health")


class Pulse:
    """What the service says of itself: its last beats and whether it is ready. Thread-safe.

    A service with more than one loop is as silent as that of them which was silent the longest.
    """

    def __init__(self) -> None:
        self._beats = {MAIN: time.monotonic()}
        self.ready = False

    def beat(self, loop: str = MAIN) -> None:
        """Note that a loop moves."""
        self._beats[loop] = time.monotonic()

    def rest(self, loop: str) -> None:
        """Note that a loop has ended, as it should."""
        self._beats.pop(loop, None)

    def silent_s(self) -> float:
        """Return the seconds since the last beat."""
        return time.monotonic() - min(list(self._beats.values()))


class HealthServer:
    """Serves the four paths and runs the watchdog until ``close``."""

    def __init__(self, pulse: Pulse, about: About, host: str, port: int) -> None:
        self._pulse = pulse
        self._closed = threading.Event()
        self._server = _Server((host, port), _handler(pulse, about))
        self._threads = [
            threading.Thread(target=self._server.serve_forever, name="health", daemon=True),
            threading.Thread(target=self._watch, name="watchdog", daemon=True),
        ]

    @property
    def port(self) -> int:
        """Return the port in use."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Start answering."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop answering and wait for the threads."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def _watch(self) -> None:
        reported = False
        while not self._closed.wait(_WATCH_EVERY_S):
            stuck = self._pulse.silent_s() > STUCK_AFTER_S
            if stuck and not reported:
                _log.error("loop_stuck", silent_s=self._pulse.silent_s(), stacks=stacks())
            reported = stuck


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, and leave out the look-up of our own name: without a DNS it takes seconds."""
        TCPServer.server_bind(self)


def _handler(pulse: Pulse, about: About) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S  # a client that sends nothing must not keep its thread

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path == "/health/live":
                self._verdict(good=pulse.silent_s() <= STUCK_AFTER_S)
            elif self.path == "/health/ready":
                self._verdict(good=pulse.ready)
            elif self.path == "/version":
                self._answer(HTTPStatus.OK, msgspec.json.encode(about), "application/json")
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain")

        def _verdict(self, *, good: bool) -> None:
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, b"ok\n" if good else b"not ok\n", "text/plain")

        def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep probes out of the log."""

    return Handler
