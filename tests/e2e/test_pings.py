"""A test ping goes out at once, whatever else waits: retries, an endpoint that is disabled."""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.receivers import ScriptedReceiver, failing
from tests.support.stack import Hooklane, Workspace

FAILING: Final = 9  # events; one more would disable the endpoint
CREATED: Final = "qr.created"


async def ping(workspace: Workspace, endpoint_id: str) -> None:
    """Make the call that the guide of the workspace's product has for it."""
    if workspace.profile == "xqr":
        path = f"/api/developer/webhooks/{endpoint_id}/test"
        await workspace.call("POST", path, token=workspace.jwt)
    else:
        await workspace.call("POST", f"/v1/webhooks/{endpoint_id}/ping")


@pytest.mark.parametrize("profile", ["qr3", "xqr"])
async def test_a_ping_overtakes_the_retries_that_wait(
    hooklane: Hooklane, receiver: ScriptedReceiver, profile: str
) -> None:
    """Nine deliveries wait for their second attempt, a minute away; the ping does not."""
    workspace = await hooklane.workspace(profile)
    receiver.script("/", failing(500))
    endpoint_id = (await workspace.create(receiver.url("/"), secret="0123456789abcdef"))["id"]
    await hooklane.publish(*(workspace.event(CREATED, f"evt_{n}") for n in range(FAILING)))
    waiting = await workspace.logged(
        endpoint_id, lambda rows: len(rows) == FAILING, what="nine failures in the log"
    )
    assert all("next_attempt_at" in row for row in waiting)

    await ping(workspace, endpoint_id)
    pinged = (await receiver.arrived("/", FAILING + 1))[FAILING]
    name = "event" if profile == "xqr" else "type"
    assert pinged.json()[name] == "webhook.ping"
    assert {request.attempt for request in receiver.at("/")} == {1}


async def test_a_ping_is_one_attempt_and_never_disables(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Nine failures and a ping that fails too: it is not tried again and does not count."""
    workspace = await hooklane.workspace("qr3")
    receiver.script("/", failing(500))
    endpoint_id = (await workspace.create(receiver.url("/")))["id"]
    await hooklane.publish(*(workspace.event(CREATED, f"evt_{n}") for n in range(FAILING)))
    await workspace.shown(endpoint_id, consecutive_failures=FAILING)
    await ping(workspace, endpoint_id)
    rows = await workspace.logged(
        endpoint_id, lambda rows: len(rows) == FAILING + 1, what="the ping in the log"
    )
    (pinged,) = [row for row in rows if row["event_type"] == "webhook.ping"]
    assert (pinged["status"], pinged["status_code"]) == ("failed", 500)
    assert "next_attempt_at" not in pinged
    shown = await workspace.show(endpoint_id)
    assert (shown["is_active"], shown["consecutive_failures"]) == (True, FAILING)


async def test_a_ping_reaches_a_disabled_endpoint(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """That is how a repair is tried out before the endpoint is enabled again."""
    workspace = await hooklane.workspace("qr3")
    endpoint_id = (await workspace.create(receiver.url("/")))["id"]
    await workspace.call("PATCH", f"/v1/webhooks/{endpoint_id}", {"is_active": False})
    await ping(workspace, endpoint_id)
    (pinged,) = await receiver.arrived("/")
    assert pinged.json()["type"] == "webhook.ping"
    assert (await workspace.show(endpoint_id))["is_active"] is False
