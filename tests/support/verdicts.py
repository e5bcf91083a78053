"""What tests that kill things under load say about an arena afterwards."""

from __future__ import annotations

from typing import Final

from tests.support.arena import FAN_OUT, Arena
from tests.support.polling import until, until_true

RECOVERY_S: Final = 90.0


async def half_is_accepted(arena: Arena, prefix: str, events: int) -> None:
    """Wait until half of the deliveries of these events have been made."""
    await until_true(
        lambda: _accepted(arena, prefix),
        lambda count: count >= events * FAN_OUT // 2,
        what="half the load",
        within_s=RECOVERY_S,
    )


async def each_succeeds_once(arena: Arena, prefix: str, events: int) -> None:
    """Wait until the log has a success of every delivery of these events, and none twice."""
    rows = await until(
        lambda: arena.successes(prefix),
        lambda rows: len(rows) >= events * FAN_OUT,
        what="every delivery in the log",
        within_s=RECOVERY_S,
    )
    assert len(rows) == events * FAN_OUT
    assert set(rows.values()) == {1}


def _accepted(arena: Arena, prefix: str) -> int:
    return sum(1 for _, event_id in arena.receiver.accepted if event_id.startswith(f"{prefix}-"))
