"""Style as a test: what a reviewer would otherwise say again and again.

Each test walks the repository and fails with the list of places that break one rule; the rules
themselves are explained in CONTRIBUTING.md. An exception is a line in a table here, with its
reason, and a table entry that is no longer needed fails as well.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.repository import ROOT, Module, anchors, files, links, modules, read

LINE_LENGTH_MAX: Final = 100
FUNCTION_LINES_MAX: Final = 70
FILE_LINES_MAX: Final = 500

GENERATED: Final = (
    *(".lock", "go.sum", "package-lock.json", ".txt"),
    *("LICENSE", "grafana/hooklane.json"),
)
"""Ends of the names of files that no person lays out."""

LOCKS: Final = (".lock", "package-lock.json", "requirements.txt", ".npmrc", "Dockerfile")
"""Ends of the names of files that say what is installed."""

EDGES: Final = {
    "services/delivery/engine.py": "stamps attempts with the clock; its parts take the time",
    "services/delivery/wiring.py": "hands the clock in",
    "services/gateway/admin.py": "a command: reads its own environment",
    "services/gateway/wiring.py": "hands clock and entropy to the handlers and stores",
    "services/recorder/wiring.py": "hands clock and entropy to the endpoint store",
    "services/retry/wiring.py": "hands the clock to the planner",
    "shared/kafka/acls.py": "a command: reads its own environment",
    "shared/kafka/admin.py": "a command: reads its own environment",
    "shared/observe/probe.py": "a command: reads its own environment",
    "shared/receiver.py": "runs at receivers: compares timestamps with their clock",
    "shared/runtime.py": "the one place where a service reads its environment",
}
"""Files that may touch the clock, entropy or the environment; everything else is given them."""

SLEEPERS: Final = {
    "tests/clients/python/scenario.py": "a customer's program: a bounded wait of its own",
    "tests/support/polling.py": "the one bounded wait of the suite",
    "tests/support/arena.py": "paces a load",
    "tests/support/stuck.py": "blocks a loop on purpose",
    "tests/support/raw_server.py": "a receiver that is slow on purpose",
    "tests/support/receivers.py": "a receiver that is slow on purpose",
    "tests/unit/shared/http/kit.py": "a bounded wait in steps of milliseconds, for sockets",
    "tests/unit/shared/runtime_program.py": "a program that blocks its loop on purpose",
}
"""Files under tests/ that may sleep."""

_IMPURE_ATTRIBUTES: Final = frozenset(
    {
        *(("datetime", name) for name in ("now", "utcnow", "today")),
        *(("date", name) for name in ("today",)),
        *(("time", name) for name in ("time", "time_ns")),
        *(("os", name) for name in ("environ", "getenv", "urandom")),
    }
)
_PRAGMA: Final = re.compile(r"  # (?:noqa|type: ignore).*")
_IMPURE_MODULES: Final = frozenset({"random", "secrets", "uuid"})


def _source() -> Iterator[Module]:
    """Yield the product's modules: the services and what they share."""
    return (module for module in modules() if module.path.startswith(("services/", "shared/")))


def _impurities(module: Module) -> Iterator[str]:
    """Yield the lines of a module that touch the wall clock, entropy or the environment."""
    for node in ast.walk(module.tree):
        touched = ""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in _IMPURE_ATTRIBUTES:
                touched = f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Import):
            touched = ", ".join(n.name for n in node.names if n.name in _IMPURE_MODULES)
        elif isinstance(node, ast.ImportFrom):
            from_clock = {(node.module, alias.name) for alias in node.names} & _IMPURE_ATTRIBUTES
            if node.module in _IMPURE_MODULES or from_clock:
                touched = node.module or ""
        if touched:
            yield f"{module.path}:{getattr(node, 'lineno', 0)}: {touched}"


def _functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's lines without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        text = function.body[0]
        lines -= (text.end_lineno or text.lineno) - text.lineno + 1
    return lines


def test_every_module_opens_with_prose() -> None:
    silent = [module.path for module in modules() if not ast.get_docstring(module.tree)]

    assert silent == []


def test_lines_are_short_enough_to_read_side_by_side() -> None:
    long = [
        f"{path}:{number}: {len(line)} characters"
        for path in files()
        if path.endswith((".py", ".sh", ".mjs", "Makefile", "Dockerfile", ".ci/run"))
        for number, line in enumerate((read(path) or "").splitlines(), 1)
        if len(_PRAGMA.sub("", line)) > LINE_LENGTH_MAX
    ]

    assert long == []


def test_functions_fit_on_a_screen() -> None:
    long = [
        f"{module.path}:{function.lineno}: {function.name} has {_length(function)} lines"
        for module in modules()
        for function in _functions(module)
        if _length(function) > FUNCTION_LINES_MAX
    ]

    assert long == []


def test_files_are_short_enough_to_know() -> None:
    long = [
        f"{path}: {lines} lines"
        for path in files()
        if not path.endswith(GENERATED)
        and (lines := (read(path) or "").count("\n")) > FILE_LINES_MAX
    ]

    assert long == []


def test_time_chance_and_environment_enter_at_the_edges_only() -> None:
    inside = [
        place for module in _source() if module.path not in EDGES for place in _impurities(module)
    ]

    assert inside == []


def test_every_edge_in_the_table_is_still_one() -> None:
    pure = {module.path for module in _source() if not list(_impurities(module))}

    assert [path for path in EDGES if path in pure or not (ROOT / path).exists()] == []


def test_tests_wait_for_what_they_want_and_never_for_a_time() -> None:
    sleeping = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        if module.path.startswith("tests/") and module.path not in SLEEPERS
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and _is_sleep(node)
    ]

    assert sleeping == []


def _is_sleep(call: ast.Call) -> bool:
    """Tell whether a call sleeps; ``sleep(0)`` only lets others run."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    name = call.func.id if isinstance(call.func, ast.Name) else name
    yields = [ast.unparse(argument) for argument in call.args] == ["0"]
    return name == "sleep" and not yields


def test_nothing_is_left_to_be_done_in_a_comment() -> None:
    assert _places(re.compile(r"\b(?:TODO|FIXME|HACK)\b"), files()) == []


def test_no_file_knows_the_machine_that_it_was_written_on() -> None:
    homes = re.compile(r"(?<![\w./])/(?:root|work|home/[a-z]\w*|Users/\w+)/")

    assert _places(homes, files()) == []


def test_where_packages_come_from_is_left_to_each_machine() -> None:
    """Pins and locks hold names, versions and digests; no address, and no switch to another one."""
    locks = [path for path in files() if path.endswith(LOCKS) or path.startswith("requirements/")]
    address = re.compile(r'"resolved"|index-url|find-links|trusted-host|registry *=|@ *https?:')

    assert locks
    assert _places(address, locks) == []


def _places(pattern: re.Pattern[str], among: Iterable[str]) -> list[str]:
    """Return where a pattern is found; this file, which has to name it, is left out."""
    return [
        f"{path}:{number}: {found[0]}"
        for path in among
        if not __file__.endswith(path)
        for number, line in enumerate((read(path) or "").splitlines(), 1)
        if (found := pattern.search(line)) is not None
    ]


MARKDOWN: Final = tuple(path for path in files() if path.endswith(".md"))


@pytest.mark.parametrize("path", MARKDOWN)
def test_links_in_the_documentation_lead_somewhere(path: str) -> None:
    dead = [link for link in links(read(path) or "") if not _leads_somewhere(path, link)]

    assert dead == []


def _leads_somewhere(path: str, link: str) -> bool:
    """Tell whether a link's file and heading exist; links to the web are not followed."""
    if link.startswith(("https://", "http://")):
        return True
    name, _, anchor = link.partition("#")
    target = (ROOT / path).parent / name if name else ROOT / path
    if not target.exists():
        return False
    return not anchor or anchor in anchors(target.read_text(encoding="utf-8"))


def test_documents_and_tests_that_source_code_names_exist() -> None:
    named = re.compile(r"\b(?:docs|tests|deploy|shared|services)/[\w./-]+\.(?:md|py|toml|yaml)\b")
    dead = [
        f"{module.path}: {found}"
        for module in modules()
        for found in named.findall(module.text)
        if not (ROOT / found).exists()
    ]

    assert dead == []


def test_the_changelog_is_well_formed() -> None:
    """Keep a Changelog 1.1: Unreleased first, then versions downwards, each with its date."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    sections = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    versions = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", t) for t in titles[1:]]

    assert text.startswith("# Changelog\n")
    assert titles[0] == "[Unreleased]"
    assert None not in versions
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    numbers = [tuple(map(int, version.groups())) for version in versions if version is not None]
    assert all(newer > older for newer, older in pairwise(numbers))


DECISIONS: Final = sorted(path.name for path in (ROOT / "docs/decisions").glob("*.md"))


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_has_every_part_and_is_in_the_index(name: str) -> None:
    text = (ROOT / "docs/decisions" / name).read_text(encoding="utf-8")
    parts = re.findall(r"^## (.*)$", text, re.MULTILINE)

    assert parts == ["Context", "Decision", "Consequences", "Alternatives"]
    assert re.search(r"^Status: .+ · Date: ", text, re.MULTILINE)
    assert f"decisions/{name})" in (ROOT / "docs/README.md").read_text(encoding="utf-8")


def test_the_licence_is_the_one_that_the_package_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8").split()

    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert text[:4] == ["Apache", "License", "Version", "2.0,"]


def test_the_packages_are_those_that_the_wheel_names() -> None:
    """Both come from this checkout, not from another distribution of these generic names."""
    import services  # noqa: PLC0415 (the point is where they come from)
    import shared  # noqa: PLC0415

    for package in (services, shared):
        assert Path(str(package.__file__)).parent.parent == ROOT
