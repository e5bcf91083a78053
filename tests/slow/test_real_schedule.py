"""QR3's retry schedule with its own times: at once, after one minute, after five more."""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.receivers import ScriptedReceiver, failing, waits_s
from tests.support.stack import open_hooklane

DELAYS_S: Final = (60, 300)  # between attempts, by the guide's table
LATE_S_MAX: Final = 2
WITHIN_S: Final = 400


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_a_failing_delivery_is_tried_again_after_one_minute_and_after_five() -> None:
    """Each wait, measured at the receiver, is what the guide says and hardly longer."""
    async with ScriptedReceiver() as receiver, open_hooklane() as hooklane:
        workspace = await hooklane.workspace("qr3")
        receiver.script("/", failing(500))
        await workspace.create(receiver.url("/"))
        await hooklane.publish(workspace.event("qr.scanned", "evt_1"))
        attempts = await receiver.arrived("/", 3, within_s=WITHIN_S)
    assert [request.attempt for request in attempts] == [1, 2, 3]
    for waited_s, delay_s in zip(waits_s(attempts), DELAYS_S, strict=True):
        assert delay_s <= waited_s <= delay_s + LATE_S_MAX
