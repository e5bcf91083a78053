"""How every service runs: configuration, logs, loop, signals, health, exit code.

``run(name, main)`` reads the environment once, refuses what it cannot use with one line, and runs
``main(settings, runtime)`` on uvloop. SIGTERM and SIGINT set ``runtime.stopping``; ``main`` then
stops taking work, finishes what is open within ``settings.drain_timeout_ms``, commits, closes and
returns, and the process exits with 0. A second signal does not wait, nor does anybody wait for a
``main`` that is not done ``CLOSE_WITHIN_S`` after that time (Kafka is away, say): it is cancelled,
and the process exits with 1. An exception that leaves ``main`` is a fault of ours: it is logged and
the process exits with 1, for its supervisor to start it again; nothing that was not acknowledged is
lost by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog
import uvloop

from shared.config import ConfigError, Settings, load
from shared.kafka import connections
from shared.observe import inspection, metrics
from shared.observe.health import MAIN, HealthServer, Pulse
from shared.observe.inspection import Inspector
from shared.observe.logs import configure_logs
from shared.observe.traces import OFF, Tracer
from shared.profiles.profile import ProfileError
from shared.signing.keyring import KeyringError
from shared.version import VERSION, about

EXIT_FAILED: Final = 1
BEAT_EVERY_S: Final = 1.0
CLOSE_WITHIN_S: Final = 5.0
OPEN_FILES: Final = 65_536
GARBAGE: Final = (50_000, 20, 50)
"""How much is allocated before the garbage collector looks for cycles. Its default of 700 walks
through all that a busy service holds many times a second, and finds nothing."""

_UNUSABLE: Final = (ConfigError, KeyringError, ProfileError)  # whoever set it up can mend it

_log = structlog.get_logger("runtime")


class Runtime:
    """What a service's ``main`` is given besides the settings."""

    def __init__(self, pulse: Pulse, traces: Tracer = OFF) -> None:
        self._pulse = pulse
        self.stopping = asyncio.Event()
        self.traces = traces

    def ready(self, value: bool = True) -> None:
        """Say whether the service can work."""
        self._pulse.ready = value

    def beat(self, loop: str = MAIN) -> None:
        """Say that a loop moves; the watchdog reports one that is silent for long."""
        self._pulse.beat(loop)

    def rest(self, loop: str) -> None:
        """Say that a loop, other than the main one, has ended as it should."""
        self._pulse.rest(loop)


Main = Callable[[Settings, Runtime], Awaitable[None]]


def run(name: str, main: Main) -> NoReturn:
    """Run a service until it is told to stop, then exit the process."""
    try:
        settings = load(os.environ)
    except ConfigError as error:
        sys.exit(f"hooklane-{name}: {error}")
    inspection.block()
    configure_logs(name, settings.log_level)
    _allow_open_files()
    connections.mend()
    gc.freeze()  # what was imported stays
    gc.set_threshold(*GARBAGE)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_supervised(name, settings, main)))


async def _supervised(name: str, settings: Settings, main: Main) -> int:
    itself = about(name, settings.revision)
    pulse = Pulse()
    metrics.BUILD.labels(VERSION).set(1)
    metrics.SILENT.set_function(pulse.silent_s)
    try:
        health = HealthServer(pulse, itself, settings.health_host, settings.health_port)
    except OSError as error:
        _log.error(
            "health_port_unusable",
            fix="set HOOKLANE_HEALTH_PORT to a free port, or 0 for any",
            port=settings.health_port,
            error=str(error),
        )
        return EXIT_FAILED
    health.start()
    traces, end_traces = _tracer(name, settings)
    runtime = Runtime(pulse, traces)
    loop = asyncio.get_running_loop()
    Inspector(name, loop).start()
    task = asyncio.ensure_future(main(settings, runtime))
    patience_s = settings.drain_timeout_ms / 1000 + CLOSE_WITHIN_S
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, runtime, task, patience_s)
    _log.info(
        "starting",
        version=itself.version,
        revision=itself.revision,
        python=itself.python,
        health_port=health.port,
        settings=repr(settings),
    )
    try:
        await task
    except asyncio.CancelledError:
        _log.warning("stopped_at_once")
        return EXIT_FAILED
    except _UNUSABLE as error:
        _log.error("settings_unusable", error=str(error))
        return EXIT_FAILED
    except Exception:
        _log.exception("failed")
        return EXIT_FAILED
    finally:
        end_traces()
        with contextlib.suppress(OSError):
            health.close()
    _log.info("stopped")
    return 0


def _tracer(name: str, settings: Settings) -> tuple[Tracer, Callable[[], None]]:
    """Return what the service records spans with, and what sends the last of them."""
    if not settings.traces_url:
        return OFF, lambda: None
    # OpenTelemetry is loaded where it is used only: it takes memory, and time at the start.
    from shared.observe import otlp  # noqa: PLC0415

    exporter = otlp.open_exporter(settings.traces_url, name)
    ratio = settings.traces_ratio
    return Tracer(ratio=ratio, sink=exporter.offer, now_ms=_now_ms), exporter.close


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _allow_open_files() -> None:
    """Raise the soft limit, which is often 1,024: each connection to an endpoint is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _on_signal(runtime: Runtime, task: asyncio.Future[None], patience_s: float) -> None:
    """Ask for a clean stop; the second signal, or the end of our patience, cancels."""
    if runtime.stopping.is_set():
        task.cancel()
    else:
        runtime.stopping.set()
        asyncio.get_running_loop().call_later(patience_s, task.cancel)


async def beat_until(stopped: asyncio.Event, runtime: Runtime) -> None:
    """Beat from the event loop itself: for services whose framework owns the main loop."""
    while not stopped.is_set():
        runtime.beat()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), BEAT_EVERY_S)
