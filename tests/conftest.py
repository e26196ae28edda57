"""Database fixtures for every test, and an honest end of the run: what was left out, and why."""

import pytest
from hypothesis import settings

settings.register_profile("hub", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("hub")

pytest_plugins = ["flows.testing.databases"]

_left_for_soak: list[str] = []


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember the long tests that this run leaves out."""
    _left_for_soak.extend(item.nodeid for item in items if item.get_closest_marker("soak"))


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
