"""The metrics that every service has: a closed list."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

BUILD = Gauge("hooklane_build_info", "Always 1; the label says which release this is", ["version"])
SILENT = Gauge(
    "hooklane_loop_silent_seconds",
    "Since the main loop moved last; at 15 the process is not alive any more",
)
SPANS = Counter(
    "hooklane_traces_spans_total",
    "Spans of sampled traces, by what became of them: exported, dropped, failed",
    ["result"],
)
