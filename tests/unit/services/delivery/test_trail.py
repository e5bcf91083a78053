"""Which attempts get a line and which a span, and what both say."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from services.delivery.trail import Trail
from shared.config import AttemptLog
from shared.models.attempts import Status
from shared.observe.traces import Context, Span, Tracer
from tests.unit.services.delivery.builders import ACCEPTED_MS, attempt, meta

PARENT = Context("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def tracer(sink: list[Span]) -> Tracer:
    return Tracer(ratio=0.0, sink=sink.append, now_ms=lambda: 0)


def lines_of(lines: AttemptLog, **given: Any) -> list[dict[str, Any]]:
    with capture_logs() as written:
        Trail(lines=lines).leave(meta(), attempt(**given))
    return [dict(line) for line in written]


@pytest.mark.parametrize(
    ("lines", "status", "expected"),
    [
        ("all", "success", 1),
        ("all", "failed", 1),
        ("failures", "success", 0),
        ("failures", "failed", 1),
        ("none", "success", 0),
        ("none", "failed", 0),
    ],
)
def test_the_setting_says_which_attempts_get_a_line(
    lines: AttemptLog, status: Status, expected: int
) -> None:
    assert len(lines_of(lines, status=status)) == expected


def test_the_line_says_all_that_somebody_may_search_for() -> None:
    (line,) = lines_of(
        "failures",
        status="failed",
        status_code=503,
        ended_ms=ACCEPTED_MS + 70,
        accepted_ms=ACCEPTED_MS,
        response_time_ms=12.3,
        final=False,
        next_attempt_ms=ACCEPTED_MS + 60_000,
    )

    assert line == {
        "event": "attempt",
        "log_level": "info",
        "status": "failed",
        "workspace_id": "ws_1",
        "endpoint_id": "wh_1",
        "event_id": "evt_1",
        "event_type": "qr.scanned",
        "delivery_id": attempt().delivery_id(),
        "trigger": "event",
        "attempt": 1,
        "status_code": 503,
        "error": None,
        "response_time_ms": 12.3,
        "since_accepted_ms": 70,
        "final": False,
        "reason": None,
        "next_attempt_ms": ACCEPTED_MS + 60_000,
        "trace_id": None,
    }


def test_an_attempt_in_a_trace_is_a_span_and_its_record_says_where() -> None:
    spans: list[Span] = []
    tried = attempt(status="failed", error="timeout", ended_ms=ACCEPTED_MS + 70, attempt=2)
    with capture_logs() as written:
        left = Trail(traces=tracer(spans)).leave(meta(traceparent=str(PARENT)), tried)

    (span,) = spans
    assert left.traceparent == str(span.context)
    assert (span.parent, span.kind, span.error) == (PARENT, "client", "timeout")
    assert (span.start_ms, span.end_ms) == (ACCEPTED_MS, ACCEPTED_MS + 70)
    assert dict(span.attributes)["hooklane.attempt"] == 2
    assert dict(span.attributes)["error.type"] == "timeout"
    assert written[0]["trace_id"] == PARENT.trace_id


def test_attempts_of_a_delivery_are_spans_of_their_own_below_one() -> None:
    spans: list[Span] = []
    trail = Trail(traces=tracer(spans))
    for number in (1, 2):
        again = attempt(attempt=number, status_code=200)
        trail.leave(meta(traceparent=str(PARENT), attempt=number), again)

    assert spans[0].context != spans[1].context
    assert spans[0].parent == spans[1].parent == PARENT
    assert dict(spans[0].attributes)["http.response.status_code"] == 200


def test_without_a_trace_or_a_tracer_the_record_stays_as_it_is() -> None:
    tried = attempt()

    assert Trail().leave(meta(traceparent=str(PARENT)), tried) is tried
    assert Trail(traces=tracer([])).leave(meta(), tried) is tried
