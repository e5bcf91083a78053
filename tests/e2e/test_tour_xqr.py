"""XQR's webhook guide, step by step with the guide's own requests.

The receiver is the guide's Express sample, started with the secret that the second step shows; the
producer is a program of its own.
"""

from __future__ import annotations

from typing import Final

import pytest

from deploy.local import ports
from tests.support.producers import produce
from tests.support.receivers import is_signed
from tests.support.samples import running, xqr_sample
from tests.support.stack import Hooklane

LINK: Final = {"short_code": "r7f3Kx", "country": "AT"}

pytestmark = pytest.mark.node


async def test_the_guide_of_xqr_works_as_it_is_written(hooklane: Hooklane) -> None:
    """Create, secret with the JWT, handler, test ping with the JWT, deliveries with the key."""
    workspace = hooklane.demo("xqr")
    port = ports.choose()

    # 1. Create a webhook endpoint
    body = {
        "url": f"http://{ports.HOST}:{port}/webhooks/xqr",
        "events": ["link.created", "link.scanned"],
        "description": "Production webhook",
    }
    created = await workspace.call("POST", "/api/v1/webhooks", body)
    webhook_id = created["id"]  # "Save the webhook id from the response."
    assert created | body == created
    assert "secret" not in created

    # 2. Get the signing secret
    developer = f"/api/developer/webhooks/{webhook_id}"
    shown = await workspace.call("GET", f"{developer}/secret", token=workspace.jwt)
    secret = shown["secret"]

    # 3. Implement your handler
    sample = xqr_sample(logs_dir=hooklane.logs_dir, secret=secret, port=port)
    async with running(sample):
        events = [
            workspace.event("link.created", "evt_1", LINK),
            workspace.event("link.scanned", "evt_2", LINK),
            workspace.event("link.deleted", "evt_3", LINK),  # nobody subscribed to it
        ]
        await produce(hooklane.bootstrap, hooklane.events_topic, events)
        delivered = await sample.arrived(2)
        assert [request.status for request in delivered] == [200, 200]
        assert all(is_signed(request, secret) for request in delivered)
        assert sorted(request.json()["event"] for request in delivered) == body["events"]
        assert all(list(request.json()) == ["event", "data"] for request in delivered)
        assert all(request.json()["data"] == LINK for request in delivered)

        # 4. Test the endpoint
        await workspace.call("POST", f"{developer}/test", token=workspace.jwt)
        ping = (await sample.arrived(3))[2]
        assert ping.status == 200
        assert ping.json()["event"] == "webhook.ping"

    # 5. Monitor deliveries
    rows = await workspace.logged(
        webhook_id, lambda rows: len(rows) == 3, what="three deliveries in the log"
    )
    listed = await workspace.call("GET", f"/api/v1/webhooks/{webhook_id}/deliveries")
    assert listed["data"] == rows
    assert {row["event_type"] for row in rows} == {"webhook.ping", *body["events"]}
    assert {(row["status"], row["status_code"], row["attempt"]) for row in rows} == {
        ("success", 200, 1)
    }


async def test_the_sample_prints_what_the_guide_says_of_each_event(hooklane: Hooklane) -> None:
    """The handler's ``switch`` sees ``event.event`` and ``event.data`` as the guide has them."""
    workspace = await hooklane.workspace("xqr")
    port = ports.choose()
    created = await workspace.create(f"http://{ports.HOST}:{port}/webhooks/xqr", ["*"])
    sample = xqr_sample(logs_dir=hooklane.logs_dir, secret=created["secret"], port=port)
    async with running(sample):
        await hooklane.publish(
            workspace.event("link.created", "evt_1", LINK),
            workspace.event("link.scanned", "evt_2", LINK),
        )
        await sample.arrived(2)
        printed = sample.tail()
    assert {"New link: r7f3Kx", "Scan from: AT"} <= set(printed)
