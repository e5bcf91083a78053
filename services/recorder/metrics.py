"""The metrics of the recorder: a closed list."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable
from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from shared.models.operational import Announcement, OperationalType
from shared.observe.metrics import from_zero
from shared.policy.health import Reason

ROWS = from_zero(
    Counter(
        "hooklane_recorder_rows_total",
        "Attempts read, by what became of their row: stored, known, undecodable, refused",
        ["result"],
    ),
    ("stored", "known", "undecodable", "refused"),
)
BATCHES = Counter("hooklane_recorder_batches_total", "Batches whose offsets were committed")
BATCH_SECONDS = Histogram(
    "hooklane_recorder_batch_seconds",
    "From decoding a batch to the commit of its offsets; an outage of MongoDB is in it",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600),
)
LAG = Gauge("hooklane_recorder_lag_records", "Attempts on Kafka that are not in the log yet")
LAG_SECONDS = Gauge(
    "hooklane_recorder_lag_seconds", "Age of the oldest attempt of the batch that is being written"
)
HEALTH_WRITES = Counter(
    "hooklane_recorder_health_writes_total", "Changes of an endpoint's health that were stored"
)
STATS_PAGES = Counter(
    "hooklane_recorder_stats_pages_total", "Pages of statistics that were written"
)
REJECTED = from_zero(
    Counter(
        "hooklane_recorder_rejected_total",
        "Rejected events read: copied for the API, or nobodys (no workspace can be told)",
        ["result"],
    ),
    ("copied", "nobodys"),
)
DISABLED = from_zero(
    Counter("hooklane_recorder_disabled_total", "Endpoints disabled, by reason", ["reason"]),
    get_args(Reason),
)
ANNOUNCED = from_zero(
    Counter("hooklane_recorder_announced_total", "Operational events published, by type", ["type"]),
    get_args(OperationalType),
)


def count_announced(announcements: Iterable[Announcement]) -> None:
    """Count operational events that were published."""
    for name, number in Counts(one.type for one in announcements).items():
        ANNOUNCED.labels(name).inc(number)
