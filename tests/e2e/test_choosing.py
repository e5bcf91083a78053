"""An endpoint chooses what it gets and how: filters, channels, headers, schedule, pauses."""

from __future__ import annotations

import json
from typing import Final

import msgspec

from tests.support.producers import Message
from tests.support.receivers import OK, ScriptedReceiver, failing, is_signed, waits_s
from tests.support.stack import FAST, Hooklane, Json, Workspace

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def on(workspace: Workspace, event_id: str, channel: str, data: Json) -> Message:
    """Return an event on a channel."""
    plain = workspace.event("qr.scanned", event_id, data)
    members = msgspec.json.decode(plain.value or b"") | {"channels": [channel]}
    return Message(key=plain.key, value=msgspec.json.encode(members))


async def test_an_endpoint_gets_what_it_chose_in_the_way_it_chose(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Three events reach who wants everything, one reaches who is choosy, on its own schedule."""
    workspace = await hooklane.workspace(FAST)
    receiver.script("/choosy", failing(503), failing(503), failing(404), OK)
    choosy = await workspace.create(
        receiver.url("/choosy"),
        events=["qr.*"],
        secret=SECRET,
        channels=["eu"],
        filter={"country": {"$in": ["AT", "DE"]}, "scan": {"views": {"$gte": 10}}},
        headers={"X-Api-Key": "letmein"},
        retry_delays=["250ms", "250ms"],
        success_codes=["2xx", 404],
        payload_format="standard",
    )
    await workspace.create(receiver.url("/all"))
    wanted: Json = {"country": "AT", "scan": {"views": 10}}
    await hooklane.publish(
        on(workspace, "evt_elsewhere", "us", wanted),
        on(workspace, "evt_dull", "eu", wanted | {"scan": {"views": 9}}),
        on(workspace, "evt_wanted", "eu", wanted),
    )

    attempts = await receiver.arrived("/choosy", 3)
    await receiver.arrived("/all", 3)
    rows = await workspace.logged(
        choosy["id"], lambda rows: len(rows) == 3, what="three attempts in the log"
    )

    assert [request.attempt for request in attempts] == [1, 2, 3]
    assert {request.event_id for request in attempts} == {"evt_wanted"}
    assert all(is_signed(request, SECRET) for request in attempts)
    assert [request.headers["x-api-key"] for request in attempts] == ["letmein"] * 3
    assert json.loads(attempts[0].body)["data"] == wanted
    assert len({request.body for request in attempts}) == 1
    assert all(waited_s >= 0.25 for waited_s in waits_s(attempts))
    assert [(row["status"], row["status_code"]) for row in rows] == [
        ("success", 404),
        ("failed", 503),
        ("failed", 503),
    ]
    detail = await workspace.call("GET", f"/v1/webhooks/{choosy['id']}/deliveries/{rows[0]['id']}")
    assert ["X-Api-Key", "********"] in detail["request"]["headers"]
    assert "letmein" not in json.dumps(detail)


async def test_what_is_due_during_a_pause_is_discarded_and_not_sent_later(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    workspace = await hooklane.workspace(FAST)
    endpoint = await workspace.create(receiver.url("/"))
    path = f"/v1/webhooks/{endpoint['id']}"

    await workspace.call("POST", f"{path}/pause")
    await hooklane.publish(workspace.event("qr.created", "evt_during"))
    discarded = await workspace.logged(endpoint["id"], bool, what="the discarded delivery")
    await workspace.call("POST", f"{path}/resume")
    await hooklane.publish(workspace.event("qr.created", "evt_after"))
    await receiver.arrived("/", 1)

    assert [(row["status"], row["reason"]) for row in discarded] == [
        ("discarded", "endpoint_paused")
    ]
    assert receiver.ids_at("/") == ["evt_after"]
