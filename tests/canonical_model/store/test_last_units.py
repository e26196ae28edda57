"""Eight processes fight for the last units of fifty SKUs and are killed at random; the books stay right throughout."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from psycopg import IsolationLevel

from canonical_model.store import stock
from flows.runtime.database import Database
from tests.canonical_model.store import holder
from tests.canonical_model.store.crew import Crew
from tests.canonical_model.store.shelf import Shelf, snapshot

PROCESSES: Final = 8
CAPACITY: Final = 150
SKUS: Final = [f"S{number:02d}" for number in range(50)]


def _seed_shelf(database: Database) -> None:
    with database.unit() as uow:
        Shelf(uow.connection, skus=SKUS, places=["W1"]).apply(*(snapshot(3, sku=sku) for sku in SKUS))
        uow.execute("UPDATE location SET capacity = %s", [CAPACITY])
        uow.execute("CREATE TABLE delivered AS SELECT id AS level_id, on_hand AS units FROM stock_level")
        uow.commit()


@contextmanager
def _watched(
    database: Database, seconds: float, *, loses: bool, fought: Callable[[Database], bool]
) -> Iterator[Iterator[Database]]:
    """While the crew works and dies: the database, again and again, for ``seconds`` and until they have ``fought``."""
    crew = Crew(database.url, holder.work, PROCESSES, loses=loses)
    try:
        yield crew.watched(database, seconds, lambda: fought(database))
    finally:
        crew.kill_all()


def _look(database: Database) -> tuple[list[stock.Difference], int]:
    """In one snapshot: what does not add up, and how many levels promise more than they have, or places take."""
    with database.unit() as uow:
        uow.connection.isolation_level = IsolationLevel.REPEATABLE_READ
        try:
            differences = stock.verify(uow.connection)
            row = uow.execute(
                "SELECT (SELECT count(*) FROM stock_level WHERE held > on_hand - safety)"
                " + (SELECT count(*) FROM place_day WHERE parcels > %s) AS n",
                [CAPACITY],
            ).fetchone()
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
    } and bool(database.run("SELECT 1 AS one FROM stock_hold WHERE reason = 'replaced' LIMIT 1"))


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
