"""The results as pictures: SVG, put together from text. Pure.

Two kinds: stacked bars (what a delivery costs in each process) and dots on a logarithmic axis
(latencies). Colours are Okabe and Ito's, which people with any colour vision can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from bench.targets import Medians

COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
LABEL_WIDTH: Final = 250
PLOT_WIDTH: Final = 560
ROW_HEIGHT: Final = 26
TOP: Final = 64  # title and legend
BOTTOM: Final = 34  # axis
WIDTH: Final = LABEL_WIDTH + PLOT_WIDTH + 70
TICKS: Final = 5

PROCESSES: Final = ("kafka", "mongo", "fanout", "delivery", "recorder", "retry", "gateway")
LATENCIES: Final = {
    "p50": "p50_ms",
    "p99": "p99_ms",
    "p99.9": "p999_ms",
    "H p50": "h50_ms",
    "H p99": "h99_ms",
}
NEIGHBOURS: Final = {
    "quiet p50": "quiet_p50_ms",
    "noisy p50": "noisy_p50_ms",
    "quiet p99": "quiet_p99_ms",
    "noisy p99": "noisy_p99_ms",
}


class Row(NamedTuple):
    """A label, and a value for each name of the legend that it has one for."""

    label: str
    values: Mapping[str, float]


def plots(titles: Mapping[str, str], found: Medians) -> dict[str, str]:
    """Return SVG by file name, for the series that were measured."""
    kinds = {
        "cpu.svg": ("CPU of a delivery, µs", "AC", {n: f"{n}_us" for n in PROCESSES}, bars),
        "latency.svg": ("Publish to arrival, ms", "B", LATENCIES, dots),
        "neighbours.svg": ("Healthy endpoints, publish to arrival, ms", "D", NEIGHBOURS, dots),
    }
    drawn: dict[str, str] = {}
    for name, (title, letters, figures, draw) in kinds.items():
        rows = [
            Row(
                f"{case}  {titles[case]}",
                {text: found[case][key] for text, key in figures.items() if key in found[case]},
            )
            for case in titles
            if case in found and case[0] in letters
        ]
        if rows:
            drawn[name] = draw(title, tuple(figures), rows)
    return drawn


def bars(title: str, legend: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a chart of stacked bars, from zero to the largest sum."""
    top = max(sum(row.values.values()) for row in rows) or 1.0
    scale = PLOT_WIDTH / top
    marks: list[str] = []
    for number, row in enumerate(rows):
        y, x = TOP + number * ROW_HEIGHT + 4, float(LABEL_WIDTH)
        for name, colour in zip(legend, COLOURS, strict=False):
            width = row.values.get(name, 0.0) * scale
            marks.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW_HEIGHT - 8}"'
                f' fill="{colour}"/>'
            )
            x += width
        marks.append(_text(x + 4, y + 13, f"{sum(row.values.values()):,.0f}"))
    ticks = [(top * n / TICKS, LABEL_WIDTH + PLOT_WIDTH * n / TICKS) for n in range(TICKS + 1)]
    return _chart(title, legend, rows, marks, ticks)


def dots(title: str, legend: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a chart of dots on a logarithmic axis of whole decades."""
    values = [value for row in rows for value in row.values.values() if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    decade = PLOT_WIDTH / max(high - low, 1)
    marks = [
        f'<circle cx="{LABEL_WIDTH + (math.log10(value) - low) * decade:.1f}"'
        f' cy="{TOP + number * ROW_HEIGHT + 13}" r="5" fill="{colour}"/>'
        for number, row in enumerate(rows)
        for name, colour in zip(legend, COLOURS, strict=False)
        if (value := row.values.get(name, 0.0)) > 0
    ]
    ticks = [(10.0**n, LABEL_WIDTH + (n - low) * decade) for n in range(low, high + 1)]
    return _chart(title, legend, rows, marks, ticks)


def _chart(
    title: str,
    legend: Sequence[str],
    rows: Sequence[Row],
    marks: Sequence[str],
    ticks: Sequence[tuple[float, float]],
) -> str:
    """Return the marks with title, legend, labels and axis around them."""
    height = TOP + len(rows) * ROW_HEIGHT + BOTTOM
    foot = height - BOTTOM
    size = f'width="{WIDTH}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect {size} fill="#ffffff"/>',
        f'<text x="10" y="22" font-size="15">{escape(title)}</text>',
        *_legend(legend),
    ]
    for value, x in ticks:
        lines.append(f'<path d="M{x:.1f} {TOP - 4}V{foot}" stroke="#dddddd"/>')
        lines.append(_text(x, foot + 18, f"{value:,.4g}", anchor="middle"))
    for number, row in enumerate(rows):
        lines.append(_text(10, TOP + number * ROW_HEIGHT + 17, row.label))
    return "\n".join([*lines, *marks, "</svg>\n"])


def _legend(names: Sequence[str]) -> Iterator[str]:
    for number, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        x = LABEL_WIDTH + number * 85
        yield f'<rect x="{x}" y="34" width="10" height="10" fill="{colour}"/>'
        yield _text(x + 14, 43, name)


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
