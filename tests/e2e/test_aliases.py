"""QR3's alias: ``scan.created`` and ``qr.scanned`` are one event type with two names."""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.polling import until_true
from tests.support.receivers import ScriptedReceiver
from tests.support.stack import Hooklane

CANONICAL: Final = "qr.scanned"
ALIAS: Final = "scan.created"
LAST: Final = "qr.deleted"  # published last, and for all: what arrived before it has arrived

SUBSCRIPTIONS: Final = {
    "/canonical": [CANONICAL, LAST],
    "/alias": [ALIAS, LAST],
    "/both": [CANONICAL, ALIAS, LAST],
    "/all": ["*", ALIAS, CANONICAL],
    "/everything": ["*"],
    "/another": ["qr.created", LAST],
}


@pytest.mark.parametrize("published", [CANONICAL, ALIAS])
async def test_an_event_reaches_the_subscribers_of_either_name_once_and_says_the_canonical_one(
    hooklane: Hooklane, receiver: ScriptedReceiver, published: str
) -> None:
    """Whatever name is published, each kind of subscription gets it once, as ``qr.scanned``."""
    workspace = await hooklane.workspace("qr3")
    for path, events in SUBSCRIPTIONS.items():
        await workspace.create(receiver.url(path), events)
    await hooklane.publish(workspace.event(published, "evt_scan"))
    await until_true(
        receiver.everything,
        lambda received: len(received) >= len(SUBSCRIPTIONS) - 1,
        what="the event at every subscriber",
    )
    await hooklane.publish(workspace.event(LAST, "evt_last"))
    for path in SUBSCRIPTIONS:
        await receiver.got(path, "evt_last")
        types = [request.json()["type"] for request in receiver.at(path)]
        assert types == ([LAST] if path == "/another" else [CANONICAL, LAST]), path
