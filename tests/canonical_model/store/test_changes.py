"""Whoever follows the change feed ends with the true figures, whatever order the writers commit in."""

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import changes, stock
from canonical_model.store.changes import Changes, StockChange, list_changes, trim_changes
from flows.runtime.database import Database
from tests.canonical_model.store.shelf import OWNER, Shelf, delta, snapshot

pytestmark = pytest.mark.every_postgres
BRAND = "yunshang"
SKUS = ("A", "B", "C")
PLACES = ("W1", "W2")


class Reader:
    """Follows the feed, a page at a time."""

    def __init__(self, database: Database, limit: int = 100) -> None:
        self.database = database
        self.limit = limit
        self.after = 0
        self.seen: dict[int, StockChange] = {}

    def read(self) -> Changes:
        with self.database.unit() as uow:
            page = list_changes(uow.connection, OWNER, BRAND, after=self.after, limit=self.limit)
        assert not page.reset
        sequences = [item.sequence for item in page.items]
        assert sequences == sorted(set(sequences))
        assert all(self.after < sequence <= page.next for sequence in sequences)
        self.seen.update((item.level_id, item) for item in page.items)
        self.after = page.next
        return page

    def catch_up(self) -> None:
        while self.read().more:
            pass

    def figures(self) -> dict[int, tuple[int, int, int, int]]:
        return {n: (each.on_hand, each.held, each.safety, each.atp) for n, each in self.seen.items()}


def truth(database: Database) -> dict[int, tuple[int, int, int, int]]:
    with database.unit() as uow:
        levels = stock.stock_view(uow.connection, owner=OWNER, brand=BRAND)
    return {each.level_id: (each.on_hand, each.held, each.safety, each.atp) for each in levels}


@pytest.fixture
def filled(database: Database) -> Database:
    """Ten pieces of every SKU at every place."""
    with database.unit() as uow:
        shelf = Shelf(uow.connection, skus=SKUS, places=PLACES)
        shelf.apply(*[snapshot(10, sku=sku, place=place) for sku in SKUS for place in PLACES])
        uow.commit()
    return database


def _shelf(connection: Connection[DictRow]) -> Shelf:
    return Shelf(connection, skus=(), places=())


def test_every_way_in_which_a_figure_changes_is_told(filled: Database) -> None:
    reader = Reader(filled)
    reader.catch_up()
    level_id = min(reader.seen)

    def tell(step: int, shelf: Shelf) -> None:
        match step:
            case 0:
                shelf.apply(delta(5, seconds=1))
            case 1:
                shelf.hold("P1", (level_id, 4))
            case 2:
                shelf.ship("P1", 3, 1, seconds=2)
            case 3:
                shelf.apply(snapshot(12, seconds=60, order_refs=["P1"]))
            case 4:
                shelf.hold("P2", (level_id, 1))
            case 5:
                shelf.release("P2")
            case _:
                stock.set_safety(shelf.connection, level_id, 2)

    for step in range(7):
        with filled.unit() as uow:
            tell(step, _shelf(uow.connection))
            uow.commit()
        page = reader.read()
        assert [item.level_id for item in page.items] == [level_id], step
        assert reader.figures() == truth(filled), step


def test_a_change_that_commits_late_under_a_smaller_number_is_not_skipped(filled: Database) -> None:
    """The later transaction draws first: by the ages of transactions alone nobody could tell."""
    reader = Reader(filled)
    reader.catch_up()
    levels = sorted(reader.seen)
    with filled.unit() as early, filled.unit() as late:
        early.execute("SELECT pg_current_xact_id()")
        _shelf(late.connection).hold("P1", (levels[0], 1))
        _shelf(early.connection).hold("P2", (levels[1], 1))
        early.commit()
        assert reader.read().items == []
        late.commit()
    assert [item.level_id for item in reader.read().items] == [levels[0], levels[1]]
    assert reader.figures() == truth(filled)


def test_a_long_read_holds_nobody_up(filled: Database) -> None:
    reader = Reader(filled)
    with filled.unit() as long:
        long.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        long.execute("SELECT count(*) FROM stock_level")
        reader.catch_up()
    assert reader.figures() == truth(filled)


def test_a_page_has_each_level_once_and_the_pages_together_all(filled: Database) -> None:
    with filled.unit() as uow:
        shelf = _shelf(uow.connection)
        for seconds in range(1, 30):
            shelf.apply(*[delta(seconds, seconds=seconds, sku=sku) for sku in SKUS])
        uow.commit()
    reader = Reader(filled, limit=2)
    page = reader.read()
    assert (len(page.items), page.more) == (2, True)
    reader.catch_up()
    assert reader.figures() == truth(filled)


def test_a_reader_far_behind_looks_at_so_many_entries_and_no_more(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "WINDOW", 3)
    reader = Reader(filled)
    page = reader.read()
    assert (len(page.items), page.more) == (3, True)
    reader.catch_up()
    assert reader.figures() == truth(filled)


def test_numbers_that_nobody_used_are_stepped_over(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(filled)
    reader.catch_up()
    filled.run("SELECT nextval('stock_movement_id_seq') FROM generate_series(1, 50)")
    with filled.unit() as uow:
        _shelf(uow.connection).hold("P1", (min(reader.seen), 1))
        uow.commit()
    monkeypatch.setattr(changes, "WINDOW", 10)
    reader.catch_up()
    assert reader.figures() == truth(filled)
    assert reader.read() == Changes([], reader.after)


def test_a_brand_sees_its_own(filled: Database) -> None:
    with filled.unit() as uow:
        sister = Shelf(uow.connection, brand="sister", skus=("A",), places=("W1",))
        sister.apply(snapshot(5))
        uow.commit()
    with filled.unit() as uow:
        page = list_changes(uow.connection, OWNER, "sister", after=0)
    assert [(item.sku, item.location, item.on_hand) for item in page.items] == [("A", "W1", 5)]


def test_who_starts_or_is_too_far_behind_is_told_to_read_all_first(filled: Database) -> None:
    with filled.unit() as uow:
        level_id = _shelf(uow.connection).level().level_id
        for safety in range(1, 5):
            stock.set_safety(uow.connection, level_id, safety)
        uow.commit()
    with filled.unit() as uow:
        start = list_changes(uow.connection, OWNER, BRAND)
        assert (start.items, start.reset, start.more) == ([], True, False)
        assert list_changes(uow.connection, OWNER, BRAND, after=start.next) == Changes([], start.next)
        assert list_changes(uow.connection, OWNER, BRAND, after=start.next + 99) == start, "another database's number"
        assert not list_changes(uow.connection, OWNER, BRAND, after=0).reset
        assert trim_changes(uow.connection, datetime(2026, 1, 1, tzinfo=UTC)) == 0
        uow.commit()
    with filled.unit() as uow:
        assert trim_changes(uow.connection, datetime.now(UTC) + timedelta(days=1)) == 3
        uow.commit()
    with filled.unit() as uow:
        assert trim_changes(uow.connection, datetime.now(UTC) + timedelta(days=1)) == 0
        again = list_changes(uow.connection, OWNER, BRAND, after=0)
        assert (again.items, again.next, again.reset) == ([], start.next, True)
        assert not list_changes(uow.connection, OWNER, BRAND, after=start.next).reset


class Writers:
    """Transactions that stay open and end in any order; each changes levels of its own, so that none waits."""

    def __init__(self, database: Database, levels: list[int], rng: random.Random) -> None:
        self.database = database
        self.free = levels
        self.rng = rng
        self.count = 0

    def run(self) -> Iterator[None]:
        """One change, begun or ended, at a time."""
        with ExitStack() as stack:
            opened: list[tuple[ExitStack, Shelf, int]] = []
            while self.count < 40 or opened:
                if self.free and self.count < 40 and self.rng.random() < 0.6:
                    own = stack.enter_context(ExitStack())
                    uow = own.enter_context(self.database.unit())
                    level = self.free.pop(self.rng.randrange(len(self.free)))
                    if self.rng.random() < 0.5:
                        uow.execute("SELECT pg_current_xact_id()")
                    shelf = _shelf(uow.connection)
                    opened.append((own, shelf, level))
                elif opened:
                    self._go_on(opened)
                yield

    def _go_on(self, opened: list[tuple[ExitStack, Shelf, int]]) -> None:
        position = self.rng.randrange(len(opened))
        own, shelf, level = opened[position]
        if self.rng.random() < 0.5:
            self.count += 1
            shelf.hold(f"P{self.count}", (level, 1))
            return
        del opened[position]
        if self.rng.random() < 0.8:
            shelf.connection.commit()
        own.close()
        self.free.append(level)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_order_writers_end_in_the_reader_ends_with_the_truth(filled: Database, seed: int) -> None:
    rng = random.Random(seed)
    reader = Reader(filled, limit=rng.choice([1, 2, 100]))
    reader.catch_up()
    for _ in Writers(filled, sorted(truth(filled)), rng).run():
        if rng.random() < 0.4:
            reader.read()
    reader.catch_up()
    assert reader.figures() == truth(filled)


@pytest.mark.parametrize("rounds", [30, pytest.param(600, marks=pytest.mark.soak)])
def test_a_reader_beside_writers_in_a_hurry_misses_nothing(filled: Database, rounds: int) -> None:
    levels = sorted(truth(filled))

    def write(number: int) -> None:
        rng = random.Random(number)
        for turn in range(rounds):
            with filled.unit() as uow:
                _shelf(uow.connection).hold(f"P{number}-{turn}", *((level, 1) for level in rng.sample(levels, 2)))
                if rng.random() < 0.8:
                    uow.commit()
            with filled.unit() as uow:
                _shelf(uow.connection).release(f"P{number}-{rng.randrange(turn + 1)}")
                uow.commit()

    reader = Reader(filled, limit=2)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        reader.read()
    for writer in writers:
        writer.join()
    reader.catch_up()
    assert reader.figures() == truth(filled)
