"""The operations guide against the code: every metric is in it, every log event it names exists.

The table of settings is compared in ``test_env_example``. A failing test prints the table of
metrics as it should be.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.architecture.repository import ROOT, modules

GUIDE: Final = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
_KINDS: Final = {
    "Counter": "counter",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "TallyHistogram": "histogram",
}
_LEVELS: Final = ("debug", "info", "warning", "error", "exception")


class Metric(NamedTuple):
    """A metric as its service declares it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def _metrics() -> Iterator[Metric]:
    """Yield the metrics that the ``metrics`` modules declare, in their order."""
    for module in modules():
        if module.path.startswith(("services/", "shared/")) and module.path.endswith("/metrics.py"):
            calls = (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))
            declared = [call for call in calls if _called(call) in _KINDS]
            yield from map(_metric, sorted(declared, key=lambda call: call.lineno))


def _metric(call: ast.Call) -> Metric:
    name, meaning, *rest = (ast.literal_eval(argument) for argument in call.args)
    named = {word.arg: word.value for word in call.keywords}
    labels = rest[0] if rest else ()
    if "labelnames" in named:
        labels = ast.literal_eval(named["labelnames"])
    return Metric(name, _KINDS[_called(call)], tuple(labels), meaning)


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _log_events() -> set[str]:
    """Return the names of all log events of the services."""
    return {
        str(node.args[0].value)
        for module in modules()
        if module.path.startswith(("services/", "shared/"))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and _called(node) in _LEVELS
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def test_every_metric_is_in_the_guide_with_its_kind_labels_and_meaning() -> None:
    rows = [
        f"| `{metric.name}` | {metric.kind} | "
        f"{', '.join(f'`{label}`' for label in metric.labels)} | {metric.meaning} |"
        for metric in _metrics()
    ]
    table = "\n".join(("| Metric | Kind | Labels | Meaning |", "|---|---|---|---|", *rows))

    assert rows
    assert table in GUIDE, table


def test_every_log_event_that_the_guide_explains_exists() -> None:
    _, _, rows = GUIDE.partition("| Event | Level | What it means |")
    table, _, _ = rows.partition("\n\n")
    explained = re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)

    assert explained
    assert set(explained) - _log_events() == set()
