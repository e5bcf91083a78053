"""What a workspace has, made as callers, the recorder and Kafka make it; and what nobody has."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from hashlib import blake2b
from itertools import count
from typing import Any

from services.gateway.cursors import encode_cursor
from shared.models import ids
from shared.topics import DELIVERIES, ENDPOINTS, EVENTS
from tests.integration.gateway.calls import API_KEY, EVENT, RECOVERY, Belongings
from tests.integration.gateway.conftest import Gateway, Tenant
from tests.integration.gateway.reading import records_of
from tests.integration.gateway.test_deliveries import START_MS, attempt, logged, produced
from tests.integration.gateway.test_rejected import put_aside

_numbers = count(1)


async def belongings(gateway: Gateway, tenant: Tenant, mark: str = "mine") -> Belongings:
    """Make one thing of each kind; every text in them has the mark."""
    number = next(_numbers)
    webhook = await _made(
        gateway,
        tenant,
        "/v1/webhooks",
        {
            "url": f"https://{mark}.example/hook",
            "events": ["*"],
            "description": mark,
            "secret": f"{mark}-secret-of-16-characters",
            "metadata": {"k": mark},
            "headers": {"X-K": mark},
        },
    )
    # Like no other, so that no answer suggests one where another name is not known.
    event_type = "t" + blake2b(str(number).encode(), digest_size=12).hexdigest()
    described = {"type": event_type, "description": mark, "example": {"k": mark}}
    await _made(gateway, tenant, "/v1/event-types", described)
    api_key = await _made(gateway, tenant, "/v1/api-keys", {**API_KEY, "name": mark})
    logged_change = await gateway.client.get("/v1/audit-log?limit=1", headers=tenant.key)
    entry = logged_change.json()["data"][0]["id"]
    key = f"{tenant.id}-{number}"
    event = await _made(
        gateway,
        tenant,
        "/v1/events",
        {**EVENT, "data": {"k": mark}},
        {"Idempotency-Key": key},
    )
    delivery = await _delivered(gateway, tenant, webhook, event, mark)
    retry = await _retried(gateway, tenant, webhook, number)
    job = await _made(gateway, tenant, f"/v1/webhooks/{webhook}/recover", RECOVERY)
    value = json.dumps({"type": mark, "data": {"k": mark}}).encode()
    rejected = await put_aside(gateway, tenant, value, ("x", mark.encode()), offset=number)
    return Belongings(
        webhook=webhook,
        delivery=delivery,
        event=event,
        event_type=event_type,
        rejected=rejected.id,
        job=job,
        retry=retry,
        api_key=api_key,
        entry=entry,
        idempotency_key=key,
        workspace=tenant.id,
        webhooks_cursor=encode_cursor(webhook),
        deliveries_cursor=encode_cursor(delivery),
        rejected_cursor=encode_cursor(rejected.id),
        jobs_cursor=encode_cursor(job),
        api_keys_cursor=encode_cursor(api_key),
        audit_cursor=encode_cursor(entry),
    )


async def _made(
    gateway: Gateway,
    tenant: Tenant,
    path: str,
    body: dict[str, Any],
    headers: dict[str, str] | None = None,
) -> str:
    answer = await gateway.client.post(path, headers={**tenant.key, **(headers or {})}, json=body)
    assert answer.is_success, answer.text
    return str(answer.json().get("id"))


async def _delivered(gateway: Gateway, tenant: Tenant, webhook: str, event: str, mark: str) -> str:
    sent_ms = ids.time_ms_of(event)
    partition, offset = await produced(
        gateway, webhook, mark.encode(), event, workspace_id=tenant.id
    )
    await logged(
        gateway,
        attempt(
            webhook,
            workspace_id=tenant.id,
            event_id=event,
            due_ms=sent_ms,
            started_ms=sent_ms,
            partition=partition,
            offset=offset,
            url=f"https://{mark}.example/hook",
            response_body=mark.encode(),
        ),
    )
    listed = await gateway.client.get(f"/v1/webhooks/{webhook}/deliveries", headers=tenant.key)
    (row,) = listed.json()["data"]
    return str(row["id"])


async def _retried(gateway: Gateway, tenant: Tenant, webhook: str, number: int) -> str:
    """Have a failed attempt that another one is to follow."""
    failed = attempt(
        webhook,
        workspace_id=tenant.id,
        event_id=f"evt_retried_{number}",
        status="failed",
        final=False,
        next_attempt_ms=START_MS + 60_000,
    )
    await logged(gateway, failed)
    return failed.delivery_id()


def absent(its: Belongings) -> Belongings:
    """Return names as like these as can be, of things that were never there."""
    others = {
        name: _other(getattr(its, name))
        for name in ("webhook", "delivery", "rejected", "job", "retry", "api_key", "entry")
    }
    return Belongings(
        **others,
        event=_other(its.event),
        event_type=_other(its.event_type),
        idempotency_key=its.idempotency_key + "-",
        workspace=_other(its.workspace),
        webhooks_cursor=encode_cursor(others["webhook"]),
        deliveries_cursor=encode_cursor(others["delivery"]),
        rejected_cursor=encode_cursor(others["rejected"]),
        jobs_cursor=encode_cursor(others["job"]),
        api_keys_cursor=encode_cursor(others["api_key"]),
        audit_cursor=encode_cursor(others["entry"]),
    )


def _other(identifier: str) -> str:
    return identifier[:-1] + f"{int(identifier[-1], 16) ^ 1:x}"


async def state_without(gateway: Gateway, *tenants: Tenant) -> dict[tuple[str, str], str]:
    """Return all that is stored in MongoDB and Kafka and names none of ``tenants``."""
    found = {place: text async for place, text in _documents(gateway)}
    for topic in (EVENTS, ENDPOINTS, DELIVERIES):
        for record in await records_of(gateway.settings, topic):
            place = (topic.name, f"{record.partition}-{record.offset}")
            found[place] = repr((record.key, record.value, record.headers))
    passed_over = re.compile("|".join(tenant.id for tenant in tenants) or "(?!)")
    return {place: text for place, text in found.items() if not passed_over.search(text)}


async def _documents(gateway: Gateway) -> AsyncIterator[tuple[tuple[str, str], str]]:
    database = gateway.parts.mongo.database
    for name in await database.list_collection_names():
        async for document in database[name].find({}):
            yield (name, str(document["_id"])), repr(document)
