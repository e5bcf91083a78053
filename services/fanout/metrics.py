"""The metrics of fan-out: a closed list."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("hooklane_fanout_events_total", "Events read from Kafka")
REJECTED = Counter("hooklane_fanout_rejected_total", "Events put into events.rejected")
PUBLISHED = Counter("hooklane_fanout_published_total", "Deliveries and rejections published")
LAG = Gauge("hooklane_fanout_lag_records", "Events on Kafka that are not fanned out yet")
BATCH_SECONDS = Histogram(
    "hooklane_fanout_batch_seconds",
    "From reading a batch of events to the broker's acknowledgement of all that follows",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
