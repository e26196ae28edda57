"""What several workers do to one level at the same moment adds up as if they had taken turns."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from canonical_model.store import stock
from canonical_model.store.stock import Full, Held, Short
from flows.runtime.database import Database
from tests.canonical_model.store.shelf import Shelf, delta, snapshot

pytestmark = pytest.mark.every_postgres

Answer = TypeVar("Answer")


@pytest.fixture
def a(database: Database) -> int:
    """The level of A at W1, committed: three pieces."""
    with database.unit() as uow:
        shelf = Shelf(uow.connection)
        shelf.apply(snapshot(3))
        uow.commit()
        return shelf.level().level_id


def _at_once(database: Database, deeds: Sequence[Callable[[Shelf], Answer]]) -> list[Answer]:
    """Each deed in a thread and transaction of its own."""

    def do(deed: Callable[[Shelf], Answer]) -> Answer:
        with database.unit() as uow:
            answer = deed(Shelf(uow.connection, skus=(), places=()))
            uow.commit()
            return answer

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(do, deeds))


def _level(database: Database) -> stock.StockView:
    with database.unit() as uow:
        assert stock.verify(uow.connection) == []
        return Shelf(uow.connection, skus=(), places=()).level()


def test_the_last_pieces_go_to_as_many_as_there_are(database: Database, a: int) -> None:
    def one_more(number: int) -> Callable[[Shelf], Held | Short | Full]:
        return lambda shelf: shelf.hold(f"P{number}", (a, 1))

    answers = _at_once(database, [one_more(number) for number in range(8)])
    assert (answers.count(Held()), answers.count(Short((a,)))) == (3, 5)
    assert _level(database).held == 3


def test_one_parcel_asked_for_eight_times_is_held_once(database: Database, a: int) -> None:
    assert _at_once(database, [lambda shelf: shelf.hold("P1", (a, 2))] * 8) == [Held()] * 8
    assert _level(database).held == 2


def test_a_hold_ends_once_whoever_asks(database: Database, a: int) -> None:
    _at_once(database, [lambda shelf: shelf.hold("P1", (a, 2))])
    deeds: list[Callable[[Shelf], stock.Ended]] = [lambda shelf: shelf.release("P1"), lambda shelf: shelf.release("P1")]
    ended = _at_once(database, deeds * 4)
    assert sum(map(bool, ended)) == 1
    assert _level(database).held == 0


def test_counts_and_changes_of_one_level_see_each_other(database: Database, a: int) -> None:
    times = range(1, 41)
    facts = [snapshot(10 * t, seconds=t) if t % 4 == 0 else delta(t, seconds=t, source_id=f"d{t}") for t in times]
    random.Random(7).shuffle(facts)

    def tell(fact: dict[str, Any]) -> Callable[[Shelf], stock.FactsApplied]:
        return lambda shelf: shelf.apply(fact)

    _at_once(database, [tell(fact) for fact in [*facts, delta(1, 41), delta(2, 42)]])
    assert _level(database).on_hand == 400 + 3


def test_new_levels_are_made_once(database: Database, a: int) -> None:
    facts = [snapshot(5, seconds=1, sku=sku, place=place) for sku in "ABC" for place in ("W1", "W2")]

    def shuffled(seed: int) -> Callable[[Shelf], stock.FactsApplied]:
        return lambda shelf: shelf.apply(*random.Random(seed).sample(facts, len(facts)))

    assert [done.applied for done in _at_once(database, [shuffled(seed) for seed in range(8)])] == [6] * 8
    assert len(database.run("SELECT id FROM stock_level")) == 6


def _is_blocked(database: Database) -> bool:
    return bool(database.run("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"))


def test_a_first_load_in_bulk_by_the_new_authority_goes_after_that_by_the_old_one(database: Database) -> None:
    skus = [f"S{number}" for number in range(600)]
    with database.unit() as uow:
        Shelf(uow.connection, skus=skus)
        uow.commit()
    with database.unit() as uow, ThreadPoolExecutor(1) as pool:
        Shelf(uow.connection, skus=(), places=()).apply(*(snapshot(5, sku=sku) for sku in skus))
        database.run("UPDATE location SET authority = 'pos'")

        def tell(shelf: Shelf) -> stock.FactsApplied:
            return shelf.apply(*(snapshot(7, seconds=1, sku=sku) for sku in skus), system="pos")

        later = pool.submit(_at_once, database, [tell])
        deadline = time.monotonic() + 60
        while not _is_blocked(database):
            assert time.monotonic() < deadline, "the second load did not wait for the first one"
            time.sleep(0.02)
        uow.commit()
        assert later.result()[0].applied == 600
    with database.unit() as uow:
        assert stock.verify(uow.connection) == []
        assert Shelf(uow.connection, skus=(), places=()).level("S599").on_hand == 7
