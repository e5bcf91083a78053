"""The repository as the architecture tests see it: its files, parsed modules and Markdown links.

"Tracked" means everything that ``.gitignore`` does not name, so that the tests need no git, work in
an unpacked archive, and see a new file before it is committed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
_ALWAYS_IGNORED: Final = (".git",)
_FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


class Module(NamedTuple):
    """A Python file of this repository. ``path`` is relative to its root."""

    path: str
    text: str
    tree: ast.Module


def _ignored_names() -> tuple[str, ...]:
    """Return the patterns of ``.gitignore``; each is a plain file or folder name."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    return (*_ALWAYS_IGNORED, *(line.rstrip("/") for line in lines))


@cache
def files() -> tuple[str, ...]:
    """Return the paths of all tracked files, relative to the root, sorted."""
    ignored = _ignored_names()

    def walk(folder: Path) -> Iterator[Path]:
        for entry in folder.iterdir():
            if any(fnmatch(entry.name, pattern) for pattern in ignored):
                continue
            if entry.is_dir():
                yield from walk(entry)
            else:
                yield entry

    return tuple(sorted(str(path.relative_to(ROOT)) for path in walk(ROOT)))


def read(path: str) -> str | None:
    """Return a tracked file's text, None where it is no text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


@cache
def modules() -> tuple[Module, ...]:
    """Return every Python file, parsed."""
    return tuple(
        Module(path, text, ast.parse(text))
        for path in files()
        if path.endswith(".py") and (text := read(path)) is not None
    )


def links(markdown: str) -> Iterator[str]:
    """Yield the targets of a Markdown text's links, code blocks left out."""
    for match in _LINK.finditer(_FENCE.sub("", markdown)):
        yield match[1]


def anchors(markdown: str) -> set[str]:
    """Return the anchors of a Markdown text's headings, as GitHub makes them."""
    headings = (match[1] for match in _HEADING.finditer(_FENCE.sub("", markdown)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
