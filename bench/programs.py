"""The Go programs of ``bench/tools`` as seen from Python: built once, run as processes.

They talk JSON; the structs here are their side of the contract (``driver.go``, ``receiver.go``,
``reference.go``). Sizes are bytes, stamps Unix microseconds, durations as their names say.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from bench.errors import BenchError

REPOSITORY: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = REPOSITORY / "bench" / "tools"
PROGRAM: Final = REPOSITORY / ".cache" / "bench" / "tools"
GO: Final = "1.26"
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
BUILD_WITHIN_S: Final = 300
ANSWER_WITHIN_S: Final = 30.0  # beyond what an order asks for

T = TypeVar("T")


class Part(msgspec.Struct, frozen=True):
    """One event type of one workspace, and its share of what the driver publishes."""

    type: str
    workspace_id: str
    weight: int = 1


class DriverOptions(msgspec.Struct, frozen=True):
    """``events`` events of ``bytes`` bytes at a pace, or (0) as fast as Kafka takes them.

    ``linger_ms`` is how long a producer's batch waits for more.
    """

    bootstrap: str
    topic: str
    run: str
    events: int
    rate_per_s: float
    linger_ms: int
    bytes: int
    mix: tuple[Part, ...]


class Driven(msgspec.Struct, frozen=True):
    """What a driver did. ``events`` counts for each part; ``late_ms_max`` is its worst delay."""

    events: tuple[int, ...]
    first_us: int
    last_us: int
    late_ms_max: float
    cpu_s: float


class ReferenceOptions(msgspec.Struct, frozen=True):
    """``requests`` posts of ``bytes`` bytes over so many connections."""

    port: int
    path: str
    run: str
    requests: int
    connections: int
    bytes: int


class Referred(msgspec.Struct, frozen=True):
    """What the reference client did."""

    requests: int
    seconds: float
    cpu_s: float


class PathCounts(msgspec.Struct, frozen=True):
    """Different events at one path, attempts that came again, and later attempts."""

    distinct: int = 0
    repeats: int = 0
    retries: int = 0


class Latency(msgspec.Struct, frozen=True):
    """From when an event was due to its first arrival, in microseconds."""

    p50: float
    p99: float
    p999: float
    max: float


class GroupCounts(msgspec.Struct, frozen=True):
    """What arrived at a group of paths; the times are of first arrivals."""

    distinct: int
    requests: int
    first_us: int
    last_us: int
    latency_us: Latency

    @property
    def rate_per_s(self) -> float:
        """Return arrivals a second, from the first to the last."""
        return (self.distinct - 1) * 1e6 / max(self.last_us - self.first_us, 1)


class Report(msgspec.Struct, frozen=True):
    """What the receiver has seen of a run. ``connections`` and ``cpu_s`` count from its start."""

    groups: dict[str, GroupCounts]
    paths: dict[str, PathCounts]
    strays: int
    connections: int
    cpu_s: float


def build() -> Path:
    """Build the programs and return where they are; raises BenchError that says what is wrong."""
    command = ["go", "build", "-C", str(SOURCE), "-o", str(PROGRAM), "."]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=BUILD_WITHIN_S)
    except FileNotFoundError:
        raise BenchError(
            f"make bench needs Go {GO} or later for its receiver and driver: install it from "
            "https://go.dev/dl and put it on the PATH"
        ) from None
    except subprocess.CalledProcessError as error:
        raise BenchError(f"bench/tools does not build: {error.stderr.decode().strip()}") from error
    return PROGRAM


def tool(name: str) -> list[str]:
    """Return the command line of a Go program."""
    return [str(PROGRAM), name]


def module(name: str, *arguments: str) -> list[str]:
    """Return the command line of a Python program."""
    return [sys.executable, "-m", name, *arguments]


async def start(command: Sequence[str], options: Any) -> asyncio.subprocess.Process:
    """Start a program and tell it what to do, on the first line of its standard input."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
        cwd=REPOSITORY,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(options) + b"\n")
    return process


async def ask(command: Sequence[str], options: Any, kind: type[T], *, within_s: float) -> T:
    """Run a program to its end and return the JSON that it printed."""
    process = await start(command, options)
    try:
        async with asyncio.timeout(within_s):
            printed, _ = await process.communicate()
    except TimeoutError:
        raise BenchError(f"{command} did not end within {within_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BenchError(f"{command} ended with code {process.returncode}")
    return msgspec.json.decode(printed, type=kind)


class Receiver:
    """The receiver's process. ``host_count`` addresses of 127.0.0.0/8 lead to it."""

    def __init__(self, process: asyncio.subprocess.Process, host_count: int) -> None:
        self._process = process
        self._host_count = host_count
        self._lock = asyncio.Lock()
        self.http_port = 0
        self.https_port = 0

    @classmethod
    async def open(cls, ca_file: Path, *, host_count: int) -> Receiver:
        """Start it and return when it listens."""
        options = {"hosts": host_count, "ca_file": str(ca_file)}
        receiver = cls(await start(tool("receiver"), options), host_count)
        ports = await receiver._line(ANSWER_WITHIN_S)
        receiver.http_port, receiver.https_port = ports["http_port"], ports["https_port"]
        return receiver

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def url(self, number: int, path: str, *, https: bool = False) -> str:
        """Return the URL of a path; numbers are spread over the addresses."""
        host = number % self._host_count
        address = f"127.0.{host // 250}.{host % 250 + 1}"  # as hostOf in receiver.go
        scheme, port = ("https", self.https_port) if https else ("http", self.http_port)
        return f"{scheme}://{address}:{port}{path}"

    async def reset(self, run: str) -> None:
        """Forget what was counted, and count what belongs to this run."""
        await self._order({"do": "reset", "run": run})

    async def wait(self, group: str, count: int, *, within_s: float) -> int:
        """Wait until a group has seen ``count`` different events; returns how many it has."""
        order = {"do": "wait", "group": group, "count": count, "within_ms": int(within_s * 1000)}
        answer = await self._order(order, within_s=within_s)
        return int(answer["count"])

    async def report(self) -> Report:
        """Return what has been counted."""
        return msgspec.convert(await self._order({"do": "report"}), Report)

    async def close(self) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _order(self, order: dict[str, Any], *, within_s: float = 0.0) -> dict[str, Any]:
        assert self._process.stdin is not None
        async with self._lock:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            return await self._line(within_s + ANSWER_WITHIN_S)

    async def _line(self, within_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self._process.stdout.readline()
        if not line:
            raise BenchError("the receiver has ended")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer
