"""The sealed journal: whatever is changed behind the ledger's back is found, and named."""

import hashlib
import hmac
import os
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from psycopg import Connection, IntegrityError, Rollback
from psycopg.errors import CheckViolation
from psycopg.rows import DictRow

from canonical_model.errors import RejectedError
from canonical_model.ledger import AccountKind
from canonical_model.store import ledger, ledger_expiry, ledger_journal, ledger_views, wallets
from canonical_model.store.ledger_journal import Sealed, Verified
from flows.runtime.database import Database
from flows.testing.databases import TEMPLATE, clone, drop
from tests.canonical_model.store.purse import BRAND, OWNER, Purse, at

pytestmark = pytest.mark.every_postgres


def sign(text: str) -> str:
    return hmac.new(b"master key", text.encode(), hashlib.sha256).hexdigest()


def seal(connection: Connection[DictRow], limit: int = 10_000) -> Sealed:
    return ledger_journal.seal(connection, OWNER, now=at(9), limit=limit, sign=sign)


def verify(connection: Connection[DictRow], expected: str | None = None) -> Verified:
    return ledger_journal.verify(connection, OWNER, sign=sign, expected=expected)


def busy(purse: Purse) -> None:
    """A little of everything."""
    earn = purse.earn("7", 100, lives=300, key="E1")
    purse.earn("7", 50, lives=5, key="E2")
    purse.connection.execute("SELECT nextval('ledger_transfer_id_seq')")
    purse.earn("8", 30, key="E3")
    spend = purse.spend("7", 60, key="S1")
    purse.exchange("8", 10, 6, key="X1")
    purse.claw_back("7", 100, earn, day=2, key="C1")
    purse.post(purse.hold("8", 15, key="H1"), 10, key="P1")
    purse.hold("8", 2, key="H2")
    purse.reverse(spend, 30, day=10, key="R1", grace_days=9)
    ledger_expiry.expire_lots(purse.connection, OWNER, as_of=at(40), now=at(40))


@pytest.fixture
def purse(transaction: Connection[DictRow]) -> Purse:
    return Purse(transaction)


@pytest.fixture
def sealed(purse: Purse) -> Purse:
    busy(purse)
    seal(purse.connection, limit=4)
    while seal(purse.connection, limit=4).added:
        pass
    assert verify(purse.connection).broken == []
    return purse


def behind_its_back(purse: Purse, statement: str, *values: object) -> None:
    """What somebody may do who writes to the database as its master: no trigger sees it."""
    purse.connection.execute("SET LOCAL session_replication_role = replica")
    changed = purse.connection.execute(statement.encode(), values)
    assert changed.rowcount == 1
    purse.connection.execute("SET LOCAL session_replication_role = DEFAULT")


def test_what_is_sealed_is_found_in_order(sealed: Purse) -> None:
    found = verify(sealed.connection)
    seals = ledger_journal.list_seals(sealed.connection, OWNER)
    count = sealed.connection.execute("SELECT count(*) AS n FROM ledger_transfer WHERE owner = %s", [OWNER]).fetchone()
    assert count is not None
    assert (found.entries, found.broken) == (count["n"], [])
    assert found.head == f"{seals[0]['entries']}:{seals[0]['hash']}"
    assert [row["seq"] for row in seals] == list(range(len(seals), 0, -1))


def test_nothing_is_sealed_twice(sealed: Purse) -> None:
    before = ledger_journal.list_seals(sealed.connection, OWNER)
    again = seal(sealed.connection)
    assert (again.added, again.seq, again.hash) == (0, before[0]["seq"], before[0]["hash"])
    assert ledger_journal.list_seals(sealed.connection, OWNER) == before


def test_sealing_folds_the_balances_of_accounts_that_are_no_members(purse: Purse) -> None:
    purse.earn("7", 100)
    purse.spend("7", 60)
    assert _free(purse) == {"issued": 0, "redeemed": 0}
    seal(purse.connection, limit=1)
    assert _free(purse) == {"issued": -100, "redeemed": 0}
    seal(purse.connection)
    assert _free(purse) == {"issued": -100, "redeemed": 60}


def _free(purse: Purse) -> dict[str, int]:
    rows = purse.connection.execute(
        "SELECT kind, balance FROM ledger_account WHERE asset_id = %s AND kind <> 'member'", [purse.stars]
    )
    return {row["kind"]: row["balance"] for row in rows}


def test_the_cut_into_blocks_does_not_matter(purse: Purse) -> None:
    busy(purse)
    heads = set()
    for limit in (1, 3, 10_000):
        with suppress(Rollback), purse.connection.transaction():
            while seal(purse.connection, limit=limit).more:
                pass
            heads.add(verify(purse.connection).head)
            raise Rollback
    assert len(heads) == 1


def test_the_same_commands_in_the_same_order_give_the_same_head(postgres_url: str) -> None:
    heads = set()
    for name in ("first", "second"):
        url = clone(postgres_url, f"yipan_replay_{os.getpid()}_{name}", f"{TEMPLATE}_{os.getpid()}")
        database = Database(url, pool_size=1).open()
        with database.unit() as uow:
            busy(Purse(uow.connection))
            seal(uow.connection)
            heads.add(verify(uow.connection).head)
        database.close()
        drop(postgres_url, f"yipan_replay_{os.getpid()}_{name}")
    assert len(heads) == 1


TAMPERED: dict[str, tuple[str, str]] = {
    "a changed amount": (
        (
            "UPDATE ledger_posting SET amount = amount - 1 WHERE line = 1"
            " AND transfer_id = (SELECT id FROM ledger_transfer WHERE key = 'S1')"
        ),
        "entry yunshang S1",
    ),
    "a changed detail": (
        "UPDATE ledger_transfer SET detail = '{\"rule\": \"mine\"}' WHERE key = 'E2'",
        "entry yunshang E2",
    ),
    "a changed reference": ("UPDATE ledger_transfer SET reference = 'O2' WHERE key = 'E1'", "entry yunshang E1"),
    "a changed moment in the world": (
        "UPDATE ledger_transfer SET happened_at = happened_at - interval '1 microsecond' WHERE key = 'P1'",
        "entry yunshang P1",
    ),
    "a changed moment of recording": (
        "UPDATE ledger_transfer SET recorded_at = recorded_at + interval '1 day' WHERE key = 'C1'",
        "entry yunshang C1",
    ),
    "a changed key": ("UPDATE ledger_transfer SET key = 'S2' WHERE key = 'S1'", "entry yunshang S2"),
    "what it reverses": ("UPDATE ledger_transfer SET reverses = NULL WHERE key = 'R1'", "entry yunshang R1"),
    "a removed entry": ("DELETE FROM ledger_transfer WHERE key = 'E3'", "entry 3"),
    "an inserted entry": (
        (
            "INSERT INTO ledger_transfer OVERRIDING SYSTEM VALUE SELECT id - 1, owner, brand, 'forged', fingerprint,"
            " kind, reference, reverses, rules_version, happened_at, recorded_at, detail, written_at"
            " FROM ledger_transfer WHERE key = 'E3'"
        ),
        "entry yunshang forged",
    ),
    "a changed balance": (
        (
            "UPDATE ledger_account SET balance = balance + 5 WHERE kind = 'member' AND holder = '8'"
            " AND asset_id = (SELECT id FROM ledger_asset WHERE code = 'leaves')"
        ),
        "account linmu/leaves member 8",
    ),
    "a changed balance that only seals move": (
        "UPDATE ledger_account SET balance = balance + 5 WHERE kind = 'redeemed'",
        "account yunshang/stars redeemed giftco",
    ),
    "a member's wallet": (
        (
            "UPDATE ledger_account SET wallet = '7' WHERE kind = 'member' AND holder = '8'"
            " AND asset_id = (SELECT id FROM ledger_asset WHERE code = 'leaves')"
        ),
        "account linmu/leaves member 8",
    ),
    "a wallet that no merge made": (
        "INSERT INTO ledger_wallet (owner, holder, wallet) VALUES ('yunshang', '8', '7')",
        "holder 8",
    ),
    "a hold's posted amount": ("UPDATE ledger_hold SET posted = posted - 1 WHERE key = 'H1'", "hold H1"),
    "an ended hold's lots": (
        "DELETE FROM ledger_hold_lot WHERE hold_id = (SELECT id FROM ledger_hold WHERE key = 'H1')",
        "hold H1",
    ),
    "a grace that was taken away": (
        "UPDATE points_lot SET grace_until = NULL WHERE grace_until IS NOT NULL",
        "lot {graced}",
    ),
    "a lot without an origin": (
        (
            "INSERT INTO points_lot (account_id, transfer_id, issuer, cost_micro, earned_at, amount)"
            " SELECT account_id, id, 'yunshang', 0, happened_at, 10 FROM ledger_transfer"
            " JOIN ledger_posting ON transfer_id = id AND line = 1 WHERE key = 'S1'"
        ),
        "lot {newest} of stars 7",
    ),
    "what an asset counts": ("UPDATE ledger_asset SET kind = 'money' WHERE code = 'leaves'", "entry yunshang X1"),
    "a seal's hash": ("UPDATE ledger_seal SET hash = sha256('mine') WHERE seq = 2", "seal 2"),
    "a seal's signature": ("UPDATE ledger_seal SET signature = 'mine' WHERE seq = 1", "seal 1"),
    "a removed seal": ("DELETE FROM ledger_seal WHERE seq = 1", "seal 1"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_altered_is_found_and_named(sealed: Purse, what: str) -> None:
    statement, where = TAMPERED[what]
    graced = sealed.connection.execute("SELECT id FROM points_lot WHERE grace_until IS NOT NULL").fetchall()
    behind_its_back(sealed, statement)
    newest = sealed.connection.execute("SELECT max(id) AS id FROM points_lot").fetchone()
    assert newest is not None
    where = where.format(graced=graced[0]["id"], newest=newest["id"])
    found = verify(sealed.connection).broken
    assert where in [each.where for each in found]
    assert all(each.reason.rpartition("; ")[2] for each in found), "each says what to do"


LOTS: dict[str, str] = {
    "what is left": "UPDATE points_lot SET remaining = remaining + 1, amount = amount + 1 WHERE id = %s",
    "what is kept": "UPDATE points_lot SET held = held + 1 WHERE id = %s",
    "who issued it": "UPDATE points_lot SET issuer = 'another' WHERE id = %s",
    "what it costs": "UPDATE points_lot SET cost_micro = 0 WHERE id = %s",
    "when it expires": "UPDATE points_lot SET expires_at = expires_at + interval '1 day' WHERE id = %s",
    "a grace that nobody granted": "UPDATE points_lot SET grace_until = expires_at + interval '1 day' WHERE id = %s",
}


@pytest.mark.parametrize("what", LOTS)
def test_an_altered_lot_is_found(sealed: Purse, what: str) -> None:
    [lot] = ledger_views.list_lots(sealed.connection, sealed.leaves, "8")
    behind_its_back(sealed, LOTS[what], lot["id"])
    found = verify(sealed.connection).broken
    assert found
    assert {each.where.split(" of ")[0] for each in found} <= {
        f"lot {lot['id']}",
        "entry yunshang X1",
        "account leaves member 8",
        "issuer linmu/leaves linmu issued",
        "issuer linmu/leaves another issued",
    }


def test_an_asset_that_went_to_another_owner_is_found(sealed: Purse) -> None:
    behind_its_back(sealed, "UPDATE ledger_asset SET owner = 'another' WHERE code = 'leaves'")
    found = verify(sealed.connection).broken
    assert f"issuer {sealed.leaves} linmu issued" in [each.where for each in found]


def test_every_entry_that_was_altered_is_named(sealed: Purse) -> None:
    behind_its_back(sealed, "UPDATE ledger_transfer SET detail = '[]' WHERE key = 'E1'")
    behind_its_back(sealed, "UPDATE ledger_transfer SET detail = '[]' WHERE key = 'P1'")
    found = verify(sealed.connection).broken
    assert [each.where for each in found] == ["entry yunshang E1", "entry yunshang P1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE ledger_issuer_sum SET amount = amount + 1", "its amount is"),
        ("UPDATE ledger_issuer_sum SET cost_micro = cost_micro - 1", "its cost_micro is"),
        ("DELETE FROM ledger_issuer_sum", "is missing, its postings say"),
    ],
)
def test_an_issuers_sum_that_is_not_its_postings_is_found(sealed: Purse, change: str, said: str) -> None:
    one = " WHERE (asset_id, issuer, kind) = (SELECT asset_id, issuer, kind FROM ledger_issuer_sum LIMIT 1)"
    behind_its_back(sealed, change + one)
    [broken] = verify(sealed.connection).broken
    assert broken.where.startswith("issuer ")
    assert said in broken.reason


def test_a_chain_that_was_written_anew_does_not_fit_the_head_that_was_kept(sealed: Purse) -> None:
    kept = verify(sealed.connection).head
    behind_its_back(sealed, "UPDATE ledger_transfer SET detail = '{}' WHERE key = 'R1'")
    sealed.connection.execute("SET LOCAL session_replication_role = replica")
    sealed.connection.execute("DELETE FROM ledger_seal")
    sealed.connection.execute("DELETE FROM ledger_issuer_sum")
    sealed.connection.execute("UPDATE ledger_account SET balance = 0 WHERE kind NOT IN ('member', 'arrears')")
    sealed.connection.execute("UPDATE points_lot SET grace_until = NULL")
    sealed.connection.execute("SET LOCAL session_replication_role = DEFAULT")
    seal(sealed.connection)
    assert verify(sealed.connection).broken == [], "by itself it looks right"
    [broken] = verify(sealed.connection, kept).broken
    assert broken.where == f"entry {kept.partition(':')[0]}"


def test_an_end_that_was_cut_off_does_not_fit_the_head_that_was_kept(sealed: Purse) -> None:
    kept = verify(sealed.connection).head
    sealed.connection.execute("SET LOCAL session_replication_role = replica")
    sealed.connection.execute("DELETE FROM ledger_seal WHERE seq > 1")
    assert "only 4 are left" in str(verify(sealed.connection, kept).broken)


def test_an_earlier_head_is_still_part_of_the_chain(sealed: Purse) -> None:
    for row in ledger_journal.list_seals(sealed.connection, OWNER):
        assert verify(sealed.connection, f"{row['entries']}:{row['hash']}").broken == []


def test_a_kept_head_that_is_none_is_refused(sealed: Purse) -> None:
    for text in ("", "12", "12:abc", "x:" + "0" * 64):
        if text:
            with pytest.raises(RejectedError):
                verify(sealed.connection, text)


def test_no_entry_can_be_numbered_below_the_first_and_one_that_was_is_named(sealed: Purse) -> None:
    forged = (
        "INSERT INTO ledger_transfer (id, owner, brand, key, fingerprint, kind, happened_at, recorded_at, detail)"
        " OVERRIDING SYSTEM VALUE VALUES (-5, 'yunshang', 'yunshang', 'forged', '', 'earn', now(), now(), '{}')"
    )
    with pytest.raises(CheckViolation), sealed.connection.transaction():
        behind_its_back(sealed, forged)
    sealed.connection.execute("ALTER TABLE ledger_transfer DROP CONSTRAINT ck_ledger_transfer_id")
    behind_its_back(sealed, forged)
    [broken] = verify(sealed.connection).broken
    assert broken.where == "entry yunshang forged"


def test_wallets_that_were_merged_parted_and_left_are_those_that_were_recorded(sealed: Purse) -> None:
    connection = sealed.connection
    for holder in ("1", "2", "3", "4"):
        sealed.earn(holder, 5)
    first = wallets.merge(connection, OWNER, BRAND, "m1", "1", "2", now=at(1))
    wallets.merge(connection, OWNER, BRAND, "m2", "2", "3", now=at(1))
    wallets.merge(connection, OWNER, BRAND, "m3", "4", "1", now=at(1))
    wallets.extract(connection, OWNER, BRAND, "4", now=at(2))
    wallets.unmerge(connection, OWNER, BRAND, first, now=at(3))
    assert verify(connection).broken == []
    behind_its_back(sealed, "DELETE FROM ledger_wallet WHERE holder = '3'")
    assert "holder 3" in [each.where for each in verify(connection).broken]
    with pytest.raises(IntegrityError), connection.transaction():
        connection.execute("DELETE FROM ledger_wallet_change")


def test_owners_have_chains_of_their_own(sealed: Purse) -> None:
    before = verify(sealed.connection).head
    other = Purse(sealed.connection, "another group")
    busy_elsewhere = other.earn("7", 5)
    assert busy_elsewhere
    assert seal(sealed.connection).added == 0
    assert ledger_journal.seal(sealed.connection, "another group", now=at(9)).added == 1
    assert verify(sealed.connection).head == before


def two_members(database: Database) -> None:
    with database.unit() as uow:
        purse = Purse(uow.connection)
        purse.earn("7", 10)
        purse.earn("8", 10)
        purse.spend("8", 1)
        uow.commit()


def test_an_entry_that_commits_late_under_a_smaller_number_is_sealed_in_its_place(database: Database) -> None:
    two_members(database)
    with database.unit() as late, database.unit() as early:
        Purse(late.connection).spend("7", 1, key="late")
        Purse(early.connection).spend("8", 1, key="early")
        early.commit()
        assert _seal_in(database).entries == 3, "not beyond a number that may still come"
        late.commit()
    assert _seal_in(database).entries == 5
    with database.unit() as uow:
        assert verify(uow.connection).broken == []


def test_what_keeps_entries_from_being_sealed_shows_in_how_long_they_wait(database: Database) -> None:
    with database.unit() as stuck, database.unit() as uow:
        stuck.execute("SELECT pg_current_xact_id()")
        Purse(uow.connection).earn("7", 10)
        uow.commit()
        waiting = _seal_in(database)
        assert (waiting.added, waiting.waits_s > 0) == (0, True)
    done = _seal_in(database)
    assert (done.added, done.waits_s) == (1, 0.0)


def test_who_began_earlier_and_draws_later_is_not_passed(database: Database) -> None:
    two_members(database)
    with database.unit() as first, database.unit() as second:
        first.execute("SELECT pg_current_xact_id()")
        Purse(second.connection).spend("7", 1, key="drawn first, open")
        Purse(first.connection).spend("8", 1, key="drawn second")
        first.commit()
        assert _seal_in(database).entries == 3
        second.commit()
    assert _seal_in(database).entries == 5


def _seal_in(database: Database) -> Sealed:
    with database.unit() as uow:
        done = seal(uow.connection)
        uow.commit()
    return done


def test_sealers_at_once_beside_writers_make_one_chain(database: Database) -> None:
    with database.unit() as uow:
        for number in range(4):
            Purse(uow.connection).earn(f"m{number}", 1_000)
        uow.commit()

    def write(number: int) -> None:
        for _ in range(40):
            with database.unit() as uow:
                Purse(uow.connection).spend(f"m{number}", 1)
                uow.commit()

    def keep_sealing() -> None:
        while any(thread.is_alive() for thread in writers):
            _seal_in(database)

    writers = _threads([lambda number=number: write(number) for number in range(4)])  # type: ignore[misc]
    sealers = _threads([keep_sealing, keep_sealing])
    for thread in (*writers, *sealers):
        thread.join(timeout=60)
    _seal_in(database)
    with database.unit() as uow:
        found = verify(uow.connection)
        stars = ledger.get_asset(uow.connection, OWNER, f"{BRAND}/stars")["id"]
        assert (found.entries, found.broken) == (164, [])
        redeemed = ledger_views.as_of(uow.connection, stars, "giftco", kind=AccountKind.REDEEMED)
        assert redeemed == 160
        assert wallets.wallet_of(uow.connection, OWNER, "m1") == "m1"


def _threads(work: list[Callable[[], None]]) -> list[threading.Thread]:
    threads = [threading.Thread(target=each, daemon=True) for each in work]
    for thread in threads:
        thread.start()
    return threads
