"""H, and the ceiling: programs of one process each, so that their CPU is theirs alone.

``python -m bench.references hops`` measures two bare acknowledged Kafka hops, producer to
consumer and on to another consumer, at a steady pace in one uvloop process: what the broker makes
any pipeline of this shape wait. ``python -m bench.references ceiling`` posts with our
transport alone, no Kafka: what the delivery worker could reach if nothing but sending cost
anything. Both read their options as a line of JSON and print a JSON object.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from ipaddress import ip_network
from typing import Final

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.http.ares import AresResolver
from shared.http.messages import Answered, Outcome, OutgoingRequest, render_headers
from shared.http.transport import Transport
from shared.policy.addresses import EgressPolicy, parse_url

RECORD: Final = b"x" * 300
TIMEOUT_MS: Final = 15_000
RESPONSE_BYTES_MAX: Final = 4_096
SKIPPED_S: Final = 1.0  # the first hops find out where the partitions are


class HopsOptions(msgspec.Struct, frozen=True):
    """At ``rate_per_s`` for ``seconds``; the topics are made anew."""

    bootstrap: str
    rate_per_s: int
    seconds: float
    name: str


class Hops(msgspec.Struct, frozen=True):
    """From the call that sends the first record to the arrival of the second, milliseconds."""

    p50_ms: float
    p99_ms: float


class CeilingOptions(msgspec.Struct, frozen=True):
    """So many requests, so many of them in flight."""

    url: str
    run: str
    requests: int
    in_flight: int
    size: int


class Ceiling(msgspec.Struct, frozen=True):
    """What the posting process did."""

    requests: int
    seconds: float
    cpu_s: float


class _Hop:
    """Reads one topic and hands each record on."""

    def __init__(self, topic: str, bootstrap: str) -> None:
        self.consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=bootstrap, enable_auto_commit=False
        )

    async def __aenter__(self) -> AIOKafkaConsumer:
        await self.consumer.start()
        await self.consumer.seek_to_end()
        return self.consumer

    async def __aexit__(self, *_: object) -> None:
        await self.consumer.stop()


async def hops(options: HopsOptions) -> Hops:
    """Measure H."""
    first, second = f"{options.name}.1", f"{options.name}.2"
    await _make_topics(options.bootstrap, first, second)
    count = int(options.rate_per_s * options.seconds)
    sent_s: list[float] = []
    took_ms: list[float] = []
    arrived = asyncio.Event()
    async with (
        AIOKafkaProducer(bootstrap_servers=options.bootstrap, acks="all") as producer,
        _Hop(first, options.bootstrap) as middle,
        _Hop(second, options.bootstrap) as end,
    ):

        async def forward() -> None:
            async for record in middle:
                await producer.send_and_wait(second, record.value, partition=0)

        async def take() -> None:
            async for _ in end:
                took_ms.append((time.perf_counter() - sent_s[len(took_ms)]) * 1000)
                if len(took_ms) == count:
                    arrived.set()

        tasks = [asyncio.create_task(forward()), asyncio.create_task(take())]
        start_s = time.perf_counter()
        for number in range(count):
            due_s = start_s + number / options.rate_per_s
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            sent_s.append(time.perf_counter())
            await producer.send(first, RECORD, partition=0)
        async with asyncio.timeout(30):
            await arrived.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    cuts = statistics.quantiles(took_ms[int(options.rate_per_s * SKIPPED_S) :], n=100)
    return Hops(p50_ms=cuts[49], p99_ms=cuts[98])


async def _make_topics(bootstrap: str, *names: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1) for name in names])
    finally:
        await admin.close()


async def ceiling(options: CeilingOptions) -> Ceiling:
    """Post with the transport alone, always with ``in_flight`` requests on their way."""
    policy = EgressPolicy(allow=(ip_network("127.0.0.0/8"),), require_https=False)
    transport = Transport(policy=policy, resolver=AresResolver())
    target = parse_url(options.url, policy)
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    head = render_headers(
        (
            ("Content-Type", "application/json"),
            ("User-Agent", "QR3-Webhooks/1.0"),
            ("X-QR3-Attempt", "1"),
            ("X-QR3-Signature", "sha256=" + "0" * 64),
        )
    )
    body = b"x" * options.size
    started = answered = 0

    def send() -> None:
        nonlocal started
        headers = b"%sX-QR3-Event-Id: %s-0-%d\r\n" % (head, options.run.encode(), started)
        started += 1
        request = OutgoingRequest(target, headers, body, TIMEOUT_MS, RESPONSE_BYTES_MAX)
        transport.start(request, done)

    def done(outcome: Outcome) -> None:
        nonlocal answered
        if not isinstance(outcome, Answered):
            finished.set_exception(RuntimeError(outcome.message))
            return
        answered += 1
        if started < options.requests:
            send()
        elif answered == options.requests:
            finished.set_result(None)

    start_s, cpu_s = time.perf_counter(), time.process_time()
    for _ in range(options.in_flight):
        send()
    await finished
    figures = Ceiling(answered, time.perf_counter() - start_s, time.process_time() - cpu_s)
    await transport.close()
    return figures


def main(name: str) -> None:
    """Run one of the two and print what it found."""
    options = sys.stdin.readline()
    if name == "hops":
        found: object = uvloop.run(hops(msgspec.json.decode(options, type=HopsOptions)))
    else:
        found = uvloop.run(ceiling(msgspec.json.decode(options, type=CeilingOptions)))
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main(sys.argv[1])
