"""QR3's webhook reference, walked through from top to bottom with the guide's own requests.

The receiver is the guide's Express sample, the producers are programs of their own.
"""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from tests.support.producers import console_produce, produce
from tests.support.receivers import is_signed
from tests.support.samples import qr3_sample, running
from tests.support.stack import Hooklane, Json

SECRET: Final = "my-secret-key-min-16-chars"
DATA: Final = {
    "code_id": "qr_abc123",
    "short_code": "r7f3Kx",
    "scan_id": "scn_xyz",
    "country": "AT",
    "device_type": "mobile",
    "os": "iOS",
}
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

pytestmark = pytest.mark.node


async def test_the_guide_of_qr3_works_as_it_is_written(hooklane: Hooklane) -> None:
    """Create, event from Kafka, signed delivery at the sample, delivery log, test ping."""
    workspace = hooklane.demo("qr3")
    async with running(qr3_sample(logs_dir=hooklane.logs_dir, secret=SECRET)) as sample:
        # POST /v1/webhooks, the guide's body but for the host.
        body = {"url": sample.url, "events": ["qr.scanned", "qr.created"], "secret": SECRET}
        created = await workspace.call("POST", "/v1/webhooks", body)
        assert_created_as_documented(created, body)

        event = workspace.event("qr.scanned", "evt_abc123xyz", DATA)
        await produce(hooklane.bootstrap, hooklane.events_topic, [event])
        (delivered,) = await sample.arrived(1)
        assert delivered.status == 200, "the sample refused the signature"
        assert is_signed(delivered, SECRET)
        assert delivered.headers["content-type"] == "application/json"
        payload = delivered.json()
        assert list(payload) == ["id", "type", "created", "data"]
        assert (payload["id"], payload["type"]) == ("evt_abc123xyz", "qr.scanned")
        assert TIME.fullmatch(payload["created"])
        assert payload["data"] == DATA

        (row,) = await workspace.logged(created["id"], bool, what="the delivery in the log")
        assert_row_as_documented(row, event_type="qr.scanned")

        # POST /v1/webhooks/:id/ping goes to an endpoint that never subscribed to pings.
        await workspace.call("POST", f"/v1/webhooks/{created['id']}/ping")
        _, ping = await sample.arrived(2)
        assert ping.status == 200
        assert ping.json()["type"] == "webhook.ping"
        rows = await workspace.logged(
            created["id"], lambda rows: len(rows) == 2, what="the ping in the log"
        )
        assert_row_as_documented(rows[0], event_type="webhook.ping")


async def test_an_event_from_kafkas_own_console_producer_is_delivered(hooklane: Hooklane) -> None:
    """A line typed into ``kafka-console-producer`` needs no id, no time and no key."""
    workspace = await hooklane.workspace("qr3")
    async with running(qr3_sample(logs_dir=hooklane.logs_dir, secret=SECRET)) as sample:
        await workspace.create(sample.url, ["qr.created"], secret=SECRET)
        typed = f'{{"type": "qr.created", "workspace_id": "{workspace.id}", "data": {{"n": 1.0}}}}'
        await console_produce(hooklane.bootstrap, hooklane.events_topic, [typed])
        (delivered,) = await sample.arrived(1)
        assert delivered.status == 200
        payload = delivered.json()
        assert payload["data"] == {"n": 1}
        assert re.fullmatch(r"evt_[0-9a-f]{32}", payload["id"])
        assert TIME.fullmatch(payload["created"])


def assert_created_as_documented(created: Json, sent: Json) -> None:
    """Check the answer of the create call against the guide's sample answer."""
    documented = ["id", "url", "events", "is_active", "secret", "secret_hint", "created_at"]
    assert list(created) == documented
    assert created | sent == created
    assert re.fullmatch(r"wh_\w+", created["id"])
    assert created["is_active"] is True
    assert created["secret_hint"] == "my-s…"
    assert TIME.fullmatch(created["created_at"])


def assert_row_as_documented(row: Json, *, event_type: str) -> None:
    """Check a row of the log against the guide's sample answer, member by member."""
    documented: dict[str, Any] = {
        "id": str,
        "event_type": str,
        "status": str,
        "status_code": int,
        "response_time_ms": int,
        "attempt": int,
        "created_at": str,
    }
    assert {name: type(row[name]) for name in documented} == documented
    assert list(row)[: len(documented)] == list(documented)
    assert re.fullmatch(r"whd_\w+", row["id"])
    assert TIME.fullmatch(row["created_at"])
    known = {"event_type": event_type, "status": "success", "status_code": 200, "attempt": 1}
    assert row | known == row
