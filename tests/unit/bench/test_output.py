"""What is printed and drawn."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.plots import Row, bars, dots, plots
from bench.series.catalogue import CASES
from bench.table import COLUMNS, series_table, verdict_lines
from bench.targets import Target, Verdict

SVG = "{http://www.w3.org/2000/svg}"


def _all(name: str, svg: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(svg).findall(f"{SVG}{name}")  # noqa: S314 (we made it)


def test_a_table_has_a_line_for_each_case_that_was_measured() -> None:
    titles = {"G1": "memory", "G2": "not measured", "A1": "another series"}

    text = series_table("G", titles, {"G1": {"before_mib": 140.62}, "A1": {"all_us": 1.0}})

    heading, line = text.splitlines()
    assert heading.split()[:2] == ["MiB", "before"]
    assert line.split() == ["G1", "memory", "140.6"]
    assert heading.index("before") + len("before") == line.index("140.6") + len("140.6")


def test_a_case_in_steps_has_a_line_for_each_step() -> None:
    figures = {"small_endpoints": 1_000.0, "large_endpoints": 1_000_000.0, "fanout_ratio": 1.0}

    lines = series_table("F", {"F1": "registry"}, {"F1": figures}).splitlines()

    assert [line.split()[-1] for line in lines[1:]] == ["1,000", "1,000,000"]


def test_every_series_has_a_table() -> None:
    assert {case.name[0] for case in CASES} == set(COLUMNS)


def test_a_target_that_is_missed_says_so_loudly() -> None:
    target = Target("E2", "capacity_per_s", "at least", 1.8, "of one process", over="E1")

    text = verdict_lines([Verdict(target, 1.234, met=False)])

    assert text.split() == [
        "E2",
        ":",
        "E1",
        "1.23",
        "at",
        "least",
        "1.8",
        "NOT",
        "MET",
        "of",
        "one",
        "process",
    ]


def test_pictures_are_drawn_of_the_series_that_were_measured() -> None:
    found = {"B100": {"p50_ms": 3.0, "p99_ms": 12.0, "h50_ms": 2.4}}

    drawn = plots({"B100": "100 events/s", "A1": "fan-out 1"}, found)

    assert list(drawn) == ["latency.svg"]
    assert len(_all("circle", drawn["latency.svg"])) == 3


def test_bars_are_as_long_as_their_values() -> None:
    picture = bars("cost", ("kafka", "mongo"), [Row("a < b", {"kafka": 10.0, "mongo": 30.0})])

    widths = [float(bar.get("width", "")) for bar in _all("rect", picture)[-2:]]
    assert widths[1] == 3 * widths[0]


def test_a_value_ten_times_as_large_is_one_decade_further() -> None:
    row = Row("latency", {"p50": 1.0, "p99": 10.0, "p99.9": 100.0})
    picture = dots("ms", ("p50", "p99", "p99.9"), [row])

    first, second, third = (float(dot.get("cx", "")) for dot in _all("circle", picture))
    assert second - first == third - second
