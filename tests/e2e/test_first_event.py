"""The first event counts: what is produced after a create call has returned is delivered."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from tests.support.polling import until_true
from tests.support.receivers import ScriptedReceiver
from tests.support.stack import Hooklane, Workspace

ROUNDS: Final = 1_000
AT_ONCE: Final = 8


async def play(
    hooklane: Hooklane, workspace: Workspace, receiver: ScriptedReceiver, number: int
) -> None:
    """Create an endpoint that alone listens for a type, and produce its first event at once."""
    event_type = f"round.n{number}"
    await workspace.create(receiver.url(f"/{number}"), [event_type])
    await hooklane.publish(workspace.event(event_type, f"evt_{number}"))


@pytest.mark.timeout(120)
async def test_no_first_event_is_missed_in_a_thousand_rounds(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Each round's event reaches the endpoint that was created just before, once."""
    workspace = await hooklane.workspace("standard")  # its catalogue is open
    numbers = iter(range(ROUNDS))

    async def player() -> None:
        for number in numbers:
            await play(hooklane, workspace, receiver, number)

    await asyncio.gather(*(player() for _ in range(AT_ONCE)))
    await until_true(
        lambda: [number for number in range(ROUNDS) if not receiver.at(f"/{number}")],
        lambda missing: not missing,
        what="every round's event (missing)",
    )
    heard = {path: receiver.ids_at(path) for path in (f"/{number}" for number in range(ROUNDS))}
    assert heard == {f"/{number}": [f"evt_{number}"] for number in range(ROUNDS)}
