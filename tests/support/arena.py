"""A whole Hooklane with a receiver that keeps count: for tests that kill things under load.

The receiver refuses a known share of first attempts, so that retries, their tier and the dead ends
of a crash take part in every run. What the log says is read from MongoDB directly: the arena judges
the system from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from deploy.local.stack import Options, Stack
from shared.config import load
from shared.kafka.cluster import Cluster
from shared.models.attempts import Attempt
from shared.storage.mongo.attempts import CHUNKS
from tests.support.log_rows import log_rows
from tests.support.polling import until

FAN_OUT: Final = 3
REFUSED_OF: Final = 20  # one in so many first attempts is answered with 500
PROFILE: Final = """
title = "Fast retries"
[body]
members = {{ id = "id", type = "type", data = "data" }}
[signature]
scheme = "hmac-sha256-hex"
header = "X-Signature"
[headers]
event_id = "X-Event-Id"
attempt = "X-Attempt"
user_agent = "Arena/1.0"
[events]
open = true
ping = "webhook.ping"
types = {{ "webhook.ping" = "Test ping" }}
[retry]
delays = [{delays}]
timeout = "{timeout}"
[health]
"""


class Request(NamedTuple):
    """What identifies a request: the endpoint's path, the event and the attempt number."""

    path: str
    event_id: str
    attempt: int


class Receiver:
    """Counts requests; safe against connections that break off."""

    def __init__(self) -> None:
        self.requests: Counter[Request] = Counter()
        self.accepted: Counter[tuple[str, str]] = Counter()
        self.arrivals: Counter[str] = Counter()  # requests by path
        self.arrivals_s: list[float] = []
        self.takes_s: dict[str, float] = {}  # how long a path takes to answer, else no time
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                headers = _headers(head)
                await reader.readexactly(int(headers["content-length"]))
                path = head.split(b" ", 2)[1].decode()
                request = Request(path, headers["x-event-id"], int(headers["x-attempt"]))
                answer = self._answer(request)
                if path in self.takes_s:
                    await asyncio.sleep(self.takes_s[path])
                writer.write(answer)
        writer.close()

    def _answer(self, request: Request) -> bytes:
        self.requests[request] += 1
        self.arrivals[request.path] += 1
        self.arrivals_s.append(time.monotonic())
        delivery = (request.path, request.event_id)
        if request.attempt == 1 and zlib.crc32("".join(delivery).encode()) % REFUSED_OF == 0:
            return b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
        self.accepted[delivery] += 1
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    @property
    def repeats(self) -> int:
        """Return how many requests were sent again with the same attempt number."""
        return sum(count - 1 for count in self.requests.values())


class Arena:
    """A running stack with a workspace, endpoints that get every event, and a producer."""

    def __init__(
        self, stack: Stack, receiver: Receiver, producer: AIOKafkaProducer, fan_out: int
    ) -> None:
        self.stack = stack
        self.fan_out = fan_out
        self.receiver = receiver
        self._producer = producer
        self._mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            stack.env["HOOKLANE_MONGO_URI"]
        )
        self.workspace_id = ""
        self.api_key = ""

    async def publish(self, prefix: str, count: int, *, pace_s: float = 0.0) -> list[str]:
        """Produce ``count`` events, each acknowledged by Kafka before this returns their ids."""
        ids = [f"{prefix}-{number}" for number in range(count)]
        acknowledged = []
        for number, event_id in enumerate(ids):
            event = {"id": event_id, "type": "a.b", "workspace_id": self.workspace_id}
            value = msgspec.json.encode({**event, "data": {"number": number}})
            acknowledged.append(
                await self._producer.send(self.stack.describe()["events_topic"], value)
            )
            if pace_s and number % 50 == 49:
                await asyncio.sleep(50 * pace_s)
        await asyncio.gather(*acknowledged)
        return ids

    async def successes(self, prefix: str) -> Counter[tuple[str, str]]:
        """Return how many rows of the log say ``success``, by endpoint and event."""
        rows: list[Attempt] = []
        with contextlib.suppress(PyMongoError):  # the server may be the one that was killed
            rows = await log_rows(self._mongo["hooklane"][CHUNKS])
        return Counter(
            (row.endpoint_id, row.event_id)
            for row in rows
            if row.status == "success" and row.event_id.startswith(f"{prefix}-")
        )

    async def close(self) -> None:
        """Close the arena's own connections."""
        await self._mongo.close()


class Caller:
    """Publishes over HTTP through whichever gateway is in service, as a balancer sees to it.

    What was not answered with 202 is sent again, with the same id.
    """

    def __init__(self, arena: Arena) -> None:
        self.urls = [arena.stack.gateway_url]
        self.count = 0
        self._headers = {"Authorization": f"Bearer {arena.api_key}"}

    async def run(self, prefix: str, enough: asyncio.Event, *, pace_s: float) -> None:
        """Publish events until there are enough, each of them accepted before the next."""
        async with httpx.AsyncClient(headers=self._headers, timeout=10) as client:
            while not enough.is_set():
                event = {"id": f"{prefix}-{self.count}", "type": "a.b", "data": {}}
                await until(
                    partial(self._post, client, event),
                    lambda status: status == httpx.codes.ACCEPTED,
                    what="an event accepted",
                    within_s=60,
                )
                self.count += 1
                await asyncio.sleep(pace_s)

    async def _post(self, client: httpx.AsyncClient, event: Mapping[str, object]) -> int:
        """Return the answer's status, 0 for none."""
        url = self.urls[self.count % len(self.urls)]
        with contextlib.suppress(httpx.TransportError):
            return (await client.post(f"{url}/v1/events", json=event)).status_code
        return 0


@asynccontextmanager
async def open_arena(
    folder: Path,
    *,
    fan_out: int = FAN_OUT,
    counts: Mapping[str, int] | None = None,
    delays: str = '"1s", "2s", "5s"',
    attempt_timeout: str = "5s",
    settings: Mapping[str, str] | None = None,
    own_settings: Mapping[str, Mapping[str, str]] | None = None,
) -> AsyncIterator[Arena]:
    """Start a stack in ``folder``, and stop it at the end.

    It has a Kafka and a MongoDB of its own, unless ``settings`` name others.
    """
    profiles = folder / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "arena.toml").write_text(PROFILE.format(delays=delays, timeout=attempt_timeout))
    given = {
        "HOOKLANE_PROFILES_DIR": str(profiles),
        "HOOKLANE_RETRY_TIERS": "1s,2s,5s,30s,1m,5m,30m,2h,5h,10h,14h,20h,24h",
        **(settings or {}),
    }
    options = Options(
        state_dir=folder / "state",
        gateway_port=0,
        kafka_port=0,
        mongo_port=0,
        kafka_bootstrap=given.get("HOOKLANE_KAFKA_BOOTSTRAP"),
        mongo_uri=given.get("HOOKLANE_MONGO_URI"),
        counts=counts or {},
        settings=given,
        own_settings=own_settings or {},
    )
    options.state_dir.mkdir()
    receiver = Receiver()
    stack = Stack(options, say=lambda line: print(line, flush=True))
    async with receiver.listening():
        try:
            await stack.start()
            producer = AIOKafkaProducer(
                **Cluster.of(load(stack.env)).client,
                acks="all",
                enable_idempotence=True,
            )
            async with producer:
                arena = Arena(stack, receiver, producer, fan_out)
                await _prepare(arena)
                yield arena
                await arena.close()
        finally:
            await stack.stop()


async def _prepare(arena: Arena) -> None:
    """Make a workspace with the arena's profile, and its endpoints."""
    made = await _admin(
        arena.stack.env, "create-workspace", "--profile", "arena", "--name", "Arena"
    )
    arena.workspace_id, arena.api_key = made["id"], made["api_key"]
    async with httpx.AsyncClient(
        base_url=arena.stack.gateway_url, headers={"Authorization": f"Bearer {arena.api_key}"}
    ) as client:
        for number in range(arena.fan_out):
            url = f"http://127.0.0.1:{arena.receiver.port}/{number}"
            answer = await client.post("/v1/webhooks", json={"url": url, "events": ["*"]})
            answer.raise_for_status()
    # Kafka opens a topic's files with its first record: that is no part of what is tested.
    await arena.publish("warm-up", 200)
    await until(
        lambda: arena.successes("warm-up"),
        lambda rows: len(rows) == 200 * arena.fan_out,
        what="the warm-up in the log",
        within_s=60,
    )


async def _admin(env: Mapping[str, str], *arguments: str) -> dict[str, str]:
    """Run the operators' command line against the stack."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.gateway.admin",
        *arguments,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    decoded: dict[str, str] = msgspec.json.decode(output)
    return decoded


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {
        name.lower(): value.strip()
        for name, separator, value in (line.partition(":") for line in lines)
        if separator
    }
