"""F: what other tenants' endpoints cost: matching, memory, and the start of a worker.

Endpoints are written straight to the topic ``endpoints``, as the gateway would, in workspaces of
100. They get no events: the ones that do are a handful in a workspace of their own.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aiokafka import AIOKafkaProducer

from bench.audience import spread
from bench.errors import BenchError
from bench.rig import Load, Rig
from bench.series.case import Case, Figures
from shared.models.endpoints import EndpointState, WorkspaceState, encode_state

SIZES: Final = (1_000, 100_000, 1_000_000)
QUICK_SIZES: Final = (1_000, 10_000, 100_000)
SIZE_NAMES: Final = ("small", "middle", "large")
WORKSPACE_SIZE: Final = 100
EVENTS: Final = 20_000
WARM_UP_EVENTS: Final = 5_000
WORKERS: Final = ("fanout", "delivery")
READY_WITHIN_S: Final = 150.0
POLL_S: Final = 0.05
SEALED: Final = "v1:local:" + "A" * 108  # as long as a sealed secret; nobody opens it


async def grow(rig: Rig, quick: bool) -> Figures:
    """Measure with more and more endpoints in the registry."""
    figures: Figures = {}
    audience = await rig.audience("F1", spread(10))
    known = 0
    for name, size in zip(SIZE_NAMES, QUICK_SIZES if quick else SIZES, strict=True):
        await write_endpoints(rig, known, size)
        known = size
        await rig.measure(audience, Load(WARM_UP_EVENTS))
        measured = await rig.measure(audience, Load(EVENTS))
        memory = rig.meter.memory_bytes()
        figures[f"{name}_endpoints"] = size
        figures[f"{name}_fanout_us"] = measured.costs_us()["fanout_us"]
        for worker in WORKERS:
            figures[f"{name}_{worker}_mib"] = memory[worker] / 2**20
            figures[f"{name}_{worker}_ready_s"] = await _restart(rig, worker)
    figures["fanout_ratio"] = figures["large_fanout_us"] / figures["small_fanout_us"]
    figures["mib_max"] = max(figures[f"large_{worker}_mib"] for worker in WORKERS)
    figures["ready_s_max"] = max(figures[f"large_{worker}_ready_s"] for worker in WORKERS)
    return figures


async def write_endpoints(rig: Rig, start: int, stop: int) -> None:
    """Write the states of the endpoints with these numbers; returns when all are acknowledged."""
    topic = rig.topic("endpoints")
    producer = AIOKafkaProducer(
        bootstrap_servers=rig.bootstrap,
        acks="all",
        linger_ms=20,
        max_batch_size=512 * 1024,
    )
    async with producer:
        for number in range(start, stop):
            workspace_id = f"ws_{number // WORKSPACE_SIZE:032x}"
            if number % WORKSPACE_SIZE == 0:
                workspace = WorkspaceState(id=workspace_id, profile="bench")
                await producer.send(topic, encode_state(workspace), key=workspace_id.encode())
            endpoint = EndpointState(
                id=f"wh_{number:032x}",
                workspace_id=workspace_id,
                profile="bench",
                url=f"https://customer-{number}.example.com/webhooks",
                events=("qr.scanned", "qr.created"),
                secret=SEALED,
            )
            await producer.send(topic, encode_state(endpoint), key=endpoint.id.encode())


async def _restart(rig: Rig, worker: str) -> float:
    """Kill a worker, and return the seconds until its successor is ready."""
    child = rig.stack.children[worker]
    await child.kill9()
    began_s = time.monotonic()
    while time.monotonic() < began_s + READY_WITHIN_S:
        await asyncio.sleep(POLL_S)
        if child.is_running and await child.is_ready():
            return time.monotonic() - began_s
    raise BenchError(f"{worker} was not ready again within {READY_WITHIN_S:g} s")


CASES: Final = (Case("F1", "endpoints in the registry", grow, fresh=True),)
