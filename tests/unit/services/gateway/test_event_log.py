"""An event's attempts as deliveries: one for each endpoint and trigger, with its state."""

from typing import Any

import pytest

from services.gateway.handlers.event_log import deliveries_of
from shared.models.attempts import Status
from shared.storage.chunks import AttemptRow
from tests.unit.services.recorder.kit import attempt


def row(status: Status, number: int = 1, **given: Any) -> AttemptRow:
    one = attempt(status, at_ms=1_000 * number, attempt=number, **given)
    return AttemptRow(one.delivery_id(), one)


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([row("success")], "succeeded"),
        ([row("success", 2), row("failed", final=False)], "succeeded"),
        ([row("failed", final=False), row("failed", 2, final=False)], "retrying"),
        ([row("failed", final=False), row("failed", 2, reason="exhausted")], "exhausted"),
        ([row("failed", reason="gone")], "exhausted"),
        ([row("failed", final=False), row("discarded", 2)], "discarded"),
    ],
)
def test_the_latest_attempt_says_how_a_delivery_stands(rows: list[AttemptRow], state: str) -> None:
    (delivery,) = deliveries_of(rows)

    assert delivery.state == state
    assert [one.attempt.attempt for one in delivery.attempts] == list(range(1, len(rows) + 1))


def test_endpoints_and_triggers_are_deliveries_of_their_own() -> None:
    rows = [
        row("failed", reason="exhausted"),
        row("success", 2, trigger="resend:1"),
        row("failed", endpoint_id="wh_0"),
    ]
    assert [(one.endpoint_id, one.trigger) for one in deliveries_of(rows)] == [
        ("wh_0", "event"),
        ("wh_1", "event"),
        ("wh_1", "resend:1"),
    ]
