"""What expires on a day is the same whenever the run comes, and in however many parts."""

import threading
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, Rollback
from psycopg.rows import DictRow

from canonical_model.ledger import MAX_POINTS, AccountKind
from canonical_model.store import ledger_expiry, ledger_holds, ledger_journal, ledger_views
from flows.runtime.database import Database
from tests.canonical_model.store.purse import OWNER, Purse, at

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def purse(transaction: Connection[DictRow]) -> Purse:
    return Purse(transaction)


def expire(purse: Purse, day: float, *, limit: int = 1_000, recorded: float | None = None) -> int:
    now = at(day if recorded is None else recorded)
    return ledger_expiry.expire_lots(purse.connection, OWNER, as_of=at(day), now=now, limit=limit)


def expired(purse: Purse) -> list[tuple[object, str, int]]:
    """When, whose and how many units expired, by the lots that they left."""
    rows = purse.connection.execute(
        "SELECT entry.happened_at, account.holder, posting.amount FROM ledger_transfer AS entry"
        " JOIN ledger_posting AS posting ON posting.transfer_id = entry.id AND posting.lot_id IS NOT NULL"
        " JOIN ledger_account AS account ON account.id = posting.account_id"
        " WHERE entry.kind = 'expire' AND entry.owner = %s",
        [OWNER],
    )
    return sorted((row["happened_at"], row["holder"], row["amount"]) for row in rows)


def test_a_lot_lives_until_its_moment_and_not_a_moment_longer(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    assert purse.balance("7", day=9.999).available == 100
    assert expire(purse, 9.999) == 0
    assert purse.balance("7", day=10).available == 0
    assert expire(purse, 10) == 1
    assert purse.lots("7") == [(0, 0)]


def test_what_expires_happened_when_it_was_due(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    expire(purse, 99)
    assert expired(purse) == [(at(10), "7", -100)]
    before = ledger_views.as_of(purse.connection, purse.stars, "7", happened_to=at(9))
    after = ledger_views.as_of(purse.connection, purse.stars, "7", happened_to=at(10))
    assert (before, after) == (100, 0)


def test_lots_of_one_account_and_moment_expire_in_one_transfer_by_issuer(purse: Purse) -> None:
    purse.earn("7", 100, lives=10, issuer="brandX")
    purse.earn("7", 50, day=1, lives=9, issuer="brandY")
    assert expire(purse, 11) == 2
    [entry] = ledger_views.list_transfers(purse.connection, OWNER, kind="expire")
    whole = ledger_views.get_transfer(purse.connection, OWNER, entry["id"])
    assert [(line["account_kind"], line["amount"]) for line in whole["postings"]] == [
        ("member", -100),
        ("member", -50),
        ("expired", 100),
        ("expired", 50),
    ]
    assert ledger_views.as_of(purse.connection, purse.stars, "brandY", kind=AccountKind.EXPIRED) == 50


def test_running_again_finds_nothing(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    assert [expire(purse, 11), expire(purse, 11), expire(purse, 12)] == [1, 0, 0]


def test_what_was_kept_and_given_back_expires_in_a_transfer_of_its_own(purse: Purse) -> None:
    purse.earn("7", 100, lives=10)
    first, second = purse.hold("7", 30, until=40), purse.hold("7", 20, until=40)
    expire(purse, 11)
    purse.void(first, day=12)
    expire(purse, 13)
    ledger_holds.expire_holds(purse.connection, at(40))
    expire(purse, 41)
    assert not purse.void(second)
    assert expired(purse) == [(at(10), "7", -50), (at(10), "7", -30), (at(10), "7", -20)]
    assert ledger_journal.verify(purse.connection, OWNER).broken == []


def test_other_owners_points_stay(purse: Purse) -> None:
    other = Purse(purse.connection, "another group")
    other.earn("7", 100, lives=10)
    assert expire(purse, 11) == 0
    assert other.lots("7") == [(100, 0)]


earns = st.lists(st.tuples(st.sampled_from("789"), st.integers(1, 50), st.integers(1, 20)), min_size=1, max_size=8)


@given(earns=earns, runs=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 5)), max_size=4))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_expires_whenever_the_run_comes_and_however_it_is_cut(
    purse: Purse, earns: list[tuple[str, int, int]], runs: list[tuple[int, int]]
) -> None:
    found = []
    for days in ([(40, 1_000)], [*sorted(runs), (40, 1)]):
        with suppress(Rollback), purse.connection.transaction():
            for holder, amount, lives in earns:
                purse.earn(holder, amount, lives=lives)
            for day, limit in days:
                while expire(purse, day, limit=limit):
                    pass
            found.append(expired(purse))
            raise Rollback
    assert found[0] == found[1]
    assert -sum(units for _, _, units in found[0]) == sum(amount for _, amount, _ in earns)


def test_runs_at_once_expire_each_lot_once(database: Database) -> None:
    with database.unit() as uow:
        for number in range(30):
            Purse(uow.connection).earn(f"m{number % 5}", 10, lives=1 + number % 3)
        uow.commit()
    counts: list[int] = []

    def run() -> None:
        while True:
            with database.unit() as uow:
                count = ledger_expiry.expire_lots(uow.connection, OWNER, as_of=at(9), now=at(9), limit=4)
                uow.commit()
            counts.append(count)
            if not count:
                return

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with database.unit() as uow:
        while ledger_expiry.expire_lots(uow.connection, OWNER, as_of=at(9), now=at(9), limit=100):
            pass
        purse = Purse(uow.connection)
        assert sum(counts) <= 30
        assert len(expired(purse)) == 30
        assert ledger_journal.verify(uow.connection, OWNER).broken == []


def test_lots_that_together_are_more_than_one_line_may_be_expire(purse: Purse) -> None:
    for _ in range(2):
        purse.earn("7", MAX_POINTS, lives=10)
    purse.earn("8", 5, lives=9)
    assert expire(purse, 11) == 3
    assert (purse.lots("7"), purse.lots("8")) == ([(0, 0), (0, 0)], [(0, 0)])
