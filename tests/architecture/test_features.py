"""The page of features against the tests that it names, and the README's table against the page.

A failing test prints the README's table as it should be.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from tests.architecture.repository import ROOT, read

PAGE: Final = (ROOT / "docs/features.md").read_text(encoding="utf-8")
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
_SECTION: Final = re.compile(
    r"^## (?P<title>.+)\n\n(?P<summary>.+)\n\n\| capability ", re.MULTILINE
)
_TEST: Final = re.compile(r"\[(?P<name>test_\w+)\]\(\.\./(?P<path>tests/[^)]+)\)")
_RULED: Final = ("|---", "| capability |")


def rows() -> list[str]:
    """Return the rows of the page's tables, without their heads."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    return [line for line in lines if not line.startswith(_RULED)]


def names_in(path: str) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse(read(path) or "")
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def table() -> str:
    """Return the README's table, made of the page's sections."""
    sections = [(found["title"], found["summary"]) for found in _SECTION.finditer(PAGE)]
    made = [f"| {title} | {summary.replace('](', '](docs/')} |" for title, summary in sections]
    return "\n".join(["| | |", "|---|---|", *made]) + "\n"


def test_every_feature_is_shown_by_a_test_that_exists() -> None:
    unshown = [row for row in rows() if _TEST.search(row) is None]
    missing = [
        (found["path"], found["name"])
        for found in _TEST.finditer(PAGE)
        if found["name"] not in names_in(found["path"])
    ]

    assert unshown == []
    assert missing == []
    assert len(rows()) > 50


def test_the_readmes_table_is_made_of_the_page() -> None:
    assert PAGE.count("\n## ") == len(_SECTION.findall(PAGE))
    assert table() in README, table()
