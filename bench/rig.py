"""What every series works with: a stack, a receiver, endpoints, loads and the reference R.

One rig serves many measurements; each makes endpoints of its own, with event types of its own. Its
workspaces have the profile *bench*: QR3's webhooks to the letter, but with any event type, an
attempt's limit of 5 s, and never disabled, so that sick endpoints stay sick for a whole run.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import httpx
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from bench.audience import HEALTHY, Audience, Endpoint, Subscription, complaints, spread
from bench.errors import BenchError, LostError
from bench.meter import Meter
from bench.programs import (
    Driven,
    DriverOptions,
    Part,
    Receiver,
    ReferenceOptions,
    Referred,
    Report,
    ask,
    tool,
)
from deploy.local.services import Service
from deploy.local.stack import Options, Stack
from services.gateway.handlers.accounts import create_api_key, create_workspace
from services.gateway.wiring import open_parts
from shared.config import load
from shared.profiles.profile import BUILT_IN

ATTEMPT_LIMIT_S: Final = 5
HOSTS: Final = 2_000
TENANTS: Final = 2
CREATIONS_AT_ONCE: Final = 16
ARRIVE_WITHIN_S: Final = 120.0  # beyond the time that publishing takes
REFERENCE_REQUESTS: Final = 60_000
REFERENCE_CONNECTIONS: Final = 64
REFERENCE_WITHIN_S: Final = 60.0
LOGGED_WITHIN_S: Final = 60.0  # behind the last arrival
POLL_S: Final = 0.1
ROWS: Final = ("recorder", "hooklane_recorder_rows_total")
WARM_UP_BURST: Final = 10_000
WARM_UP_PER_S: Final = 1_000
BURST_LINGER_MS: Final = 5
IDLE_S: Final = 3.0
_CHANGES: Final = (
    ("[events]\n", "[events]\nopen = true\n"),
    ('timeout = "15s"', f'timeout = "{ATTEMPT_LIMIT_S}s"'),
    ("disable_after_failures = 10", "disable_after_failures = 1000000"),
)


class Load(NamedTuple):
    """What is published: events of ``size`` bytes, at a pace or (0) as fast as Kafka takes them.

    At a pace the producer sends each event at once, or lets it wait for others (``linger_ms``).
    """

    events: int
    rate_per_s: float = 0.0
    size: int = 300
    linger_ms: int = 0


class Measured(NamedTuple):
    """What a load did. ``cpu_s`` is by process, of the stack only.

    When everything had been published (``published_us``, Unix), ``backlog`` deliveries had not
    arrived yet. The work behind the last arrival took ``settled_s``.
    """

    driven: Driven
    report: Report
    deliveries: int
    published_us: int
    backlog: int
    settled_s: float
    cpu_s: Mapping[str, float]
    receiver_cpu_s: float

    def costs_us(self) -> dict[str, float]:
        """Return CPU microseconds for each delivery: each service, all of them, and our own."""
        by_service: dict[str, float] = {}
        for process, used in self.cpu_s.items():
            service = process.partition("-")[0]
            by_service[service] = by_service.get(service, 0.0) + used
        costs = {
            **by_service,
            "all": sum(by_service.values()),
            "driver": self.driven.cpu_s,
            "receiver": self.receiver_cpu_s,
        }
        return {f"{name}_us": used * 1e6 / self.deliveries for name, used in costs.items()}


class Rig:
    """A running stack with a receiver. Made by ``open_rig``."""

    def __init__(self, stack: Stack, receiver: Receiver, say: Callable[[str], None]) -> None:
        self.stack = stack
        self.receiver = receiver
        self.say = say
        self.meter = Meter(lambda: stack.describe()["pids"])
        self._accounts: list[tuple[str, httpx.AsyncClient]] = []
        self._created: list[tuple[httpx.AsyncClient, str]] = []
        self._runs = itertools.count(1)
        self._hosts = itertools.count()

    async def prepare(self, closing: AsyncExitStack, warm_up_s: float) -> None:
        """Make the workspaces, warm everything up, and learn what idleness costs."""
        async with open_parts(load(self.stack.env)) as parts:
            for number in range(TENANTS):
                made = await create_workspace(parts.ports, profile="bench", name=f"{number}")
                key = await create_api_key(parts.ports, workspace_id=made.id)
                client = httpx.AsyncClient(
                    base_url=self.stack.gateway_url,
                    headers={"Authorization": f"Bearer {key}"},
                    timeout=30,
                )
                self._accounts.append((made.id, await closing.enter_async_context(client)))
        await self._warm_up(warm_up_s)
        await asyncio.sleep(IDLE_S)
        cores = await self.meter.learn_idle()
        self.say(f"warm; idle, the stack uses {cores:.2f} cores")

    def client(self) -> httpx.AsyncClient:
        """Return a client of the gateway, for the first tenant."""
        return self._accounts[0][1]

    async def audience(
        self, name: str, subscriptions: Sequence[Subscription], *, https: bool = False
    ) -> Audience:
        """Create the endpoints; ``name`` begins their types and paths."""
        unique = f"{name}-{next(self._runs)}"
        parts: list[Part] = []
        endpoints: list[Endpoint] = []
        creating: list[tuple[int, str, str]] = []
        for index, subscription in enumerate(subscriptions):
            event_type = f"bench.{unique}.{index}"
            workspace_id, _ = self._accounts[subscription.tenant]
            parts.append(Part(event_type, workspace_id, subscription.weight))
            for number, place in enumerate(subscription.places):
                path = f"/{place}/{unique}-{index}-{number}"
                endpoints.append(Endpoint(path, index))
                url = self.receiver.url(next(self._hosts), path, https=https)
                creating.append((subscription.tenant, url, event_type))
        slots = asyncio.Semaphore(CREATIONS_AT_ONCE)
        await asyncio.gather(*(self._create(slots, *wanted) for wanted in creating))
        return Audience(tuple(parts), tuple(endpoints))

    async def _create(
        self, slots: asyncio.Semaphore, tenant: int, url: str, event_type: str
    ) -> None:
        async with slots:
            _, client = self._accounts[tenant]
            answer = await client.post("/v1/webhooks", json={"url": url, "events": [event_type]})
            if answer.is_error:
                raise BenchError(f"an endpoint was refused: {answer.status_code} {answer.text}")
            self._created.append((client, answer.json()["id"]))

    async def remove_endpoints(self) -> None:
        """Delete all endpoints, so that what is still under way to sick ones ends."""
        for client, endpoint_id in self._created:
            (await client.delete(f"/v1/webhooks/{endpoint_id}")).raise_for_status()
        self._created.clear()
        await self.meter.settled()

    @property
    def bootstrap(self) -> str:
        """Return Kafka's address."""
        return self.stack.env["HOOKLANE_KAFKA_BOOTSTRAP"]

    def topic(self, name: str) -> str:
        """Return a topic's name in this stack."""
        return self.stack.env.get("HOOKLANE_TOPIC_PREFIX", "") + name

    async def metric(self, service: str, name: str) -> float:
        """Return a metric of a service: the sum over its labels and processes."""
        total = 0.0
        async with httpx.AsyncClient() as client:
            for child in self.stack.children.values():
                if isinstance(child, Service) and child.service == service:
                    page = await client.get(f"http://127.0.0.1:{child.health_port}/metrics")
                    for family in text_string_to_metric_families(page.text):
                        total += sum(s.value for s in family.samples if s.name == name)
        return total

    async def begin(self) -> str:
        """Let the receiver count for a new run, and return the run's name."""
        run = f"r{next(self._runs)}"
        await self.receiver.reset(run)
        return run

    async def drive(self, run: str, audience: Audience, load: Load) -> Driven:
        """Publish a load; returns when Kafka has acknowledged all of it."""
        options = DriverOptions(
            bootstrap=self.bootstrap,
            topic=self.topic("events"),
            run=run,
            events=load.events,
            rate_per_s=load.rate_per_s,
            linger_ms=load.linger_ms if load.rate_per_s else BURST_LINGER_MS,
            bytes=load.size,
            mix=audience.parts,
        )
        takes_s = load.events / load.rate_per_s if load.rate_per_s else 0.0
        return await ask(tool("driver"), options, Driven, within_s=takes_s + ARRIVE_WITHIN_S)

    async def measure(self, audience: Audience, load: Load) -> Measured:
        """Publish to healthy endpoints, wait until all is done, and say what it cost.

        Raises LostError unless every endpoint got every event once.
        """
        run = await self.begin()
        rows, receiver_before = await self.metric(*ROWS), await self.receiver.report()
        before = self.meter.read()
        driven = await self.drive(run, audience, load)
        published_us = int(time.time() * 1e6)
        arrived = await self.receiver.wait(HEALTHY, 0, within_s=0)
        deliveries = audience.expected(driven.events, HEALTHY)
        await self.receiver.wait(HEALTHY, deliveries, within_s=ARRIVE_WITHIN_S)
        arrived_s = time.monotonic()
        check(audience, driven.events, await self.receiver.report())
        await self._logged(rows + deliveries)
        after = await self.meter.settled()
        report = await self.receiver.report()
        check(audience, driven.events, report)  # again: duplicates may come behind the last
        return Measured(
            driven=driven,
            report=report,
            deliveries=deliveries,
            published_us=published_us,
            backlog=deliveries - arrived,
            settled_s=after.at_s - arrived_s,
            cpu_s=after.since(before),
            receiver_cpu_s=report.cpu_s - receiver_before.cpu_s,
        )

    async def _logged(self, rows: float) -> None:
        """Wait until the recorder has stored so many rows since its start; raises LostError."""
        until_s = time.monotonic() + LOGGED_WITHIN_S
        while (stored := await self.metric(*ROWS)) < rows:
            if time.monotonic() > until_s:
                raise LostError(f"LOST: the log is {rows - stored:.0f} rows short")
            await asyncio.sleep(POLL_S)

    async def reference_us(self, size: int) -> float:
        """Return R: CPU microseconds of client and receiver for a request of ``size`` bytes."""
        run = await self.begin()
        before = await self.receiver.report()
        options = ReferenceOptions(
            port=self.receiver.http_port,
            path="/reference/ok/0",
            run=run,
            requests=REFERENCE_REQUESTS,
            connections=REFERENCE_CONNECTIONS,
            bytes=size,
        )
        referred = await ask(tool("reference"), options, Referred, within_s=REFERENCE_WITHIN_S)
        after = await self.receiver.report()
        return (referred.cpu_s + after.cpu_s - before.cpu_s) * 1e6 / referred.requests

    async def _warm_up(self, for_s: float) -> None:
        """Work in bursts for half of the time and at a pace for the other half.

        Cold, the JVM costs two to three times as much, and what it compiles for bursts is not what
        it needs for a pace.
        """
        audience = await self.audience("warm-up", spread(10))
        until_s = time.monotonic() + for_s / 2
        while time.monotonic() < until_s:
            await self._work(audience, Load(WARM_UP_BURST))
        await self._work(audience, Load(int(for_s / 2 * WARM_UP_PER_S), WARM_UP_PER_S))

    async def _work(self, audience: Audience, load: Load) -> None:
        run = await self.begin()
        driven = await self.drive(run, audience, load)
        await self.receiver.wait(HEALTHY, sum(driven.events), within_s=ARRIVE_WITHIN_S)
        check(audience, driven.events, await self.receiver.report())


def check(
    audience: Audience,
    events: Sequence[int],
    report: Report,
    *,
    groups: Collection[str] = (HEALTHY,),
    repeats: bool = False,
) -> None:
    """Raise LostError unless all endpoints of these groups got every event, and nobody any twice.

    ``repeats``: to get one twice is allowed.
    """
    wrong = complaints(audience, events, report.paths, groups=groups, repeats=repeats)
    if wrong:
        raise LostError("LOST OR TWICE: " + "; ".join(wrong))


@asynccontextmanager
async def open_rig(
    *,
    say: Callable[[str], None],
    warm_up_s: float,
    counts: Mapping[str, int],
) -> AsyncIterator[Rig]:
    """Start a stack and a receiver for the length of the block; nothing is left behind.

    The environment's settings count, as for ``make run``; ``counts`` goes before them.
    """
    async with AsyncExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="hooklane-bench-")))
        state_dir, profiles_dir, ca_file = folder / "state", folder / "profiles", folder / "ca.pem"
        state_dir.mkdir()
        profiles_dir.mkdir()
        (profiles_dir / "bench.toml").write_text(profile(), encoding="utf-8")
        receiver = await Receiver.open(ca_file, host_count=HOSTS)
        closing.push_async_callback(receiver.close)
        given = Options.read(os.environ)
        options = structs.replace(
            given,
            state_dir=state_dir,
            gateway_port=0,
            kafka_port=0,
            mongo_port=0,
            optimise=True,
            counts={**given.counts, **counts},
            settings={
                "HOOKLANE_LOG_LEVEL": "warning",
                **given.settings,
                "HOOKLANE_PROFILES_DIR": str(profiles_dir),
                "SSL_CERT_FILE": str(ca_file),  # so that the delivery worker trusts the receiver
            },
        )
        stack = Stack(options, say=say)
        closing.push_async_callback(stack.stop)
        await stack.start()
        rig = Rig(stack, receiver, say)
        await rig.prepare(closing, warm_up_s)
        yield rig


def profile() -> str:
    """Return the profile *bench*: QR3's, with other limits."""
    text = (BUILT_IN / "qr3.toml").read_text(encoding="utf-8")
    for before, after in _CHANGES:
        if before not in text:
            raise BenchError(f"qr3.toml does not say {before!r} any more: mend bench/rig.py")
        text = text.replace(before, after)
    return text
