"""Every example of the API's pages is executed; its answer has the status and fields it shows."""

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from shared.models import ids
from tests.integration.gateway.conftest import OPERATOR_KEY, Gateway, MakeTenant, Tenant
from tests.integration.gateway.test_deliveries import attempt, logged, produced
from tests.integration.gateway.test_rejected import put_aside

pytestmark = pytest.mark.integration

DOCS = Path(__file__).parents[3] / "docs"
PAGES = (
    *("api.md", "publishing.md", "webhooks.md", "log.md", "replay.md", "stats.md", "signing.md"),
    *("health.md", "access.md", "privacy.md", "tenancy.md"),
)
EXAMPLE = re.compile(r"```sh\n(curl [^`]*)```\n\n```json (\d+)\n([^`]*)```")
MISSPELT = b'{"type": "qr.scaned", "workspace_id": "ws_0195a2f3c400", "data": {"views": 1}}'
CREATE = {
    "url": "https://example.com/webhooks/qr3",
    "events": ["qr.scanned", "qr.created"],
    "secret": "my-secret-key-min-16-chars",
}


class Call(NamedTuple):
    """An example's request."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None


def call_of(command: str, names: dict[str, str]) -> Call:
    """Return the request that a curl command line makes."""
    for name, value in names.items():
        command = command.replace(f"${name}", value)
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    method, url, headers, body = "GET", "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        else:
            url = word
    return Call(method, url, headers, body)


def text_of(pages: Iterable[str]) -> str:
    """Return the text of pages."""
    return "\n".join((DOCS / page).read_text(encoding="utf-8") for page in pages)


def shape(value: Any) -> Any:
    """Return what an example promises: names and kinds; a list's items are all of one kind here."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value)


def shown_in(expected: Any, found: Any) -> bool:
    """Return whether ``found`` is as ``expected``; a list may have other items besides."""
    if isinstance(expected, dict) and isinstance(found, dict):
        same = list(expected) == list(found)
        return same and all(shown_in(expected[name], found[name]) for name in expected)
    if isinstance(expected, list) and isinstance(found, list):
        return all(any(shown_in(one, other) for other in found) for one in expected)
    return bool(shape(expected) == shape(found))


@pytest.mark.parametrize(
    "pages",
    [
        ("api.md", "publishing.md"),
        ("webhooks.md",),
        ("log.md", "replay.md", "stats.md", "privacy.md"),
        ("signing.md", "health.md", "access.md", "tenancy.md"),
    ],
)
async def test_the_examples_of_the_pages_work(
    gateway: Gateway, qr3: Tenant, make_tenant: MakeTenant, pages: tuple[str, ...]
) -> None:
    examples = EXAMPLE.findall(text_of(pages))
    created = await gateway.client.post("/v1/webhooks", headers=qr3.key, json=CREATE)
    webhook = created.json()["id"]
    partition, offset = await produced(gateway, webhook, event_id="evt_abc123xyz")
    delivered = attempt(
        webhook,
        workspace_id=qr3.id,
        event_id="evt_abc123xyz",
        partition=partition,
        offset=offset,
        address="93.184.216.34",
        timing_ms={"total": 145.4},
    )
    now_ms = gateway.parts.ports.now_ms()
    event_id = ids.new_id(ids.EVENT, now_ms, bytes(10))
    partition, offset = await produced(gateway, webhook, event_id=event_id)
    times = {"due_ms": now_ms, "started_ms": now_ms, "accepted_ms": now_ms}
    place = {"partition": partition, "offset": offset}
    recent = attempt(webhook, workspace_id=qr3.id, event_id=event_id, **times, **place)
    failed = {"status": "failed", "status_code": 503, "final": False, "event_id": "evt_retried"}
    to_come = {"next_attempt_ms": now_ms + 3_600_000}
    retried = msgspec.structs.replace(recent, **failed, **to_come)
    await logged(gateway, delivered, recent, retried)
    rejected = await put_aside(gateway, qr3, MISSPELT, ("producer", b"shop"), offset=7)
    standard = await make_tenant("standard")
    v1a = {"url": "https://example.com/", "events": ["*"], "signature": "v1a"}
    asymmetric = await gateway.client.post("/v1/webhooks", headers=standard.key, json=v1a)
    window = {"since": "2026-03-15T10:00:00Z", "until": "2026-03-15T11:00:00Z"}
    job = await gateway.client.post(f"/v1/webhooks/{webhook}/recover", headers=qr3.key, json=window)
    wanted = {"name": "ci", "role": "viewer", "expires_at": "2099-01-01T00:00:00Z"}
    key = await gateway.client.post("/v1/api-keys", headers=qr3.key, json=wanted)
    names = {
        "GATEWAY": "http://gateway",
        "API_KEY": qr3.api_key,
        "JWT": qr3.jwt,
        "OPERATOR_KEY": OPERATOR_KEY,
        "WEBHOOK_ID": webhook,
        "V1A_WEBHOOK_ID": asymmetric.json()["id"],
        "DELIVERY_ID": delivered.delivery_id(),
        "REJECTED_ID": rejected.id,
        "EVENT_ID": event_id,
        "JOB_ID": job.json()["id"],
        "RETRY_ID": retried.delivery_id(),
        "KEY_ID": key.json()["id"],
    }
    # A list's first page shows the newest webhook only: the pages' examples follow one another.
    for command, status, answer in examples:
        method, url, headers, body = call_of(command, names)
        found = await gateway.client.request(method, url, headers=headers, content=body)

        assert found.status_code == int(status), (command, found.text)
        expected = json.loads(answer)
        actual = {name: value for name, value in found.json().items() if name != "next_cursor"}
        assert shown_in(expected, actual), (command, found.text)


def test_every_call_of_the_api_is_on_a_page() -> None:
    text = text_of(PAGES)
    without_answer = 2  # DELETE
    assert text.count("```sh\ncurl") == len(EXAMPLE.findall(text)) + without_answer
    for path in (
        "/v1/webhooks",
        "/v1/webhooks/{id}",
        "/v1/webhooks/{id}/ping",
        "/v1/webhooks/{id}/match",
        "/v1/webhooks/{id}/pause",
        "/v1/webhooks/{id}/resume",
        "/v1/webhooks/{id}/secret",
        "/v1/webhooks/{id}/secret/rotate",
        "/.well-known/webhooks/{id}/jwks.json",
        "/v1/webhooks/{id}/deliveries",
        "/v1/webhooks/{id}/deliveries/{delivery}",
        "/v1/events",
        "/v1/events/batch",
        "/v1/events/{id}",
        "/v1/events/{id}/erase",
        "/v1/workspace",
        "/v1/deliveries",
        "/v1/stats",
        "/v1/webhooks/{id}/stats",
        "/v1/webhooks/{id}/recover",
        "/v1/deliveries/{id}/resend",
        "/v1/webhooks/{id}/deliveries/{delivery}/resend",
        "/v1/replays",
        "/v1/replays/preview",
        "/v1/jobs",
        "/v1/jobs/{id}",
        "/v1/jobs/{id}/pause",
        "/v1/jobs/{id}/resume",
        "/v1/jobs/{id}/cancel",
        "/v1/retries",
        "/v1/retries/{id}/discard",
        "/v1/webhooks/{id}/retries/discard",
        "/v1/event-types",
        "/v1/event-types/{type}",
        "/v1/api-keys",
        "/v1/api-keys/{id}",
        "/v1/api-keys/{id}/rotate",
        "/v1/audit-log",
        "/v1/rejected-events",
        "/v1/rejected-events/{id}",
        "/v1/rejected-events/{id}/resubmit",
        "/api/developer/webhooks/{id}/secret/rotate",
        "/api/v1/webhooks",
        "/api/v1/webhooks/{id}",
        "/api/v1/webhooks/{id}/deliveries",
        "/api/v1/webhooks/{id}/deliveries/{delivery}",
        "/v1/operator/workspaces",
        "/v1/operator/workspaces/{id}",
        "/v1/operator/workspaces/{id}/suspend",
        "/v1/operator/workspaces/{id}/deletion",
        "/v1/operator/workspaces/{id}/api-keys",
    ):
        assert f"{path}`" in text, path
