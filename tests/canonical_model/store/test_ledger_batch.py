"""A batch is answered as if its commands were made one by one, and the books add up after any of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import RejectedError
from canonical_model.ledger import Command, Done, Take
from canonical_model.store.ledger_batch import Batch
from canonical_model.store.ledger_commands import Checked
from tests.canonical_model.store.ledger_book import BRAND, NOW, OWNER, Book

MERGED = "3"  # its accounts are in the wallet of "1"

keys = st.integers(1, 12).map(lambda number: f"k{number}")
holders = st.sampled_from(["1", "2", MERGED])
amounts = st.integers(1, 30)
days = st.integers(0, 12)
Make = Callable[[Book, list[int]], Command]


def earns() -> st.SearchStrategy[Make]:
    return st.builds(
        lambda key, amount, holder, due, at: lambda book, _: book.earn(key, amount, holder=holder, due=at + due, at=at),
        keys, amounts, holders, st.integers(1, 12), days,
    )  # fmt: skip


def spends() -> st.SearchStrategy[Make]:
    return st.builds(
        lambda key, amount, holder, at: lambda book, _: book.spend(key, amount, holder=holder, at=at),
        keys, amounts, holders, days,
    )  # fmt: skip


def exchanges() -> st.SearchStrategy[Make]:
    return st.builds(
        lambda key, amount, holder, at: lambda book, _: book.exchange(key, amount, amount + 1, holder=holder, at=at),
        keys, amounts, holders, days,
    )  # fmt: skip


def claw_backs() -> st.SearchStrategy[Make]:
    return st.builds(
        lambda key, amount, holder, at, which: lambda book, earned: book.claw_back(
            key, amount, holder=holder, earned=None if which is None else earned[which], at=at
        ),
        keys, amounts, holders, days, st.none() | st.integers(0, 2),
    )  # fmt: skip


def passings() -> st.SearchStrategy[Make]:
    """From one holder to another, taken in two parts."""

    def make(book: Book, key: str, amount: int, giver: str, taker: str) -> Command:
        earn = book.earn(key, 2 * amount, holder=taker)
        return replace(earn, takes=(Take(book.stars, giver, amount), Take(book.stars, giver, amount)), moves=())

    return st.builds(
        lambda key, amount, giver, taker: lambda book, _: make(book, key, amount, giver, taker),
        keys, amounts, holders, holders,
    )  # fmt: skip


makes = st.one_of(earns(), spends(), exchanges(), claw_backs(), passings())


def prepare(book: Book) -> list[int]:
    """Three lots, one of them partly held, one debt, and a merged wallet; the transfers that earned."""
    earned = book.done(
        book.earn("first", 20, due=5),
        book.earn("second", 20, due=3),
        book.earn("third", 20, holder=MERGED, due=4),
        book.claw_back("debt", 7, holder="2"),
    )[:3]
    [lot] = book.connection.execute("SELECT id FROM points_lot WHERE transfer_id = %s", [earned[1]]).fetchall()
    book.hold(lot["id"], 5)
    book.merge(MERGED, "1")
    return earned


def told(answers: Sequence[Done | RejectedError], book: Book) -> list[tuple[Any, ...]]:
    """Answers with keys in place of transfers' numbers."""
    named = {row["id"]: row["key"] for row in book.connection.execute("SELECT id, key FROM ledger_transfer").fetchall()}
    return [
        (named[answer.id], answer.repeated) if isinstance(answer, Done) else (str(answer), answer.code, answer.context)
        for answer in answers
    ]


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(makes=st.lists(makes, min_size=1, max_size=14))
def test_a_batch_is_answered_and_written_as_its_commands_one_by_one(
    transaction: Connection[DictRow], makes: list[Make]
) -> None:
    books = []
    with transaction.transaction(force_rollback=True):
        book = Book(transaction)
        earned = prepare(book)
        commands = [make(book, earned) for make in makes]
        for together in (True, False):
            with transaction.transaction(force_rollback=True):
                if together:
                    answers = Batch(transaction, OWNER, BRAND, [Checked(each) for each in commands]).apply(NOW)
                else:
                    answers = [answer for command in commands for answer in book.apply(command)]
                assert book.differences() == []
                books.append((told(answers, book), book.everything()))
    assert books[0] == books[1]
