"""Dashboards and alerts against the metrics that exist; every alert says what to do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import product
from typing import Any, Final

import promql_parser
import pytest
import yaml

from deploy.observability import dashboards
from tests.architecture.repository import ROOT

ALERTS: Final = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/observability/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
RUNBOOKS: Final = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
EXPRESSIONS: Final = [
    *(rule["expr"] for rule in ALERTS),
    *(expr for row in dashboards.ROWS for panel in row.panels for expr, _ in panel.series),
]
_ROW: Final = re.compile(r"^\| `(hooklane_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)
_SCRAPED: Final = {"job", "instance"}
_OF_OTHERS: Final = {
    "up": _SCRAPED,
    "process_cpu_seconds_total": _SCRAPED,
    "process_resident_memory_bytes": _SCRAPED,
}


GUIDE: Final = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
METRICS: Final = {name for name, _, _ in _ROW.findall(GUIDE)}
_OPEN: Final = {  # labels whose values are not known beforehand; what alerts is a ratio of many
    "hooklane_delivery_attempts_total",
    "hooklane_gateway_requests_total",
    "hooklane_retry_moved_total",
}


def documented() -> dict[str, set[str]]:
    """Return the labels of every series that the operations guide promises."""
    series: dict[str, set[str]] = {}
    for name, kind, cell in _ROW.findall(GUIDE):
        labels = {*re.findall(r"`(\w+)`", cell), *_SCRAPED}
        if kind == "histogram":
            series |= {f"{name}_sum": labels, f"{name}_count": labels}
            series[f"{name}_bucket"] = {*labels, "le"}
        else:
            series[name] = labels
    return series | _OF_OTHERS


SERIES: Final = documented()


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """Return what an expression selects; raises ValueError where it is none."""
    nodes: list[Any] = []
    tree = promql_parser.parse(expression.replace("$__rate_interval", "5m"))
    promql_parser.walk(tree, nodes.append)
    found = [getattr(node, "vector_selector", node) for node in nodes]
    return [node for node in found if isinstance(node, promql_parser.VectorSelector)]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_metrics_and_labels_that_exist(expression: str) -> None:
    selected = selectors(expression)
    assert selected
    for selector in selected:
        assert selector.name in SERIES
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched <= SERIES[selector.name]

    offered = set().union(*(SERIES[selector.name or ""] for selector in selected))
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    assert {label.strip() for labels in grouped for label in labels.split(",")} <= offered


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for expr in EXPRESSIONS for name in re.findall(r"hooklane_\w+", expr)}

    assert METRICS - {name.removesuffix("_bucket") for name in shown} == set()


def test_a_counter_is_there_before_its_first_event() -> None:
    """What appears with its first event rises by nothing then: no alert would see it."""
    services = sorted(path.parent.name for path in ROOT.glob("services/*/metrics.py"))
    imports = "\n".join(f"import services.{name}.metrics" for name in services)
    show = "import prometheus_client as p\nprint(p.generate_latest().decode())"
    fresh = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{show}"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    there = set(re.findall(r"^(hooklane_\w+_total)(?:\{[^}]*\})? 0\.0$", fresh, re.MULTILINE))

    assert {name for name, kind, _ in _ROW.findall(GUIDE) if kind == "counter"} - there == _OPEN


def test_the_dashboard_is_what_its_module_says() -> None:
    written = (dashboards.FOLDER / "hooklane.json").read_text(encoding="utf-8")

    assert written == dashboards.text(), "run `python -m deploy.observability.dashboards`"
    assert [path.name for path in dashboards.FOLDER.iterdir()] == ["hooklane.json"]


def test_panels_fill_the_dashboard_without_overlapping_and_have_ids_of_their_own() -> None:
    panels = json.loads(dashboards.text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    bottom = max(y for _, y in cells)

    assert sorted(cells) == list(product(range(dashboards.COLUMNS), range(bottom + 1)))
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_a_logarithmic_panel_does_not_begin_at_zero() -> None:
    graphs = [panel for panel in json.loads(dashboards.text())["panels"] if panel["type"] != "row"]
    defaults = {panel["title"]: panel["fieldConfig"]["defaults"] for panel in graphs}
    titles = {panel.title for row in dashboards.ROWS for panel in row.panels if panel.logarithmic}

    assert titles
    assert {title for title, values in defaults.items() if "min" not in values} == titles
    assert {title for title, values in defaults.items() if "custom" in values} == titles


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_and_where_its_runbook_is(rule: dict[str, Any]) -> None:
    name = rule["alert"]

    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}"
    assert f"\n## {name}\n" in RUNBOOKS


def test_every_runbook_is_that_of_an_alert() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE) == [rule["alert"] for rule in ALERTS]


def test_every_metric_that_a_runbook_names_exists() -> None:
    named = set(re.findall(r"`(hooklane_\w+)`", RUNBOOKS))

    assert named - METRICS == set()


def test_promtool_tests_when_every_alert_fires() -> None:
    cases = yaml.safe_load((ROOT / "tests/promtool/alerts.yaml").read_text(encoding="utf-8"))
    fired = cases["tests"][0]["promql_expr_test"][-1]["exp_samples"]

    assert [sample["labels"] for sample in fired] == [
        f'{{alertname="{rule["alert"]}"}}' for rule in ALERTS
    ]
