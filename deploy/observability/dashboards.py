"""The Grafana dashboard as code: ``python -m deploy.observability.dashboards`` writes it.

A test holds ``grafana/`` to what is said here, and every expression to the metrics that the
operations guide documents. The data source is a variable, so that any Prometheus will do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).parent / "grafana"
COLUMNS: Final = 24
ABREAST: Final = 4  # of more, the legends do not fit
HEIGHT: Final = 8
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
RATE: Final = "$__rate_interval"
LISTED: Final = {"displayMode": "list", "placement": "bottom"}
RANKED: Final = {
    "displayMode": "table",
    "placement": "right",
    "calcs": ["max"],
    "sortBy": "Max",
    "sortDesc": True,
}


class Panel(NamedTuple):
    """A graph: expressions with their legends, and the unit as Grafana names it.

    ``logarithmic`` is for what differs by orders of magnitude. ``ranked`` is for many series of
    which few matter: the legend is a table with the highest value first.
    """

    title: str
    unit: str
    series: tuple[tuple[str, str], ...]
    note: str = ""
    logarithmic: bool = False
    ranked: bool = False


class Row(NamedTuple):
    """Panels under a heading, on as many lines as they need."""

    title: str
    panels: tuple[Panel, ...]


def rate(metric: str, by: str = "") -> str:
    """Return the rate of a counter over all processes."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}[{RATE}]))"


def quantile(share: float, histogram: str, by: str = "") -> str:
    """Return a quantile of a histogram over all processes."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket[{RATE}])))"


def quantiles(histogram: str) -> tuple[tuple[str, str], ...]:
    """Return the middle, and what one in twenty and one in a hundred exceed."""
    return tuple((quantile(q, histogram), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99))


ROWS: Final = (
    Row(
        "What producers and receivers feel",
        (
            Panel(
                "End to end, by attempts",
                "s",
                (
                    (
                        quantile(0.5, "hooklane_delivery_end_to_end_seconds", "attempts"),
                        "p50, {{attempts}}",
                    ),
                    (
                        quantile(0.99, "hooklane_delivery_end_to_end_seconds", "attempts"),
                        "p99, {{attempts}}",
                    ),
                ),
                "From the event's time on Kafka to the answer that was a success.",
                logarithmic=True,
            ),
            Panel(
                "Attempts by outcome",
                "reqps",
                ((rate("hooklane_delivery_attempts_total", "outcome"), "{{outcome}}"),),
            ),
            Panel(
                "Behind",
                "short",
                (
                    ("sum(hooklane_fanout_lag_records)", "events"),
                    ("sum(hooklane_delivery_lag_records)", "deliveries"),
                    ("sum(hooklane_recorder_lag_records)", "log"),
                ),
                "Records on Kafka that are not finished.",
            ),
            Panel(
                "Retries overdue",
                "s",
                (("max by (tier) (hooklane_retry_overdue_seconds)", "{{tier}}"),),
                "0 in a healthy system, whatever waits.",
                ranked=True,
            ),
        ),
    ),
    Row(
        "Gateway",
        (
            Panel(
                "Requests by status",
                "reqps",
                ((rate("hooklane_gateway_requests_total", "status"), "{{status}}"),),
            ),
            Panel("Time to answer", "s", quantiles("hooklane_gateway_request_seconds")),
            Panel(
                "Events posted",
                "eps",
                (
                    (rate("hooklane_gateway_events_total", "result"), "{{result}}"),
                    (rate("hooklane_gateway_limited_total", "limit"), "refused: {{limit}}"),
                    (rate("hooklane_gateway_limits_open_total", "limit"), "uncounted: {{limit}}"),
                ),
            ),
            Panel(
                "In flight", "short", (("sum by (job) (hooklane_gateway_in_flight)", "{{job}}"),)
            ),
        ),
    ),
    Row(
        "Fan-out",
        (
            Panel(
                "Events in, records out",
                "eps",
                (
                    (rate("hooklane_fanout_events_total"), "events"),
                    (rate("hooklane_fanout_published_total"), "published"),
                    (rate("hooklane_fanout_rejected_total"), "rejected"),
                ),
            ),
            Panel("Time of a batch", "s", quantiles("hooklane_fanout_batch_seconds")),
        ),
    ),
    Row(
        "Delivery",
        (
            Panel("Time of an attempt", "s", quantiles("hooklane_delivery_attempt_seconds")),
            Panel(
                "At work",
                "short",
                (
                    ("sum(hooklane_delivery_in_flight)", "in flight"),
                    ("sum(hooklane_delivery_waiting)", "waiting"),
                    ("sum(hooklane_delivery_open_records)", "open"),
                ),
            ),
            Panel(
                "Lanes",
                "short",
                (
                    ("sum(hooklane_delivery_lanes)", "busy"),
                    ("sum(hooklane_delivery_lanes_saturated)", "saturated"),
                    ("sum(hooklane_delivery_lanes_circuit_open)", "circuit open"),
                ),
            ),
            Panel(
                "Put aside, and ended otherwise",
                "ops",
                (
                    (rate("hooklane_delivery_parked_total"), "parked"),
                    (rate("hooklane_delivery_holds_total"), "asked to wait"),
                    (rate("hooklane_delivery_discarded_total"), "discarded"),
                    (rate("hooklane_delivery_repeats_total"), "repeats"),
                    (rate("hooklane_delivery_poison_total"), "no delivery"),
                    (rate("hooklane_delivery_dead_total", "reason"), "dead: {{reason}}"),
                ),
            ),
        ),
    ),
    Row(
        "Retry",
        (
            Panel(
                "Moved",
                "ops",
                (
                    (rate("hooklane_retry_moved_total", "tier"), "{{tier}}"),
                    (rate("hooklane_retry_poison_total"), "no delivery"),
                    (rate("hooklane_retry_refused_total"), "refused"),
                ),
            ),
            Panel(
                "Waiting",
                "short",
                (("sum by (tier) (hooklane_retry_waiting)", "{{tier}}"),),
                ranked=True,
            ),
            Panel(
                "Overdue",
                "short",
                (("sum by (tier) (hooklane_retry_overdue_count)", "{{tier}}"),),
                ranked=True,
            ),
            Panel("Time of a move", "s", quantiles("hooklane_retry_move_seconds")),
        ),
    ),
    Row(
        "Recorder",
        (
            Panel("Rows", "ops", ((rate("hooklane_recorder_rows_total", "result"), "{{result}}"),)),
            Panel("Time of a batch", "s", quantiles("hooklane_recorder_batch_seconds")),
            Panel(
                "The log is behind by", "s", (("max(hooklane_recorder_lag_seconds)", "seconds"),)
            ),
            Panel(
                "What follows",
                "ops",
                (
                    (rate("hooklane_recorder_batches_total"), "batches"),
                    (rate("hooklane_recorder_health_writes_total"), "health"),
                    (rate("hooklane_recorder_stats_pages_total"), "statistics"),
                    (rate("hooklane_gateway_republished_total"), "republished"),
                ),
            ),
            Panel(
                "Rejected, disabled, told",
                "ops",
                (
                    (rate("hooklane_recorder_rejected_total", "result"), "rejected: {{result}}"),
                    (rate("hooklane_recorder_disabled_total", "reason"), "disabled: {{reason}}"),
                    (rate("hooklane_recorder_announced_total", "type"), "told: {{type}}"),
                ),
            ),
        ),
    ),
    Row(
        "Processes",
        (
            Panel(
                "CPU",
                "short",
                (("sum by (job) (rate(process_cpu_seconds_total[$__rate_interval]))", "{{job}}"),),
                "Cores that all processes of a service have used.",
            ),
            Panel(
                "Memory",
                "bytes",
                (("max by (job) (process_resident_memory_bytes)", "{{job}}"),),
                "Of a service's largest process.",
            ),
            Panel(
                "Since the main loop moved",
                "s",
                (("max by (job) (hooklane_loop_silent_seconds)", "{{job}}"),),
            ),
            Panel(
                "Releases",
                "short",
                (("count by (version) (hooklane_build_info)", "{{version}}"),),
            ),
            Panel(
                "Spans",
                "ops",
                ((rate("hooklane_traces_spans_total", "result"), "{{result}}"),),
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana stores it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in ROWS:
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        panels.append(_numbered(len(panels), type="row", title=row.title, gridPos=place, panels=[]))
        top += 1
        for line in _lines(row.panels):
            width = COLUMNS // len(line)
            for column, panel in enumerate(line):
                place = {"h": HEIGHT, "w": width, "x": column * width, "y": top}
                panels.append(_numbered(len(panels), gridPos=place, **_graph(panel)))
            top += HEIGHT
    return {
        "uid": "hooklane",
        "title": "Hooklane",
        "tags": ["hooklane"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [
                {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}
            ]
        },
        "panels": panels,
    }


def text() -> str:
    """Return the dashboard's file."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the dashboard."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "hooklane.json").write_text(text(), encoding="utf-8")


def _lines(panels: tuple[Panel, ...]) -> list[tuple[Panel, ...]]:
    """Return the panels in as few lines as possible, which are as even as possible."""
    lines: list[tuple[Panel, ...]] = []
    for left in range(-(-len(panels) // ABREAST), 0, -1):
        length = -(-len(panels) // left)
        lines.append(panels[:length])
        panels = panels[length:]
    return lines


def _graph(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.logarithmic:
        defaults["custom"] = {"scaleDistribution": {"type": "log", "log": 10}}
    else:
        defaults["min"] = 0
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.note,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": RANKED if panel.ranked else LISTED},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expr, "legendFormat": legend}
            for index, (expr, legend) in enumerate(panel.series)
        ],
    }


def _numbered(before: int, **members: Any) -> dict[str, Any]:
    return {"id": before + 1, **members}


if __name__ == "__main__":
    main()
