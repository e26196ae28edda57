"""Several writers of one wallet at the same moment: as if they had taken turns."""

import multiprocessing
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from canonical_model.errors import ConflictError, RejectedError
from canonical_model.ledger import AccountKind, Command, Done, Move
from canonical_model.store import ledger
from flows.runtime.database import Database
from tests.canonical_model.store.ledger_book import BRAND, NOW, OWNER, Book

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def wallets(database: Database) -> int:
    """Members 1 to 5 with a hundred stars each, committed; the programme's number."""
    with database.unit() as uow:
        book = Book(uow.connection)
        book.done(*[book.earn(f"start-{holder}", 100, holder=str(holder)) for holder in range(1, 6)])
        uow.commit()
        return book.stars


def at_once(
    database: Database, deeds: Sequence[Callable[[Book], Sequence[Command]]]
) -> list[list[Done | RejectedError]]:
    """Each deed's commands, as one batch, in a thread and transaction of its own."""

    def do(deed: Callable[[Book], Sequence[Command]]) -> list[Done | RejectedError]:
        with database.unit() as uow:
            book = Book(uow.connection)
            answers = book.apply(*deed(book))
            uow.commit()
            return answers

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(do, deeds))


def spend_at_random(url: str, seed: int) -> int:
    """Batches and single spends by members in any order, far more than they have; how many points were spent."""
    chance = random.Random(seed)
    spent = 0
    with Database(url, pool_size=1).open() as database:
        for number in range(12):
            with database.unit() as uow:
                book = Book(uow.connection)
                commands = [
                    book.spend(f"{seed}-{number}-{line}", chance.randint(1, 9), holder=str(chance.randint(1, 5)))
                    for line in range(chance.choice([1, 1, 10]))
                ]
                answers = book.apply(*commands)
                uow.commit()
            spent += sum(
                command.takes[0].amount
                for command, answer in zip(commands, answers, strict=True)
                if isinstance(answer, Done)
            )
    return spent


def test_processes_that_spend_from_the_same_wallets_never_overspend_nor_lock_each_other_out(
    database: Database, wallets: int
) -> None:
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        spent = sum(pool.map(spend_at_random, [database.url] * 3, range(3)))
    with database.unit() as uow:
        book = Book(uow.connection)
        left = sum(book.balance(str(holder))[0] for holder in range(1, 6))
        assert (spent + left, book.differences()) == (500, [])


def test_the_last_points_are_spent_once(database: Database, wallets: int) -> None:
    answers = at_once(
        database,
        [lambda book, number=number: [book.spend(f"s{number}", 40)] for number in range(8)],  # type: ignore[misc]
    )
    assert sum(isinstance(answer, Done) for [answer] in answers) == 2


def test_one_command_sent_eight_times_at_once_is_one_transfer(database: Database, wallets: int) -> None:
    answers = at_once(database, [lambda book: [book.spend("same", 5)]] * 8)
    numbers = [answer.id for [answer] in answers if isinstance(answer, Done)]
    assert (len(numbers), len(set(numbers))) == (8, 1)
    with database.unit() as uow:
        assert Book(uow.connection).balance() == (95, 0)


def test_one_key_for_two_members_at_once_is_done_for_one_of_them(database: Database, wallets: int) -> None:
    for key in ("a", "b", "c"):
        answers = at_once(
            database,
            [
                lambda book, key=key: [book.spend(f"other-{key}", 1, holder="3"), book.spend(key, 5, holder="1")],  # type: ignore[misc]
                lambda book, key=key: [book.spend(key, 5, holder="2"), book.spend(f"more-{key}", 1, holder="4")],  # type: ignore[misc]
            ],
        )
        kinds = sorted(type(answer).__name__ for answer in (answers[0][1], answers[1][0]))
        assert kinds == [ConflictError.__name__, Done.__name__]
        assert isinstance(answers[0][0], Done)
        assert isinstance(answers[1][1], Done)


def test_one_command_without_members_sent_at_once_is_one_transfer(database: Database, wallets: int) -> None:
    moves = (Move(wallets, AccountKind.CLEARING, BRAND, -5), Move(wallets, AccountKind.PARTY, "airline", 5))
    settle = Command("settle", "settle", NOW, moves=moves)
    answers = at_once(database, [lambda _: [settle]] * 4 + [lambda _: [settle, settle]] * 4)
    numbers = [answer.id for batch in answers for answer in batch if isinstance(answer, Done)]
    assert (len(numbers), len(set(numbers))) == (12, 1)


def test_new_members_of_two_batches_get_one_account_each(database: Database, wallets: int) -> None:
    def earns(name: str, holders: Sequence[int]) -> Callable[[Book], Sequence[Command]]:
        return lambda book: [book.earn(f"{name}-{holder}", 1, holder=f"new-{holder}") for holder in holders]

    answers = at_once(database, [earns("up", range(30)), earns("down", range(29, -1, -1))])
    assert all(isinstance(answer, Done) for batch in answers for answer in batch)
    with database.unit() as uow:
        book = Book(uow.connection)
        assert [book.balance(f"new-{holder}") for holder in range(30)] == [(2, 0)] * 30
        assert ledger.assets(uow.connection, OWNER)[0]["code"] == "leaves"
