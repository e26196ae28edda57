"""Whatever is written into the ledger by hand: postings that do not add up are refused, and so is every change."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from tests.canonical_model.store.ledger_book import NOW, OWNER, Book

pytestmark = pytest.mark.every_postgres


FULL_LOT = """
    INSERT INTO points_lot (account_id, transfer_id, issuer, cost_micro, earned_at, amount, remaining)
    VALUES (1, 1, 'b', 0, now(), 5, 5)
"""


class Attacker:
    """Writes rows as it likes; a refusal undoes what it wrote."""

    def __init__(self, connection: Connection[DictRow]) -> None:
        self._connection = connection
        self.book = book = Book(connection)
        book.done(book.earn("mine", 10), book.earn("theirs", 10, holder="2"), book.exchange("both", 2, 1))

    def number(self, query: str, *values: Any) -> int:
        row = self._connection.execute(query.encode(), values).fetchone()
        assert row is not None
        [number] = row.values()
        return int(number)

    def account(self, kind: str = "member", holder: str = "1", asset: int | None = None) -> int:
        return self.number(
            "SELECT id FROM ledger_account WHERE asset_id = %s AND kind = %s AND holder = %s",
            asset or self.book.stars, kind, holder,
        )  # fmt: skip

    def lot(self, key: str) -> int:
        return self.number(
            "SELECT lot.id FROM points_lot AS lot JOIN ledger_transfer AS transfer ON transfer.id = transfer_id"
            " WHERE key = %s",
            key,
        )

    def transfer(self, owner: str = OWNER) -> int:
        return self.number(
            "INSERT INTO ledger_transfer (owner, brand, key, fingerprint, kind, happened_at, recorded_at)"
            " VALUES (%s, 'b', 'forged', '', 'earn', %s, %s) RETURNING id",
            owner, NOW, NOW,
        )  # fmt: skip

    def post(self, *postings: tuple[int, int, int, int | None, int]) -> None:
        """(transfer, line, account, lot, amount) each, in one statement."""
        values = ", ".join(["(%s, %s, %s, %s, %s)"] * len(postings))
        self.write(
            f"INSERT INTO ledger_posting (transfer_id, line, account_id, lot_id, amount) VALUES {values}",
            *(value for posting in postings for value in posting),
        )

    def write_named(self, query: str, **values: Any) -> None:
        with self._connection.transaction():
            self._connection.execute(query.encode(), values)

    def write(self, query: str, *values: Any) -> None:
        with self._connection.transaction():
            self._connection.execute(query.encode(), values)


@pytest.fixture
def attacker(transaction: Connection[DictRow]) -> Iterator[Attacker]:
    attacker = Attacker(transaction)
    before = attacker.book.everything()
    yield attacker
    transaction.execute("SET CONSTRAINTS ALL IMMEDIATE")
    after = attacker.book.everything()
    assert [after[name] for name in ("postings", "lots", "accounts")] == [
        before[name] for name in ("postings", "lots", "accounts")
    ]
    assert attacker.book.differences() == []


def refused(attacker: Attacker, *postings: tuple[int, int, int, int | None, int]) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        attacker.post(*postings)


def test_postings_that_do_not_sum_to_zero_are_refused(attacker: Attacker) -> None:
    transfer, issued = attacker.transfer(), attacker.account("issued", "yunshang")
    refused(attacker, (transfer, 1, attacker.account(), attacker.lot("mine"), -3), (transfer, 2, issued, None, 2))


def test_a_sum_of_zero_over_two_programmes_is_refused(attacker: Attacker) -> None:
    transfer = attacker.transfer()
    leaves = attacker.account("clearing", "yunshang", attacker.book.leaves)
    refused(attacker, (transfer, 1, attacker.account(), attacker.lot("mine"), -3), (transfer, 2, leaves, None, 3))


def test_a_posting_to_a_lot_of_somebody_else_is_refused(attacker: Attacker) -> None:
    transfer, issued = attacker.transfer(), attacker.account("issued", "yunshang")
    refused(attacker, (transfer, 1, attacker.account(), attacker.lot("theirs"), -3), (transfer, 2, issued, None, 3))


def test_a_posting_of_a_member_without_a_lot_is_refused(attacker: Attacker) -> None:
    transfer, issued = attacker.transfer(), attacker.account("issued", "yunshang")
    refused(attacker, (transfer, 1, attacker.account(), None, -3), (transfer, 2, issued, None, 3))


def test_a_posting_of_another_account_with_a_lot_is_refused(attacker: Attacker) -> None:
    transfer, issued = attacker.transfer(), attacker.account("issued", "yunshang")
    refused(
        attacker,
        (transfer, 1, attacker.account(), attacker.lot("mine"), -3),
        (transfer, 2, issued, attacker.lot("mine"), 3),
    )


def test_a_posting_of_an_account_that_is_not_there_is_refused(attacker: Attacker) -> None:
    transfer, issued = attacker.transfer(), attacker.account("issued", "yunshang")
    refused(attacker, (transfer, 1, issued, None, 3), (transfer, 2, issued, None, -3), (transfer, 3, 10**12, None, 5))


def test_a_posting_of_a_transfer_that_is_not_there_is_refused(attacker: Attacker) -> None:
    issued = attacker.account("issued", "yunshang")
    refused(attacker, (10**12, 1, issued, None, 3), (10**12, 2, issued, None, -3))


def test_a_posting_of_another_owners_programme_is_refused(attacker: Attacker) -> None:
    transfer, issued = attacker.transfer(owner="somebody"), attacker.account("issued", "yunshang")
    refused(attacker, (transfer, 1, issued, None, 3), (transfer, 2, issued, None, -3))


def test_a_posting_added_to_a_transfer_later_is_refused(attacker: Attacker) -> None:
    issued = attacker.account("issued", "yunshang")
    known = attacker.number("SELECT id FROM ledger_transfer WHERE key = 'mine'")
    refused(attacker, (known, 3, issued, None, 3), (known, 4, issued, None, -3))


def test_more_than_a_lot_has_cannot_be_posted(attacker: Attacker) -> None:
    transfer, issued = attacker.transfer(), attacker.account("issued", "yunshang")
    with pytest.raises(psycopg.errors.CheckViolation):
        attacker.post((transfer, 1, attacker.account(), attacker.lot("mine"), -11), (transfer, 2, issued, None, 11))


FULL_LOT_AND_POSTINGS = """
    WITH made AS (
        INSERT INTO points_lot (id, account_id, transfer_id, issuer, cost_micro, earned_at, amount, remaining)
        VALUES (1000000, %(account)s, %(transfer)s, 'b', 0, now(), 10, %(left)s)
    )
    INSERT INTO ledger_posting (transfer_id, line, account_id, lot_id, amount)
    VALUES (%(transfer)s, 1, %(account)s, 1000000, 5), (%(transfer)s, 2, %(issued)s, NULL, -5)
"""


def test_a_lot_made_with_more_than_its_postings_say_is_refused(attacker: Attacker) -> None:
    told = {
        "account": attacker.account(),
        "transfer": attacker.transfer(),
        "issued": attacker.account("issued", "yunshang"),
    }
    for left in (4, 6, 10):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            attacker.write_named(FULL_LOT_AND_POSTINGS, **told, left=left)


@pytest.mark.parametrize("left", [0, 5])
def test_a_lot_made_empty_or_with_what_its_postings_say_ends_with_that(
    transaction: Connection[DictRow], left: int
) -> None:
    attacker = Attacker(transaction)
    told = {
        "account": attacker.account(),
        "transfer": attacker.transfer(),
        "issued": attacker.account("issued", "yunshang"),
    }
    attacker.write_named(FULL_LOT_AND_POSTINGS, **told, left=left)
    assert attacker.number("SELECT remaining FROM points_lot WHERE id = 1000000") == 5
    assert attacker.book.differences() == []


def test_a_lot_cannot_be_filled_before_the_transfer_that_made_it_is_posted(
    transaction: Connection[DictRow],
) -> None:
    attacker = Attacker(transaction)
    account, issued = attacker.account(), attacker.account("issued", "yunshang")
    transfer, other = attacker.transfer(), attacker.transfer("yunhe-2")
    lot = attacker.number(
        "INSERT INTO points_lot (account_id, transfer_id, issuer, cost_micro, earned_at, amount)"
        " VALUES (%s, %s, 'b', 0, now(), 10) RETURNING id",
        account, other,
    )  # fmt: skip
    refused(attacker, (transfer, 1, account, lot, 5), (transfer, 2, issued, None, -5))
    assert attacker.number("SELECT remaining FROM points_lot WHERE id = %s", lot) == 0


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE ledger_transfer SET detail = '{}'",
        "DELETE FROM ledger_transfer",
        "TRUNCATE ledger_transfer",
        "UPDATE ledger_posting SET amount = 1",
        "DELETE FROM ledger_posting",
        "TRUNCATE ledger_posting",
        "UPDATE ledger_seal SET hash = ''",
        "DELETE FROM ledger_seal",
        "TRUNCATE ledger_seal",
        "DELETE FROM points_lot",
        "TRUNCATE points_lot",
        "UPDATE points_lot SET remaining = remaining - 1",
        "UPDATE points_lot SET amount = amount + 1",
        "UPDATE points_lot SET issuer = 'somebody'",
        "UPDATE points_lot SET cost_micro = 0",
        "UPDATE points_lot SET expires_at = NULL",
        "UPDATE ledger_account SET balance = balance + 1 WHERE kind = 'member'",
        "UPDATE ledger_account SET holder = 'somebody'",
        "DELETE FROM ledger_account",
        "TRUNCATE ledger_account",
        "INSERT INTO ledger_account (asset_id, kind, holder, wallet, balance) VALUES (1, 'member', '9', '9', 1)",
        FULL_LOT,
    ],
)
def test_what_only_postings_may_change_cannot_be_changed(attacker: Attacker, query: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="cannot be changed"):
        attacker.write(query)


def test_balances_of_accounts_without_bounds_are_the_sealers_to_fold(attacker: Attacker) -> None:
    attacker.write("UPDATE ledger_account SET balance = balance WHERE kind = 'issued'")
