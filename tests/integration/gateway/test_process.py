"""The gateway as a process: it starts, refuses what cannot work, and stops without cutting off."""

import asyncio
import base64
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx import AsyncClient, HTTPError

from services.gateway.wiring import open_parts
from shared.config import Settings
from shared.kafka.admin import create_topics
from shared.topics import EVENTS
from tests.integration.gateway.reading import records_of
from tests.support.polling import until
from tests.support.servers import environ_of

pytestmark = pytest.mark.integration

WAIT_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(settings: Settings, **changes: object) -> dict[str, str]:
    names = (
        "topic_prefix",
        "partitions",
        "mongo_uri",
        "mongo_database",
        "secret_keys",
        "jwt_secret",
        "operator_key_sha256",
        "retry_tiers",
    )
    return environ_of(settings, *names, **changes)


async def run(*arguments: str, environ: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a gateway; yields the process and its address once it is ready."""
    port = free_port()
    process = await run("services.gateway", environ=environment(settings, gateway_port=port))
    address = f"http://127.0.0.1:{port}"
    try:
        async with AsyncClient(base_url=address, trust_env=False) as client:
            await until(lambda: is_ready(client), bool, what="ready", within_s=WAIT_S)
        yield process, address
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def is_ready(client: AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).status_code == 200
    except HTTPError:
        return False


async def admin(settings: Settings, *arguments: str) -> dict[str, Any]:
    process = await run("services.gateway.admin", *arguments, environ=environment(settings))
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    result: dict[str, Any] = json.loads(output)
    return result


async def test_a_request_that_is_in_flight_at_sigterm_is_answered(settings: Settings) -> None:
    await create_topics(settings)
    made = await admin(settings, "create-workspace", "--profile", "qr3", "--name", "test")
    body = b'{"type":"qr.scanned","data":{"n":1}}'
    async with serving(settings) as (process, address):
        port = int(address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /v1/events HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer " + made["api_key"].encode() + b"\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body[:10]
        )
        await writer.drain()
        async with AsyncClient(base_url=address, trust_env=False) as client:
            # Another answer after our head was sent: the request above is being read.
            assert (await client.get("/health/live")).status_code == 200
        process.send_signal(signal.SIGTERM)
        await until(lambda: refuses(port), bool, what="the port is closed")
        writer.write(body[10:])
        answer = await reader.read()
        writer.close()

        assert answer.startswith(b"HTTP/1.1 202")
        assert await asyncio.wait_for(process.wait(), WAIT_S) == 0
    assert len(await records_of(settings, EVENTS)) == 1


async def refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_a_second_gateway_on_one_port_says_what_to_do(settings: Settings) -> None:
    await create_topics(settings)
    async with serving(settings) as (_, address):
        port = address.rpartition(":")[2]
        second = await run("services.gateway", environ=environment(settings, gateway_port=port))
        output, _ = await second.communicate()

    assert second.returncode == 1
    assert f"HOOKLANE_GATEWAY_PORT={port} cannot be used" in output.decode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"secret_keys": ""}, "HOOKLANE_SECRET_KEYS"),
        ({"secret_keys": "k1:c2hvcnQ="}, "HOOKLANE_SECRET_KEYS"),
        ({"jwt_secret": "short"}, "HOOKLANE_JWT_SECRET"),
    ],
)
async def test_settings_that_cannot_work_are_named(
    settings: Settings, changes: dict[str, str], words: str
) -> None:
    process = await run(
        "services.gateway", environ=environment(settings, gateway_port=0, **changes)
    )
    output, _ = await process.communicate()

    assert process.returncode == 1
    assert words in output.decode()
    assert "c2hvcnQ" not in output.decode()


@pytest.mark.slow
async def test_operators_make_workspaces_keys_and_tokens(settings: Settings) -> None:
    await create_topics(settings)
    made = await admin(settings, "create-workspace", "--profile", "xqr", "--name", "Ålesund")
    workspace = ("--workspace", made["id"])
    key = (await admin(settings, "create-key", *workspace, "--scope", "events:write"))["api_key"]
    token = (await admin(settings, "issue-jwt", *workspace, "--valid-s", "60"))["jwt"]
    async with (
        serving(settings) as (_, address),
        AsyncClient(base_url=address, trust_env=False) as client,
    ):

        async def status(credential: str) -> int:
            headers = {"Authorization": f"Bearer {credential}"}
            return (await client.get("/v1/webhooks", headers=headers)).status_code

        assert [await status(given) for given in (made["api_key"], key, token)] == [200, 403, 200]

    assert base64.urlsafe_b64decode(key.removeprefix("hk_") + "=")
    assert await admin(settings, "revoke-key", *workspace, "--hint", key[:8]) == {"revoked": 1}
    async with open_parts(settings) as parts:
        entries = await parts.ports.audit.page(made["id"], limit=9)
    told = [(one.action, one.actor.kind, one.outcome, one.object_id) for one in entries]
    created = told[2][3]
    assert told == [
        ("api_key.revoke", "operator", "succeeded", key[:8]),
        ("token.issue", "operator", "succeeded", None),
        ("api_key.create", "operator", "succeeded", created),
    ]
    assert str(created).startswith("key_")
    assert key not in repr(entries)
    assert token not in repr(entries)
    refused = await run(
        "services.gateway.admin",
        "revoke-key",
        *workspace,
        "--hint",
        key[:8],
        environ=environment(settings),
    )
    output, _ = await refused.communicate()
    assert refused.returncode == 1
    assert b"has no API key that begins with" in output


@pytest.mark.slow  # as long as the limit itself
async def test_a_client_that_never_finishes_its_head_is_cut_off(settings: Settings) -> None:
    await create_topics(settings)
    async with serving(settings) as (_, address):
        port = int(address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v1/webhooks HTTP/1.1\r\nHost: gateway\r\nX-")

        assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
        writer.close()


async def test_requests_are_counted_by_route(settings: Settings) -> None:
    await create_topics(settings)
    async with (
        serving(settings) as (_, address),
        AsyncClient(base_url=address, trust_env=False) as client,
    ):
        await client.get("/v1/webhooks/wh_1")
        await client.get("/nothing/here")
        metrics = (await client.get("/metrics")).text

    name = "hooklane_gateway_requests_total"
    route = "/v1/webhooks/{webhook_id}"
    assert f'{name}{{method="GET",route="{route}",status="401"}} 1.0' in metrics
    assert f'{name}{{method="GET",route="(none)",status="404"}} 1.0' in metrics
