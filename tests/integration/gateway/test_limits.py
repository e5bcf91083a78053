"""Limits before parsing, and answers of the framework in the API's own form."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.integration.gateway.conftest import Gateway, Tenant

pytestmark = pytest.mark.integration

CREATE = json.dumps({"url": "https://example.com/hook", "events": ["*"]}).encode()
JSON = {"Content-Type": "application/json"}


async def test_a_body_of_another_type_is_refused_with_the_type_that_is_read(
    gateway: Gateway, qr3: Tenant
) -> None:
    for given in (
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/x-ndjson"},
        JSON | {"Content-Encoding": "gzip"},
    ):
        answer = await gateway.client.post("/v1/webhooks", headers=qr3.key | given, content=CREATE)

        assert answer.status_code == 415, given
        assert answer.json()["type"] == "/errors#unsupported_media_type"


async def test_json_may_name_its_charset(gateway: Gateway, qr3: Tenant) -> None:
    answer = await gateway.client.post(
        "/v1/webhooks",
        headers=qr3.key | {"Content-Type": "Application/JSON; charset=utf-8"},
        content=CREATE,
    )

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/v1/webhooks", 65_536), ("/v1/events", 1_048_576), ("/v1/events/batch", 5_000_000)],
)
async def test_a_body_over_the_limit_is_refused_unread(
    gateway: Gateway, qr3: Tenant, path: str, limit: int
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(limit // 65_536 + 2):
            yield b" " * 65_536

    declared = await gateway.client.post(path, headers=qr3.key | JSON, content=b" " * (limit + 1))
    chunked = await gateway.client.post(path, headers=qr3.key | JSON, content=endless())

    for answer in (declared, chunked):
        assert answer.status_code == 413
        assert f"{limit} bytes" in answer.json()["detail"]


async def test_a_body_that_does_not_arrive_is_not_waited_for(
    gateway: Gateway, qr3: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.requests.BODY_TIMEOUT_S", 0.05)
    never = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield CREATE[:5]
        await never.wait()

    answer = await gateway.client.post("/v1/webhooks", headers=qr3.key | JSON, content=stuck())

    assert answer.status_code == 408
    assert answer.json()["type"] == "/errors#request_timeout"


async def test_an_empty_body_is_named(gateway: Gateway, qr3: Tenant) -> None:
    answer = await gateway.client.post("/v1/webhooks", headers=qr3.key | JSON, content=b"")

    assert answer.status_code == 400
    assert answer.json()["detail"] == "the body is empty; send JSON"


async def test_what_is_not_there_is_a_problem_in_words(gateway: Gateway) -> None:
    missing = await gateway.client.get("/v2/webhooks")
    wrong = await gateway.client.put("/v1/webhooks")

    assert missing.status_code == 404
    assert missing.json()["detail"].startswith("there is nothing at /v2/webhooks")
    assert wrong.status_code == 405
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "POST", "OPTIONS"}
    for answer in (missing, wrong):
        assert answer.headers["content-type"].startswith("application/problem+json")


async def test_options_needs_no_credential(gateway: Gateway) -> None:
    answer = await gateway.client.options("/v1/webhooks")

    assert answer.status_code == 204


async def test_operators_routes_need_no_credential(gateway: Gateway) -> None:
    live = await gateway.client.get("/health/live")
    ready = await gateway.client.get("/health/ready")
    metrics = await gateway.client.get("/metrics")
    document = await gateway.client.get("/openapi.json")

    assert live.json() == {"status": "live"}
    assert ready.json() == {
        "status": "ready",
        "dependencies": {"kafka": "up", "mongodb": "up"},
    }
    assert "hooklane_gateway_requests_total" in metrics.text
    assert document.json()["openapi"].startswith("3.1")
