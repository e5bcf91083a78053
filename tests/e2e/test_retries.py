"""What follows a failed attempt: the schedule, the same request again, the end, the way back.

The profiles are the built-in ones with short delays; ``tests/slow/test_real_schedule.py`` takes
the guide's own times.
"""

from __future__ import annotations

from typing import Final

import pytest

from shared.models.deliveries import REASON_HEADER
from tests.support.receivers import (
    HANG,
    OK,
    RESET,
    Answer,
    ScriptedReceiver,
    failing,
    is_signed,
    waits_s,
)
from tests.support.stack import FAST, FAST_STANDARD, IMPATIENT, Hooklane, Json

HEX_SECRET: Final = "my-secret-key-min-16-chars"
STANDARD_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RETRY_AFTER_S: Final = 2


def outcomes(rows: list[Json]) -> list[tuple[int, str, int | None, str | None]]:
    """Return number, status, status code and reason of each logged attempt, oldest first."""
    rows = sorted(rows, key=lambda row: row["attempt"])
    return [(row["attempt"], row["status"], row["status_code"], row.get("reason")) for row in rows]


@pytest.mark.parametrize(
    ("profile", "secret", "delays_s"),
    [(FAST, HEX_SECRET, (0.25, 0.5)), (FAST_STANDARD, STANDARD_SECRET, (0.5, 1.0))],
)
async def test_a_failing_delivery_is_tried_three_times_and_then_kept_as_dead(
    hooklane: Hooklane,
    receiver: ScriptedReceiver,
    profile: str,
    secret: str,
    delays_s: tuple[float, float],
) -> None:
    """Attempts 1, 2 and 3 carry the same id and bytes, no earlier than the schedule says."""
    workspace = await hooklane.workspace(profile)
    receiver.script("/", failing(500))
    endpoint = await workspace.create(receiver.url("/"), secret=secret)
    await hooklane.publish(workspace.event("qr.created", "evt_dead", {"zip": "0123", "n": [1, 2]}))

    attempts = await receiver.arrived("/", 3)
    assert [request.attempt for request in attempts] == [1, 2, 3]
    assert {request.event_id for request in attempts} == {"evt_dead"}
    assert len({request.body for request in attempts}) == 1
    assert all(is_signed(request, secret) for request in attempts)
    for waited_s, delay_s in zip(waits_s(attempts), delays_s, strict=True):
        assert waited_s >= delay_s
    if profile == FAST:
        assert len({request.signature for request in attempts}) == 1
    else:
        # The time is signed too, in whole seconds: the first and last attempt are 1.5 s apart.
        times = [int(request.headers["webhook-timestamp"]) for request in attempts]
        assert times == sorted(times)
        assert attempts[0].signature != attempts[2].signature

    dead = await hooklane.topic("deliveries.dead")
    (kept,) = await dead.find(
        lambda record: record.key == endpoint["id"].encode(), what="the dead delivery"
    )
    assert kept.value == attempts[0].body
    assert dict(kept.headers)[REASON_HEADER] == b"exhausted"
    rows = await workspace.logged(
        endpoint["id"], lambda rows: len(rows) == 3, what="three attempts in the log"
    )
    assert outcomes(rows) == [
        (1, "failed", 500, None),
        (2, "failed", 500, None),
        (3, "failed", 500, "exhausted"),
    ]
    assert len(receiver.at("/")) == 3


@pytest.mark.parametrize("failure", [failing(300), failing(404), failing(503), RESET, HANG])
async def test_every_kind_of_failure_is_tried_again(
    hooklane: Hooklane, receiver: ScriptedReceiver, failure: Answer
) -> None:
    """HTTP >= 300, a broken connection and a time-out are failures; a 2xx ends the delivery."""
    workspace = await hooklane.workspace(IMPATIENT)
    receiver.script("/", failure, OK)
    endpoint = await workspace.create(receiver.url("/"))
    await hooklane.publish(workspace.event("qr.created", "evt_again"))
    rows = await workspace.logged(
        endpoint["id"], lambda rows: len(rows) == 2, what="two attempts in the log"
    )
    status_code = failure.status if failure.manner == "respond" else None
    assert outcomes(rows) == [(1, "failed", status_code, None), (2, "success", 200, None)]
    assert [request.attempt for request in receiver.at("/")] == [1, 2]


async def test_retry_after_is_honoured(hooklane: Hooklane, receiver: ScriptedReceiver) -> None:
    """A receiver that asks for two seconds gets them, though the schedule says a quarter of one.

    It asks for all requests: an event that comes meanwhile waits as well, and others' do not.
    """
    workspace = await hooklane.workspace(FAST)
    receiver.script("/", failing(503, retry_after=str(RETRY_AFTER_S)), OK)
    await workspace.create(receiver.url("/"))
    await workspace.create(receiver.url("/other"))
    await hooklane.publish(workspace.event("qr.created", "evt_later"))
    await receiver.arrived("/", 1)
    await hooklane.publish(workspace.event("qr.created", "evt_meanwhile"))
    await receiver.got("/other", "evt_meanwhile")
    assert len(receiver.at("/")) == 1
    first, *others = await receiver.arrived("/", 3)
    attempts = sorted((request.event_id, request.attempt) for request in others)
    assert attempts == [("evt_later", 2), ("evt_meanwhile", 1)]
    for request in others:
        (waited_s,) = waits_s([first, request])
        assert waited_s >= RETRY_AFTER_S


async def test_gone_disables_at_once(hooklane: Hooklane, receiver: ScriptedReceiver) -> None:
    """410: the receiver will not come back, so nothing is tried again and nothing more is sent."""
    workspace = await hooklane.workspace(FAST)
    receiver.script("/gone", failing(410))
    endpoint = await workspace.create(receiver.url("/gone"))
    await workspace.create(receiver.url("/here"))
    await hooklane.publish(workspace.event("qr.created", "evt_1"))
    disabled = await workspace.shown(endpoint["id"], is_active=False)
    assert "gone" in disabled["disabled_reason"]
    await hooklane.publish(workspace.event("qr.created", "evt_2"))
    await receiver.arrived("/here", 2)
    (row,) = await workspace.logged(endpoint["id"], bool, what="the attempt in the log")
    assert outcomes([row]) == [(1, "failed", 410, "gone")]
    assert receiver.ids_at("/gone") == ["evt_1"]
