"""A suspended workspace: nothing is sent, each event ends in the log, what follows is sent."""

from __future__ import annotations

from typing import Any

from tests.support.receivers import ScriptedReceiver
from tests.support.stack import Hooklane


async def test_what_is_due_during_a_suspension_is_discarded_and_what_follows_is_delivered(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Events from Kafka, too, whose producers nobody can refuse."""
    workspace = await hooklane.workspace("qr3")
    endpoint = await workspace.create(receiver.url("/"))
    path = f"/v1/operator/workspaces/{workspace.id}"
    key = hooklane.stack.describe()["operator_key"]

    async def operate(what: str) -> Any:
        return await workspace.call("POST", f"{path}/{what}", token=key)

    assert (await operate("suspend"))["state"] == "suspended"
    await hooklane.publish(workspace.event("qr.created", "evt_during"))
    discarded = await workspace.logged(endpoint["id"], bool, what="the discarded delivery")
    assert (await operate("resume"))["state"] == "active"
    await hooklane.publish(workspace.event("qr.created", "evt_after"))
    await receiver.arrived("/", 1)

    assert [(row["status"], row["reason"]) for row in discarded] == [
        ("discarded", "workspace_suspended")
    ]
    assert receiver.ids_at("/") == ["evt_after"]
