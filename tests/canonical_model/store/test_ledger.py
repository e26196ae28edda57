"""Transfers of the points ledger: in whole or not at all, once for each key, the earliest due points first."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError, LimitError, NotFoundError, RejectedError
from canonical_model.ledger import MAX_POINTS, AccountKind, AssetKind, Balance, Command, Done, Give, Move, Take
from canonical_model.store import ledger
from tests.canonical_model.store.ledger_book import BRAND, NOW, OWNER, Book, day


@pytest.fixture
def book(transaction: Connection[DictRow]) -> Book:
    return Book(transaction)


def refusal(book: Book, command: Command) -> RejectedError:
    """Why a command is refused; it leaves nothing, alone or among others."""
    before = book.everything()
    [answer] = book.apply(command)
    assert isinstance(answer, RejectedError)
    [one, other] = book.apply(command, command)
    assert isinstance(one, RejectedError)
    assert isinstance(other, RejectedError)
    assert (str(one), one.code) == (str(answer), answer.code)
    after = book.everything()
    assert [after[name] for name in ("transfers", "postings", "lots")] == [
        before[name] for name in ("transfers", "postings", "lots")
    ]
    return answer


def test_what_is_earned_can_be_spent(book: Book) -> None:
    book.done(book.earn("e", 10), book.spend("s", 4))
    assert ledger.balance(book.connection, book.stars, "1", at=NOW) == Balance(6, 0, 6, 0)


def test_the_points_that_go_first_are_spent_first(book: Book) -> None:
    book.done(book.earn("late", 10, due=30), book.earn("soon", 10, due=10), book.earn("never", 10))
    book.done(book.spend("s", 15))
    assert [(row[0], row[3]) for row in book.everything()["lots"]] == [("late", 5), ("soon", 0), ("never", 10)]


def test_points_that_are_due_by_then_are_not_spent(book: Book) -> None:
    book.done(book.earn("e", 10, due=5))
    assert book.balance(at=4) == (10, 0)
    assert book.balance(at=5) == (0, 0)
    error = refusal(book, book.spend("s", 1, at=5))
    assert (error.code, error.context["available"], error.context["wanted"]) == ("points.insufficient", 0, 1)


def test_more_than_there_is_cannot_be_spent(book: Book) -> None:
    book.done(book.earn("e", 10))
    error = refusal(book, book.spend("s", 11))
    assert (error.code, error.context["available"], error.context["wanted"]) == ("points.insufficient", 10, 11)
    assert book.balance() == (10, 0)


def test_a_refused_key_may_be_used_when_there_is_enough(book: Book) -> None:
    answers = book.apply(book.spend("s", 5), book.earn("e", 10), book.spend("s", 5))
    assert [type(answer) for answer in answers] == [RejectedError, Done, Done]


def test_the_same_command_again_gets_the_same_answer_whatever_happened_since(book: Book) -> None:
    [earned, spent] = book.done(book.earn("e", 10), book.spend("s", 10))
    assert book.apply(book.spend("s", 10)) == [Done(spent, repeated=True)]
    assert book.apply(book.earn("e", 10), book.spend("s", 10)) == [Done(earned, True), Done(spent, True)]
    assert book.balance() == (0, 0)


def test_an_instant_is_the_same_in_every_zone(book: Book) -> None:
    [earned] = book.done(book.earn("e", 10, due=3))
    east = timezone(timedelta(hours=8))
    gives = (replace(book.earn("e", 10).gives[0], expires_at=day(3).astimezone(east)),)
    command = replace(book.earn("e", 10), happened_at=NOW.astimezone(east), gives=gives)
    assert book.apply(command) == [Done(earned, repeated=True)]


def test_a_key_used_for_another_command_is_a_conflict(book: Book) -> None:
    book.done(book.earn("e", 10))
    for other in (book.earn("e", 11), book.earn("e", 10, holder="2"), replace(book.earn("e", 10), reference="O1")):
        assert isinstance(refusal(book, other), ConflictError)


def test_a_claw_back_takes_what_the_sale_earned_first(book: Book) -> None:
    [_, sale] = book.done(book.earn("soon", 10, due=5), book.earn("sale", 10, due=50))
    book.done(book.claw_back("r", 12, earned=sale))
    assert [(row[0], row[3]) for row in book.everything()["lots"]] == [("soon", 8), ("sale", 0)]


def test_what_a_claw_back_does_not_find_is_owed_and_repaid_by_the_next_points(book: Book) -> None:
    book.done(book.earn("e", 10), book.claw_back("r", 25))
    assert book.balance() == (0, 15)
    book.done(book.earn("some", 5))
    assert book.balance() == (0, 10)
    book.done(book.earn("more", 30))
    assert book.balance() == (20, 0)


def test_an_exchange_short_of_points_gives_nothing(book: Book) -> None:
    book.done(book.earn("e", 2))
    refusal(book, book.exchange("x", 3, 2))
    assert book.balance(asset=book.leaves) == (0, 0)


def test_points_held_are_not_spent(book: Book) -> None:
    [earned] = book.done(book.earn("e", 10))
    [lot] = book.connection.execute("SELECT id FROM points_lot WHERE transfer_id = %s", [earned]).fetchall()
    book.hold(lot["id"], 4)
    assert ledger.balance(book.connection, book.stars, "1", at=NOW) == Balance(10, 4, 6, 0)
    assert refusal(book, book.spend("s", 7)).context["available"] == 6


def test_more_lots_than_are_read_at_first_are_spent_in_their_order(book: Book) -> None:
    book.done(*[book.earn(f"e{number}", 1, due=200 - number) for number in range(150)])
    book.done(book.spend("s1", 60), book.earn("soon", 5, due=1), book.spend("s2", 80))
    assert [row[0] for row in book.everything()["lots"] if row[3]] == [f"e{number}" for number in range(15)]
    assert book.differences() == []


def test_a_holders_points_can_be_spent_by_the_wallet_they_are_merged_into(book: Book) -> None:
    book.done(book.earn("e1", 10), book.earn("e2", 10, holder="2"))
    book.merge("2", "1")
    assert ledger.balances_of(book.connection, OWNER, "2", at=NOW)[0][1] == Balance(20, 0, 20, 0)
    book.done(book.spend("s1", 12), book.spend("s2", 8, holder="2"))
    assert book.balance() == (0, 0)


@pytest.mark.parametrize("amount", [0, -5, MAX_POINTS + 1, 10**30, 1.5, True, "7"])
def test_an_amount_that_is_no_whole_number_within_the_limit_is_refused(book: Book, amount: Any) -> None:
    command = book.spend("s", 1)
    error = refusal(book, replace(command, takes=(Take(book.stars, "1", amount),)))
    assert (error.code, error.context["key"], error.context["field"]) == ("points.amount", "s", "take.amount")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"key": ""}, "points.key"),
        ({"key": "k" * 201}, "points.key"),
        ({"key": "a\x00b"}, "points.key"),
        ({"reference": "two\nlines"}, "points.key"),
        ({"happened_at": datetime(2026, 5, 1)}, "points.key"),  # noqa: DTZ001 - that it has no zone is the point
        ({"takes": ()}, "points.unbalanced"),
        ({"moves": ()}, "points.unbalanced"),
        ({"takes": (), "moves": ()}, "points.limit"),
        ({"detail": {"rule": object()}}, "points.detail"),
        ({"detail": {"rule": "x" * 70_000}}, "points.detail"),
        ({"reverses": 10**12}, "points.unknown"),
    ],
)
def test_a_command_that_is_wrong_is_refused_with_the_field_named(book: Book, change: dict[str, Any], code: str) -> None:
    book.done(book.earn("e", 10))
    assert refusal(book, replace(book.spend("s", 5), **change)).code == code


def test_a_command_with_too_many_lines_is_refused(book: Book) -> None:
    one = Move(book.stars, AccountKind.PARTY, "a", 1), Move(book.stars, AccountKind.PARTY, "b", -1)
    assert isinstance(refusal(book, Command("k", "settle", NOW, moves=one * 51)), LimitError)


def test_members_accounts_are_not_moved_by_hand(book: Book) -> None:
    moves = Move(book.stars, AccountKind.MEMBER, "1", 5), Move(book.stars, AccountKind.ISSUED, BRAND, -5)
    assert refusal(book, Command("k", "adjust", NOW, moves=moves)).code == "points.account"


def test_points_that_would_be_due_at_once_are_refused(book: Book) -> None:
    assert refusal(book, book.earn("e", 5, due=0)).code == "points.expiry"


def test_a_programme_of_another_owner_is_not_known(book: Book) -> None:
    theirs = ledger.ensure_asset(book.connection, "somebody", "b", "stars", AssetKind.POINTS)
    give = Give(theirs, "1", 5, BRAND)
    earn = Command("e", "earn", NOW, gives=(give,), moves=(Move(theirs, AccountKind.ISSUED, BRAND, -5),))
    assert isinstance(ledger.apply(book.connection, "somebody", "b", [earn], now=NOW)[0], Done)
    for command in (replace(earn, key="k"), book.earn("k", 5, asset=theirs), book.spend("k", 5, asset=theirs)):
        assert refusal(book, command).code == "points.unknown"


def test_an_unknown_programme_is_answered_with_those_there_are(book: Book) -> None:
    assert ledger.get_asset(book.connection, OWNER, "yunshang/stars")["id"] == book.stars
    with pytest.raises(NotFoundError, match="yunshang/leaves, yunshang/stars") as caught:
        ledger.get_asset(book.connection, OWNER, "yunshang/moons")
    assert caught.value.code == "points.programme_unknown"


def test_an_asset_does_not_become_another_kind(book: Book) -> None:
    with pytest.raises(ConflictError):
        ledger.ensure_asset(book.connection, OWNER, BRAND, "stars", AssetKind.MONEY)
