"""Transfers of the points ledger: once for each key, in whole or not at all."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError, RejectedError
from canonical_model.ledger import AccountKind, AssetKind, Balance, Command, Done, Give, Move, Short, Take
from canonical_model.store import ledger

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def stars(transaction: Connection[DictRow]) -> int:
    return ledger.ensure_asset(transaction, "g", "b", "stars", AssetKind.POINTS)


def earn(stars: int, key: str, amount: int, days: int | None = None) -> Command:
    due = None if days is None else NOW + timedelta(days=days)
    return Command(
        key,
        "earn",
        NOW,
        gives=(Give(stars, "1", amount, "b", 5, due),),
        moves=(Move(stars, AccountKind.ISSUED, "b", -amount),),
    )


def spend(stars: int, key: str, amount: int) -> Command:
    return Command(
        key, "spend", NOW, takes=(Take(stars, "1", amount),), moves=(Move(stars, AccountKind.REDEEMED, "b", amount),)
    )


def test_an_earn_can_be_spent(transaction: Connection[DictRow], stars: int) -> None:
    c = transaction
    done = ledger.apply(
        c, "g", "b", [earn(stars, "e1", 10, 5), earn(stars, "e2", 10, 3), spend(stars, "s1", 12)], now=NOW
    )
    assert [type(each) for each in done] == [Done] * 3, done
    assert ledger.balance(c, stars, "1", at=NOW) == Balance(8, 0, 8, 0)
    assert ledger.balance(c, stars, "1", at=NOW + timedelta(days=5)) == Balance(8, 0, 0, 0)
    assert ledger.apply_one(c, "g", "b", spend(stars, "s1", 12), now=NOW) == Done(done[2].id, True)
    with pytest.raises(ConflictError):
        ledger.apply_one(c, "g", "b", spend(stars, "s1", 11), now=NOW)
    with pytest.raises(RejectedError) as caught:
        ledger.apply_one(c, "g", "b", spend(stars, "s2", 9), now=NOW)
    assert caught.value.context["available"] == 8
    owed = Command(
        "c1",
        "claw_back",
        NOW,
        takes=(Take(stars, "1", 10, Short.ARREARS, first_from=done[0].id),),
        moves=(Move(stars, AccountKind.ISSUED, "b", 10),),
    )
    ledger.apply_one(c, "g", "b", owed, now=NOW)
    assert ledger.balance(c, stars, "1", at=NOW) == Balance(0, 0, 0, 2)
    ledger.apply_one(c, "g", "b", earn(stars, "e3", 5), now=NOW)
    assert ledger.balance(c, stars, "1", at=NOW) == Balance(3, 0, 3, 0)
    assert len(ledger.balances_of(c, "g", "1", at=NOW)) == 1
