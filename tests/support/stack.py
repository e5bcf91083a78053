"""The whole of Hooklane for end-to-end tests: started once, used by many tests.

``open_hooklane`` runs the same ``Stack`` as ``make run``, with ports and a state folder of its own,
short retry tiers besides the real ones, and test profiles made from the built-in ones. Tests keep
apart by workspaces: ``Hooklane.workspace`` makes one. From there on everything goes the way of a
customer: the two HTTP APIs, the topic ``events``, and topics that are open to read.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import httpx
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from deploy.local.stack import Options, Stack
from services.gateway.handlers.accounts import create_api_key, create_workspace, issue_jwt
from services.gateway.wiring import Parts, open_parts
from shared.config import load
from shared.profiles.profile import BUILT_IN
from tests.support.polling import WITHIN_S, until
from tests.support.producers import Message

RETRY_TIERS: Final = "250ms,500ms,1s,2s,5s,30s,1m,5m,30m,2h,5h,10h,14h,20h,24h"
PARTITIONS: Final = 4  # of each topic: enough to be several, and a third of the start-up
PAGE: Final = 100  # the API's largest

FAST: Final = "fast"  # qr3, but its retries come after 0.25 s and 0.5 s
FAST_STANDARD: Final = "fast-standard"  # standard, but its retries come after 0.5 s and 1 s
IMPATIENT: Final = "impatient"  # as fast, and an attempt is given up after 1 s
_FAST_DELAYS: Final = 'delays = ["250ms", "500ms"]'
_FAST_STANDARD_DELAYS: Final = 'delays = ["500ms", "1s"]'
_QR3_DELAYS: Final = 'delays = ["1m", "5m"]'
_STANDARD_DELAYS: Final = 'delays = ["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"]'

Json = dict[str, Any]
Headers = Sequence[tuple[str, bytes]]
KafkaRecord: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"


class Workspace(NamedTuple):
    """A workspace with its credentials, and a client for the calls of both guides."""

    id: str
    profile: str
    api_key: str
    jwt: str
    http: httpx.AsyncClient

    async def call(
        self, method: str, path: str, body: Json | None = None, *, token: str | None = None
    ) -> Any:
        """Make one call and return its decoded answer; raises AssertionError for an error."""
        headers = {"Authorization": f"Bearer {token or self.api_key}"}
        answer = await self.http.request(method, path, json=body, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def create(self, url: str, events: Sequence[str] = ("*",), **more: Any) -> Json:
        """Create an endpoint and return the answer."""
        body = {"url": url, "events": list(events), **more}
        created: Json = await self.call("POST", "/v1/webhooks", body)
        return created

    async def show(self, endpoint_id: str) -> Json:
        """Return an endpoint."""
        shown: Json = await self.call("GET", f"/v1/webhooks/{endpoint_id}")
        return shown

    async def enable(self, endpoint_id: str) -> Json:
        """Enable an endpoint again."""
        changed: Json = await self.call("PATCH", f"/v1/webhooks/{endpoint_id}", {"is_active": True})
        return changed

    async def deliveries(self, endpoint_id: str) -> list[Json]:
        """Return an endpoint's log, newest first (its first ``PAGE`` rows)."""
        path = f"/v1/webhooks/{endpoint_id}/deliveries?limit={PAGE}"
        rows: list[Json] = (await self.call("GET", path))["data"]
        return rows

    async def logged(
        self,
        endpoint_id: str,
        wanted: Callable[[list[Json]], bool],
        *,
        what: str,
        within_s: float = WITHIN_S,
    ) -> list[Json]:
        """Wait until an endpoint's log is as wanted, and return it, newest first."""
        return await until(
            lambda: self.deliveries(endpoint_id), wanted, what=what, within_s=within_s
        )

    async def shown(self, endpoint_id: str, **wanted: object) -> Json:
        """Wait until an endpoint has these fields, and return it."""
        return await until(
            lambda: self.show(endpoint_id),
            lambda endpoint: endpoint | wanted == endpoint,
            what=f"{endpoint_id} with {wanted}",
        )

    def event(self, event_type: str, event_id: str, data: Json | bytes | None = None) -> Message:
        """Return an event of this workspace; ``data`` given as bytes is JSON and stays as it is."""
        raw = data if isinstance(data, bytes) else msgspec.json.encode(data or {})
        members = {"id": event_id, "type": event_type, "workspace_id": self.id}
        value = msgspec.json.encode({**members, "data": msgspec.Raw(raw)})
        return Message(key=event_id.encode(), value=value)


class TopicLog:
    """Everything that a topic holds. Reads without a group, so that it takes nothing away."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._records: list[KafkaRecord] = []

    async def read(self) -> list[KafkaRecord]:
        """Read up to the topic's present end and return all records from its beginning on."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        for partition, end in ends.items():
            while await self._consumer.position(partition) < end:
                fetched = await self._consumer.getmany(partition, timeout_ms=200)
                self._records += fetched.get(partition, ())
        return self._records

    async def find(
        self, wanted: Callable[[KafkaRecord], bool], *, what: str, count: int = 1
    ) -> list[KafkaRecord]:
        """Wait until ``count`` records are as wanted, and return all that are."""

        async def look() -> list[KafkaRecord]:
            return [record for record in await self.read() if wanted(record)]

        return await until(look, lambda found: len(found) >= count, what=f"{what} on {self._topic}")


class Hooklane:
    """A running stack, and what tests need to use it."""

    def __init__(
        self, stack: Stack, parts: Parts, producer: AIOKafkaProducer, closing: AsyncExitStack
    ) -> None:
        self.stack = stack
        self.bootstrap: str = stack.env["HOOKLANE_KAFKA_BOOTSTRAP"]
        self.events_topic: str = stack.describe()["events_topic"]
        self.logs_dir: Path = stack.dev_json.parent / "logs"
        self._parts = parts
        self._producer = producer
        self._closing = closing
        self._http = httpx.AsyncClient(base_url=stack.gateway_url, timeout=30)
        self._topics: dict[str, TopicLog] = {}
        closing.push_async_callback(self._http.aclose)

    async def workspace(self, profile: str) -> Workspace:
        """Make a workspace with this profile."""
        ports = self._parts.ports
        made = await create_workspace(ports, profile=profile, name=f"Test of {profile}")
        key = await create_api_key(ports, workspace_id=made.id)
        jwt = await issue_jwt(ports, self._parts.jwt_policy, workspace_id=made.id)
        return Workspace(made.id, profile, key, jwt, self._http)

    def demo(self, profile: str) -> Workspace:
        """Return the demo workspace of a profile, as ``dev.json`` has it."""
        account: Mapping[str, str] = self.stack.describe()["workspaces"][profile]
        return Workspace(
            account["id"], profile, account["api_key"], account.get("jwt", ""), self._http
        )

    async def publish(self, *messages: Message) -> None:
        """Produce messages to ``events``; returns when Kafka has acknowledged all of them."""
        sending = [
            await self._producer.send(
                self.events_topic,
                message.value,
                key=message.key,
                headers=list(message.headers),
                partition=message.partition,
                timestamp_ms=message.timestamp_ms,
            )
            for message in messages
        ]
        await asyncio.gather(*sending)

    async def produce(self, topic: str, value: bytes, *, key: bytes, headers: Headers = ()) -> None:
        """Produce a record to a topic of Hooklane's own, as a process of another release would."""
        await self._producer.send_and_wait(topic, value, key=key, headers=list(headers))

    async def leave_token(self, endpoint_id: str) -> None:
        """Mark an endpoint as one that somebody began to publish long ago, and did not."""
        endpoints = self._parts.mongo.collection("endpoints")
        await endpoints.update_one({"_id": endpoint_id}, {"$push": {"publishers": "0-dead"}})

    async def topic(self, name: str) -> TopicLog:
        """Return what a topic holds."""
        if name not in self._topics:
            consumer = AIOKafkaConsumer(
                name,
                bootstrap_servers=self.bootstrap,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=4 * 1024 * 1024,
            )
            await consumer.start()
            self._closing.push_async_callback(consumer.stop)
            self._topics[name] = TopicLog(consumer, name)
        return self._topics[name]


@asynccontextmanager
async def open_hooklane(
    more: Mapping[str, str] | None = None, *, counts: Mapping[str, int] | None = None
) -> AsyncIterator[Hooklane]:
    """Run a stack for the block's length; its state is removed then.

    ``more`` settings may be given, and of which service there are to be how many, if not one.
    """
    # Not tmp_path_factory: it keeps the last three runs, and one is several hundred MB.
    folder = Path(tempfile.mkdtemp(prefix="hooklane-e2e-"))
    async with AsyncExitStack() as closing:
        closing.callback(shutil.rmtree, folder)
        notices: list[str] = []
        stack = Stack(_options(folder, more or {}, counts or {}), say=notices.append)
        closing.push_async_callback(stack.stop)
        await stack.start()
        parts = await closing.enter_async_context(open_parts(load(stack.env)))
        producer = AIOKafkaProducer(
            bootstrap_servers=stack.env["HOOKLANE_KAFKA_BOOTSTRAP"],
            acks="all",
            max_batch_size=512 * 1024,
            max_request_size=4 * 1024 * 1024,
        )
        await producer.start()
        closing.push_async_callback(producer.stop)
        yield Hooklane(stack, parts, producer, closing)
        assert not notices, notices  # whatever the tests sent, no process may have ended


def _options(folder: Path, more: Mapping[str, str], counts: Mapping[str, int]) -> Options:
    state_dir, profiles_dir = folder / "state", folder / "profiles"
    state_dir.mkdir()
    profiles_dir.mkdir()
    for name, text in short_profiles().items():
        (profiles_dir / f"{name}.toml").write_text(text, encoding="utf-8")
    settings = {
        "HOOKLANE_PROFILES_DIR": str(profiles_dir),
        "HOOKLANE_RETRY_TIERS": RETRY_TIERS,
        "HOOKLANE_PARTITIONS": str(PARTITIONS),
        **more,
    }
    return Options(
        state_dir=state_dir,
        gateway_port=0,
        kafka_port=0,
        mongo_port=0,
        counts=counts,
        settings=settings,
    )


def short_profiles() -> Mapping[str, str]:
    """Return the test profiles' files: the built-in ones with other times."""
    fast = _built_in("qr3", (_QR3_DELAYS, _FAST_DELAYS))
    return {
        FAST: fast,
        FAST_STANDARD: _built_in("standard", (_STANDARD_DELAYS, _FAST_STANDARD_DELAYS)),
        IMPATIENT: _built_in("qr3", (_QR3_DELAYS, _FAST_DELAYS), ('"15s"', '"1s"')),
    }


def _built_in(name: str, *changes: tuple[str, str]) -> str:
    text = (BUILT_IN / f"{name}.toml").read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text, f"{name}.toml does not say {before}"
        text = text.replace(before, after)
    return text
