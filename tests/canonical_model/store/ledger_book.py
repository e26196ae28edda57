"""A ledger to play on: commands in few words, and the whole book named by what things are, not by numbers."""

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import RejectedError
from canonical_model.ledger import AccountKind, AssetKind, Command, Done, Give, Move, Short, Take
from canonical_model.store import ledger

OWNER = "yunhe"
BRAND = "yunshang"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return NOW + timedelta(days=number)


class Book:
    """Two programmes, stars and leaves."""

    def __init__(self, connection: Connection[DictRow]) -> None:
        self.connection = connection
        self.stars = ledger.ensure_asset(connection, OWNER, BRAND, "stars", AssetKind.POINTS)
        self.leaves = ledger.ensure_asset(connection, OWNER, BRAND, "leaves", AssetKind.POINTS)

    def earn(
        self, key: str, amount: int, *, holder: str = "1", due: int | None = None, asset: int | None = None, at: int = 0
    ) -> Command:
        asset = asset or self.stars
        give = Give(asset, holder, amount, BRAND, 5000, None if due is None else day(due))
        return Command(key, "earn", day(at), gives=(give,), moves=(Move(asset, AccountKind.ISSUED, BRAND, -amount),))

    def spend(self, key: str, amount: int, *, holder: str = "1", asset: int | None = None, at: int = 0) -> Command:
        asset = asset or self.stars
        move = Move(asset, AccountKind.REDEEMED, BRAND, amount)
        return Command(key, "spend", day(at), takes=(Take(asset, holder, amount),), moves=(move,))

    def exchange(self, key: str, give: int, get: int, *, holder: str = "1", at: int = 0) -> Command:
        return Command(
            key,
            "exchange",
            day(at),
            takes=(Take(self.stars, holder, give),),
            gives=(Give(self.leaves, holder, get, BRAND, 5000, day(90)),),
            moves=(
                Move(self.stars, AccountKind.CLEARING, BRAND, give),
                Move(self.leaves, AccountKind.CLEARING, BRAND, -get),
            ),
        )

    def claw_back(self, key: str, amount: int, *, holder: str = "1", earned: int | None = None, at: int = 0) -> Command:
        take = Take(self.stars, holder, amount, Short.ARREARS, first_from=earned)
        move = Move(self.stars, AccountKind.ISSUED, BRAND, amount)
        return Command(key, "claw_back", day(at), takes=(take,), moves=(move,), reverses=earned)

    def apply(self, *commands: Command) -> list[Done | RejectedError]:
        return ledger.apply(self.connection, OWNER, BRAND, commands, now=NOW)

    def done(self, *commands: Command) -> list[int]:
        """Apply commands that all must be done; their transfers."""
        answers = self.apply(*commands)
        assert all(isinstance(answer, Done) for answer in answers), answers
        return [answer.id for answer in answers if isinstance(answer, Done)]

    def balance(self, holder: str = "1", *, at: int = 0, asset: int | None = None) -> tuple[int, int]:
        """What is available, and what is owed."""
        balance = ledger.balance(self.connection, asset or self.stars, holder, at=day(at))
        return balance.available, balance.arrears

    def hold(self, lot_id: int, units: int) -> None:
        """Keep units of a lot, as a hold does."""
        self.connection.execute(
            "WITH lot AS (UPDATE points_lot SET held = held + %s WHERE id = %s RETURNING account_id)"
            " UPDATE ledger_account SET held = held + %s FROM lot WHERE id = account_id",
            [units, lot_id, units],
        )

    def merge(self, holder: str, wallet: str) -> None:
        """Let a holder's accounts be in a wallet, as a merge does."""
        self.connection.execute(
            "INSERT INTO ledger_wallet (owner, holder, wallet) VALUES (%s, %s, %s)", [OWNER, holder, wallet]
        )
        self.connection.execute(
            "UPDATE ledger_account SET wallet = %s WHERE holder = %s AND kind IN ('member', 'arrears')"
            " AND asset_id = ANY (%s)",
            [wallet, holder, [self.stars, self.leaves]],
        )

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Transfers in their order, postings, lots and accounts, without a number of the database."""
        ask = self._ask
        return {
            "transfers": ask(
                "SELECT key, kind, fingerprint, reference, happened_at, recorded_at, detail, rules_version,"
                " (SELECT key FROM ledger_transfer AS other WHERE other.id = transfer.reverses)"
                " FROM ledger_transfer AS transfer ORDER BY id"
            ),
            "postings": ask(
                "SELECT transfer.key, line, account.asset_id, account.kind, account.holder, posting.amount, origin.key,"
                " lot.issuer, lot.due::text FROM ledger_posting AS posting"
                " JOIN ledger_transfer AS transfer ON transfer.id = posting.transfer_id"
                " JOIN ledger_account AS account ON account.id = posting.account_id"
                " LEFT JOIN points_lot AS lot ON lot.id = posting.lot_id"
                " LEFT JOIN ledger_transfer AS origin ON origin.id = lot.transfer_id"
                " ORDER BY transfer.id, line"
            ),
            "lots": ask(
                "SELECT transfer.key, holder, lot.amount, lot.remaining, lot.held, lot.earned_at, cost_micro"
                " FROM points_lot AS lot JOIN ledger_account AS account ON account.id = lot.account_id"
                " JOIN ledger_transfer AS transfer ON transfer.id = lot.transfer_id ORDER BY lot.id"
            ),
            "accounts": ask(
                "SELECT asset_id, kind, holder, wallet, balance, held FROM ledger_account"
                " ORDER BY asset_id, kind, holder"
            ),
        }

    def differences(self) -> list[tuple[Any, ...]]:
        """What does not add up: transfers, balances against postings and against lots, lots against postings."""
        return self._ask(
            "SELECT 'transfer', transfer_id::text FROM ledger_posting JOIN ledger_account AS account"
            " ON account.id = account_id GROUP BY transfer_id, asset_id HAVING sum(amount) <> 0"
            " UNION ALL SELECT 'balance', id::text FROM ledger_account AS account"
            " WHERE kind IN ('member', 'arrears') AND balance <> coalesce("
            " (SELECT sum(amount) FROM ledger_posting WHERE account_id = account.id), 0)"
            " UNION ALL SELECT 'lots', id::text FROM ledger_account AS account"
            " WHERE kind = 'member' AND (balance, held) <> (SELECT coalesce(sum(remaining), 0)::bigint,"
            " coalesce(sum(held), 0)::bigint FROM points_lot WHERE account_id = account.id)"
            " UNION ALL SELECT 'lot', id::text FROM points_lot AS lot"
            " WHERE remaining <> (SELECT sum(amount) FROM ledger_posting WHERE lot_id = lot.id)"
        )

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.connection.execute(query.encode()).fetchall()]
