"""Database fixtures for every test, and an honest end of the run: what was left out, and why."""

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("hub", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("hub")

pytest_plugins = ["flows.testing.databases"]

_left_for_soak: list[str] = []


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember the long tests that this run leaves out."""
    _left_for_soak.extend(item.nodeid for item in items if item.get_closest_marker("soak"))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker process has left out; each of them leaves out the same."""
    _left_for_soak[:] = getattr(node, "workeroutput", {}).get("soak", _left_for_soak)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was left out to the process that prints the end, if this is a worker's."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["soak"] = _left_for_soak


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test logged as text that can travel between processes: some log what no encoding takes."""
    report = yield
    report.sections = [(title, text.encode("utf-8", "replace").decode()) for title, text in report.sections]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List each skipped test once with its reason, and the long tests left for ``make soak``."""
    skipped = {report.nodeid: _reason(report) for report in terminalreporter.stats.get("skipped", [])}
    terminalreporter.section("left out of this run")
    for nodeid, reason in sorted(skipped.items()):
        terminalreporter.line(f"skipped  {nodeid}: {reason}")
    for nodeid in sorted(_left_for_soak):
        terminalreporter.line(f"soak     {nodeid}: runs in make soak")
    if not skipped and not _left_for_soak:
        terminalreporter.line("nothing")


def _reason(report: pytest.TestReport) -> str:
    detail = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    return str(detail).removeprefix("Skipped: ")
