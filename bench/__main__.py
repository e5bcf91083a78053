"""``make bench``: what this machine does with the whole of Hooklane. See ``bench/README.md``."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import psutil
from aiokafka import AIOKafkaProducer

from deploy.local.stack import Options, Stack

PADDING: Final = "x" * 120
WITHIN_S: Final = 120.0
QUIET_S: Final = 3.0  # log rows and commits come behind the last arrival
WARM_UP: Final = 2_000


class Backlog(NamedTuple):
    """Events published at once, and to how many endpoints each goes."""

    fan_out: int
    events: int


BACKLOGS: Final = (Backlog(1, 20_000), Backlog(10, 3_000))
RATES_PER_S: Final = (100, 1_000)
PACED_S: Final = 8


class Bench:
    """A stack, a receiver and a producer."""

    def __init__(
        self, stack: Stack, receiver: asyncio.subprocess.Process, producer: AIOKafkaProducer
    ) -> None:
        self._stack = stack
        self._receiver = receiver
        self._producer = producer
        self._url = ""

    async def prepare(self) -> None:
        """Read the receiver's port and make the endpoints: one type for each fan-out."""
        self._url = f"http://127.0.0.1:{int(await self._line())}"
        account = self._stack.describe()["workspaces"]["xqr"]
        async with httpx.AsyncClient(
            base_url=self._stack.gateway_url,
            headers={"Authorization": f"Bearer {account['api_key']}"},
        ) as client:
            for backlog in BACKLOGS:
                for number in range(backlog.fan_out):
                    wanted = {"url": f"{self._url}/{number}", "events": [_type(backlog.fan_out)]}
                    (await client.post("/v1/webhooks", json=wanted)).raise_for_status()

    async def backlog(self, backlog: Backlog) -> None:
        """Publish at once, and print what a delivery cost."""
        await self._produce(WARM_UP // backlog.fan_out, backlog.fan_out)
        await self._report(WARM_UP // backlog.fan_out * backlog.fan_out)
        await asyncio.sleep(QUIET_S)
        before = self._cpu_s()
        await self._produce(backlog.events, backlog.fan_out)
        deliveries = backlog.events * backlog.fan_out
        seen = await self._report(deliveries)
        await asyncio.sleep(QUIET_S)
        spent = {name: spent_s - before[name] for name, spent_s in self._cpu_s().items()}
        rate = deliveries / (seen["last_s"] - seen["first_s"])
        costs = {name: spent_s * 1e6 / deliveries for name, spent_s in spent.items()}
        all_us = sum(cost for name, cost in costs.items() if name != "receiver")
        _print_row(
            f"backlog, fan-out {backlog.fan_out}",
            f"{rate:,.0f} deliveries/s; {1e6 / all_us:,.0f} per CPU-second of all processes",
        )
        parts = "  ".join(f"{name} {cost:.0f}" for name, cost in costs.items())
        _print_row("", f"CPU µs per delivery: {parts}")

    async def paced(self, rate_per_s: int) -> None:
        """Publish at a steady rate, and print the latencies."""
        count = rate_per_s * PACED_S
        start = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number / rate_per_s - time.monotonic()))
            await self._send(_type(1))
        seen = await self._report(count)
        cuts = statistics.quantiles(seen["latencies_ms"], n=1_000)
        _print_row(
            f"paced, {rate_per_s} events/s",
            f"publish to arrival p50 {cuts[499]:.1f} ms, p99 {cuts[989]:.1f} ms",
        )

    async def _produce(self, events: int, fan_out: int) -> None:
        for _ in range(events):
            await self._send(_type(fan_out))
        await self._producer.flush()

    async def _send(self, event_type: str) -> None:
        described = self._stack.describe()
        data = {"sent_s": f"{time.time():.6f}", "padding": PADDING}
        workspace_id = described["workspaces"]["xqr"]["id"]
        event = {"type": event_type, "workspace_id": workspace_id, "data": data}
        await self._producer.send(described["events_topic"], json.dumps(event).encode())

    async def _report(self, count: int) -> dict[str, Any]:
        assert self._receiver.stdin is not None
        self._receiver.stdin.write(f"{count}\n".encode())
        report: dict[str, Any] = json.loads(await self._line())
        return report

    async def _line(self) -> bytes:
        assert self._receiver.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            return await self._receiver.stdout.readline()

    def _cpu_s(self) -> Mapping[str, float]:
        """Return the CPU seconds that each process has used."""
        pids = {**self._stack.describe()["pids"], "receiver": self._receiver.pid}
        times = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items()}
        return {name: used.user + used.system for name, used in times.items()}


def _type(fan_out: int) -> str:
    return f"bench.fan_out_{fan_out}"


def _print_row(what: str, figures: str) -> None:
    print(f"{what:<24}{figures}", flush=True)


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[Bench]:
    options = Options(state_dir=folder, gateway_port=0, kafka_port=0, mongo_port=0, optimise=True)
    stack = Stack(options, say=lambda line: print(f"# {line}", file=sys.stderr))
    receiver = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.receiver",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,
    )
    try:
        await stack.start()
        async with AIOKafkaProducer(
            bootstrap_servers=stack.env["HOOKLANE_KAFKA_BOOTSTRAP"], acks="all", linger_ms=0
        ) as producer:
            bench = Bench(stack, receiver, producer)
            await bench.prepare()
            yield bench
    finally:
        receiver.kill()
        await receiver.wait()
        await stack.stop()


async def main() -> None:
    """Run everything and print the table."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"# Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}, "
        f"load {load} before",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="hooklane-bench-") as folder:
        async with _opened(Path(folder)) as bench:
            for backlog in BACKLOGS:
                await bench.backlog(backlog)
            for rate_per_s in RATES_PER_S:
                await bench.paced(rate_per_s)


if __name__ == "__main__":
    asyncio.run(main())
