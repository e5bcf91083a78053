"""The locked requirements: complete, portable, and in step with pyproject.toml."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
GROUPS = PYPROJECT["dependency-groups"]

ALL_EXTRAS = [line for extra in EXTRAS.values() for line in extra]
PIN = re.compile(r"([A-Za-z0-9._-]+)==([^ ;]+)( ; .+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
DECLARED: dict[str, list[str]] = {
    "run": [*PROJECT["dependencies"], *ALL_EXTRAS, *GROUPS["local"]],
    "test": [*PROJECT["dependencies"], *ALL_EXTRAS, *GROUPS["local"], *GROUPS["test"]],
    **{service: [*PROJECT["dependencies"], *lines] for service, lines in EXTRAS.items()},
}


def pins(name: str) -> dict[str, set[str]]:
    """Return the versions that a file pins, by package; markers may give one package several."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if match := PIN.fullmatch(line):
            found.setdefault(canonicalize_name(match[1]), set()).add(match[2])
    return found


@pytest.mark.parametrize("name", DECLARED)
def test_what_pyproject_asks_for_is_pinned_in_a_version_that_fits(name: str) -> None:
    pinned = pins(name)

    for requirement in map(Requirement, DECLARED[name]):
        versions = pinned.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement} is not in {name}.txt: run `make requirements`"
        assert all(requirement.specifier.contains(version, True) for version in versions), (
            f"{requirement} is not what {name}.txt has: run `make requirements`"
        )


@pytest.mark.parametrize("name", DECLARED)
def test_what_runs_is_what_was_tested(name: str) -> None:
    tested = pins("test")

    assert {package: tested.get(package) for package in pins(name)} == pins(name)


@pytest.mark.parametrize("name", [*DECLARED, "uv"])
def test_every_download_is_checked_and_no_address_is_named(name: str) -> None:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()

    for line, following in itertools.pairwise([*lines, ""]):
        if PIN.fullmatch(line):
            assert HASH.fullmatch(following), f"{line} has no hash"
        else:
            assert HASH.fullmatch(line), line
