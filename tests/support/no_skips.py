"""A pytest plug-in for CI: a test that was skipped is a test that nobody ran.

With ``-p tests.support.no_skips`` a run fails when anything was skipped, and when nothing was run.
On a developer's machine a test may be skipped for want of a tool; CI installs all of them.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

SKIPPED_FILES: Final = "skipped_files"
_skipped: list[str] = []
_skipped_files: list[str] = []
_ran: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note tests that were skipped, strict expected failures aside, and those that ran."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(f"{report.nodeid}: {report.longrepr}")
    elif report.when == "call":
        _ran.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note whole files that were skipped."""
    if report.skipped:
        _skipped_files.append(f"{report.nodeid}: {report.longrepr}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a pass with skipped tests, or without any, into a failure."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:  # one of xdist's workers: it tells, the controller judges
        output[SKIPPED_FILES] = _skipped_files
    elif session.exitstatus == pytest.ExitCode.OK and (_skipped or _skipped_files or not _ran):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker skipped while it collected (tests' reports come by themselves)."""
    output = getattr(node, "workeroutput", {})  # none of one that crashed
    _skipped_files.extend(output.get(SKIPPED_FILES, ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which they were."""
    for line in dict.fromkeys((*_skipped, *_skipped_files)):
        terminalreporter.write_line(f"SKIPPED IN CI, WHICH FAILS IT: {line}")
