"""The delivery log over HTTP, with the bodies as Kafka keeps them."""

from itertools import count
from typing import Any

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from services.gateway.wiring import now_ms
from shared.kafka.cluster import Cluster
from shared.kafka.publisher import Record
from shared.models.attempts import Attempt, encode_attempt
from shared.models.deliveries import META_HEADER, DeliveryMeta, encode_meta
from shared.models.times import iso_ms
from shared.storage.chunks import Logged
from shared.storage.mongo.attempts import AttemptLog
from shared.storage.mongo.stats import StatsStore
from tests.integration.gateway.conftest import Gateway, Tenant
from tests.support.statistics import segment_of

pytestmark = pytest.mark.integration

OFFSETS = count()  # in attempts

START_MS = (now_ms() - 3_600_000) // 1_000 * 1_000
BODY = '{"id":"evt_1","data":{"city":"Zürich"}}'.encode()


async def webhook(gateway: Gateway, tenant: Tenant) -> str:
    answer = await gateway.client.post(
        "/v1/webhooks",
        headers=tenant.key,
        json={"url": "https://example.com/hook", "events": ["*"]},
    )
    return str(answer.json()["id"])


async def produced(
    gateway: Gateway,
    endpoint_id: str,
    body: bytes = BODY,
    event_id: str = "evt_1",
    workspace_id: str = "ws_a",
) -> tuple[int, int]:
    """Put a delivery onto Kafka; returns its coordinates."""
    meta = DeliveryMeta(
        event_id=event_id,
        event_type="qr.scanned",
        workspace_id=workspace_id,
        attempt=1,
        trigger="event",
        revision=1,
        accepted_ms=START_MS,
        due_ms=START_MS,
    )
    ports = gateway.parts.ports
    record = Record(
        ports.deliveries_topic, endpoint_id.encode(), body, ((META_HEADER, encode_meta(meta)),)
    )
    (position,) = await ports.sink.publish_within([record], 10_000)
    return position.partition, position.offset


def attempt(endpoint_id: str, number: int = 0, **changes: Any) -> Attempt:
    base = Attempt(
        workspace_id="ws_a",
        endpoint_id=endpoint_id,
        event_id="evt_1",
        event_type="qr.scanned",
        trigger="event",
        attempt=1,
        status="success",
        final=True,
        due_ms=START_MS + 1_000 * number,
        started_ms=START_MS + 1_000 * number,
        partition=0,
        offset=0,
        revision=1,
        epoch=1,
        url="https://example.com/hook",
        status_code=200,
        response_time_ms=144.6,
        request_headers="POST /hook HTTP/1.1\r\nHost: example.com\r\n\r\n",
        response_headers=(("content-type", "text/plain"),),
        response_body=b"OK",
    )
    return msgspec.structs.replace(base, **changes)


async def logged(gateway: Gateway, *attempts: Attempt) -> None:
    log = AttemptLog(gateway.parts.mongo, retention_days=10_000, now_ms=now_ms)
    await log.insert([Logged(given, next(OFFSETS), encode_attempt(given)) for given in attempts])
    stats = StatsStore(gateway.parts.mongo, retention_days=10_000)
    await stats.write([segment_of(attempts, partition=next(OFFSETS))])


async def test_the_list_is_the_guides(gateway: Gateway, qr3: Tenant) -> None:
    identifier = await webhook(gateway, qr3)
    await logged(gateway, attempt(identifier))

    answer = await gateway.client.get(f"/v1/webhooks/{identifier}/deliveries", headers=qr3.key)

    assert answer.status_code == 200
    (item,) = answer.json()["data"]
    assert list(item)[:7] == [
        "id",
        "event_type",
        "status",
        "status_code",
        "response_time_ms",
        "attempt",
        "created_at",
    ]
    assert item["id"].startswith("whd_")
    assert {**item, "id": ""} == {
        "id": "",
        "event_type": "qr.scanned",
        "status": "success",
        "status_code": 200,
        "response_time_ms": 145,
        "attempt": 1,
        "created_at": iso_ms(START_MS),
        "event_id": "evt_1",
        "trigger": "event",
    }


async def test_pages_follow_each_other(gateway: Gateway, qr3: Tenant) -> None:
    identifier = await webhook(gateway, qr3)
    await logged(
        gateway, *(attempt(identifier, number, event_id=f"evt_{number}") for number in range(7))
    )
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 3}
    while True:
        page = await gateway.client.get(
            f"/v1/webhooks/{identifier}/deliveries", headers=qr3.key, params=query
        )
        seen += [item["event_id"] for item in page.json()["data"]]
        if "next_cursor" not in page.json():
            break
        query["cursor"] = page.json()["next_cursor"]

    assert seen == [f"evt_{number}" for number in reversed(range(7))]


async def test_filters_narrow_the_list(gateway: Gateway, qr3: Tenant) -> None:
    identifier = await webhook(gateway, qr3)
    await logged(
        gateway,
        attempt(identifier, 0, event_id="evt_0"),
        attempt(identifier, 1, event_id="evt_1", status="failed", status_code=500),
        attempt(identifier, 2, event_id="evt_2", event_type="qr.created"),
        attempt(identifier, 3, event_id="evt_3"),
    )

    async def events(**query: str) -> list[str]:
        answer = await gateway.client.get(
            f"/v1/webhooks/{identifier}/deliveries", headers=qr3.key, params=query
        )
        assert answer.status_code == 200, answer.text
        return [item["event_id"] for item in answer.json()["data"]]

    assert await events(status="failed") == ["evt_1"]
    assert await events(event_type="scan.created") == ["evt_3", "evt_1", "evt_0"]
    assert await events(event_type="qr.created") == ["evt_2"]
    assert await events(since=iso_ms(START_MS + 1_000)) == ["evt_3", "evt_2", "evt_1"]
    assert await events(until=iso_ms(START_MS + 1_000)) == ["evt_0"]
    assert await events(status="success", since=iso_ms(START_MS + 1)) == ["evt_3", "evt_2"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "ok"}, "status"),
        ({"event_type": "qr.scaned"}, "event_type"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-03-15"}, "until"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"state": "failed"}, "state"),
    ],
)
async def test_a_filter_that_cannot_be_is_named(
    gateway: Gateway, qr3: Tenant, query: dict[str, str], field: str
) -> None:
    identifier = await webhook(gateway, qr3)

    answer = await gateway.client.get(
        f"/v1/webhooks/{identifier}/deliveries", headers=qr3.key, params=query
    )

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def detail(gateway: Gateway, tenant: Tenant, given: Attempt) -> dict[str, object]:
    await logged(gateway, given)
    answer = await gateway.client.get(
        f"/v1/webhooks/{given.endpoint_id}/deliveries/{given.delivery_id()}", headers=tenant.key
    )
    assert answer.status_code == 200, answer.text
    shown: dict[str, object] = answer.json()
    return shown


async def test_a_detail_has_the_exact_body_that_was_sent(gateway: Gateway, qr3: Tenant) -> None:
    identifier = await webhook(gateway, qr3)
    for _ in range(3):
        await produced(gateway, identifier, b"{}", "evt_other")
    partition, offset = await produced(gateway, identifier)
    await produced(gateway, identifier, b"{}", "evt_later")

    shown = await detail(gateway, qr3, attempt(identifier, partition=partition, offset=offset))

    assert shown["request"] == {
        "url": "https://example.com/hook",
        "headers": [["Host", "example.com"]],
        "body": BODY.decode(),
        "body_encoding": "utf-8",
    }
    assert shown["response"] == {
        "status_code": 200,
        "headers": [["content-type", "text/plain"]],
        "body": "OK",
        "body_encoding": "utf-8",
        "body_truncated": False,
    }


async def test_bodies_of_several_deliveries_are_not_mixed_up(gateway: Gateway, qr3: Tenant) -> None:
    first, second = await webhook(gateway, qr3), await webhook(gateway, qr3)
    for identifier in (first, second, first, second):
        body = identifier.encode()
        partition, offset = await produced(gateway, identifier, body)
        shown = await detail(
            gateway,
            qr3,
            attempt(identifier, partition=partition, offset=offset, due_ms=START_MS + offset),
        )
        request = msgspec.convert(shown["request"], dict[str, object])
        assert request["body"] == identifier


async def test_a_body_whose_retention_is_over_is_said_to_be_gone(
    gateway: Gateway, qr3: Tenant
) -> None:
    identifier = await webhook(gateway, qr3)
    partition, offset = await produced(gateway, identifier)
    admin = AIOKafkaAdminClient(**Cluster.of(gateway.settings).client)
    await admin.start()
    topic = TopicPartition(gateway.parts.ports.deliveries_topic, partition)
    await admin.delete_records({topic: RecordsToDelete(before_offset=offset + 1)})
    await admin.close()

    shown = await detail(gateway, qr3, attempt(identifier, partition=partition, offset=offset))

    request = msgspec.convert(shown["request"], dict[str, object])
    assert request["body"] is None
    assert "retention" in str(request["body_unavailable"])


@pytest.mark.parametrize("change", [{"offset": 999}, {"event_id": "evt_another"}])
async def test_a_record_of_something_else_is_not_shown_as_the_body(
    gateway: Gateway, qr3: Tenant, change: dict[str, Any]
) -> None:
    identifier = await webhook(gateway, qr3)
    partition, offset = await produced(gateway, identifier)
    given = {"partition": partition, "offset": offset} | change

    shown = await detail(gateway, qr3, attempt(identifier, **given))

    request = msgspec.convert(shown["request"], dict[str, object])
    assert request["body"] is None
    assert "made anew" in str(request["body_unavailable"])


async def test_a_delivery_of_another_webhook_is_not_found(gateway: Gateway, qr3: Tenant) -> None:
    mine, other = await webhook(gateway, qr3), await webhook(gateway, qr3)
    given = attempt(mine)
    await logged(gateway, given)

    answer = await gateway.client.get(
        f"/v1/webhooks/{other}/deliveries/{given.delivery_id()}", headers=qr3.key
    )

    assert answer.status_code == 404
