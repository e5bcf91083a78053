"""No endpoint slows another: what others get while one holds every request it is sent."""

from __future__ import annotations

from typing import Final

import pytest

from services.delivery.lane import START
from tests.support.polling import until_true
from tests.support.receivers import HANG, OK, ScriptedReceiver
from tests.support.stack import FAST, IMPATIENT, Hooklane

EVENTS: Final = 300
HEALTHY: Final = ("/one", "/two", "/three")


async def test_the_others_get_everything_before_one_black_hole_is_given_up(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """All endpoints get the same events. The hole has its first few requests, and keeps them."""
    workspace = await hooklane.workspace(FAST)  # an attempt is given up after 15 s
    receiver.script("/hole", HANG)
    hole = await workspace.create(receiver.url("/hole"))
    for path in HEALTHY:
        await workspace.create(receiver.url(path))
    ids = [f"evt_beside_a_hole_{number}" for number in range(EVENTS)]
    await hooklane.publish(*(workspace.event("qr.created", event_id) for event_id in ids))

    for path in HEALTHY:
        await receiver.arrived(path, EVENTS)
        assert sorted(receiver.ids_at(path)) == sorted(ids)
    assert await workspace.deliveries(hole["id"]) == []
    assert len(receiver.at("/hole")) == START


@pytest.mark.slow
async def test_what_was_put_aside_comes_back_when_the_black_hole_answers(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Its circuit is open after some timeouts; parked deliveries probe it, and then all follow."""
    workspace = await hooklane.workspace(IMPATIENT)  # an attempt is given up after 1 s
    receiver.script("/back", *[HANG] * START, OK)
    await workspace.create(receiver.url("/back"))
    ids = {f"evt_put_aside_{number}" for number in range(3 * START)}
    await hooklane.publish(*(workspace.event("qr.created", event_id) for event_id in ids))

    await until_true(
        lambda: {one.event_id for one in receiver.at("/back") if one.status == 200},
        lambda answered: answered == ids,
        what="every event answered in the end",
        within_s=40,
    )
