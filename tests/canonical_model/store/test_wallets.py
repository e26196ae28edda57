"""Merging moves accounts between wallets and never a posting: an un-merge gives each their own back."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, Rollback
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError, NotFoundError, RejectedError
from canonical_model.store import ledger_holds, ledger_journal, wallets
from flows.runtime.database import Database
from tests.canonical_model.store.purse import BRAND, OWNER, Purse, at

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def purse(transaction: Connection[DictRow]) -> Purse:
    return Purse(transaction)


def merge(purse: Purse, kept: str, merged: str, key: str = "") -> int:
    return wallets.merge(purse.connection, OWNER, BRAND, key or f"{kept}<{merged}", kept, merged, now=at(1))


def unmerge(purse: Purse, merge_id: int) -> list[str]:
    return wallets.unmerge(purse.connection, OWNER, BRAND, merge_id, now=at(2))


def extract(purse: Purse, holder: str) -> list[str]:
    return wallets.extract(purse.connection, OWNER, BRAND, holder, now=at(2))


def together(purse: Purse, holders: str) -> set[frozenset[str]]:
    """Who shares a wallet with whom."""
    wallet = {holder: wallets.wallet_of(purse.connection, OWNER, holder) for holder in holders}
    assert all(name in wallets.holders_of(purse.connection, OWNER, name) for name in wallet.values())
    return {frozenset(each for each in holders if wallet[each] == name) for name in wallet.values()}


def groups(*names: str) -> set[frozenset[str]]:
    return {frozenset(name) for name in names}


def own(purse: Purse, holder: str) -> list[int]:
    """What is left of the lots in the holder's own accounts."""
    rows = purse.connection.execute(
        "SELECT lot.remaining FROM points_lot AS lot JOIN ledger_account AS account ON account.id = lot.account_id"
        " WHERE account.asset_id = %s AND account.holder = %s ORDER BY lot.id",
        [purse.stars, holder],
    )
    return [row["remaining"] for row in rows]


def test_who_is_not_merged_has_a_wallet_of_their_own(purse: Purse) -> None:
    assert wallets.wallet_of(purse.connection, OWNER, "A") == "A"


def test_merged_holders_spend_from_one_wallet_the_earliest_due_first(purse: Purse) -> None:
    purse.earn("A", 100, lives=300)
    purse.earn("B", 50, lives=30)
    merge(purse, "A", "B")
    assert purse.balance("A") == purse.balance("B")
    assert purse.balance("A").available == 150
    purse.spend("A", 70)
    assert (own(purse, "A"), own(purse, "B")) == ([80], [0])


def test_an_unmerge_after_spends_gives_each_what_is_left_of_their_own(purse: Purse) -> None:
    purse.earn("A", 100, lives=300)
    purse.earn("B", 50, lives=30)
    merged = merge(purse, "A", "B")
    spend = purse.spend("B", 70)
    purse.earn("B", 5)
    assert unmerge(purse, merged) == ["B"]
    assert (purse.balance("A").available, purse.balance("B").available) == (80, 5)
    purse.reverse(spend)
    assert (purse.balance("A").available, purse.balance("B").available) == (100, 55)


def test_accounts_that_come_later_are_in_the_wallet(purse: Purse) -> None:
    purse.earn("A", 100)
    merge(purse, "A", "B")
    purse.earn("B", 50)
    assert purse.balance("A").available == 150
    assert ledger_journal.verify(purse.connection, OWNER).broken == []


def test_a_merge_that_comes_twice_is_one_merge(purse: Purse) -> None:
    first = merge(purse, "A", "B", key="M1")
    assert merge(purse, "A", "B", key="M1") == first
    unmerge(purse, first)
    assert merge(purse, "A", "B", key="M1") == first, "whatever happened since"
    assert together(purse, "AB") == groups("A", "B")
    with pytest.raises(ConflictError):
        merge(purse, "A", "C", key="M1")


def test_a_wallet_is_not_merged_with_itself_nor_in_a_ring(purse: Purse) -> None:
    merge(purse, "A", "B")
    merge(purse, "B", "C")
    for kept, merged in (("A", "A"), ("B", "A"), ("C", "A"), ("A", "C")):
        with pytest.raises(RejectedError) as refused:
            merge(purse, kept, merged, key="again")
        assert refused.value.code == "points.same_wallet"


def test_merges_in_a_chain_are_undone_in_either_order(purse: Purse) -> None:
    for order in ((0, 1), (1, 0)):
        with purse.connection.transaction() as savepoint:
            ids = [merge(purse, "A", "B"), merge(purse, "C", "A")]
            assert together(purse, "ABC") == groups("ABC")
            unmerge(purse, ids[order[0]])
            assert together(purse, "ABC") == (groups("AC", "B") if order[0] == 0 else groups("AB", "C"))
            unmerge(purse, ids[order[1]])
            assert together(purse, "ABC") == groups("A", "B", "C")
            raise Rollback(savepoint)


def test_an_undone_merge_is_undone_once(purse: Purse) -> None:
    merged = merge(purse, "A", "B")
    assert unmerge(purse, merged) == ["B"]
    merge(purse, "D", "B")
    assert unmerge(purse, merged) == []
    assert together(purse, "ABD") == groups("A", "BD")
    with pytest.raises(NotFoundError):
        unmerge(purse, 10**15)


def test_one_is_taken_out_and_the_others_stay_together(purse: Purse) -> None:
    merge(purse, "A", "B")
    merge(purse, "A", "C")
    for holder, rest in (("A", "BC"), ("B", "AC"), ("C", "AB")):
        with purse.connection.transaction() as savepoint:
            assert extract(purse, holder) == list(rest)
            assert together(purse, "ABC") == groups(holder, rest)
            assert extract(purse, holder) == []
            raise Rollback(savepoint)


def test_who_was_taken_out_and_merged_elsewhere_stays_there_when_the_old_merge_is_undone(purse: Purse) -> None:
    merged = merge(purse, "A", "B")
    extract(purse, "B")
    merge(purse, "D", "B")
    assert unmerge(purse, merged) == []
    assert together(purse, "ABD") == groups("A", "BD")


def test_a_hold_over_two_persons_lots_is_posted_after_they_were_parted(purse: Purse) -> None:
    purse.earn("A", 100, lives=300)
    purse.earn("B", 50, lives=30)
    merged = merge(purse, "A", "B")
    name = purse.hold("A", 70, until=9)
    unmerge(purse, merged)
    assert (purse.balance("A").available, purse.balance("B").available) == (80, 0)
    purse.post(name, 70)
    assert (own(purse, "A"), own(purse, "B")) == ([80], [0])


def test_debts_stay_with_who_made_them(purse: Purse) -> None:
    earn = purse.earn("A", 100)
    purse.spend("A", 100)
    purse.claw_back("A", 40, earn)
    merged = merge(purse, "B", "A")
    assert purse.balance("B").arrears == 40
    unmerge(purse, merged)
    assert (purse.balance("A").arrears, purse.balance("B").arrears) == (40, 0)


def test_owners_do_not_share_wallets(purse: Purse) -> None:
    merge(purse, "A", "B")
    assert wallets.wallet_of(purse.connection, "another group", "B") == "B"


def test_what_a_holder_was_merged_with_can_be_listed(purse: Purse) -> None:
    first, second = merge(purse, "A", "B"), merge(purse, "C", "A")
    unmerge(purse, second)
    rows = wallets.list_merges(purse.connection, OWNER, "B")
    assert [(row["id"], row["undone_at"]) for row in rows] == [(second, at(2)), (first, None)]


changes = st.lists(
    st.tuples(st.sampled_from(["merge", "merge", "unmerge", "extract"]), st.integers(0, 5), st.integers(0, 5)),
    max_size=15,
)


@given(changes=changes)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_merged_nobody_s_own_lots_change_and_undoing_all_parts_everybody(
    purse: Purse, changes: list[tuple[str, int, int]]
) -> None:
    with purse.connection.transaction() as savepoint:
        ids: list[int] = []
        for number, holder in enumerate("ABCDEF"):
            purse.earn(holder, number + 1)
        for number, (what, first, second) in enumerate(changes):
            if what == "merge" and "ABCDEF"[first] != "ABCDEF"[second]:
                try:
                    ids.append(merge(purse, "ABCDEF"[first], "ABCDEF"[second], key=str(number)))
                except RejectedError:
                    assert any({"ABCDEF"[first], "ABCDEF"[second]} <= each for each in together(purse, "ABCDEF"))
            elif what == "unmerge" and ids:
                unmerge(purse, ids[first % len(ids)])
            elif what == "extract":
                extract(purse, "ABCDEF"[first])
                assert frozenset("ABCDEF"[first]) in together(purse, "ABCDEF")
        assert [own(purse, holder) for holder in "ABCDEF"] == [[number] for number in range(1, 7)]
        assert ledger_journal.verify(purse.connection, OWNER).broken == []
        for group in together(purse, "ABCDEF"):
            assert purse.balance(min(group)).posted == sum("ABCDEF".index(each) + 1 for each in group)
        for merge_id in ids:
            unmerge(purse, merge_id)
        assert together(purse, "ABCDEF") == groups(*"ABCDEF")
        raise Rollback(savepoint)


def test_spends_holds_and_merges_at_once_take_nothing_twice(database: Database) -> None:
    with database.unit() as uow:
        purse = Purse(uow.connection)
        purse.earn("A", 60)
        purse.earn("B", 60)
        uow.commit()
    spent: list[int] = []

    def spend(holder: str) -> None:
        for _ in range(60):
            with database.unit() as uow:
                try:
                    Purse(uow.connection).spend(holder, 1)
                except RejectedError:
                    continue
                uow.commit()
                spent.append(1)

    def keep(holder: str) -> None:
        for _ in range(20):
            with database.unit() as uow:
                try:
                    Purse(uow.connection).hold(holder, 3, until=3)
                except RejectedError:
                    continue
                uow.commit()
            with database.unit() as uow:
                ledger_holds.expire_holds(uow.connection, at(4))
                uow.commit()

    def change() -> None:
        for number in range(15):
            with database.unit() as uow:
                made = merge(Purse(uow.connection), "A", "B", key=str(number))
                uow.commit()
            with database.unit() as uow:
                unmerge(Purse(uow.connection), made)
                uow.commit()

    work = [lambda: spend("A"), lambda: spend("B"), lambda: keep("A"), lambda: keep("B"), change]
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    with database.unit() as uow:
        ledger_holds.expire_holds(uow.connection, at(9))
        purse = Purse(uow.connection)
        assert sum(own(purse, "A") + own(purse, "B")) == 120 - len(spent)
        assert purse.balance("A").held == purse.balance("B").held == 0
        assert ledger_journal.verify(uow.connection, OWNER).broken == []
