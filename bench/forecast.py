"""What a load takes, and what gives way first: arithmetic on measured coefficients. Pure.

A *cost* is what one delivery takes of something: CPU of a process, bytes on a topic, bytes in the
log. It depends on the size of the webhook and on how many deliveries share an event, as

    base + base_kb * KB + (event + event_kb * KB) / fan-out

whose four numbers ``solve`` finds from four measured shapes: two sizes, each at two fan-outs. They
are of a backlog to a few endpoints. What it takes more at a pace and to many (lanes, smaller
batches that compress less, a document of the log for each delivery) is measured beside that, and
added for each document: an endpoint's deliveries of one second share one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

SECONDS_A_DAY: Final = 86_400
MB: Final = 1_000_000
GB: Final = 1_000 * MB
TB: Final = 1_000 * GB
KB: Final = 1_000
GROUP_OF_PARTITIONS: Final = 12
PARTITIONS_FOR_EACH: Final = 2  # of the service with the most processes: one may leave, or join
OFFSETS: Final = "__consumer_offsets"
WORKERS: Final = ("fanout", "delivery", "recorder")
SERVERS: Final = ("kafka", "mongo")


class Cost(msgspec.Struct, frozen=True):
    """What a delivery takes; ``document`` is added for each document of the log."""

    base: float
    base_kb: float
    event: float
    event_kb: float
    document: float = 0.0

    def at(self, size: int, fan_out: float, documents: float = 0.0) -> float:
        """Return it for webhooks of ``size`` bytes, with so many documents a delivery."""
        kb = size / KB
        shared = self.base + self.base_kb * kb
        return max(
            0.0, shared + (self.event + self.event_kb * kb) / fan_out + self.document * documents
        )


def solve(points: Mapping[tuple[int, int], float]) -> Cost:
    """Return the cost that is as measured at ``points``: two sizes, each at two fan-outs."""
    (small, large), (few, many) = (sorted({point[axis] for point in points}) for axis in (0, 1))
    lines = []
    for size in (small, large):
        event = (points[size, few] - points[size, many]) / (1 / few - 1 / many)
        lines.append((points[size, few] - event / few, event))
    span_kb = (large - small) / KB
    (base_small, event_small), (base_large, event_large) = lines
    base_kb, event_kb = (base_large - base_small) / span_kb, (event_large - event_small) / span_kb
    return Cost(
        base=base_small - base_kb * small / KB,
        base_kb=base_kb,
        event=event_small - event_kb * small / KB,
        event_kb=event_kb,
    )


class Coefficients(msgspec.Struct, frozen=True):
    """What was measured. CPU in µs; bytes of a topic as they are on the disk of one broker.

    ``registry_bytes`` is what an endpoint takes in the memory of a worker, ``idle_bytes`` what the
    worker has without any.
    """

    cpu_us: Mapping[str, Cost]
    topic_bytes: Mapping[str, Cost]
    log_bytes: Cost
    registry_bytes: Mapping[str, float]
    idle_bytes: Mapping[str, float]
    measured: Mapping[str, str]


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and what it runs on.

    ``failing`` is the share of attempts that are made again; ``kept`` what compression leaves of a
    webhook's bytes on Kafka (an assumption: those of the measurements repeat each other); ``busy``
    how much of a core may be used; ``broker_mb_per_s`` what a broker gives out.
    """

    endpoints: int
    events_per_second: float
    fan_out: float = 1.0
    size: int = 300
    failing: float = 0.02
    kept: float = 0.5
    latency_ms: float = 100.0
    busy: float = 0.6
    in_flight_max: int = 2_000
    lane_concurrency: int = 32
    replication: int = 3
    retention_days: float = 7.0
    log_retention_days: float = 30.0
    mongo_cores: int = 16
    mongo_tb: float = 16.0
    broker_mb_per_s: float = 100.0
    broker_cores: int = 8
    worker_gb: float = 1.0

    @property
    def deliveries_per_second(self) -> float:
        """Return how many deliveries begin each second."""
        return self.events_per_second * self.fan_out

    @property
    def attempts_per_second(self) -> float:
        """Return how many requests are sent each second, failed ones again."""
        return self.deliveries_per_second / (1 - self.failing)

    @property
    def documents(self) -> float:
        """Return how many documents of the log there are for a delivery: one a second and lane."""
        return min(1.0, self.endpoints / self.attempts_per_second)


class Limit(msgspec.Struct, frozen=True):
    """Something that more processes do not help with, and the events a second that fill it."""

    what: str
    events_per_second: float
    why: str


class Forecast:
    """A load, by the coefficients."""

    def __init__(self, given: Load, measured: Coefficients) -> None:
        self.given = given
        self._measured = measured

    def cpu_us(self, process: str) -> float:
        """Return the CPU of an attempt in a process, in µs."""
        given = self.given
        return self._measured.cpu_us[process].at(given.size, given.fan_out, given.documents)

    def cores(self, process: str) -> float:
        """Return how many cores a process needs, each as busy as it may be."""
        given = self.given
        return self.cpu_us(process) * given.attempts_per_second / 1e6 / given.busy

    def processes(self, worker: str) -> int:
        """Return how many processes of a worker are needed: each has one core."""
        by_cpu = math.ceil(self.cores(worker))
        if worker != "delivery":
            return by_cpu
        in_flight = self.given.attempts_per_second * self.given.latency_ms / 1_000
        return max(by_cpu, math.ceil(in_flight / self.given.in_flight_max))

    def moves_per_second(self) -> float:
        """Return how many records come out of retry tiers in a second."""
        return self.given.attempts_per_second - self.given.deliveries_per_second

    def partitions(self) -> int:
        """Return how many partitions the topics should have."""
        most = max(self.processes(worker) for worker in WORKERS)
        wanted = most * PARTITIONS_FOR_EACH
        return math.ceil(wanted / GROUP_OF_PARTITIONS) * GROUP_OF_PARTITIONS

    def written(self) -> dict[str, float]:
        """Return the bytes that are written to each topic in a second, copies not counted."""
        given, topics = self.given, self._measured.topic_bytes
        first = given.deliveries_per_second

        def each(topic: str, size: int) -> float:
            return topics[topic].at(size, given.fan_out, given.documents)

        delivery = each("deliveries", 0) + given.kept * given.size
        return {
            "events": each("events", given.size) * first,
            "deliveries": delivery * given.attempts_per_second,
            "retry.*": delivery * self.moves_per_second(),
            "attempts": each("attempts", given.size) * given.attempts_per_second,
            OFFSETS: each(OFFSETS, given.size) * given.attempts_per_second,
        }

    def log_bytes_per_second(self) -> float:
        """Return what the delivery log grows by in a second."""
        given = self.given
        each = self._measured.log_bytes.at(given.size, given.fan_out, given.documents)
        return each * given.attempts_per_second

    def worker_bytes(self, worker: str) -> float:
        """Return the memory of a worker that waits, with all endpoints in its registry."""
        measured = self._measured
        return measured.idle_bytes[worker] + measured.registry_bytes[worker] * self.given.endpoints

    def brokers(self) -> int:
        """Return how many brokers carry it: the copies, the traffic, and the requests."""
        given = self.given
        by_traffic = math.ceil(self.broker_mb() / given.broker_mb_per_s)
        by_cpu = math.ceil(self.cores("kafka") / given.broker_cores)
        return max(given.replication, by_traffic, by_cpu)

    def broker_mb(self) -> float:
        """Return the MB that brokers give out in a second: to readers, and to other brokers."""
        return sum(self.written().values()) * self.given.replication / MB

    def limits(self) -> list[Limit]:
        """Return what more processes do not help with, what is full first before the others."""
        given = self.given
        by_event = given.attempts_per_second / given.events_per_second
        mongo_us, delivery_us = self.cpu_us("mongo"), self.cpu_us("delivery")
        log_bytes = self.log_bytes_per_second() / given.attempts_per_second
        lane = min(
            given.lane_concurrency * 1_000 / given.latency_ms, given.busy * 1e6 / delivery_us
        )
        found = [
            Limit(
                "MongoDB's primary",
                given.mongo_cores * given.busy * 1e6 / mongo_us / by_event,
                f"{given.mongo_cores} cores, {given.busy:.0%} busy, / {mongo_us:.1f} µs an attempt",
            ),
            Limit(
                "MongoDB's disk",
                given.mongo_tb
                * TB
                / (given.log_retention_days * SECONDS_A_DAY)
                / log_bytes
                / by_event,
                f"{given.mongo_tb:g} TB for {given.log_retention_days:g} days, "
                f"/ {log_bytes:,.0f} B an attempt",
            ),
            Limit(
                "one endpoint's lane",
                lane * given.endpoints / by_event,
                f"{lane:,.0f} requests/s to each endpoint",
            ),
        ]
        for worker in ("fanout", "delivery"):
            room = given.worker_gb * GB - self._measured.idle_bytes[worker]
            endpoints = room / self._measured.registry_bytes[worker]
            found.append(
                Limit(
                    f"memory of {worker}",
                    given.events_per_second * endpoints / given.endpoints,
                    f"{endpoints:,.0f} endpoints in {given.worker_gb:g} GB, "
                    "if events grow with them",
                )
            )
        return sorted(found, key=lambda limit: limit.events_per_second)


def costs(measured: Coefficients, shapes: Sequence[tuple[int, int]]) -> Sequence[str]:
    """Return what a million deliveries take, at these sizes and fan-outs, as text."""
    rows = {f"{name}, CPU s": cost for name, cost in measured.cpu_us.items()}
    rows |= {f"{name}, MB": cost for name, cost in measured.topic_bytes.items()}
    rows["delivery log, MB"] = measured.log_bytes
    heads = [f"{size:,} B to {fan_out}" for size, fan_out in shapes]
    return [
        _row("a million deliveries of", [*heads, "documents"]),
        *(
            _row(
                name,
                [f"{cost.at(size, fan_out):.1f}" for size, fan_out in shapes]
                + [f"+ {cost.document:.1f}"],
            )
            for name, cost in rows.items()
        ),
    ]


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<24}" + "".join(f"{cell:>14}" for cell in cells)


def lines(forecast: Forecast) -> Sequence[str]:
    """Return a forecast as text."""
    given = forecast.given
    load = (
        f"{given.endpoints:,} endpoints, {given.events_per_second:,.0f} events/s of "
        f"{given.size:,} B, fan-out {given.fan_out:g}: "
        f"{given.deliveries_per_second:,.0f} deliveries/s"
    )
    attempts = (
        f"{given.failing:.0%} of the attempts are made again: "
        f"{given.attempts_per_second:,.0f} attempts/s, {given.documents:.2f} documents each"
    )
    return [
        load,
        attempts,
        "",
        *_process_lines(forecast),
        "",
        *_kafka_lines(forecast),
        "",
        *_store_lines(forecast),
        "",
        "what more processes do not help with, by the events/s that fill it",
        *(_limit_line(limit, given) for limit in forecast.limits()),
    ]


def _process_lines(forecast: Forecast) -> Iterable[str]:
    yield f"processes = attempts/s * CPU µs / {forecast.given.busy:.0%} of a core"
    for worker in WORKERS:
        yield (
            f"  {worker:<10}{forecast.processes(worker):7}        {forecast.cpu_us(worker):7.1f} µs"
        )
    yield f"  retry      not measured: {forecast.moves_per_second():,.0f} records/s leave tiers"
    for server in SERVERS:
        yield (
            f"  {server:<10}{forecast.cores(server):7.1f} cores  {forecast.cpu_us(server):7.1f} µs"
        )
    yield (
        f"partitions: {forecast.partitions()}, {PARTITIONS_FOR_EACH} for each process of the "
        f"largest service, a multiple of {GROUP_OF_PARTITIONS}"
    )


def _kafka_lines(forecast: Forecast) -> Iterable[str]:
    given, written = forecast.given, forecast.written()
    total = sum(written.values())
    a_day = total * SECONDS_A_DAY
    yield "Kafka, written = attempts/s * bytes on disk"
    for name, written_bytes in written.items():
        yield f"  {name:<20}{written_bytes / MB:8.1f} MB/s"
    yield f"  {'all':<20}{total / MB:8.1f} MB/s, {a_day / GB:,.0f} GB a day"
    yield (
        f"  {given.replication} copies for {given.retention_days:g} days: "
        f"{a_day * given.replication * given.retention_days / TB:,.1f} TB"
    )
    yield (
        f"  out, to readers and {given.replication - 1} copies: {forecast.broker_mb():,.0f} MB/s, "
        f"{forecast.brokers()} brokers of {given.broker_mb_per_s:g} MB/s and "
        f"{given.broker_cores} cores"
    )


def _store_lines(forecast: Forecast) -> Iterable[str]:
    given, log = forecast.given, forecast.log_bytes_per_second()
    a_day = log * SECONDS_A_DAY
    yield (
        f"delivery log: {given.documents * given.attempts_per_second:,.0f} documents/s, "
        f"{log / MB:.1f} MB/s, {a_day / GB:,.0f} GB a day, "
        f"{a_day * given.log_retention_days / TB:,.1f} TB in {given.log_retention_days:g} days"
    )
    memory = (
        f"{worker} {forecast.worker_bytes(worker) / MB:,.0f} MB"
        for worker in ("fanout", "delivery")
    )
    yield f"memory of a process before its work, with all endpoints: {', '.join(memory)}"


def _limit_line(limit: Limit, given: Load) -> str:
    verdict = "FULL" if limit.events_per_second < given.events_per_second else "ok"
    return f"  {limit.what:<20}{limit.events_per_second:12,.0f}  {verdict:<5} {limit.why}"
