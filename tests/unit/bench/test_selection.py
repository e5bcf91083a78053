"""Which cases are measured, with which profile, and what a reading says."""

from __future__ import annotations

import tomllib

import pytest

from bench.__main__ import parser
from bench.errors import BenchError
from bench.meter import Reading
from bench.rig import ATTEMPT_LIMIT_S, profile
from bench.series.catalogue import CASES, select
from shared.profiles.profile import BUILT_IN


def test_a_letter_means_all_of_its_series_in_the_catalogues_order() -> None:
    names = [case.name for case in select("E,A10")]

    assert names == ["A10", "E1", "E2"]


def test_all_means_every_case() -> None:
    assert select("all") == list(CASES)


def test_a_series_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BenchError, match="no series 'Z'; there are all, A, B"):
        select("A1,Z")


def test_no_two_cases_have_one_name() -> None:
    names = [case.name for case in CASES]

    assert len(set(names)) == len(names)


def test_the_profile_is_qr3s_but_for_types_and_limits() -> None:
    ours = tomllib.loads(profile())
    theirs = tomllib.loads((BUILT_IN / "qr3.toml").read_text(encoding="utf-8"))

    assert ours["events"].pop("open") is True
    assert ours["retry"].pop("timeout") == f"{ATTEMPT_LIMIT_S}s"
    assert ours.pop("health")["disable_after_failures"] > 100_000
    theirs["retry"].pop("timeout")
    theirs.pop("health")
    assert ours == theirs


def test_a_reading_counts_what_was_used_since_another_one() -> None:
    before = Reading(10.0, {"kafka": 5.0, "gone": 1.0})
    after = Reading(14.0, {"kafka": 7.0, "new": 1.0})

    assert after.since(before) == {"kafka": 2.0, "new": 1.0}
    assert after.cores_since(before) == 0.75


def test_the_help_names_every_case() -> None:
    shown = parser().format_help().replace(",", " ").split()

    assert {case.name for case in CASES} <= set(shown)
