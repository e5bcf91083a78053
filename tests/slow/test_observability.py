"""What a running Hooklane tells of itself: every documented metric moves, a delivery is one trace.

The list of the metrics is that of the operations guide, so a metric that nothing moves, or that is
not in the guide, turns this red.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest
import pytest_asyncio
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.services import NAMES, Service
from shared.models.deliveries import META_HEADER, DeliveryMeta, encode_meta
from shared.topics import DELIVERIES
from tests.architecture.repository import ROOT
from tests.support.collector import SpanSeen, TraceCollector
from tests.support.polling import until, until_true
from tests.support.producers import Message
from tests.support.receivers import HANG, OK, Answer, ScriptedReceiver, failing
from tests.support.stack import FAST, IMPATIENT, Hooklane, open_hooklane

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

MOVED_WITHIN_S: Final = 90.0
LATE_S: Final = 2.0
TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
PRODUCER_SPAN: Final = "b7ad6b7169203331"
TRACEPARENT: Final = f"00-{TRACE_ID}-{PRODUCER_SPAN}-01"

_GUIDE: Final = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
_DOCUMENTED: Final = frozenset(
    re.findall(r"^\| `(hooklane_\w+)` \| (?:counter|gauge|histogram) \|", _GUIDE, re.MULTILINE)
)
_OVERDUE_S: Final = "hooklane_retry_overdue_seconds"
_OVERDUE: Final = {_OVERDUE_S, "hooklane_retry_overdue_count"}
"""A healthy retry is hardly ever late, however busy: Kafka has to be away for a moment."""

_UNIFORM: Final = {"hooklane_build_info"}
"""Says the same for ever: there is enough."""

Samples = dict[str, float]


@pytest.fixture(scope="module")
def collector() -> Iterator[TraceCollector]:
    with TraceCollector() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hooklane(collector: TraceCollector) -> AsyncIterator[Hooklane]:
    settings = {"HOOKLANE_TRACES_URL": collector.url, "HOOKLANE_TRACES_RATIO": "0"}
    async with open_hooklane(settings) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[ScriptedReceiver]:
    async with ScriptedReceiver() as running:
        yield running


class Scraper:
    """Scrapes all services, and keeps which metrics have moved."""

    def __init__(self, hooklane: Hooklane, client: httpx.AsyncClient) -> None:
        self._services = [
            child for child in hooklane.stack.children.values() if isinstance(child, Service)
        ]
        self._client = client
        self._first: dict[str, Samples] = {}
        self.seen: set[str] = set()
        self.moved: set[str] = set()
        self.latest: Samples = {}
        """The largest sample of each metric, of when it was scraped last."""

    async def look(self) -> set[str]:
        """Scrape once; returns the documented metrics that have not moved yet."""
        self.latest = {}
        for service in self._services:
            self._compare(service.name, await self._scrape(service))
        return set(_DOCUMENTED - self.moved)

    async def _scrape(self, service: Service) -> list[tuple[str, str, float]]:
        answer = await self._client.get(f"http://127.0.0.1:{service.health_port}/metrics")
        samples = []
        for family in text_string_to_metric_families(answer.text):
            name = family.name + ("_total" if family.type == "counter" else "")
            if name.startswith("hooklane_") and not name.endswith("_created"):
                self.seen.add(name)
                for sample in family.samples:
                    key = f"{sample.name}{sorted(sample.labels.items())}"
                    samples.append((name, key, sample.value))
        return samples

    def _compare(self, service: str, samples: list[tuple[str, str, float]]) -> None:
        first = self._first.setdefault(service, {key: value for _, key, value in samples})
        for name, key, value in samples:
            self.latest[name] = max(value, self.latest.get(name, value))
            if value != first.get(key, 0.0) or (name in _UNIFORM and value):
                self.moved.add(name)


async def test_every_documented_metric_moves_under_load(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        scraper = Scraper(hooklane, client)
        await scraper.look()
        await _refused(hooklane)
        load = asyncio.create_task(_load(hooklane, receiver))
        busy = asyncio.create_task(_keep_busy(hooklane))
        try:
            left = await until(
                scraper.look,
                lambda left: left <= _OVERDUE and load.done(),
                what="every metric moved",
                within_s=MOVED_WITHIN_S,
            )
            load.result()
            with _frozen(hooklane, "kafka"):
                left = await until(
                    scraper.look,
                    lambda left: not left and LATE_S < scraper.latest[_OVERDUE_S] < MOVED_WITHIN_S,
                    what="retries late",
                    within_s=30,
                )
        finally:
            for task in (load, busy):
                task.cancel()
                await asyncio.wait({task})

    assert left == set()
    assert scraper.seen == _DOCUMENTED


async def test_one_delivery_is_one_trace_through_all_services(
    hooklane: Hooklane, receiver: ScriptedReceiver, collector: TraceCollector
) -> None:
    """From a caller's span to the log, a failed attempt and the wait for the next one included."""
    workspace = await hooklane.workspace(FAST)
    receiver.script("/", failing(500), OK)
    endpoint = await workspace.create(receiver.url("/"), ["qr.created"])
    answer = await workspace.http.post(
        "/v1/events",
        json={"id": "evt_traced", "type": "qr.created", "data": {}},
        headers={"Authorization": f"Bearer {workspace.api_key}", "Traceparent": TRACEPARENT},
    )
    assert answer.status_code == 202

    spans = await _spans(collector, TRACE_ID, 7)
    (publish,), (fan_out,), (wait,) = (
        [span for span in spans if span.name == name]
        for name in ("publish", "fan out", "wait 250ms")
    )
    posts = sorted((s for s in spans if s.name == "POST"), key=lambda s: s.start_ns)
    records = [span for span in spans if span.name == "record"]
    assert [span.service for span in (publish, fan_out, posts[0], wait, records[0])] == [
        f"hooklane-{name}" for name in ("gateway", "fanout", "delivery", "retry", "recorder")
    ]
    assert publish.parent == PRODUCER_SPAN
    assert fan_out.parent == publish.span_id
    assert {span.parent for span in (*posts, wait)} == {fan_out.span_id}
    assert {span.parent for span in records} == {span.span_id for span in posts}
    assert [span.attributes["hooklane.attempt"] for span in posts] == [1, 2]
    assert [span.attributes["http.response.status_code"] for span in posts] == [500, 200]
    assert [span.failed for span in posts] == [True, False]
    assert posts[0].attributes["hooklane.endpoint.id"] == endpoint["id"]
    assert posts[0].end_ns <= wait.end_ns
    assert all("traceparent" not in request.headers for request in receiver.at("/"))
    assert await _lines_of_trace(hooklane, TRACE_ID) == [(1, 500)]


async def test_a_trace_of_a_kafka_producer_goes_on(
    hooklane: Hooklane, receiver: ScriptedReceiver, collector: TraceCollector
) -> None:
    workspace = await hooklane.workspace(FAST)
    await workspace.create(receiver.url("/kafka"), ["qr.created"])
    trace_id = TRACE_ID[::-1]
    header = ("traceparent", f"00-{trace_id}-{PRODUCER_SPAN}-01".encode())
    event = workspace.event("qr.created", "evt_of_kafka")
    await hooklane.publish(replace(event, headers=(header,)))
    await hooklane.publish(workspace.event("qr.created", "evt_without"))
    await receiver.got("/kafka", "evt_without")

    spans = await _spans(collector, trace_id, 3)
    assert [span.parent for span in spans if span.name == "fan out"] == [PRODUCER_SPAN]
    assert {span.attributes.get("hooklane.event.id") for span in spans} <= {"evt_of_kafka", None}


async def _spans(collector: TraceCollector, trace_id: str, count: int) -> list[SpanSeen]:
    return await until_true(
        lambda: collector.of(trace_id),
        lambda spans: len(spans) >= count,
        what=f"{count} spans",
        within_s=30,
    )


async def _lines_of_trace(hooklane: Hooklane, trace_id: str) -> list[tuple[int, int]]:
    """Return attempt and status of the lines that the delivery worker wrote for a trace."""
    text = (hooklane.logs_dir / "delivery.log").read_text(encoding="utf-8")
    found = [line for line in text.splitlines() if trace_id in line]
    return [
        (int(re.findall(r'"attempt": (\d+)', line)[0]), int(re.findall(r'code": (\d+)', line)[0]))
        for line in found
    ]


async def _load(hooklane: Hooklane, receiver: ScriptedReceiver) -> None:
    """Let everything happen once that a metric counts, as far as it needs no constant load."""
    await _failures(hooklane, receiver)
    await _rejections(hooklane)
    await _limits(hooklane)
    await _left_by_a_dead_gateway(hooklane, receiver)


async def _failures(hooklane: Hooklane, receiver: ScriptedReceiver) -> None:
    workspace = await hooklane.workspace(IMPATIENT)
    receiver.script("/fails", failing(500))
    receiver.script("/gone", failing(410))
    receiver.script("/asks", failing(503, retry_after="60"))
    receiver.script("/hangs", HANG)
    receiver.script("/slow", Answer(delay_s=0.6))
    receiver.script("/once", failing(500), OK)
    endpoints = {
        path: await workspace.create(receiver.url(path), ["qr.created"])
        for path in ("/fails", "/gone", "/asks", "/hangs", "/slow", "/once", "/deleted")
    }
    receiver.script("/deleted", failing(500))
    events = [workspace.event("qr.created", f"evt_{number}") for number in range(60)]
    events[1] = replace(
        events[1], headers=(("traceparent", f"00-{'1' * 32}-{PRODUCER_SPAN}-01".encode()),)
    )
    await hooklane.publish(*events, events[0])  # once more: a repeat
    await receiver.arrived("/deleted")
    await workspace.call("DELETE", f"/v1/webhooks/{endpoints['/deleted']['id']}")
    await receiver.arrived("/fails", 3)


async def _rejections(hooklane: Hooklane) -> None:
    """What nobody can read: on each topic that somebody might write to."""
    workspace = await hooklane.workspace(FAST)
    await hooklane.publish(workspace.event("no.such.type", "evt_x"), Message(value=b"nonsense"))
    for topic in ("deliveries", "retry.250ms"):
        await hooklane.produce(topic, b"body", key=b"wh_nobody")
    for event_type in ("qr.created", "no.such.type"):
        await workspace.http.post(
            "/v1/events",
            json={"type": event_type, "data": {}},
            headers={"Authorization": f"Bearer {workspace.api_key}"},
        )


async def _limits(hooklane: Hooklane) -> None:
    """A workspace uses its limit up, and once more while MongoDB does not answer."""
    operator = {"Authorization": f"Bearer {hooklane.stack.describe()['operator_key']}"}
    workspace = await hooklane.workspace(FAST)
    path = f"/v1/operator/workspaces/{workspace.id}"
    limits = {"limits": {"events_per_second": 1}}
    changed = await workspace.http.patch(path, json=limits, headers=operator)
    assert changed.is_success, changed.text

    async def post() -> int:
        answer = await workspace.http.post(
            "/v1/events",
            json={"type": "qr.created", "data": {}},
            headers={"Authorization": f"Bearer {workspace.api_key}"},
        )
        return answer.status_code

    await until(post, lambda status: status == 429, what="a limit used up", within_s=30)
    with _frozen(hooklane, "mongo"):
        await until(post, lambda status: status == 202, what="a limit left open", within_s=30)


@contextmanager
def _frozen(hooklane: Hooklane, child: str) -> Iterator[None]:
    pid = hooklane.stack.children[child].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def _left_by_a_dead_gateway(hooklane: Hooklane, receiver: ScriptedReceiver) -> None:
    """Leave the token of a writer that has died; the sweeper publishes for it."""
    workspace = await hooklane.workspace(FAST)
    endpoint = await workspace.create(receiver.url("/"), ["qr.created"])
    await hooklane.leave_token(endpoint["id"])


async def _refused(hooklane: Hooklane) -> None:
    """Have a delivery in a tier that its way back refuses to take, for its size."""
    meta = DeliveryMeta("evt_big", "qr.created", "ws_1", 2, "event", 0, 1, 1)
    header = (META_HEADER, encode_meta(meta))
    admin = AdminClient({"bootstrap.servers": hooklane.bootstrap})
    _limit_messages(admin, 100_000)
    await hooklane.produce("retry.250ms", os.urandom(300_000), key=b"wh_1", headers=(header,))
    log = hooklane.logs_dir / "retry.log"
    await until_true(
        lambda: log.read_text(encoding="utf-8"),
        lambda text: "record_refused" in text,
        what="a record refused",
    )
    _limit_messages(admin, DELIVERIES.message_bytes_max)


def _limit_messages(admin: AdminClient, bytes_max: int) -> None:
    entry = ConfigEntry(
        "max.message.bytes", str(bytes_max), incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ResourceType.TOPIC, DELIVERIES.name, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)


async def _keep_busy(hooklane: Hooklane) -> None:
    """Keep fan-out, delivery and retry so busy that something is always behind, or soon due."""
    workspace = await hooklane.workspace(FAST)
    number = 0
    while True:
        events = [workspace.event("qr.created", f"busy_{number + n}") for n in range(500)]
        number += len(events)
        await hooklane.publish(*events)
        due_ms = time.time_ns() // 1_000_000 + 1_000
        metas = [
            DeliveryMeta(f"late_{number + n}", "qr.created", workspace.id, 2, "event", 0, 1, due_ms)
            for n in range(500)
        ]
        await asyncio.gather(
            *(
                hooklane.produce(
                    "retry.1s", b"{}", key=b"wh_0", headers=((META_HEADER, encode_meta(meta)),)
                )
                for meta in metas
            )
        )


async def test_every_service_can_be_looked_into_and_goes_on(hooklane: Hooklane) -> None:
    """A thread that did not block the signal would end its process; the stack would notice."""
    for name in NAMES:
        pid = hooklane.stack.children[name].pid
        assert pid is not None
        os.kill(pid, signal.SIGUSR1)
        log = hooklane.logs_dir / f"{name}.log"
        await until_true(
            partial(log.read_text, encoding="utf-8"),
            lambda text: '"event": "stacks"' in text,
            what=f"stacks of {name}",
        )
        assert hooklane.stack.children[name].pid == pid


STUCK: Final = (
    *((service, "main") for service in NAMES),
    ("fanout", "fetcher"),  # Faust fetches in a thread of its own
)


async def test_a_loop_that_is_stuck_ends_liveness_in_every_service(
    hooklane: Hooklane, tmp_path: Path
) -> None:
    env = {**os.environ, **hooklane.stack.env, "HOOKLANE_GATEWAY_PORT": "0"}
    logs = {(service, loop): tmp_path / f"{service}-{loop}.log" for service, loop in STUCK}
    children = [_begun(service, loop, env, log) for (service, loop), log in logs.items()]
    try:
        for (service, _), log in logs.items():
            text = await until_true(
                partial(log.read_text, encoding="utf-8"),
                lambda text: "loop_stuck" in text,
                what=f"{service} stuck",
                within_s=60,
            )
            stuck = next(line for line in text.splitlines() if "loop_stuck" in line)
            assert "_blocked" in json.loads(stuck)["stacks"]
            port = re.findall(r'"health_port": (\d+)', text)[0]
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{port}/health/live")
            assert answer.status_code == 503
    finally:
        for child in children:
            child.kill()
            child.wait()


def _begun(service: str, loop: str, env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.stuck", service, loop]
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)
