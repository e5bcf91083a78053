"""``python -m bench.sizing``: what a load takes, by coefficients that were measured here.

    python -m bench.sizing --endpoints 100000 --events-per-second 50000 --fan-out 2
    python -m bench.sizing costs            # of a million deliveries
    python -m bench.sizing measure          # some minutes; writes bench/sizing.json

The forecast is arithmetic (``forecast``). What is measured is the whole of Hooklane under a
backlog: CPU by process, what each topic grows by on the broker's disk (compressed, as Kafka keeps
it), what the log's collection grows by (BSON, before the storage engine compresses it), and what
100,000 endpoints add to a worker's memory. Two sizes at two fan-outs, and 2,000 endpoints that get
one event a second each, for what a lane and a document of the log of one's own cost.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from bench import machine, programs
from bench.audience import Subscription, fan_out, spread
from bench.forecast import OFFSETS, Coefficients, Cost, Forecast, costs, lines, solve
from bench.forecast import Load as Wanted
from bench.rig import Load, Rig, open_rig
from bench.series.registry import write_endpoints
from shared.config import load
from shared.storage.mongo.attempts import CHUNKS
from shared.topics import ATTEMPTS, DELIVERIES, EVENTS

KEPT: Final = Path(__file__).with_suffix(".json")
TOPICS: Final = (EVENTS.name, DELIVERIES.name, ATTEMPTS.name, OFFSETS)
PROCESSES: Final = ("kafka", "mongo", "fanout", "delivery", "recorder")
REGISTRIES: Final = ("fanout", "delivery")
SIZES: Final = (300, 2_048)
FAN_OUTS: Final = (1, 10)
DELIVERIES_EACH: Final = 20_000
ALONE: Final = 2_000  # endpoints that get an event a second
ALONE_S: Final = 5
KNOWN: Final = 100_000
WARM_UP_S: Final = 20.0
FLAGS: Final = (
    ("endpoints", int, "in the registry, all active"),
    ("events_per_second", float, ""),
    ("fan_out", float, "deliveries for each event"),
    ("size", int, "bytes of an event, and of its webhook"),
    ("failing", float, "share of the attempts that are made again"),
    ("kept", float, "share of a webhook's bytes that compression leaves on Kafka"),
    ("latency_ms", float, "of receivers"),
    ("busy", float, "how much of a core may be used"),
    ("replication", int, "copies on Kafka"),
    ("retention_days", float, "of the topics"),
    ("log_retention_days", float, "of the delivery log"),
    ("mongo_cores", int, "of MongoDB's primary"),
    ("mongo_tb", float, "of MongoDB's disk"),
    ("broker_mb_per_s", float, "that a broker gives out"),
    ("broker_cores", int, "that a broker has"),
    ("worker_gb", float, "memory of a worker"),
)


class Taken(NamedTuple):
    """What each delivery of a shape took."""

    cpu_us: dict[str, float]
    topic_bytes: dict[str, float]
    log_bytes: float
    documents: float


class _Kept(NamedTuple):
    topics: dict[str, int]
    log_bytes: int
    documents: int


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    root = argparse.ArgumentParser(prog="python -m bench.sizing", description="Says what it takes")
    root.add_argument(
        "command", nargs="?", choices=("forecast", "costs", "measure"), default="forecast"
    )
    root.add_argument("--coefficients", type=Path, default=KEPT, help="where they are kept")
    defaults = {field.name: field.default for field in msgspec.structs.fields(Wanted)}
    for name, kind, about in FLAGS:
        default = defaults[name]
        shown = "" if default is msgspec.NODEFAULT else f" (default {default:g})"
        root.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"{about}{shown}")
    return root


def answer(given: argparse.Namespace) -> Sequence[str]:
    """Return what a command line asks for, but for measuring, as lines."""
    measured = msgspec.json.decode(given.coefficients.read_bytes(), type=Coefficients)
    if given.command == "costs":
        return costs(measured, [(size, count) for size in SIZES for count in FAN_OUTS])
    asked = {name: getattr(given, name) for name, _, _ in FLAGS}
    wanted = {"endpoints": 100_000, "events_per_second": 50_000}
    wanted |= {name: value for name, value in asked.items() if value is not None}
    return lines(Forecast(msgspec.convert(wanted, Wanted), measured))


async def measure() -> Coefficients:
    """Measure the coefficients on a stack of its own."""
    async with open_rig(say=_say, warm_up_s=WARM_UP_S, counts={}) as rig:
        shapes: dict[tuple[int, int], Taken] = {}
        for size in SIZES:
            for count in FAN_OUTS:
                load = Load(DELIVERIES_EACH // count, size=size)
                shapes[size, count] = await _taken(rig, f"{count}x{size}", fan_out(count), load)
        paced = Load(ALONE * ALONE_S, rate_per_s=ALONE, size=SIZES[0])
        alone = await _taken(rig, "alone", spread(ALONE), paced)
        idle = rig.meter.memory_bytes()
        await write_endpoints(rig, 0, KNOWN)
        await rig.measure(await rig.audience("after", fan_out(1)), Load(1_000))
        full = rig.meter.memory_bytes()
    memory = {name: (idle[name], full[name]) for name in REGISTRIES}
    return coefficients(shapes, alone, memory)


def coefficients(
    shapes: Mapping[tuple[int, int], Taken], alone: Taken, memory: Mapping[str, tuple[int, int]]
) -> Coefficients:
    """Return what follows from the measured shapes, and from memory without and with endpoints."""

    def cost(of: Callable[[Taken], float]) -> Cost:
        solved = solve({shape: of(taken) for shape, taken in shapes.items()})
        together = shapes[SIZES[0], FAN_OUTS[0]]
        more = (of(alone) - of(together)) / (alone.documents - together.documents)
        return msgspec.structs.replace(solved, document=max(0.0, more))

    return Coefficients(
        cpu_us={name: cost(partial(_cpu_us, name)) for name in PROCESSES},
        topic_bytes={name: cost(partial(_topic_bytes, name)) for name in TOPICS},
        log_bytes=cost(lambda taken: taken.log_bytes),
        registry_bytes={name: (full - idle) / KNOWN for name, (idle, full) in memory.items()},
        idle_bytes={name: float(idle) for name, (idle, _) in memory.items()},
        measured=_about(),
    )


async def _taken(rig: Rig, name: str, subscriptions: tuple[Subscription, ...], load: Load) -> Taken:
    """Return what a delivery of this shape takes, once its connections are warm."""
    audience = await rig.audience(name, subscriptions)
    await rig.measure(audience, Load(ALONE, size=load.size))
    before = await _kept(rig)
    measured = await rig.measure(audience, load)
    after, cpu_us = await _kept(rig), measured.costs_us()
    count = measured.deliveries
    taken = Taken(
        {process: cpu_us[f"{process}_us"] for process in PROCESSES},
        {topic: (after.topics[topic] - before.topics[topic]) / count for topic in TOPICS},
        (after.log_bytes - before.log_bytes) / count,
        (after.documents - before.documents) / count,
    )
    _say(f"{name}: {taken}")
    return taken


async def _kept(rig: Rig) -> _Kept:
    """Return the bytes of each topic on the broker's disk, and of the log's documents."""
    state_dir = rig.stack.dev_json.parent
    topics = {
        topic: sum(log.stat().st_size for log in state_dir.rglob(f"{rig.topic(topic)}-*/*.log"))
        for topic in TOPICS
    }
    client: AsyncMongoClient[Any] = AsyncMongoClient(
        rig.stack.env["HOOKLANE_MONGO_URI"], document_class=RawBSONDocument
    )
    async with client:
        found = client[load(rig.stack.env).mongo_database][CHUNKS].find({})
        documents = [len(document.raw) async for document in found]
    return _Kept(topics, sum(documents), len(documents))


def _cpu_us(process: str, taken: Taken) -> float:
    return taken.cpu_us[process]


def _topic_bytes(topic: str, taken: Taken) -> float:
    return taken.topic_bytes[topic]


def _about() -> dict[str, str]:
    about = machine.describe()
    names = ("commit", "processor", "cpus", "python")
    return {"on": time.strftime("%Y-%m-%d"), **{name: str(about[name]) for name in names}}


def _say(line: str) -> None:
    print(f"# {line}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Forecast, or measure what forecasts are made of."""
    given = parser().parse_args(arguments)
    if given.command == "measure":
        logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # comments on each retry
        programs.build()
        found = msgspec.json.encode(asyncio.run(measure()))
        given.coefficients.write_bytes(msgspec.json.format(found, indent=1) + b"\n")
        return
    print("\n".join(answer(given)))


if __name__ == "__main__":
    main()
