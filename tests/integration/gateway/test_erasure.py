"""An event whose payload was erased, over the real Kafka and MongoDB: no way leads to it."""

from typing import Any

import pytest

from services.gateway.ports import BodyErased, Place
from shared.models import ids
from shared.models.attempts import Attempt
from shared.models.times import iso_ms, parse_ms
from shared.topics import DELIVERIES
from tests.integration.gateway.conftest import Gateway, Tenant
from tests.integration.gateway.reading import records_of
from tests.integration.gateway.test_deliveries import attempt, logged, produced, webhook
from tests.integration.gateway.test_recovery import resent, work
from tests.support.log_rows import log_rows

pytestmark = pytest.mark.integration

BODY = b'{"name":"Ada"}'
ANSWER = b"thank you, Ada"


async def delivered(
    gateway: Gateway, tenant: Tenant, endpoint_id: str, event_id: str, **given: Any
) -> Attempt:
    """Have a delivery of now, its body on Kafka and its row in the log."""
    partition, offset = await produced(gateway, endpoint_id, BODY, event_id, tenant.id)
    at_ms = ids.time_ms_of(event_id)
    times = {"due_ms": at_ms, "started_ms": at_ms, "accepted_ms": at_ms}
    row = attempt(
        endpoint_id,
        workspace_id=tenant.id,
        event_id=event_id,
        partition=partition,
        offset=offset,
        response_body=ANSWER,
        response_headers=(("x-name", "Ada"),),
        **times,
        **given,
    )
    await logged(gateway, row)
    return row


async def get(gateway: Gateway, tenant: Tenant, path: str) -> Any:
    answer = await gateway.client.get(path, headers=tenant.key)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_nothing_gives_an_erased_payload_away_and_the_answer_says_what_is_left(
    gateway: Gateway, qr3: Tenant
) -> None:
    ports = gateway.parts.ports
    well, broken = await webhook(gateway, qr3), await webhook(gateway, qr3)
    event_id, other_id = (ids.new_id(ids.EVENT, ports.now_ms(), bytes([n] * 10)) for n in (1, 2))
    row = await delivered(gateway, qr3, well, event_id)
    exhausted = {"status": "failed", "status_code": 500, "reason": "exhausted"}
    lost = await delivered(gateway, qr3, broken, event_id, **exhausted)
    other = await delivered(gateway, qr3, well, other_id)

    erase = f"/v1/events/{event_id}/erase"
    done = (await gateway.client.post(erase, headers=qr3.key)).json()
    again = (await gateway.client.post(erase, headers=qr3.key)).json()

    assert (done["id"], done["attempts"], done["pending_retries"]) == (event_id, 2, 0)
    assert again["erased_at"] == done["erased_at"]
    assert [one["topic"] for one in done["copies"]] == [
        *("events", "deliveries", "retry.*", "attempts", "deliveries.dead")
    ]
    assert all(parse_ms(one["expires_by"]) > ports.now_ms() for one in done["copies"])

    shown_at = f"/v1/webhooks/{well}/deliveries/{row.delivery_id()}"
    shown = await get(gateway, qr3, shown_at)
    assert shown["request"]["body"] is None
    assert "erased at" in shown["request"]["body_unavailable"]
    assert (shown["response"]["body"], shown["response"]["headers"]) == ("", [])
    assert (shown["status_code"], shown["erased_at"]) == (200, done["erased_at"])
    event = await get(gateway, qr3, f"/v1/events/{event_id}")
    assert (event["payload"]["body"], event["erased_at"]) == (None, done["erased_at"])
    assert event["deliveries_total"] == 2
    for path in ("/v1/deliveries", f"/v1/webhooks/{well}/deliveries"):
        listed = await get(gateway, qr3, path)
        assert row.delivery_id() in {one["id"] for one in listed["data"]}
        assert "Ada" not in str(listed)

    since = iso_ms(ports.now_ms() - 60_000)
    job = await gateway.client.post(
        f"/v1/webhooks/{broken}/recover", headers=qr3.key, json={"since": since}
    )
    await work(ports)
    finished = await get(gateway, qr3, f"/v1/jobs/{job.json()['id']}")
    assert (finished["matched"], finished["sent"], finished["unavailable"]) == (1, 0, 1)
    assert await resent(gateway) == []
    place = Place(lost.partition, lost.offset, broken, event_id)
    with pytest.raises(BodyErased):
        await ports.bodies.read(place)
    (for_a_job,) = await ports.job_bodies.read_many([place])
    assert isinstance(for_a_job, BodyErased)
    for path in (f"/v1/deliveries/{row.delivery_id()}", shown_at):
        again_sent = await gateway.client.post(f"{path}/resend", headers=qr3.key)
        assert again_sent.status_code == 409
        assert "erased at" in again_sent.json()["detail"]
    assert await resent(gateway) == []
    assert BODY in [one.value for one in await records_of(gateway.settings, DELIVERIES)]

    rows = await log_rows(gateway.parts.mongo.collection("log_chunks"))
    answers = {one.delivery_id(): one.response_body for one in rows}
    assert answers == {row.delivery_id(): b"", lost.delivery_id(): b"", other.delivery_id(): ANSWER}
    untouched = await get(gateway, qr3, f"/v1/webhooks/{well}/deliveries/{other.delivery_id()}")
    assert (untouched["request"]["body"], untouched["response"]["body"]) == (
        BODY.decode(),
        ANSWER.decode(),
    )
