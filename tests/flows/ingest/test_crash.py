"""Ingest killed after any commit ends where it would have ended undisturbed: nothing lost, nothing doubled."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from flows.testing.databases import TEMPLATE, clone, drop

# What waited for its parent and was accepted then has ended as if it had been taken at once: which of the two it was
# depends on who was applied together, and those whose worker died are applied one by one.
STATE = """
    SELECT 'level', sku.code, on_hand::text, held::text FROM stock_level JOIN sku ON sku.id = sku_id
    UNION ALL SELECT 'movement', sku.code, delta::text, m.on_hand::text
        FROM stock_movement m JOIN stock_level l ON l.id = m.level_id JOIN sku ON sku.id = l.sku_id
    UNION ALL SELECT 'order', order_no, kind, status FROM sales_order
    UNION ALL SELECT 'quarantine', source_id, cause, state FROM quarantine WHERE state <> 'accepted'
    UNION ALL SELECT 'message', stream, state, concat_ws('/', records, accepted, quarantined, ignored) FROM message
    UNION ALL SELECT 'run', flow, state, count(*)::text FROM flow_run WHERE flow <> 'ingest.refeed' GROUP BY flow, state
    UNION ALL SELECT 'records', '', '', count(*)::text FROM message_record
    ORDER BY 1, 2, 3, 4
"""

State = list[tuple[str, ...]]
Day = Callable[[int | None], tuple[State, int]]


@pytest.fixture(scope="module")
def day(postgres_18: str, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Runs the day, killed after a commit and then gone on with; its end state and how many commits it took."""
    numbers = itertools.count()

    def run(die_after: int | None) -> tuple[State, int]:
        name = f"yipan_crash_{os.getpid()}_{next(numbers)}"
        url = clone(postgres_18, name, f"{TEMPLATE}_{os.getpid()}")
        folder = tmp_path_factory.mktemp("day")
        if die_after is not None:
            assert _process(folder, url, die_after).returncode == -signal.SIGKILL
        ended = _process(folder, url)
        assert ended.returncode == 0, ended.stderr
        with psycopg.connect(url) as connection:
            state = connection.execute(STATE).fetchall()
        drop(postgres_18, name)
        return state, int(json.loads(ended.stdout))

    return run


def _process(folder: Path, url: str, die_after: int | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.flows.ingest.crash_day", str(folder), url]
    command += [] if die_after is None else [str(die_after)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


@pytest.fixture(scope="module")
def undisturbed(day: Day) -> tuple[State, int]:
    return day(None)


def test_the_undisturbed_day_ends_as_it_should(undisturbed: tuple[State, int]) -> None:
    state, _ = undisturbed
    assert ("level", "TEE", "7", "0") in state
    assert ("level", "NUT", "8", "0") in state
    assert [row[1:] for row in state if row[0] == "order"] == [
        ("A1", "delivery", "received"),
        ("R1", "return", "completed"),
    ]
    assert [row[1:] for row in state if row[0] == "quarantine"] == [("NUT/W1", "stock.value_error", "open")]
    assert [row for row in state if row[0] == "run" and row[2] != "done"] == [
        ("run", "one_stock.fulfil_order", "ready", "1")
    ]


@pytest.mark.parametrize("third", [1, 2, 3])
def test_killed_after_a_commit_it_ends_the_same(day: Day, undisturbed: tuple[State, int], third: int) -> None:
    state, commits = undisturbed
    assert day(third * commits // 4)[0] == state


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_killed_after_every_commit_it_ends_the_same(day: Day, undisturbed: tuple[State, int]) -> None:
    state, commits = undisturbed
    for commit in range(1, commits):
        assert day(commit)[0] == state, f"killed after commit {commit}"
