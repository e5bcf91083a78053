"""The metrics of retry: a closed list. ``overdue_seconds`` is what to scale on.

The lag of a waiting tier says nothing: its records are there in order to wait.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

MOVED = Counter("hooklane_retry_moved_total", "Records moved to deliveries", ["tier"])
POISON = Counter("hooklane_retry_poison_total", "Records that are no delivery, moved to dead")
REFUSED = Counter("hooklane_retry_refused_total", "Records that the broker refuses to take back")
MOVE_SECONDS = Histogram(
    "hooklane_retry_move_seconds",
    "From taking a batch of due records to the commit behind it",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
OVERDUE_SECONDS = Gauge(
    "hooklane_retry_overdue_seconds", "How long the earliest due record has been due", ["tier"]
)
OVERDUE_COUNT = Gauge(
    "hooklane_retry_overdue_count", "Records in memory whose time has come", ["tier"]
)
WAITING = Gauge("hooklane_retry_waiting", "Records that have not moved yet", ["tier"])
