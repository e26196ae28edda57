"""A reversal gives back exactly what was taken, to the lots it was taken from, and never more."""

import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, Rollback
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError, NotFoundError, RejectedError
from canonical_model.ledger import AccountKind, Short
from canonical_model.store import ledger_expiry, ledger_journal, ledger_reversal, ledger_views, wallets
from flows.runtime.database import Database
from tests.canonical_model.store.purse import BRAND, OWNER, Purse, at

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def purse(transaction: Connection[DictRow]) -> Purse:
    return Purse(transaction)


def code_of(refused: pytest.ExceptionInfo[RejectedError]) -> str:
    return refused.value.code


def test_what_was_taken_goes_back_to_its_lots(purse: Purse) -> None:
    purse.earn("7", 100, lives=300)
    purse.earn("7", 50, lives=30)
    spend = purse.spend("7", 70)
    assert purse.lots("7") == [(80, 0), (0, 0)]
    purse.reverse(spend)
    assert purse.lots("7") == [(100, 0), (50, 0)]


def test_the_last_taken_is_given_back_first(purse: Purse) -> None:
    purse.earn("7", 100, lives=300)
    purse.earn("7", 50, lives=30)
    spend = purse.spend("7", 70)
    purse.reverse(spend, 30)
    assert purse.lots("7") == [(100, 0), (10, 0)]


def test_parts_never_add_up_to_more_than_was_taken(purse: Purse) -> None:
    purse.earn("7", 100)
    spend = purse.spend("7", 70)
    purse.reverse(spend, 50)
    with pytest.raises(RejectedError) as refused:
        purse.reverse(spend, 21)
    assert (code_of(refused), refused.value.context["available"]) == ("points.over_reversed", 20)
    purse.reverse(spend)
    with pytest.raises(RejectedError) as refused:
        purse.reverse(spend)
    assert code_of(refused) == "points.over_reversed"
    assert purse.lots("7") == [(100, 0)]


def test_a_refund_that_comes_twice_is_one_refund(purse: Purse) -> None:
    purse.earn("7", 100)
    spend = purse.spend("7", 70)
    first = purse.reverse(spend, 40, key="R1")
    second = purse.reverse(spend, 40, key="R1")
    assert (second.id, second.repeated) == (first.id, True)
    assert purse.lots("7") == [(70, 0)]
    with pytest.raises(ConflictError):
        purse.reverse(spend, 30, key="R1")


def test_the_post_of_a_hold_can_be_reversed(purse: Purse) -> None:
    purse.earn("7", 100, lives=300)
    purse.earn("7", 50, lives=30)
    posted = purse.post(purse.hold("7", 120), 90)
    purse.reverse(posted.id)
    assert purse.lots("7") == [(100, 0), (50, 0)]


def test_what_expired_meanwhile_comes_back_and_expires_at_once(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    spend = purse.spend("7", 70)
    ledger_expiry.expire_lots(purse.connection, OWNER, as_of=at(11), now=at(11))
    purse.reverse(spend, day=12, key="R1")
    assert purse.lots("7") == [(0, 0)]
    gone = ledger_views.find_transfer(purse.connection, OWNER, BRAND, "expire:R1")
    assert gone is not None
    assert (gone["kind"], gone["happened_at"], gone["postings"][0]["amount"]) == ("expire", at(12), -70)
    [statement] = ledger_views.issuer_statement(purse.connection, purse.stars)
    assert (statement["issued"], statement["spent"], statement["expired"]) == (100, 0, 100)


def test_what_expired_meanwhile_lives_on_for_the_days_of_grace(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    spend = purse.spend("7", 70)
    purse.reverse(spend, day=12, grace_days=30)
    assert purse.lots("7") == [(70, 0)], "what was there and due has expired on its day"
    [lot] = ledger_views.list_lots(purse.connection, purse.stars, "7")
    assert lot["due"] == at(12) + timedelta(days=30)
    assert purse.balance("7", day=12).available == 70
    ledger_expiry.expire_lots(purse.connection, OWNER, as_of=at(42), now=at(42))
    assert purse.lots("7") == [(0, 0)]


def test_no_date_in_the_future_expires_what_is_not_due_yet(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    spend = purse.spend("7", 70)
    ledger_reversal.reverse(purse.connection, OWNER, BRAND, "R1", spend, happened_at=at(900), now=at(2))
    assert purse.lots("7") == [(100, 0)]
    reversal = ledger_views.find_transfer(purse.connection, OWNER, BRAND, "R1")
    assert reversal is not None
    assert reversal["happened_at"] == at(2)


def test_lots_that_are_not_due_keep_their_day_whatever_the_grace(purse: Purse) -> None:
    purse.earn("7", 100, lives=13)
    purse.reverse(purse.spend("7", 70), day=12, grace_days=30)
    [lot] = ledger_views.list_lots(purse.connection, purse.stars, "7")
    assert lot["due"] == at(13)


def test_what_the_wallet_owes_is_repaid_from_what_came_back(purse: Purse) -> None:
    earn = purse.earn("7", 100)
    spend = purse.spend("7", 70)
    purse.claw_back("7", 100, earn)
    assert (purse.balance("7").posted, purse.balance("7").arrears) == (0, 70)
    purse.reverse(spend, 50, key="R1")
    assert (purse.balance("7").posted, purse.balance("7").arrears) == (0, 20)
    purse.reverse(spend, 20)
    assert (purse.balance("7").posted, purse.balance("7").arrears) == (0, 0)
    repaid = ledger_views.find_transfer(purse.connection, OWNER, BRAND, "repay:R1")
    assert repaid is not None
    assert [line["amount"] for line in repaid["postings"]] == [-50, 50]


def test_a_debt_that_was_repaid_meanwhile_goes_back_to_the_lots_that_repaid_it(purse: Purse) -> None:
    purse.earn("7", 100)
    spend = purse.spend("7", 130, short=Short.ARREARS)
    purse.earn("7", 20)
    purse.earn("7", 50)
    assert purse.lots("7") == [(0, 0), (0, 0), (40, 0)]
    purse.reverse(spend, 25)
    assert purse.lots("7") == [(0, 0), (15, 0), (50, 0)]
    purse.reverse(spend)
    assert purse.lots("7") == [(100, 0), (20, 0), (50, 0)]
    assert purse.balance("7").arrears == 0
    assert ledger_journal.verify(purse.connection, OWNER).broken == []


def test_points_that_repaid_a_debt_come_back_with_the_same_grace(purse: Purse) -> None:
    purse.earn("7", 100)
    spend = purse.spend("7", 130, short=Short.ARREARS)
    purse.earn("7", 50, lives=5)
    ledger_expiry.expire_lots(purse.connection, OWNER, as_of=at(6), now=at(6))
    purse.reverse(spend, day=8, grace_days=30)
    assert purse.lots("7") == [(100, 0), (30, 0)]
    assert purse.balance("7", day=37.9).available == 130
    assert purse.balance("7", day=38).available == 100
    assert ledger_journal.verify(purse.connection, OWNER).broken == []


def test_an_exchange_goes_back_whole(purse: Purse) -> None:
    purse.earn("7", 100)
    exchange = purse.exchange("7", 60, 39)
    with pytest.raises(RejectedError) as refused:
        purse.reverse(exchange, 30)
    assert code_of(refused) == "points.whole_only"
    purse.reverse(exchange)
    assert purse.lots("7") == [(100, 0)]
    assert purse.lots("7", asset=purse.leaves) == [(0, 0)]
    assert ledger_views.as_of(purse.connection, purse.leaves, "", kind=AccountKind.SPREAD) == 0


@pytest.mark.parametrize("grace_days", [0, 30])
def test_an_exchange_goes_back_after_what_it_gave_was_due(purse: Purse, grace_days: int) -> None:
    purse.earn("7", 100, lives=280)
    exchange = purse.exchange("7", 60, 39)
    purse.reverse(exchange, day=302, grace_days=grace_days)
    assert purse.lots("7", asset=purse.leaves) == [(0, 0)]
    assert purse.balance("7", day=302).available == (60 if grace_days else 0)
    assert ledger_journal.verify(purse.connection, OWNER).broken == []


def test_an_exchange_whose_points_are_spent_goes_back_only_against_a_debt(purse: Purse) -> None:
    purse.earn("7", 100)
    exchange = purse.exchange("7", 60, 39)
    purse.stars, stars = purse.leaves, purse.stars
    purse.spend("7", 30)
    purse.stars = stars
    with pytest.raises(RejectedError) as refused:
        purse.reverse(exchange)
    assert (code_of(refused), refused.value.context["available"]) == ("points.spent", 9)
    purse.reverse(exchange, short=Short.ARREARS)
    assert purse.lots("7") == [(100, 0)]
    assert purse.balance("7", asset=purse.leaves).arrears == 30
    assert ledger_journal.verify(purse.connection, OWNER).broken == []


def test_an_earn_is_clawed_back_not_reversed(purse: Purse) -> None:
    earn = purse.earn("7", 100)
    with pytest.raises(RejectedError) as refused:
        purse.reverse(earn)
    assert code_of(refused) == "points.not_reversible"


def test_a_claw_back_can_be_taken_back(purse: Purse) -> None:
    earn = purse.earn("7", 100)
    purse.spend("7", 40)
    claw = purse.claw_back("7", 100, earn)
    assert purse.balance("7").arrears == 40
    purse.reverse(claw)
    assert (purse.lots("7"), purse.balance("7").arrears) == ([(60, 0)], 0)


def test_a_reversal_names_a_transfer_of_its_owner(purse: Purse) -> None:
    other = Purse(purse.connection, "another group")
    other.earn("7", 10)
    spend = other.spend("7", 5)
    with pytest.raises(NotFoundError):
        purse.reverse(spend)
    with pytest.raises(NotFoundError):
        purse.reverse(10**15)


@pytest.mark.parametrize("amount", [0, -1, 10**12 + 1, 1.5, True])
def test_an_amount_is_a_whole_number_within_limits(purse: Purse, amount: int) -> None:
    purse.earn("7", 10)
    with pytest.raises(RejectedError) as refused:
        purse.reverse(purse.spend("7", 5), amount)
    assert code_of(refused) == "points.amount"


lots = st.lists(st.tuples(st.integers(1, 40), st.integers(3, 30)), min_size=1, max_size=6)


@given(lots=lots, wanted=st.integers(1, 300), cuts=st.lists(st.integers(1, 60), max_size=6), owed=st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reversals_in_any_parts_give_every_lot_back_what_was_taken(
    purse: Purse, lots: list[tuple[int, int]], wanted: int, cuts: list[int], owed: bool
) -> None:
    with suppress(Rollback), purse.connection.transaction():
        for amount, lives in lots:
            purse.earn("7", amount, lives=lives)
        total = sum(amount for amount, _ in lots)
        wanted = wanted if owed else min(wanted, total)
        before = purse.lots("7")
        spend = purse.spend("7", wanted, short=Short.ARREARS if owed else Short.REFUSE)
        left = wanted
        for cut in cuts:
            if cut < left:
                purse.reverse(spend, cut)
                left -= cut
                owes = max(0, wanted - total - (wanted - left))
                assert (purse.balance("7").posted, purse.balance("7").arrears) == (total - left + owes, owes)
        purse.reverse(spend)
        assert (purse.lots("7"), purse.balance("7").arrears) == (before, 0)
        raise Rollback


def test_refunds_at_once_never_give_back_more_than_was_taken(database: Database) -> None:
    with database.unit() as uow:
        purse = Purse(uow.connection)
        purse.earn("7", 100)
        spend = purse.spend("7", 90)
        uow.commit()
    answers: list[str] = []

    def refund(name: str) -> None:
        for number in range(8):
            with database.unit() as uow:
                try:
                    Purse(uow.connection).reverse(spend, 5, key=f"{name}{number}")
                except RejectedError as error:
                    answers.append(error.code)
                    continue
                uow.commit()
                answers.append("done")

    threads = [threading.Thread(target=refund, args=(name,)) for name in "ABC"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == ["done"] * 18 + ["points.over_reversed"] * 6
    with database.unit() as uow:
        assert Purse(uow.connection).lots("7") == [(100, 0)]


def test_one_refund_asked_for_by_many_at_once_is_one_refund(database: Database) -> None:
    with database.unit() as uow:
        purse = Purse(uow.connection)
        purse.earn("7", 100)
        spend = purse.spend("7", 90)
        uow.commit()
    found: list[int] = []

    def refund() -> None:
        with database.unit() as uow:
            found.append(Purse(uow.connection).reverse(spend, 30, key="R1").id)
            uow.commit()

    threads = [threading.Thread(target=refund) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(found), len(set(found))) == (4, 1)
    with database.unit() as uow:
        assert Purse(uow.connection).lots("7") == [(40, 0)]


def test_a_grace_that_has_ended_before_it_begins_is_refused(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    spend = purse.spend("7", 70)
    with pytest.raises(RejectedError) as refused:
        purse.reverse(spend, day=12, grace_days=-1)
    assert refused.value.code == "points.expiry"


def test_what_came_back_repays_several_debts_lot_by_lot_in_their_order(purse: Purse) -> None:
    for lives in (30, 10, 20):
        purse.earn("7", 40, lives=lives)
    spend = purse.spend("7", 120)
    wallets.merge(purse.connection, OWNER, BRAND, "m", "7", "8", now=at(1))
    purse.spend("8", 50, short=Short.ARREARS)
    purse.spend("7", 45, short=Short.ARREARS)
    purse.reverse(spend, key="R")
    assert (purse.balance("7").available, purse.balance("7").arrears) == (25, 0)
    rows = purse.connection.execute(
        "SELECT account.kind, account.holder, posting.amount FROM ledger_transfer AS entry"
        " JOIN ledger_posting AS posting ON posting.transfer_id = entry.id"
        " JOIN ledger_account AS account ON account.id = posting.account_id"
        " WHERE entry.key = 'repay:R' AND entry.owner = %s ORDER BY posting.line",
        [OWNER],
    )
    owed = [(row["holder"], row["amount"]) for row in rows if row["kind"] == "arrears"]
    assert owed == [("7", 40), ("7", 5), ("8", 35), ("8", 15)]
