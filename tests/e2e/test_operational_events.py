"""What goes wrong with webhooks is told by webhook, to who has asked for it by name."""

from __future__ import annotations

from collections import Counter

from tests.support.producers import Message
from tests.support.receivers import OK, Received, ScriptedReceiver, failing, is_signed
from tests.support.stack import FAST, Hooklane

NAMES = (
    "endpoint.failing",
    "endpoint.disabled",
    "endpoint.recovered",
    "delivery.exhausted",
    "events.rejected",
)


def told(requests: list[Received]) -> Counter[tuple[str, object]]:
    """Return the operational events that arrived, with what tells those of a type apart."""
    bodies = [request.json() for request in requests]
    tells = ("threshold_percent", "reason", "attempts")
    return Counter(
        (body["type"], next((body["data"][name] for name in tells if name in body["data"]), None))
        for body in bodies
    )


async def test_people_are_told_how_an_endpoint_fails_ends_and_recovers(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Ten failures, of which nine are three events' three attempts; then it is enabled again."""
    workspace = await hooklane.workspace(FAST)
    receiver.script("/broken", failing(500))
    broken = (await workspace.create(receiver.url("/broken"), ["qr.created"]))["id"]
    ears = await workspace.create(receiver.url("/ears"), NAMES)
    await workspace.create(receiver.url("/everything"), ["*", "qr.*"])

    ids = ["evt_1", "evt_2", "evt_3"]
    await hooklane.publish(*(workspace.event("qr.created", event_id) for event_id in ids))
    await receiver.arrived("/ears", 3 + 3)
    await hooklane.publish(workspace.event("qr.created", "evt_4"))
    disabled = await workspace.shown(broken, is_active=False)
    await receiver.arrived("/ears", 3 + 3 + 1)

    receiver.script("/broken", OK)
    await workspace.enable(broken)
    nonsense = b'{"type":"qr.creatd","workspace_id":"%s","data":{}}' % workspace.id.encode()
    await hooklane.publish(workspace.event("qr.created", "evt_5"), Message(value=nonsense))
    requests = list(await receiver.arrived("/ears", 3 + 3 + 1 + 2))

    assert disabled["disabled_reason"] == "consecutive_failures"
    assert told(requests) == {
        ("endpoint.failing", 50): 1,
        ("endpoint.failing", 70): 1,
        ("endpoint.failing", 90): 1,
        ("delivery.exhausted", 3): 3,
        ("endpoint.disabled", "consecutive_failures"): 1,
        ("endpoint.recovered", None): 1,
        ("events.rejected", "unknown event type 'qr.creatd'; did you mean 'qr.created'?"): 1,
    }
    assert all(is_signed(request, ears["secret"]) for request in requests)
    assert len({request.event_id for request in requests}) == len(requests)
    about = {request.json()["data"].get("webhook_id") for request in requests}
    assert about == {broken, None}
    await receiver.got("/everything", "evt_5")
    assert {request.json()["type"] for request in receiver.at("/everything")} == {"qr.created"}
