"""Accounts that are made in a shared wallet while somebody else waits for it."""

from concurrent.futures import Future, ThreadPoolExecutor
from time import sleep

import pytest

from canonical_model.ledger import AccountKind, Command, Give, Move, Short, Take
from canonical_model.store import ledger, ledger_holds, wallets
from flows.runtime.database import Database
from tests.canonical_model.store.purse import BRAND, OWNER, Purse, at

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def spend(purse: Purse, key: str, units: int, short: Short = Short.REFUSE) -> Command:
    move = Move(purse.stars, AccountKind.REDEEMED, "giftco", units)
    return Command(key, "spend", at(1), takes=(Take(purse.stars, "2", units, short),), moves=(move,))


def small(purse: Purse, key: str) -> Command:
    """Something else, for a batch."""
    give = Give(purse.leaves, "9", 1, "linmu")
    move = Move(purse.leaves, AccountKind.ISSUED, "linmu", -1)
    return Command(key, "earn", at(1), gives=(give,), moves=(move,))


def until_somebody_waits(database: Database, other: "Future[None]") -> None:
    for _ in range(1_000):
        if database.run(WAITING):
            return
        assert not other.done(), "it did not wait"
        sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("how", ["single", "batch"])
def test_who_waited_for_a_wallet_spends_what_came_to_an_account_made_meanwhile(database: Database, how: str) -> None:
    with database.unit() as uow:
        purse = Purse(uow.connection)
        purse.earn("2", 10)
        wallets.merge(uow.connection, OWNER, BRAND, "M", "2", "1", now=at(0))
        uow.commit()

    def ask() -> None:
        with database.unit() as uow:
            commands = [spend(purse, "S", 15), small(purse, "E")][: 1 if how == "single" else 2]
            answers = ledger.apply(uow.connection, OWNER, BRAND, commands, now=at(1))
            uow.commit()
        assert not any(isinstance(answer, Exception) for answer in answers), answers

    with ThreadPoolExecutor(1) as pool, database.unit() as uow:
        Purse(uow.connection).earn("1", 10)
        waiting = pool.submit(ask)
        until_somebody_waits(database, waiting)
        uow.commit()
        waiting.result(timeout=60)
    with database.unit() as uow:
        assert ledger.balance(uow.connection, purse.stars, "1", at=at(1)).posted == 5


def test_debts_of_a_shared_wallet_are_repaid_in_one_order_however_points_come(database: Database) -> None:
    left = []
    for way in ("give", "post", "reverse"):
        with database.unit() as uow:
            purse = Purse(uow.connection)
            spent = purse.earn("3", 30, key=f"{way} before") and purse.spend("3", 30, key=f"{way} spent")
            purse.earn("5", 30, key=f"{way} kept")
            for holder in ("2", "10"):  # the second one's account has the higher number, and the smaller name
                purse.earn(holder, 1, key=f"{way} {holder}")
                purse.spend(holder, 21, key=f"{way} {holder} owes", short=Short.ARREARS)
            wallets.merge(uow.connection, OWNER, BRAND, f"{way} 1", "2", "10", now=at(1))
            wallets.merge(uow.connection, OWNER, BRAND, f"{way} 2", "2", "3", now=at(1))
            if way == "give":
                purse.earn("3", 30, key=f"{way} now")
            elif way == "reverse":
                purse.reverse(spent, key=f"{way} now")
            else:
                purse.hold("5", 30, key=f"{way} hold")
                give = Give(purse.stars, "3", 30, "yunshang")
                command = Command(f"{way} now", "exchange", at(1), gives=(give,))
                ledger_holds.post_hold(uow.connection, OWNER, BRAND, f"{way} hold", command, now=at(1))
            rows = uow.execute(
                "SELECT holder, balance FROM ledger_account WHERE kind = 'arrears' AND asset_id = %s", [purse.stars]
            )
            left.append({row["holder"]: row["balance"] for row in rows})
    assert left == [{"2": -10, "10": 0}] * 3
