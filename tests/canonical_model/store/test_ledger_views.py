"""What the ledger answers: who did what, what was known when, what issuers owe."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, Rollback
from psycopg.rows import DictRow

from canonical_model.errors import NotFoundError, RejectedError
from canonical_model.ledger import AccountKind, Short
from canonical_model.store import ledger_expiry, ledger_holds, ledger_journal, ledger_views, wallets
from tests.canonical_model.store.purse import BRAND, OWNER, Purse, at

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def purse(transaction: Connection[DictRow]) -> Purse:
    return Purse(transaction)


def test_an_earn_that_is_recorded_late_does_not_change_what_was_known(purse: Purse) -> None:
    purse.earn("7", 100, day=1, recorded=1)
    purse.earn("7", 50, day=2, recorded=10)

    def known(happened: float | None, recorded: float | None) -> int:
        return ledger_views.as_of(
            purse.connection,
            purse.stars,
            "7",
            happened_to=None if happened is None else at(happened),
            recorded_to=None if recorded is None else at(recorded),
        )

    assert known(5, 5) == 100, "of day 5, as known on day 5"
    assert known(5, 10) == 150, "of day 5, as known since day 10"
    assert known(1, None) == 100
    assert known(None, 9.99) == 100
    assert known(None, None) == 150
    assert known(0.5, None) == 0
    assert ledger_views.as_of(purse.connection, purse.stars, "nobody") == 0
    assert ledger_views.as_of(purse.connection, purse.stars, "yunshang", kind=AccountKind.ISSUED) == -150


def test_transfers_are_listed_newest_first_and_page_by_page(purse: Purse) -> None:
    ids = [purse.earn("7", 10) for _ in range(5)]
    first = ledger_views.list_transfers(purse.connection, OWNER, limit=2)
    second = ledger_views.list_transfers(purse.connection, OWNER, limit=9, after=first[-1]["id"])
    assert [row["id"] for row in (*first, *second)] == ids[::-1]


def test_transfers_are_found_by_holder_account_reference_and_kind(purse: Purse) -> None:
    earn = purse.earn("7", 10, key="O1")
    other = purse.earn("8", 10, key="O2")
    spend = purse.spend("8", 5)
    whole = ledger_views.get_transfer(purse.connection, OWNER, other)

    def found(**filters: Any) -> list[int]:
        return [row["id"] for row in ledger_views.list_transfers(purse.connection, OWNER, **filters)]

    assert found(holder="7") == [earn]
    assert found(holder="8") == [spend, other]
    assert found(account=whole["postings"][0]["account_id"]) == [spend, other]
    assert found(reference="O1") == [earn]
    assert found(kind="spend") == [spend]
    assert found(brand="linmu") == []
    assert found(holder="8", kind="earn") == [other]
    assert ledger_views.list_transfers(purse.connection, "another group") == []


def test_a_merged_holder_is_asked_for_the_wallet(purse: Purse) -> None:
    earn, other = purse.earn("7", 10), purse.earn("8", 10)
    wallets.merge(purse.connection, OWNER, BRAND, "M1", "7", "8", now=at(1))
    rows = ledger_views.list_transfers(purse.connection, OWNER, holder="8")
    assert [row["id"] for row in rows] == [other, earn]


def test_a_transfer_is_shown_with_its_postings_and_what_reverses_it(purse: Purse) -> None:
    purse.earn("7", 10, lives=30, key="E1")
    spend = purse.spend("7", 4, key="S1")
    back = purse.reverse(spend, 1)
    whole = ledger_views.find_transfer(purse.connection, OWNER, BRAND, "S1")
    assert whole == ledger_views.get_transfer(purse.connection, OWNER, spend)
    assert whole["reversed_by"] == [back.id]
    taken, redeemed = whole["postings"]
    assert (taken["asset"], taken["account_kind"], taken["holder"], taken["amount"]) == (
        "yunshang/stars",
        "member",
        "7",
        -4,
    )
    assert (taken["lot_key"], taken["issuer"], taken["due"]) == ("E1", "yunshang", at(30))
    assert (redeemed["account_kind"], redeemed["lot_id"], redeemed["due"]) == ("redeemed", None, None)
    assert ledger_views.find_transfer(purse.connection, OWNER, BRAND, "nothing") is None
    with pytest.raises(NotFoundError):
        ledger_views.get_transfer(purse.connection, "another group", spend)


def test_an_issuer_s_statement_adds_up(purse: Purse) -> None:
    earn = purse.earn("7", 100, issuer="yunshang")
    purse.earn("7", 80, issuer="brandX", lives=20)
    purse.spend("7", 90)
    purse.exchange("7", 20, 12)
    purse.claw_back("7", 30, earn)
    purse.earn("8", 5, issuer="brandX", lives=20)
    ledger_expiry.expire_lots(purse.connection, OWNER, as_of=at(21), now=at(21))
    rows = {row.pop("issuer"): row for row in ledger_views.issuer_statement(purse.connection, purse.stars)}
    assert rows == {
        "brandX": _row(issued=85, spent=80, expired=5),
        "yunshang": _row(
            issued=100, spent=10, exchanged_out=20, clawed_back=30, outstanding=40, liability_micro=200_000
        ),
    }


def _row(**figures: int) -> dict[str, int]:
    names = ("issued", "spent", "expired", "exchanged_out", "clawed_back", "outstanding", "liability_micro")
    return {name: figures.get(name, 0) for name in names}


step = st.tuples(
    st.sampled_from(["earn", "spend", "owe", "claw", "exchange", "hold", "post", "void", "reverse", "expire", "merge"]),
    st.sampled_from("789"),
    st.integers(1, 40),
    st.integers(0, 30),
)


@given(steps=st.lists(step, min_size=5, max_size=25))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_the_books_agree_and_every_issuer_s_statement_adds_up(
    purse: Purse, steps: list[tuple[str, str, int, int]]
) -> None:
    with suppress(Rollback), purse.connection.transaction():
        made: list[int] = []
        holds: list[str] = []
        for number, (what, holder, amount, pick) in enumerate(steps):
            day = number / 2
            with suppress(RejectedError), purse.connection.transaction():
                _do(purse, what, holder, amount, pick, day, made, holds)
        assets = (purse.stars, purse.leaves)
        before = [ledger_views.issuer_statement(purse.connection, asset) for asset in assets]
        more = True
        while more:
            more = ledger_journal.seal(purse.connection, OWNER, now=at(99), limit=7).more
            assert [ledger_views.issuer_statement(purse.connection, asset) for asset in assets] == before
        assert ledger_journal.verify(purse.connection, OWNER).broken == []
        for asset, statement in zip(assets, before, strict=True):
            for row in statement:
                parts = ("spent", "expired", "exchanged_out", "clawed_back", "outstanding")
                assert row["issued"] == sum(row[part] for part in parts)
            told = {row["issuer"]: (row["outstanding"], row["liability_micro"]) for row in statement}
            assert {issuer: left for issuer, left in told.items() if any(left)} == _left(purse, asset)
        raise Rollback


def _left(purse: Purse, asset_id: int) -> dict[str, tuple[int, int]]:
    """Of each issuer the points that are left in lots, and what they cost."""
    rows = purse.connection.execute(
        "SELECT lot.issuer, sum(lot.remaining) AS points, sum(lot.remaining * lot.cost_micro) AS cost"
        " FROM points_lot AS lot JOIN ledger_account AS account ON account.id = lot.account_id"
        " WHERE account.asset_id = %s AND lot.is_open GROUP BY lot.issuer",
        [asset_id],
    )
    return {row["issuer"]: (row["points"], row["cost"]) for row in rows}


def _do(
    purse: Purse, what: str, holder: str, amount: int, pick: int, day: float, made: list[int], holds: list[str]
) -> None:
    match what:
        case "earn":
            made.append(purse.earn(holder, amount * 3, day=day, lives=1 + pick / 3))
        case "spend":
            made.append(purse.spend(holder, amount, day=day))
        case "owe":
            made.append(purse.spend(holder, amount, day=day, short=Short.ARREARS))
        case "claw" if made:
            made.append(purse.claw_back(holder, amount, made[pick % len(made)], day=day))
        case "exchange":
            made.append(purse.exchange(holder, amount, amount, day=day))
        case "hold":
            holds.append(purse.hold(holder, amount, day=day, until=day + 3))
        case "post" if holds:
            made.append(purse.post(holds[pick % len(holds)], max(1, amount // 2), day=day).id)
        case "void" if holds:
            purse.void(holds[pick % len(holds)], day=day)
        case "reverse" if made:
            part = None if amount > 20 else amount
            purse.reverse(made[pick % len(made)], part, day=day, grace_days=pick % 3, short=Short.ARREARS)
        case "expire":
            ledger_holds.expire_holds(purse.connection, at(day))
            ledger_expiry.expire_lots(purse.connection, OWNER, as_of=at(day), now=at(day), limit=3)
        case "merge":
            wallets.merge(purse.connection, OWNER, BRAND, f"M{day}", holder, "789"[pick % 3], now=at(day))
