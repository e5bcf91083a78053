"""What attempts count as; no receiver can make a series of its own."""

from __future__ import annotations

from typing import Any

from prometheus_client import REGISTRY

from services.delivery import metrics
from tests.unit.services.delivery.builders import ACCEPTED_MS, attempt


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"hooklane_delivery_{name}", labels) or 0.0


def test_unusual_status_codes_share_a_series() -> None:
    before = sample("attempts_total", outcome="5xx")
    usual = sample("attempts_total", outcome="503")
    metrics.count(
        [attempt(status="failed", final=False, status_code=code) for code in (503, 520, 599)]
    )

    assert sample("attempts_total", outcome="5xx") == before + 2
    assert sample("attempts_total", outcome="503") == usual + 1
    assert sample("attempts_total", outcome="599") == 0


def test_successes_count_from_the_event_s_time_by_whether_they_were_retried() -> None:
    before = {one: sample("end_to_end_seconds_sum", attempts=one) for one in ("one", "more")}
    metrics.count(
        [
            attempt(status_code=200, attempt=number, ended_ms=ended, accepted_ms=ACCEPTED_MS)
            for number, ended in ((1, ACCEPTED_MS + 500), (3, ACCEPTED_MS + 2_000))
        ]
    )

    assert sample("end_to_end_seconds_sum", attempts="one") == before["one"] + 0.5
    assert sample("end_to_end_seconds_sum", attempts="more") == before["more"] + 2.0


def test_pings_and_resends_are_nobody_s_way_from_end_to_end() -> None:
    before = sample("end_to_end_seconds_count", attempts="one")
    metrics.count(
        [attempt(status_code=200, trigger=trigger) for trigger in ("ping", "resend:whd_1")]
    )

    assert sample("end_to_end_seconds_count", attempts="one") == before


def test_a_producer_s_clock_that_is_ahead_takes_nothing_from_the_sum() -> None:
    before = sample("end_to_end_seconds_sum", attempts="one")
    metrics.count([attempt(status_code=200, ended_ms=ACCEPTED_MS, accepted_ms=ACCEPTED_MS + 9_000)])

    assert sample("end_to_end_seconds_sum", attempts="one") == before


def test_what_ends_without_success_is_counted_by_reason_but_for_pings() -> None:
    before = sample("dead_total", reason="exhausted")
    failed: dict[str, Any] = {"status": "failed", "status_code": 500, "reason": "exhausted"}
    metrics.count([attempt(**failed), attempt(**failed, trigger="ping")])
    metrics.count([attempt(status="failed", status_code=500, final=False)])

    assert sample("dead_total", reason="exhausted") == before + 1
