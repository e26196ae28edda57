"""Eight processes fight for the last units of fifty SKUs and are killed at random; the books stay right throughout."""

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Final

import pytest
from psycopg import IsolationLevel

from canonical_model.store import stock
from flows.runtime.database import Database
from tests.canonical_model.store import holder
from tests.canonical_model.store.shelf import Shelf, snapshot

PROCESSES: Final = 8
LONGEST_S: Final = 90
SKUS: Final = [f"S{number:02d}" for number in range(50)]


def _seed_shelf(database: Database) -> None:
    with database.unit() as uow:
        Shelf(uow.connection, skus=SKUS, places=["W1"]).apply(*(snapshot(3, sku=sku) for sku in SKUS))
        uow.execute("CREATE TABLE delivered AS SELECT id AS level_id, on_hand AS units FROM stock_level")
        uow.commit()


class Crew:
    """Eight holders; one is killed now and then, and another takes its place."""

    def __init__(self, url: str, *, loses: bool) -> None:
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.canonical_model.store.holder"])
        self._url = url
        self._loses = loses
        self._seeds = iter(range(10**6))
        self._crew = [self._hire() for _ in range(PROCESSES)]

    def _hire(self) -> ForkServerProcess:
        process = self._context.Process(
            target=holder.work, args=(self._url, next(self._seeds)), kwargs={"loses": self._loses}, daemon=True
        )
        process.start()
        return process

    def kill_one(self) -> None:
        victim = self._crew.pop(random.randrange(len(self._crew)))
        victim.kill()
        victim.join()
        self._crew.append(self._hire())

    def kill_all(self) -> None:
        for process in self._crew:
            process.kill()
            process.join()

    def check(self) -> None:
        assert all(process.is_alive() for process in self._crew), "a holder ended by itself; its traceback is above"


@contextmanager
def _watched(
    database: Database, seconds: float, *, loses: bool, fought: Callable[[Database], bool]
) -> Iterator[Iterator[Database]]:
    """While the crew works and dies: the database, again and again, for ``seconds`` and until they have ``fought``."""
    crew = Crew(database.url, loses=loses)

    def looks() -> Iterator[Database]:
        start = time.monotonic()
        next_kill = start + 0.5
        while time.monotonic() < start + seconds or not fought(database):
            assert time.monotonic() < start + LONGEST_S, "the crew never came to what this test is about"
            yield database
            crew.check()
            if time.monotonic() > next_kill:
                crew.kill_one()
                next_kill = time.monotonic() + random.uniform(0.1, 0.5)
            time.sleep(0.02)

    try:
        yield looks()
    finally:
        crew.kill_all()


def _look(database: Database) -> tuple[list[stock.Difference], int]:
    """In one snapshot: what does not add up, and how many levels promise more than they have."""
    with database.unit() as uow:
        uow.connection.isolation_level = IsolationLevel.REPEATABLE_READ
        try:
            differences = stock.verify(uow.connection)
            row = uow.execute("SELECT count(*) AS n FROM stock_level WHERE held > on_hand - safety").fetchone()
        finally:
            uow.connection.rollback()
            uow.connection.isolation_level = None
    assert row is not None
    return differences, row["n"]


def _every_end_was_met(database: Database) -> bool:
    rows = database.run("SELECT DISTINCT state, deducting > 0 AS deducts FROM stock_hold")
    return {(row["state"], row["deducts"]) for row in rows} >= {
        ("active", True),
        ("expired", False),
        ("released", False),
        ("shipped", False),
        ("shipped", True),
    }


def _some_goods_were_missed(database: Database) -> bool:
    return bool(database.run("SELECT 1 FROM stock_shortfall LIMIT 1"))


def _fight(database: Database, seconds: float) -> None:
    _seed_shelf(database)
    with _watched(database, seconds, loses=False, fought=_every_end_was_met) as looks:
        for seen in looks:
            assert _look(seen) == ([], 0)
    ends = database.run("SELECT count(*) AS n FROM stock_hold WHERE state IN ('expired', 'released') AND deducting > 0")
    assert [row["n"] for row in ends] == [0]
    assert _look(database) == ([], 0)


def _fight_while_goods_get_lost(database: Database, seconds: float) -> None:
    _seed_shelf(database)
    with _watched(database, seconds, loses=True, fought=_some_goods_were_missed) as looks:
        for seen in looks:
            assert _look(seen)[0] == []
            assert _wrong_shortfalls(seen) == []
    assert _wrong_shortfalls(database) == []


def _wrong_shortfalls(database: Database) -> list[object]:
    """Levels whose open shortfall is not what holds that have not shipped want more than there is."""
    return list(
        database.run(
            """
            SELECT level.id, missing.quantity AS missing, known.quantity AS known
            FROM stock_level AS level
            LEFT JOIN (
                SELECT level_id, sum(deducting) AS units FROM stock_hold WHERE state = 'active' GROUP BY level_id
            ) AS wanted ON wanted.level_id = level.id
            LEFT JOIN (
                SELECT level_id, array_agg(quantity) AS quantity FROM stock_shortfall WHERE state = 'open' GROUP BY 1
            ) AS known ON known.level_id = level.id
            CROSS JOIN LATERAL (
                SELECT coalesce(greatest(0, least(units, units + safety - on_hand)), 0)::bigint AS quantity
            ) AS missing
            WHERE coalesce(known.quantity, ARRAY[0::bigint]) <> ARRAY[missing.quantity]
            """
        )
    )


@pytest.mark.every_postgres
def test_the_last_units_are_never_promised_twice(database: Database) -> None:
    _fight(database, 5)


@pytest.mark.every_postgres
def test_outside_facts_leave_one_right_shortfall_each(database: Database) -> None:
    _fight_while_goods_get_lost(database, 5)


@pytest.mark.soak
@pytest.mark.every_postgres
def test_the_last_units_are_never_promised_twice_in_half_a_minute(database: Database) -> None:
    _fight(database, 30)


@pytest.mark.soak
@pytest.mark.every_postgres
def test_outside_facts_leave_one_right_shortfall_each_in_half_a_minute(database: Database) -> None:
    _fight_while_goods_get_lost(database, 30)
