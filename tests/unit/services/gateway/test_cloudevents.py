"""What the official CloudEvents SDKs send is what we take: each mode, over HTTP and as a record."""

import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings import http, kafka
from cloudevents.core.v1.event import CloudEvent
from httpx import ASGITransport, AsyncClient, Response

from services.gateway.app import create_app
from services.gateway.auth import Authenticator, JwtPolicy
from services.gateway.handlers import accounts
from services.gateway.routes.health import Checks
from shared.models.events import Coordinates, Event, decode_event
from tests.architecture.repository import ROOT
from tests.unit.services.gateway.fakes import MemorySink, ports

AT = Coordinates("events", 0, 0, 0)
BINARY = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "evt_sdk",
    "ce-type": "qr.scanned",
    "ce-source": "https://example.com/scanner",
}


class Gateway:
    """The application over memory, and what it published."""

    def __init__(self, client: AsyncClient, sink: MemorySink, workspace_id: str) -> None:
        self.client = client
        self.sink = sink
        self.workspace_id = workspace_id

    async def post(self, path: str, headers: dict[str, str], body: bytes) -> Response:
        return await self.client.post(path, headers=headers, content=body)

    def published(self) -> list[Event]:
        return [decode_event(record.value, (), AT) for record in self.sink.records]


async def nothing() -> None:
    """Be a probe that always answers."""


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    sink = MemorySink()
    given = ports(sink=sink)
    workspace = await accounts.create_workspace(given, profile="qr3", name="test")
    key = await accounts.create_api_key(given, workspace_id=workspace.id)
    app = create_app(
        ports=given,
        authenticator=Authenticator(given, JwtPolicy("", "hooklane")),
        checks=Checks(kafka=nothing, mongodb=nothing),
    )
    transport = ASGITransport(app)  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {key}"}
    async with AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as one:
        yield Gateway(one, sink, workspace.id)


def scanned(workspace: str, data: dict[str, Any] | bytes) -> CloudEvent:
    return CloudEvent(
        attributes={
            "id": "evt_sdk",
            "type": "qr.scanned",
            "source": "https://example.com/scanner",
            "time": datetime(2026, 3, 15, 10, tzinfo=UTC),
            "datacontenttype": "application/json",
            "workspaceid": workspace,
        },
        data=data,
    )


def python_sdk(workspace: str) -> Iterable[dict[str, Any]]:
    """Yield what the Python SDK sends, as the programs of the other SDKs print it."""
    event = scanned(workspace, {"city": "Wien, Köln", "n": 1})
    as_bytes = scanned(workspace, '{"city":"Wien, Köln","n":1}'.encode())
    for message in (
        http.to_binary_event(event),
        http.to_structured_event(event),
        http.to_structured_event(as_bytes),
    ):
        yield {"mode": "http", "headers": message.headers, "body": message.body.decode()}
    one = http.to_structured_event(event).body.decode()
    batch_type = {"content-type": "application/cloudevents-batch+json"}
    yield {"mode": "http-batch", "headers": batch_type, "body": f"[{one}]"}
    for record in (kafka.to_binary_event(event), kafka.to_structured_event(event)):
        headers = {name: value.decode() for name, value in record.headers.items()}
        yield {"mode": "kafka", "headers": headers, "body": record.value.decode()}


def printed(*command: str, folder: str) -> Iterable[dict[str, Any]]:
    """Return what a program of another language prints: one message a line."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on this machine")
    done = subprocess.run(command, cwd=ROOT / folder, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


async def assert_taken(gateway: Gateway, messages: Iterable[dict[str, Any]]) -> None:
    """Assert that each message, whatever its mode, is the same event."""
    read, modes = [], []
    for message in messages:
        body, headers = message["body"].encode(), message["headers"]
        modes.append(message["mode"])
        if message["mode"] == "kafka":
            raw = [(name, value.encode()) for name, value in headers.items()]
            read.append(decode_event(body, raw, AT))
            continue
        path = "/v1/events/batch" if message["mode"] == "http-batch" else "/v1/events"
        answer = await gateway.post(path, headers, body)
        assert answer.status_code == 202, (message, answer.text)
        assert "rejected" not in {result["status"] for result in answer.json().get("results", ())}
        read.append(gateway.published()[-1])

    assert {"http", "http-batch", "kafka"} == set(modes)
    for event in read:
        assert (event.id, event.type, event.workspace_id, event.created) == (
            "evt_sdk",
            "qr.scanned",
            gateway.workspace_id,
            "2026-03-15T10:00:00.000Z",
        )
        assert json.loads(event.data) == {"city": "Wien, Köln", "n": 1}


async def test_what_the_python_sdk_sends_is_taken(gateway: Gateway) -> None:
    await assert_taken(gateway, python_sdk(gateway.workspace_id))


@pytest.mark.node
async def test_what_the_javascript_sdk_sends_is_taken(gateway: Gateway) -> None:
    program = ("node", "cloudevents.mjs", gateway.workspace_id)

    await assert_taken(gateway, printed(*program, folder="tests/receivers"))


@pytest.mark.go
async def test_what_the_go_sdk_sends_is_taken(gateway: Gateway) -> None:
    program = ("go", "run", ".", gateway.workspace_id)

    await assert_taken(gateway, printed(*program, folder="tests/receivers/cloudevents-go"))


async def test_over_http_the_workspace_is_the_callers_whatever_the_source(gateway: Gateway) -> None:
    answer = await gateway.post("/v1/events", BINARY, b"{}")

    assert answer.json() == {"id": "evt_sdk"}
    (event,) = gateway.published()
    assert event.workspace_id == gateway.workspace_id


async def test_another_workspace_than_the_callers_is_refused(gateway: Gateway) -> None:
    answer = await gateway.post("/v1/events", BINARY | {"ce-workspaceid": "ws_b"}, b"{}")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "workspace_id"
    assert gateway.published() == []


@pytest.mark.parametrize(
    ("value", "read"), [("a%2Fb%20c", "a/b c"), ('"a\\"b"', 'a"b'), ("50%", "50%")]
)
async def test_attributes_in_headers_are_decoded(gateway: Gateway, value: str, read: str) -> None:
    refused = await gateway.post("/v1/events", BINARY | {"ce-type": value}, b"{}")

    assert refused.status_code == 422
    assert repr(read) in refused.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "body", "field"),
    [
        (BINARY | {"ce-id": ""}, b"{}", "id"),
        (BINARY | {"ce-id": "%FF"}, b"{}", None),
        (BINARY, b"[]", "data"),
        ({"content-type": "application/cloudevents+json"}, b"{}", "specversion"),
        (
            {"content-type": "application/cloudevents+json"},
            b'{"specversion":"1.0","id":"1","type":"qr.scanned","source":"s","data_base64":"!"}',
            "data_base64",
        ),
        (
            {"content-type": "application/cloudevents+json"},
            b'{"specversion":"1.0","id":"1","type":"qr.scanned","source":"s","data_base64":"'
            + base64.b64encode(b'{"a":')
            + b'"}',
            "data",
        ),
    ],
)
async def test_what_cannot_be_used_is_refused_with_the_reason(
    gateway: Gateway, headers: dict[str, str], body: bytes, field: str | None
) -> None:
    answer = await gateway.post("/v1/events", headers, body)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json().get("errors", ())] == [field] * bool(field)
    assert gateway.published() == []


async def test_of_a_batch_the_bad_ones_are_named(gateway: Gateway) -> None:
    good = json.loads(http.to_structured_event(scanned(gateway.workspace_id, {})).body)
    batch = [good, {"id": "1"}, good | {"type": "nope"}, good]
    headers = {"content-type": "application/cloudevents-batch+json"}

    answer = await gateway.post("/v1/events/batch", headers, json.dumps(batch).encode())

    assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 2)
    assert [result["status"] for result in answer.json()["results"]] == [
        *("accepted", "rejected", "rejected", "accepted")
    ]


async def test_a_batch_of_cloud_events_may_be_empty(gateway: Gateway) -> None:
    headers = {"content-type": "application/cloudevents-batch+json"}

    answer = await gateway.post("/v1/events/batch", headers, b"[]")

    assert answer.json() == {"accepted": 0, "rejected": 0, "results": []}


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NATIVE = b'{"type":"qr.scanned","data":{}}'
STRUCTURED = (
    b'{"specversion":"1.0","id":"e","type":"qr.scanned","source":"s","workspaceid":"WS","data":{},'
    b'"traceparent":"TRACE"}'
)


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/v1/events", {"content-type": "application/json", "traceparent": TRACEPARENT}, NATIVE),
        ("/v1/events", {**BINARY, "ce-traceparent": TRACEPARENT}, b"{}"),
        ("/v1/events", {"content-type": "application/cloudevents+json"}, STRUCTURED),
        (
            "/v1/events/batch",
            {"content-type": "application/x-ndjson", "traceparent": TRACEPARENT},
            NATIVE,
        ),
        (
            "/v1/events/batch",
            {"content-type": "application/cloudevents-batch+json"},
            b"[" + STRUCTURED + b"]",
        ),
    ],
)
async def test_the_trace_of_a_request_or_a_cloud_event_is_handed_on(
    gateway: Gateway, path: str, headers: dict[str, str], body: bytes
) -> None:
    """The header of the request, or CloudEvents' distributed tracing extension."""
    workspace = gateway.workspace_id.encode()
    body = body.replace(b"WS", workspace).replace(b"TRACE", TRACEPARENT.encode())
    if "ce-specversion" in headers:
        headers = {**headers, "ce-workspaceid": gateway.workspace_id}
    answer = await gateway.post(path, headers, body)

    assert answer.status_code == 202
    (record,) = gateway.sink.records
    assert list(record.headers) == [("traceparent", TRACEPARENT.encode())]
