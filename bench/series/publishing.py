"""P: what it costs the gateway to take events over HTTP, one by one and a thousand at a time.

Every call is answered when Kafka has acknowledged its events. Nobody subscribed to their type, so
nothing is delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Final

import httpx
import msgspec

from bench.errors import BenchError
from bench.rig import Rig
from bench.series.case import Case, Figures

SINGLES: Final = 6_000
BATCHES: Final = 100
QUICK_PART: Final = 3
BATCH: Final = 1_000
CLIENTS: Final = 32
BATCH_CLIENTS: Final = 4
EVENT: Final = {
    "type": "bench.published",
    "data": {"code_id": "qr_abc123", "short_code": "r7f3Kx", "country": "AT", "note": "x" * 200},
}


async def publish(rig: Rig, quick: bool, *, batch: int, calls: int, clients: int) -> Figures:
    """Make so many calls of ``batch`` events each (0: of a single event), by several clients."""
    gateway = rig.client()
    body = msgspec.json.encode([EVENT] * batch if batch else EVENT)
    request = gateway.build_request(
        "POST",
        "/v1/events/batch" if batch else "/v1/events",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    waiting = iter(range(calls // QUICK_PART if quick else calls))
    before = rig.meter.read()
    counts = await asyncio.gather(*(_client(request, body, waiting) for _ in range(clients)))
    took = rig.meter.read()
    events = sum(counts) * max(batch, 1)
    used_s = took.since(before)
    return {
        "events_per_s": events / (took.at_s - before.at_s),
        "gateway_us": used_s["gateway"] * 1e6 / events,
        "kafka_us": used_s["kafka"] * 1e6 / events,
        "per_gateway_cpu_s": events / used_s["gateway"],
    }


async def _client(request: httpx.Request, body: bytes, waiting: Iterator[int]) -> int:
    """Send the request until nothing waits any more, over one connection; returns how often.

    A client such as httpx costs more than the gateway, and there are two cores.
    """
    lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    sent = ("\r\n".join(lines) + "\r\n\r\n").encode() + body
    reader, writer = await asyncio.open_connection(request.url.host, request.url.port)
    made = 0
    with closing(writer):
        for _ in waiting:
            writer.write(sent)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if not head.startswith("http/1.1 202 "):
                raise BenchError(f"publishing was answered with {head.splitlines()[0]!r}")
            await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
            made += 1
    return made


CASES: Final = (
    Case(
        "P1",
        "single events over HTTP",
        partial(publish, batch=0, calls=SINGLES, clients=CLIENTS),
    ),
    Case(
        "P1000",
        "batches of 1,000 over HTTP",
        partial(publish, batch=BATCH, calls=BATCHES, clients=BATCH_CLIENTS),
    ),
)
