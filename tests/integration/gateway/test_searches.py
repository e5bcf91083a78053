"""The whole workspace's log over HTTP: searches, and an event with all its deliveries."""

from typing import Any

import pytest

from shared.models import ids
from shared.models.attempts import Attempt
from shared.models.times import iso_ms
from tests.integration.gateway.conftest import Gateway, Tenant
from tests.integration.gateway.test_deliveries import BODY, attempt, logged, produced, webhook

pytestmark = pytest.mark.integration

SECOND_MS = 1_000
MINUTE_MS = 60_000


def recent(
    gateway: Gateway, tenant: Tenant, endpoint_id: str, ago_ms: int, **given: Any
) -> Attempt:
    due_ms = gateway.parts.ports.now_ms() - ago_ms
    times = {"due_ms": due_ms, "started_ms": due_ms, "accepted_ms": due_ms}
    return attempt(endpoint_id, workspace_id=tenant.id, **{**times, **given})


async def get(gateway: Gateway, tenant: Tenant, path: str, **query: str | int) -> Any:
    answer = await gateway.client.get(path, headers=tenant.key, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_deliveries_of_all_webhooks_are_searched(gateway: Gateway, qr3: Tenant) -> None:
    first, second = await webhook(gateway, qr3), await webhook(gateway, qr3)
    await logged(
        gateway,
        recent(gateway, qr3, first, 3 * MINUTE_MS, event_id="evt_0"),
        recent(gateway, qr3, second, 2 * MINUTE_MS, event_id="evt_1", status="failed"),
        recent(gateway, qr3, first, MINUTE_MS, event_id="evt_2", status_code=503),
        recent(gateway, qr3, second, 1, event_id="evt_3", event_type="qr.created"),
    )

    async def events(**query: str | int) -> list[str]:
        found = await get(gateway, qr3, "/v1/deliveries", **query)
        return [item["event_id"] for item in found["data"]]

    now_ms = gateway.parts.ports.now_ms()
    assert await events() == ["evt_3", "evt_2", "evt_1", "evt_0"]
    assert await events(status="failed") == ["evt_1"]
    assert await events(event_type="scan.created") == ["evt_2", "evt_1", "evt_0"]
    assert await events(webhook_id=first) == ["evt_2", "evt_0"]
    assert await events(webhook_id=first, status_code=503) == ["evt_2"]
    assert await events(event_id="evt_1") == ["evt_1"]
    assert await events(event_id="evt_1", status="success") == []
    assert await events(event_id="evt_1", webhook_id=first) == []
    assert await events(since=iso_ms(now_ms - 90 * SECOND_MS)) == ["evt_3", "evt_2"]
    assert await events(until=iso_ms(now_ms - 150 * SECOND_MS)) == ["evt_0"]
    page = await get(gateway, qr3, "/v1/deliveries", limit=3)
    assert await events(limit=3, cursor=page["next_cursor"]) == ["evt_0"]
    assert {item["webhook_id"] for item in page["data"]} == {first, second}


async def test_another_workspace_sees_nothing_of_it(
    gateway: Gateway, qr3: Tenant, xqr: Tenant
) -> None:
    endpoint_id = await webhook(gateway, qr3)
    await logged(gateway, recent(gateway, qr3, endpoint_id, 1))

    assert await get(gateway, xqr, "/v1/deliveries") == {"data": []}
    assert await get(gateway, xqr, "/v1/deliveries", event_id="evt_1") == {"data": []}
    for path, query in (("/v1/events/evt_1", {}), ("/v1/deliveries", {"webhook_id": endpoint_id})):
        answer = await gateway.client.get(path, headers=xqr.key, params=query)
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "lost"}, "status"),
        ({"status_code": "20"}, "status_code"),
        ({"status_code": "null"}, "status_code"),
        ({"since": "yesterday"}, "since"),
        ({"event_type": "qr.scaned"}, "event_type"),
        ({"cursor": "x"}, "cursor"),
        ({"event": "evt_1"}, "event"),
    ],
)
async def test_what_cannot_be_searched_for_is_named(
    gateway: Gateway, qr3: Tenant, query: dict[str, str], field: str
) -> None:
    answer = await gateway.client.get("/v1/deliveries", headers=qr3.key, params=query)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_an_event_is_shown_with_what_became_of_it_everywhere(
    gateway: Gateway, qr3: Tenant
) -> None:
    webhooks = sorted([await webhook(gateway, qr3) for _ in range(4)])
    now_ms = gateway.parts.ports.now_ms()
    event_id = ids.new_id(ids.EVENT, now_ms - 5 * MINUTE_MS, bytes(10))
    partition, offset = await produced(gateway, webhooks[0], event_id=event_id)
    taken: dict[str, Any] = {"ago_ms": 5 * MINUTE_MS - 200, "event_id": event_id}
    place: dict[str, Any] = {"partition": partition, "offset": offset}
    failed: dict[str, Any] = {"status": "failed", "status_code": 500}
    retried_ms = now_ms - 4 * MINUTE_MS
    await logged(
        gateway,
        recent(gateway, qr3, webhooks[0], **taken, **place),
        recent(gateway, qr3, webhooks[1], **taken, **failed, final=True, reason="gone"),
        recent(
            gateway, qr3, webhooks[2], **taken, **failed, final=False, next_attempt_ms=retried_ms
        ),
        recent(
            gateway,
            qr3,
            webhooks[2],
            **{**taken, **failed, "due_ms": retried_ms, "attempt": 2, "final": False},
            next_attempt_ms=now_ms + MINUTE_MS,
        ),
        recent(gateway, qr3, webhooks[3], **taken, status="discarded", reason="endpoint_disabled"),
    )

    shown = await get(gateway, qr3, f"/v1/events/{event_id}")

    assert (shown["id"], shown["type"]) == (event_id, "qr.scanned")
    assert shown["payload"] == {"body": BODY.decode(), "body_encoding": "utf-8"}
    assert shown["deliveries_total"] == 4
    assert [
        (one["state"], len(one["attempts"]), one.get("reason"), "next_attempt_at" in one)
        for one in shown["deliveries"]
    ] == [
        ("succeeded", 1, None, False),
        ("exhausted", 1, "gone", False),
        ("retrying", 2, None, True),
        ("discarded", 1, "endpoint_disabled", False),
    ]
    first = await get(gateway, qr3, f"/v1/events/{event_id}", limit=3)
    rest = await get(gateway, qr3, f"/v1/events/{event_id}", limit=3, cursor=first["next_cursor"])
    listed = [one["webhook_id"] for page in (first, rest) for one in page["deliveries"]]
    assert listed == webhooks
    assert "next_cursor" not in rest
    found = await get(gateway, qr3, "/v1/deliveries", event_id=event_id)
    assert [item["attempt"] for item in found["data"]] == [2, 1, 1, 1, 1]


async def test_an_event_with_an_id_of_the_producers_own_is_found_by_its_time(
    gateway: Gateway, qr3: Tenant
) -> None:
    endpoint_id = await webhook(gateway, qr3)
    day_ms = 24 * 60 * MINUTE_MS
    given = recent(gateway, qr3, endpoint_id, day_ms, event_id="order-1")
    await logged(gateway, given)

    lost = await gateway.client.get("/v1/events/order-1", headers=qr3.key)
    since = iso_ms(given.due_ms - MINUTE_MS)
    shown = await get(gateway, qr3, "/v1/events/order-1", since=since)

    assert lost.status_code == 404
    assert "since" in lost.json()["detail"]
    assert shown["id"] == "order-1"
    assert "made anew" in shown["payload"]["body_unavailable"]


async def test_statistics_count_what_is_in_the_log(
    gateway: Gateway, qr3: Tenant, xqr: Tenant
) -> None:
    first, second = await webhook(gateway, qr3), await webhook(gateway, qr3)
    await logged(
        gateway,
        recent(gateway, qr3, first, MINUTE_MS),
        recent(gateway, qr3, first, MINUTE_MS, event_type="qr.created", status="discarded"),
    )
    await logged(gateway, recent(gateway, qr3, second, MINUTE_MS, status="failed"))

    whole = await get(gateway, qr3, "/v1/stats")
    assert (whole["totals"]["attempts"], whole["totals"]["success_rate"]) == (2, 0.5)
    assert whole["totals"]["discarded"] == sum(one["discarded"] for one in whole["buckets"]) == 1
    alone = await get(gateway, qr3, f"/v1/webhooks/{first}/stats", bucket="minute")
    assert (alone["totals"]["succeeded"], alone["totals"]["failed"]) == (1, 0)
    same = await get(gateway, qr3, "/v1/stats", webhook_id=first, bucket="minute")
    assert alone["totals"] == same["totals"]
    groups = (await get(gateway, qr3, "/v1/stats", group_by="webhook_id"))["groups"]
    assert {one["webhook_id"]: one["totals"]["failed"] for one in groups} == {first: 0, second: 1}
    types = (await get(gateway, qr3, "/v1/stats", group_by="event_type"))["groups"]
    assert [one["event_type"] for one in types] == ["qr.created", "qr.scanned"]

    assert (await get(gateway, xqr, "/v1/stats"))["totals"]["attempts"] == 0
    foreign = await gateway.client.get(f"/v1/webhooks/{first}/stats", headers=xqr.key)
    assert foreign.status_code == 404
