"""``.env.example`` and the settings table of the operations guide against ``shared.config``.

The file names every setting with its default and one line of why, and nothing else. The table in
``docs/operations.md`` is made from it: a failing test prints the table as it should be.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from shared.config import LOCAL_VARIABLES, PREFIX, Settings, load
from tests.architecture.repository import ROOT

_ASSIGNMENT: Final = re.compile(r"(# )?(HOOKLANE_\w+)=(.*)")


class Line(NamedTuple):
    """A variable of the file. ``active`` ones are settings, the others belong to ``make run``."""

    name: str
    default: str
    active: bool
    why: str


def _lines() -> list[Line]:
    """Return the variables in order; the comment above one, or above its group, is why."""
    lines: list[Line] = []
    why: list[str] = []
    for text in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        if (match := _ASSIGNMENT.fullmatch(text)) is not None:
            lines.append(Line(match[2], match[3], match[1] is None, " ".join(why)))
        elif text.startswith("# ") and not text.startswith("# ---"):
            why = [*why, text.removeprefix("# ")]
        else:
            why = []
    return lines


def test_the_file_names_every_setting_and_nothing_else() -> None:
    fields = {PREFIX + name.upper() for name in Settings.__struct_fields__}

    assert {line.name for line in _lines() if line.active} == fields


def test_the_file_names_every_variable_of_the_local_stack() -> None:
    assert {line.name for line in _lines() if not line.active} == {
        PREFIX + name for name in LOCAL_VARIABLES
    }


def test_the_values_in_the_file_are_the_defaults() -> None:
    given = {line.name: line.default for line in _lines() if line.active}

    assert load(given) == Settings()


def test_every_variable_says_why_it_is_there() -> None:
    assert [line.name for line in _lines() if not line.why.endswith(".")] == []


def test_the_operations_guide_has_the_same_table() -> None:
    rows = [
        f"| `{line.name}` | {f'`{line.default}`' if line.default else ''} | {line.why} |"
        for line in _lines()
        if line.active
    ]
    table = "\n".join(("| Variable | Default | What it is |", "|---|---|---|", *rows))

    assert table in (ROOT / "docs/operations.md").read_text(encoding="utf-8"), table
