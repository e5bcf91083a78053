"""Ten failures in a row disable an endpoint (QR3's guide); enabling it again starts afresh.

With the fast profile an event that always fails is three failures, so three events are nine.
"""

from __future__ import annotations

from typing import Final

from tests.support.receivers import OK, ScriptedReceiver, failing
from tests.support.stack import FAST, Hooklane, Json, Workspace

ATTEMPTS: Final = 3  # of one event
CREATED: Final = "qr.created"
TENTH: Final = failing(500, retry_after="1")  # its retry comes when everybody knows of the end


async def fail(
    hooklane: Hooklane, workspace: Workspace, endpoint_id: str, ids: list[str]
) -> list[Json]:
    """Publish events that fail and return the log when each of their attempts is in it."""

    def is_complete(rows: list[Json]) -> bool:
        return sum(row["event_id"] in ids for row in rows) == ATTEMPTS * len(ids)

    await hooklane.publish(*(workspace.event(CREATED, event_id) for event_id in ids))
    return await workspace.logged(endpoint_id, is_complete, what=f"all attempts of {ids}")


def of_event(rows: list[Json], event_id: str) -> list[tuple[int, str]]:
    """Return number and status of an event's attempts in the log, oldest first."""
    return sorted((row["attempt"], row["status"]) for row in rows if row["event_id"] == event_id)


async def test_ten_failures_in_a_row_disable_and_enabling_begins_a_new_count(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Nine leave the endpoint alone, the tenth disables it; both again after enabling."""
    workspace = await hooklane.workspace(FAST)
    receiver.script("/", failing(500))
    endpoint_id = (await workspace.create(receiver.url("/")))["id"]
    await workspace.create(receiver.url("/witness"))  # shows that an event has been matched
    for turn in ("first", "second"):
        await fail(hooklane, workspace, endpoint_id, [f"{turn}-{number}" for number in range(3)])
        await workspace.shown(endpoint_id, is_active=True, consecutive_failures=9)

        receiver.script("/", TENTH, failing(500))
        await hooklane.publish(workspace.event(CREATED, f"{turn}-tenth"))
        disabled = await workspace.shown(endpoint_id, is_active=False)
        assert disabled["disabled_reason"]

        # The retry that was waiting is discarded, and an event published now is not matched.
        await workspace.logged(
            endpoint_id,
            lambda rows: rows[0]["status"] == "discarded",
            what="the end of the tenth event",
        )
        assert of_event(await workspace.deliveries(endpoint_id), f"{turn}-tenth") == [
            (1, "failed"),
            (2, "discarded"),
        ]
        await hooklane.publish(workspace.event(CREATED, f"{turn}-unheard"))
        await receiver.got("/witness", f"{turn}-unheard")

        enabled = await workspace.enable(endpoint_id)
        assert enabled["is_active"] is True
        assert "disabled_reason" not in enabled

    receiver.script("/", OK)
    await hooklane.publish(workspace.event(CREATED, "last"))
    await workspace.logged(
        endpoint_id, lambda rows: bool(of_event(rows, "last")), what="the last event in the log"
    )
    heard = receiver.ids_at("/")
    assert not [event_id for event_id in heard if event_id.endswith("-unheard")]
    assert len(heard) == 2 * (9 + 1) + 1


async def test_a_success_after_retries_ends_the_run_of_failures(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Eight failures, a success, nine failures: seventeen in all, but never ten in a row."""
    workspace = await hooklane.workspace(FAST)
    receiver.script("/", *[failing(500)] * 8, OK, failing(500))
    endpoint_id = (await workspace.create(receiver.url("/")))["id"]
    for number in range(2):
        await fail(hooklane, workspace, endpoint_id, [f"before-{number}"])
    rows = await fail(hooklane, workspace, endpoint_id, ["recovers"])
    assert of_event(rows, "recovers") == [(1, "failed"), (2, "failed"), (3, "success")]
    await workspace.shown(endpoint_id, consecutive_failures=0)
    await fail(hooklane, workspace, endpoint_id, [f"after-{number}" for number in range(3)])
    await workspace.shown(endpoint_id, is_active=True, consecutive_failures=9)
    await hooklane.publish(workspace.event(CREATED, "still-heard"))
    await receiver.got("/", "still-heard")
