"""Whoever asks at the desk gets their own answer, in order of arrival, whatever becomes of the others."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from canonical_model.errors import ConflictError, HubError, TransientError
from canonical_model.store import stock
from canonical_model.store.stock import Full, Held, HoldAsked, HoldLine, Short
from flows.one_stock.hold_desk import HoldDesk
from flows.runtime.database import Database, UnitOfWork
from tests.canonical_model.store.shelf import OWNER, Shelf, snapshot


class Counter:
    """A decision that notes its batches; it can be held up, and stumbles over what it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.go = threading.Event()
        self.go.set()
        self.began = threading.Event()
        self.fails: dict[Any, Exception] = {}

    def __call__(self, uow: UnitOfWork, asked: Sequence[Any]) -> list[Any]:
        self.began.set()
        self.go.wait(20)
        self.batches.append(list(asked))
        for each in asked:
            if each in self.fails:
                raise self.fails[each]
        return [ConflictError("no") if each == "refused" else each * 2 for each in asked]


@pytest.fixture
def count() -> Counter:
    return Counter()


def ask_behind(desk: HoldDesk[Any, Any], count: Counter, first: Any, others: Sequence[Any]) -> list[Any]:
    """Answers or errors of ``others``, who come one after another while ``first`` is decided."""
    count.go.clear()

    def ask(each: Any) -> Any:
        try:
            return desk.ask(each)
        except Exception as error:  # noqa: BLE001 - the error is the answer
            return error

    with ThreadPoolExecutor(len(others) + 1) as pool:
        begun = pool.submit(ask, first)
        assert count.began.wait(20)
        waiting = []
        for number, each in enumerate(others, 1):
            waiting.append(pool.submit(ask, each))
            _until(lambda number=number: len(desk._waiting) == number)  # type: ignore[misc]
        count.go.set()
        begun.result()
        return [future.result() for future in waiting]


def _until(there: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(4_000):
        if there():
            return
        pause.wait(0.005)
    raise AssertionError("it never came")


def test_one_alone_is_decided_at_once(database: Database, count: Counter) -> None:
    desk = HoldDesk[int, int](database, count)
    assert [desk.ask(1), desk.ask(2)] == [2, 4]
    assert count.batches == [[1], [2]]


def test_those_who_come_meanwhile_form_the_next_batch_in_their_order(database: Database, count: Counter) -> None:
    desk = HoldDesk[int, int](database, count)
    assert ask_behind(desk, count, 0, [5, 3, 4]) == [10, 6, 8]
    assert count.batches == [[0], [5, 3, 4]]


def test_a_batch_has_its_limit(database: Database, count: Counter) -> None:
    desk = HoldDesk[int, int](database, count, max_batch=2)
    assert ask_behind(desk, count, 0, [1, 2, 3, 4, 5]) == [2, 4, 6, 8, 10]
    assert count.batches == [[0], [1, 2], [3, 4], [5]]


def test_so_has_the_queue(database: Database, count: Counter) -> None:
    desk = HoldDesk[int, int](database, count, max_waiting=2)
    count.go.clear()
    with ThreadPoolExecutor(3) as pool:
        begun = pool.submit(desk.ask, 0)
        assert count.began.wait(20)
        waiting = [pool.submit(desk.ask, number) for number in (1, 2)]
        _until(lambda: len(desk._waiting) == 2)
        with pytest.raises(TransientError, match="2 requests wait"):
            desk.ask(3)
        count.go.set()
        assert [begun.result(), *(future.result() for future in waiting)] == [0, 2, 4]


def test_an_error_that_is_an_answer_reaches_its_asker_only(database: Database, count: Counter) -> None:
    desk = HoldDesk[Any, Any](database, count)
    first, refused, last = ask_behind(desk, count, 0, [1, "refused", 2])
    assert (first, last) == (2, 4)
    assert isinstance(refused, ConflictError)


def test_nobody_answers_for_what_another_asked(database: Database, count: Counter) -> None:
    desk = HoldDesk[Any, Any](database, count)
    count.fails["poison"] = ValueError("poison")
    first, poisoned, last = ask_behind(desk, count, 0, [1, "poison", 2])
    assert (first, last) == (2, 4)
    assert isinstance(poisoned, ValueError)
    assert desk.ask(7) == 14


def test_when_the_database_is_away_everybody_who_waits_hears_it(database: Database, count: Counter) -> None:
    desk = HoldDesk[int, int](database, count)
    count.fails[1] = TransientError("PostgreSQL is not answering", code="database.away")
    errors = ask_behind(desk, count, 0, [1, 2, 3])
    assert all(isinstance(error, TransientError) and error.code == "database.away" for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert desk.ask(4) == 8


def test_whoever_decides_may_be_stopped_and_the_desk_goes_on(database: Database, count: Counter) -> None:
    desk = HoldDesk[int, int](database, count)
    count.fails[1] = KeyboardInterrupt()  # type: ignore[assignment]
    count.go.clear()
    with ThreadPoolExecutor(3) as pool:
        begun = pool.submit(desk.ask, 0)
        assert count.began.wait(20)
        stopped = pool.submit(desk.ask, 1)
        _until(lambda: len(desk._waiting) == 1)
        behind = pool.submit(desk.ask, 2)
        _until(lambda: len(desk._waiting) == 2)
        count.go.set()
        assert begun.result() == 0
        with pytest.raises(KeyboardInterrupt):
            stopped.result()
        with pytest.raises(TransientError):
            behind.result()
    assert desk.ask(4) == 8


def test_sixty_four_ask_for_the_last_units_and_each_is_sold_once(database: Database) -> None:
    with database.unit() as uow:
        shelf = Shelf(uow.connection)
        shelf.apply(snapshot(40))
        level = shelf.level().level_id
        uow.commit()

    def decide(uow: UnitOfWork, asked: Sequence[HoldAsked]) -> Sequence[Held | Short | Full | HubError]:
        return stock.hold_each(uow.connection, asked)

    desk = HoldDesk[HoldAsked, Held | Short | Full](database, decide)

    def ask(number: int) -> Held | Short | Full:
        return desk.ask(HoldAsked(OWNER, "yunshang", None, {f"P{number}": [HoldLine(1, level, 1)]}))

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(ask, [*range(64), *range(64)]))
    assert answers[:64].count(Held()) == 40
    assert [answer for answer in answers[:64] if answer != Held()] == [Short((level,))] * 24
    assert answers[64:] == answers[:64]
    with database.unit() as uow:
        assert stock.verify(uow.connection) == []
