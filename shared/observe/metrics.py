"""The metrics that every service has: a closed list."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge

BUILD = Gauge("hooklane_build_info", "Always 1; the label says which release this is", ["version"])
SILENT = Gauge(
    "hooklane_loop_silent_seconds",
    "Since the main loop moved last; at 15 the process is not alive any more",
)


def from_zero(counter: Counter, values: Iterable[str]) -> Counter:
    """Return a counter whose series are there from the start, one for each value of its label.

    Prometheus tells what a series rises by. One that appears with its first event rises by nothing
    then, and no alert would see that event.
    """
    for value in values:
        counter.labels(value)
    return counter


SPANS = from_zero(
    Counter(
        "hooklane_traces_spans_total",
        "Spans of sampled traces, by what became of them: exported, dropped, failed",
        ["result"],
    ),
    ("exported", "dropped", "failed"),
)
