"""The workflow of a public forge: it calls the script that CI is, and may do nothing else."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from tests.architecture.repository import ROOT

TEXT: Final = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
WORKFLOW: Final[dict[Any, Any]] = yaml.safe_load(TEXT)
PINNED: Final = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")
_USES: Final = re.compile(r"uses: \S+(?P<release> # v\d+\.\d+\.\d+)?$", re.MULTILINE)


def test_all_that_it_runs_is_the_script() -> None:
    (job,) = WORKFLOW["jobs"].values()
    runs = [step["run"] for step in job["steps"] if "run" in step]

    assert runs == ["bash .ci/run"]
    assert job["steps"][-1] == {"run": "bash .ci/run"}


def test_it_may_read_the_repository_and_no_more() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in WORKFLOW["jobs"].values())
    assert "secrets." not in TEXT
    assert "pull_request_target" not in TEXT


def test_every_action_is_a_commit_with_its_release_beside_it() -> None:
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    actions = [step["uses"] for step in steps if "uses" in step]

    assert [action for action in actions if PINNED.fullmatch(action) is None] == []
    assert all(found["release"] for found in _USES.finditer(TEXT))
    assert len(actions) == TEXT.count("uses: ")
