"""The version: named once, and what the changelog says of it."""

from __future__ import annotations

import re
import tomllib
from typing import Final

from shared.version import VERSION
from tests.architecture.repository import ROOT

CHANGELOG: Final = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
_RELEASES: Final = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - ", CHANGELOG, re.MULTILINE)
_UNRELEASED: Final = re.search(r"(?ms)^## \[Unreleased\]\n(.*?)(?=^## |\Z)", CHANGELOG)


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_the_version_is_the_newest_release_or_on_the_way_to_the_next() -> None:
    """A release is a commit with nothing left unreleased."""
    assert _UNRELEASED is not None
    changes = _UNRELEASED[1].strip()
    number, dot, development = VERSION.partition(".dev")
    released = [_number(release) for release in _RELEASES]

    if dot:
        assert development == "0"
        assert all(_number(number) > release for release in released)
    else:
        assert _RELEASES[0] == VERSION
        assert not changes, f"VERSION says {VERSION}, and these changes are unreleased: {changes}"


def test_the_package_takes_its_version_from_where_it_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = (ROOT / project["tool"]["hatch"]["version"]["path"]).read_text(encoding="utf-8")

    assert project["project"]["dynamic"] == ["version"]
    assert f'\nVERSION = "{VERSION}"\n' in named
