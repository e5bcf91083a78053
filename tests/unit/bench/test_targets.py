"""Medians and verdicts."""

from __future__ import annotations

import pytest

from bench.series.catalogue import CASES
from bench.targets import TARGETS, Target, judge, medians

COST = Target("A1", "all_r", "at most", 9.5, "R")
SCALE = Target("E2", "capacity_per_s", "at least", 1.8, "of one process", over="E1")


def test_the_median_is_that_of_each_figure_by_itself() -> None:
    runs = {"A1": [{"a": 1.0, "b": 9.0}, {"a": 2.0, "b": 7.0}, {"a": 30.0, "b": 8.0}]}

    assert medians(runs) == {"A1": {"a": 2.0, "b": 8.0}}


@pytest.mark.parametrize(("value", "met"), [(9.4, True), (9.5, True), (9.6, False)])
def test_an_upper_bound_may_be_reached_and_not_passed(value: float, met: bool) -> None:
    (verdict,) = judge({"A1": {"all_r": value}}, [COST])

    assert verdict.met is met


@pytest.mark.parametrize(("value", "met"), [(179.0, False), (180.0, True), (200.0, True)])
def test_a_figure_may_be_judged_by_its_ratio_to_another_cases(value: float, met: bool) -> None:
    found = {"E1": {"capacity_per_s": 100.0}, "E2": {"capacity_per_s": value}}

    (verdict,) = judge(found, [SCALE])

    assert verdict.met is met
    assert verdict.value == value / 100


def test_what_was_not_measured_is_not_judged() -> None:
    assert judge({"E2": {"capacity_per_s": 100.0}}, [SCALE, COST]) == []


def test_every_target_names_cases_that_exist() -> None:
    known = {case.name for case in CASES}

    assert {target.case for target in TARGETS} <= known
    assert {target.over for target in TARGETS if target.over} <= known
