"""An outage is waited out with growing pauses, and reported when it begins and when it ends."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from services.recorder.patience import BACKOFF_MAX_S, BACKOFF_MIN_S, patiently
from shared.models.errors import Outage


def failing(times: int) -> Callable[[], Awaitable[str]]:
    """Return an operation that works after so many outages."""
    left = [Outage("away")] * times

    async def operation() -> str:
        if left:
            raise left.pop()
        return "done"

    return operation


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that were made; they take no time."""
    made: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        made.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", pause)
    return made


async def test_pauses_grow_up_to_a_limit(pauses: list[float]) -> None:
    assert await patiently(failing(12)) == "done"

    assert pauses[:3] == [BACKOFF_MIN_S, 2 * BACKOFF_MIN_S, 4 * BACKOFF_MIN_S]
    assert pauses[-3:] == [BACKOFF_MAX_S] * 3


async def test_an_outage_is_reported_once_when_it_begins_and_once_when_it_ends(
    pauses: list[float],
) -> None:
    with capture_logs() as logs:
        await patiently(failing(12))
        await patiently(failing(0))

    assert [line["event"] for line in logs] == ["storage_away", "storage_back"]


async def test_a_fault_of_ours_is_no_outage(pauses: list[float]) -> None:
    async def fail() -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await patiently(fail)
    assert pauses == []
