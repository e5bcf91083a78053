"""A pytest plug-in for CI: a test that was skipped is a test that nobody ran.

With ``-p tests.support.no_skips`` a run fails when anything was skipped, and when nothing was run.
On a developer's machine a test may be skipped for want of a tool; CI installs all of them.
"""

from __future__ import annotations

import pytest

_skipped: list[str] = []
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
        _skipped.append(f"{report.nodeid}: {report.longrepr}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a pass with skipped tests, or without any, into a failure."""
    if session.exitstatus == pytest.ExitCode.OK and (_skipped or not _ran):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which they were."""
    for line in _skipped:
        terminalreporter.write_line(f"SKIPPED IN CI, WHICH FAILS IT: {line}")
