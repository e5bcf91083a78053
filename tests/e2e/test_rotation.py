"""Rotations, end to end: receivers change over without refusing a delivery."""

from __future__ import annotations

import base64

import pytest
import standardwebhooks

from shared.receiver import Receiver
from tests.support.receivers import Received, ScriptedReceiver, is_signed
from tests.support.samples import python_sample, running
from tests.support.stack import Hooklane, Workspace

OLD, NEW = "the-old-secret-of-it", "the-new-secret-of-it"
TYPE = "qr.created"


async def rotate(workspace: Workspace, endpoint_id: str, **wanted: object) -> None:
    await workspace.call("POST", f"/v1/webhooks/{endpoint_id}/secret/rotate", wanted)


async def test_the_guides_receiver_goes_on_until_the_overlap_ends(hooklane: Hooklane) -> None:
    """The sample as it is in the guide, with the old secret, then started with the new one."""
    workspace = await hooklane.workspace("qr3")
    logs_dir = hooklane.logs_dir
    async with (
        running(python_sample(logs_dir=logs_dir, secret=OLD)) as before,
        running(python_sample(logs_dir=logs_dir, secret=NEW)) as after,
    ):
        endpoint_id = (await workspace.create(before.url, secret=OLD))["id"]
        await rotate(workspace, endpoint_id, secret=NEW, overlap_s=3_600)
        await hooklane.publish(workspace.event(TYPE, "evt_during"))
        (during,) = await before.arrived()
        await workspace.call("PATCH", f"/v1/webhooks/{endpoint_id}", {"url": after.url})
        await rotate(workspace, endpoint_id, secret=NEW, overlap_s=0)
        await hooklane.publish(workspace.event(TYPE, "evt_after"))
        (afterwards,) = await after.arrived()

    assert (during.status, afterwards.status) == (200, 200)
    assert "x-qr3-signature-all" not in afterwards.headers
    for secret in (OLD, NEW):
        Receiver("qr3", [secret]).verify(during.headers, during.body)


async def test_both_signatures_are_sent_from_the_answer_on(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Standard Webhooks: with v1, then to v1a; each delivery verifies with what its owner has."""
    workspace = await hooklane.workspace("standard")
    old, new = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
    endpoint_id = (await workspace.create(receiver.url("/"), secret=old))["id"]

    async def delivered(event_id: str) -> Received:
        await hooklane.publish(workspace.event(TYPE, event_id))
        await receiver.got("/", event_id)
        return receiver.at("/")[-1]

    alone = await delivered("evt_alone")
    await rotate(workspace, endpoint_id, secret=new)
    both = await delivered("evt_both")
    await rotate(workspace, endpoint_id, signature="v1a")
    three = await delivered("evt_three")
    public_key = (await workspace.call("GET", f"/v1/webhooks/{endpoint_id}/secret"))["public_key"]
    await rotate(workspace, endpoint_id, overlap_s=0)
    foreign = await delivered("evt_foreign")

    assert is_signed(alone, old)
    for request, secrets in ((both, [old, new]), (three, [old, new, public_key])):
        for secret in secrets:
            Receiver("standard", [secret]).verify(request.headers, request.body)
    versions = [part.partition(",")[0] for part in three.signature.split(" ")]
    assert versions == ["v1a", "v1", "v1"]
    assert standardwebhooks.Webhook(old).verify(three.body, three.headers)
    for secret in (old, new, public_key):
        with pytest.raises(ValueError, match="no signature"):
            Receiver("standard", [secret]).verify(foreign.headers, foreign.body)
