"""The real ledger behind the same words as the model's: asks go to the store's functions, each in a transaction."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model import ledger as words
from canonical_model.errors import RejectedError, TransientError
from canonical_model.ledger import AccountKind, AssetKind, Command, Done, HoldCommand, Move, Short
from canonical_model.store import (
    ledger,
    ledger_expiry,
    ledger_holds,
    ledger_journal,
    ledger_reversal,
    ledger_views,
    wallets,
)
from flows.runtime.database import Database, UnitOfWork
from tests.flows.points.simulation.asks import (
    Ask,
    Batch,
    Books,
    ExpireHolds,
    ExpireLots,
    Extract,
    Hold,
    Merge,
    Post,
    Reverse,
    Transfer,
    Unmerge,
    Void,
)

BRAND = "yunshang"
DONE, REPEATED = "done", "repeated"
TRIES = 20
ASSETS = {
    "yunshang/stars": AssetKind.POINTS,
    "linmu/leaves": AssetKind.POINTS,
    "yunshang/growth": AssetKind.POINTS,
    "skymiles": AssetKind.OUTSIDE,
}

_BOOKS = """
    WITH account AS MATERIALIZED (
        SELECT account.id, concat_ws('/', nullif(asset.brand, ''), asset.code) AS asset, account.kind, holder,
            balance
        FROM ledger_asset AS asset JOIN ledger_account AS account ON account.asset_id = asset.id
        WHERE asset.owner = %(owner)s
    ), entry AS MATERIALIZED (SELECT id, key FROM ledger_transfer WHERE owner = %(owner)s)
    SELECT
        (SELECT json_agg(json_build_array(asset, kind, holder, units)) FROM (
            SELECT asset, kind, holder, sum(posting.amount)::bigint AS units
            FROM account JOIN ledger_posting AS posting ON posting.account_id = account.id
            GROUP BY asset, kind, holder HAVING sum(posting.amount) <> 0) AS sums) AS accounts,
        (SELECT json_agg(json_build_array(entry.key, asset, holder, issuer, amount, remaining, held,
                (extract(epoch FROM nullif(due, 'infinity')) * 1000000)::bigint))
            FROM points_lot AS lot JOIN account ON account.id = lot.account_id JOIN entry ON entry.id = lot.transfer_id
        ) AS lots,
        (SELECT json_agg(json_build_array(key, state, posted)) FROM ledger_hold WHERE owner = %(owner)s) AS holds,
        (SELECT json_agg(entry.key || ' ' || asset) FROM (
            SELECT transfer_id, asset FROM ledger_posting AS posting JOIN account ON account.id = posting.account_id
            GROUP BY transfer_id, asset HAVING sum(amount) <> 0) AS wrong JOIN entry ON entry.id = transfer_id
        ) AS unbalanced,
        (SELECT json_agg(kind || ' ' || holder) FROM account WHERE kind IN ('member', 'arrears') AND balance <> (
            SELECT coalesce(sum(amount), 0) FROM ledger_posting WHERE account_id = account.id)) AS drifted
"""

_JOURNAL = """
    SELECT transfer.key, concat_ws(' ', transfer.kind, transfer.happened_at, transfer.detail, json_agg(json_build_array(
        asset.code, account.kind, account.holder, posting.amount, origin.key) ORDER BY posting.line)) AS lines
    FROM ledger_transfer AS transfer
    JOIN ledger_posting AS posting ON posting.transfer_id = transfer.id
    JOIN ledger_account AS account ON account.id = posting.account_id
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    LEFT JOIN points_lot AS lot ON lot.id = posting.lot_id
    LEFT JOIN ledger_transfer AS origin ON origin.id = lot.transfer_id
    WHERE transfer.owner = %(owner)s GROUP BY transfer.id ORDER BY transfer.id
"""


@dataclass
class Logged:
    """One call that was not refused, as it can be made again: the number that its first entry got, or would have."""

    number: int
    ask: Ask
    now: datetime


@dataclass
class Driver:
    """One owner's ledger. ``log``: what was done, in the order in which it was done."""

    database: Database
    owner: str
    assets: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    merges: dict[str, int] = field(default_factory=dict)
    log: list[Logged] = field(default_factory=list)

    def open(self, like: "Driver | None" = None) -> None:
        """Make the assets, with the numbers that they have in another ledger: fingerprints know them."""
        with self.database.unit() as uow:
            for name, kind in ASSETS.items():
                if like is not None:
                    uow.execute("SELECT setval('ledger_asset_id_seq', %s, false)", [like.assets[name]])
                brand, _, code = name.rpartition("/")
                self.assets[name] = ledger.ensure_asset(uow.connection, self.owner, brand, code, kind)
            uow.commit()

    def do(self, ask: Ask, now: datetime, *, crash: bool = False) -> list[str]:
        """As the model's; with ``crash`` all of it is lost before the commit."""
        with self.database.unit() as uow:
            number = self._next_number(uow)
            try:
                said, ids = self.ask(uow.connection, ask, now)
            except RejectedError as error:
                return [error.code]
            if crash:
                return said
            uow.commit()
        self._name(ask, ids)
        self.log.append(Logged(number, ask, now))
        return said

    def at_once(self, ask: Transfer | Batch, now: datetime) -> list[tuple[str, Logged]]:
        """As ``do``, beside others: what is said to each transfer, and the transfer as it can be made again."""
        for _ in range(TRIES):
            try:
                with self.database.unit() as uow:
                    said, ids = self.ask(uow.connection, ask, now)
                    uow.commit()
                break
            except TransientError:
                continue
            except RejectedError as error:
                said, ids = [error.code], [0]
                break
        else:
            raise AssertionError(f"busy {TRIES} times: {ask}")
        transfers = ask.transfers if isinstance(ask, Batch) else (ask,)
        return [(word, Logged(number, each, now)) for word, number, each in zip(said, ids, transfers, strict=True)]

    def replay(self, log: list[Logged]) -> None:
        """Make calls again that were logged elsewhere, one after another; none is refused."""
        for each in log:
            with self.database.unit() as uow:
                uow.execute("SELECT setval('ledger_transfer_id_seq', %s, false)", [each.number])
                _, ids = self.ask(uow.connection, each.ask, each.now)
                uow.commit()
            self._name(each.ask, ids)

    @staticmethod
    def _next_number(uow: UnitOfWork) -> int:
        row = uow.execute("SELECT last_value + is_called::integer AS number FROM ledger_transfer_id_seq").fetchone()
        assert row is not None
        return int(row["number"])

    def _name(self, ask: Ask, ids: list[int]) -> None:
        """Remember the numbers of what was done by its names."""
        match ask:
            case Transfer() | Reverse():
                self.names[ask.key] = ids[0]
            case Post():
                self.names[ask.transfer.key] = ids[0]
            case Batch():
                self.names.update({each.key: id_ for each, id_ in zip(ask.transfers, ids, strict=True) if id_})
            case Merge():
                self.merges[ask.key] = ids[0]
            case _:
                pass

    def ask(self, connection: Connection[DictRow], ask: Ask, now: datetime) -> tuple[list[str], list[int]]:
        """In a transaction of the caller's: what is said, and the numbers of the transfers (0: none)."""
        owner = self.owner
        match ask:
            case Transfer():
                done = ledger.apply_one(connection, owner, BRAND, self.command(ask), now=now)
                return _told(done)
            case Batch():
                commands = [self.command(each) for each in ask.transfers]
                answers = ledger.apply(connection, owner, BRAND, commands, now=now)
                said = [_told(each)[0][0] if isinstance(each, Done) else each.code for each in answers]
                return said, [each.id if isinstance(each, Done) else 0 for each in answers]
            case Hold():
                command = HoldCommand(ask.key, self.assets[ask.asset], ask.holder, ask.units, ask.at, ask.until)
                return _told(ledger_holds.hold(connection, owner, BRAND, command, now=now))
            case Post():
                command_ = self.command(ask.transfer)
                done = ledger_holds.post_hold(connection, owner, BRAND, ask.hold, command_, amount=ask.units, now=now)
                return _told(done)
            case Void():
                ledger_holds.void_hold(connection, owner, BRAND, ask.hold, now=now)
            case Reverse():
                return _told(self._reverse(connection, ask, now))
            case ExpireHolds():
                ledger_holds.expire_holds(connection, now)
            case ExpireLots():
                ledger_expiry.expire_lots(connection, owner, as_of=ask.as_of, now=now, limit=ask.limit)
            case Merge():
                return [DONE], [wallets.merge(connection, owner, BRAND, ask.key, ask.kept, ask.merged, now=now)]
            case Unmerge():
                wallets.unmerge(connection, owner, BRAND, self.merges[ask.merge], now=now)
            case Extract():
                wallets.extract(connection, owner, BRAND, ask.holder, now=now)
        return [DONE], []

    def _reverse(self, connection: Connection[DictRow], ask: Reverse, now: datetime) -> Done:
        return ledger_reversal.reverse(
            connection,
            self.owner,
            BRAND,
            ask.key,
            self.names[ask.of],
            amount=ask.units,
            happened_at=ask.at,
            now=now,
            grace_until=ask.at + timedelta(days=ask.grace_days) if ask.grace_days else None,
            short=Short.ARREARS if ask.owe else Short.REFUSE,
        )

    def command(self, ask: Transfer) -> Command:
        """The same with this database's numbers."""
        takes = tuple(
            words.Take(
                self.assets[take.asset],
                take.holder,
                take.units,
                Short.ARREARS if take.owe else Short.REFUSE,
                self.names[take.first] if take.first else None,
            )
            for take in ask.takes
        )
        gives = tuple(
            words.Give(self.assets[give.asset], give.holder, give.units, give.issuer, 5_000, give.due)
            for give in ask.gives
        )
        moves = tuple(
            Move(self.assets[asset], AccountKind(kind), holder, units) for asset, kind, holder, units in ask.moves
        )
        reverses = self.names[ask.reverses] if ask.reverses else None
        return Command(ask.key, ask.kind, ask.at, takes, gives, moves, ask.key.partition(".")[0], reverses)

    def books(self) -> Books:
        """What stands in the books; every transfer sums to 0, every balance is that of its postings."""
        (row,) = self.database.run(_BOOKS, {"owner": self.owner})
        assert (row["unbalanced"], row["drifted"]) == (None, None)
        return Books(
            {(asset, kind, holder): units for asset, kind, holder, units in row["accounts"] or ()},
            sorted(((*lot[:7], _due(lot[7])) for lot in row["lots"] or ()), key=str),
            {key: (state, posted) for key, state, posted in row["holds"] or ()},
        )

    def journal(self) -> list[tuple[str, str]]:
        """Every entry's key, and what it says, named as its hash names it."""
        return [(row["key"], row["lines"]) for row in self.database.run(_JOURNAL, {"owner": self.owner})]

    def statement(self, asset: str) -> dict[str, tuple[int, int]]:
        """By issuer: what was issued, and what is outstanding; the rest adds up."""
        rows = self._read(lambda connection: ledger_views.issuer_statement(connection, self.assets[asset]))
        for row in rows:
            gone = ("spent", "expired", "exchanged_out", "clawed_back", "outstanding")
            assert row["issued"] == sum(row[name] for name in gone), row
        return {row["issuer"]: (row["issued"], row["outstanding"]) for row in rows}

    def balance(self, asset: str, holder: str, at: datetime) -> words.Balance:
        balance: words.Balance = self._read(
            lambda connection: ledger.balance(connection, self.assets[asset], holder, at=at)
        )
        return balance

    def seal(self, now: datetime, limit: int = 10_000) -> ledger_journal.Sealed:
        with self.database.unit() as uow:
            sealed = ledger_journal.seal(uow.connection, self.owner, now=now, limit=limit)
            uow.commit()
        return sealed

    def head(self, now: datetime) -> str:
        """Seal everything, and prove it; ``entries:hash``."""
        wanted = self._count()
        for _ in range(1_000):
            if self.seal(now).entries == wanted:
                break
        else:
            raise AssertionError(f"only {self.seal(now).entries} of {wanted} entries were sealed")
        verified = self._read(lambda connection: ledger_journal.verify(connection, self.owner))
        assert verified.broken == [], verified.broken
        return str(verified.head)

    def _count(self) -> int:
        (row,) = self.database.run("SELECT count(*) AS n FROM ledger_transfer WHERE owner = %s", [self.owner])
        return int(row["n"])

    def _read(self, look: Callable[[Connection[DictRow]], Any]) -> Any:
        with self.database.unit() as uow:
            return look(uow.connection)


def _told(done: Done) -> tuple[list[str], list[int]]:
    return [REPEATED if done.repeated else DONE], [done.id]


def _due(micros: int | None) -> str:
    if micros is None:
        return "never"
    return datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000).isoformat()
