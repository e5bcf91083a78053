"""Whether each lock has what is imported where it is installed, and no more than belongs there.

An image holds ``shared``, one folder of ``services`` and the packages of one lock. What a service
imports, through however many modules, is compared with that lock; what tests and tools import, with
the lock that developers and CI install.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions
from typing import Final

import grimp
import pytest

from deploy.local.services import NAMES
from tests.architecture.repository import ROOT, modules

OURS: Final = ("services", "shared")
NOT_THE_GATEWAYS: Final = {"faust-streaming", "httptools"}
NOT_THE_WORKERS: Final = {"litestar", "granian"}


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(*OURS, include_external_packages=True)


def _imported(service: str) -> set[str]:
    """Return the external packages that a service imports, or the topics' command beside it."""
    graph = _graph()
    roots = {f"services.{service}", "shared.kafka.admin"}
    roots |= graph.find_descendants(f"services.{service}")
    reached = roots.union(*(graph.find_upstream_modules(root) for root in roots))
    assert not any(
        name.startswith("services.") and name.split(".")[1] != service for name in reached
    )
    packages = {name.partition(".")[0] for name in reached}
    return packages - set(OURS) - set(sys.stdlib_module_names)


def _locked(name: str) -> set[str]:
    """Return the distributions that a lock installs."""
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))


def _missing(packages: Iterable[str], lock: str) -> set[str]:
    """Return the packages of which no distribution is in a lock."""
    distributions = packages_distributions()
    locked = _locked(lock)
    return {
        package
        for package in packages
        if not {name.lower().replace("_", "-") for name in distributions.get(package, [package])}
        & locked
    }


@pytest.mark.parametrize("service", NAMES)
def test_an_image_has_everything_that_its_service_imports(service: str) -> None:
    assert _missing(_imported(service), service) == set()


def test_developers_and_ci_have_everything_that_tests_and_tools_import() -> None:
    imported = {
        name.partition(".")[0]
        for module in modules()
        if not module.path.startswith((".ci/", "tests/clients/python/"))  # have locks of their own
        for node in ast.walk(module.tree)
        for name in _names(node)
    }
    ours = {*OURS, "bench", "deploy", "tests"}

    assert _missing(imported - ours - set(sys.stdlib_module_names), "test") == set()


def _names(node: ast.AST) -> list[str]:
    """Return the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize("service", NAMES)
def test_an_image_has_no_framework_of_another_service(service: str) -> None:
    foreign = NOT_THE_GATEWAYS if service == "gateway" else NOT_THE_WORKERS

    assert _locked(service) & foreign == set()


@pytest.mark.parametrize("service", NAMES)
def test_a_service_runs_the_versions_that_were_tested(service: str) -> None:
    pins = {
        name: set(re.findall(r"^([a-z0-9-]+==\S+)", text, re.MULTILINE))
        for name in (service, "test")
        if (text := (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8"))
    }

    assert pins[service] - pins["test"] == set()
