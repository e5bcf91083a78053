"""The metrics of the delivery worker: a closed list, without a label that a customer could fill."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Sequence
from typing import Final, get_args

from prometheus_client import Counter, Gauge

from services.delivery.settle import DiscardReason
from shared.models.attempts import Attempt
from shared.models.deliveries import TRIGGER_EVENT, TRIGGER_PING
from shared.observe.metrics import from_zero
from shared.observe.tally import TallyHistogram
from shared.policy.retry import EndReason

ATTEMPTS = Counter("hooklane_delivery_attempts_total", "Attempts by outcome", ["outcome"])
DISCARDED = Counter("hooklane_delivery_discarded_total", "Deliveries ended without an attempt")
DEAD = from_zero(
    Counter(
        "hooklane_delivery_dead_total",
        "Deliveries that ended without success, by reason",
        ["reason"],
    ),
    (*get_args(EndReason), *get_args(DiscardReason)),
)
PARKED = Counter("hooklane_delivery_parked_total", "Deliveries put aside because of their lane")
HELD = Counter(
    "hooklane_delivery_holds_total",
    "Answers 429 and 503 that asked with Retry-After to be sent nothing for some time",
)
REPEATED = Counter("hooklane_delivery_repeats_total", "Records recognised as repeats and dropped")
POISON = Counter("hooklane_delivery_poison_total", "Records that are no delivery, moved to dead")
_SECONDS = TallyHistogram(
    "hooklane_delivery_attempt_seconds",
    "Duration of an attempt",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
_WITHOUT_RETRIES_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_END_TO_END = TallyHistogram(
    "hooklane_delivery_end_to_end_seconds",
    "From the event's time on Kafka to the answer that was a success, by attempts: one, or more",
    labelnames=("attempts",),
    buckets=(*_WITHOUT_RETRIES_S, 300, 600, 1_800, 7_200, 86_400),
)
IN_FLIGHT = Gauge("hooklane_delivery_in_flight", "Requests in flight")
OPEN = Gauge("hooklane_delivery_open_records", "Records read and not finished")
WAITING = Gauge("hooklane_delivery_waiting", "Deliveries that wait in their lanes")
LANES = Gauge("hooklane_delivery_lanes", "Endpoints with open deliveries")
SATURATED = Gauge(
    "hooklane_delivery_lanes_saturated",
    "Endpoints with all the requests in flight that they are allowed, and more waiting",
)
CIRCUIT_OPEN = Gauge(
    "hooklane_delivery_lanes_circuit_open",
    "Endpoints that have stopped answering, and are probed by one request at a time",
)
LAG = Gauge("hooklane_delivery_lag_records", "Deliveries on Kafka that are not finished yet")

_USUAL_STATUSES: Final = frozenset(
    (*range(200, 207), *range(301, 309), *range(400, 430), *range(500, 512), 431, 451)
)
_seconds: Final = _SECONDS.labels()
_first: Final = _END_TO_END.labels("one")
_retried: Final = _END_TO_END.labels("more")


def count(attempts: Sequence[Attempt]) -> None:
    """Count attempts: once for each flush, as a labelled counter costs 3 to 6 µs."""
    outcomes = Counts([attempt.error or attempt.status_code for attempt in attempts])
    for outcome, number in outcomes.items():
        ATTEMPTS.labels(_label(outcome)).inc(number)
    _seconds.observe([(attempt.response_time_ms or 0.0) / 1000 for attempt in attempts])
    first: list[float] = []
    for attempt in attempts:
        if attempt.status != "success":
            _count_failure(attempt)
        elif attempt.trigger == TRIGGER_EVENT:
            seconds = max(0, attempt.ended_ms - attempt.accepted_ms) / 1000
            if attempt.attempt == 1:
                first.append(seconds)
            else:
                _retried.observe([seconds])
    _first.observe(first)


def _count_failure(attempt: Attempt) -> None:
    """Count what went to ``deliveries.dead``; a ping never does."""
    if attempt.final and attempt.trigger != TRIGGER_PING:
        DEAD.labels(attempt.reason).inc()


def _label(outcome: str | int | None) -> str:
    """Return an outcome; receivers may answer any number, and must not make a series of each."""
    if isinstance(outcome, int) and outcome not in _USUAL_STATUSES:
        return f"{outcome // 100}xx"
    return str(outcome)
