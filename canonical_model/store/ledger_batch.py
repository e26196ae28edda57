"""Batches of commands for the ledger: everything they touch is locked and read at once, decided here one by one, and
written at once."""

import math
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import RejectedError, TransientError
from canonical_model.ledger import AccountKind, Done, Give, Move, Short, Take
from canonical_model.store.ledger_commands import (
    Checked,
    column,
    conflict,
    insufficient,
    too_many_lots,
    unknown,
)

MAX_TAKEN: Final = 30_000  # postings of takes in a transfer; ledger_apply_one knows it too
MAX_PAGE: Final = 10_000
FIRST_LOTS: Final = 4  # read for a wallet that is taken from once
TRIES: Final = 5

_OPEN: Final = (
    "SELECT * FROM ledger_open(%s, %s, %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],"
    " %s::text[], %s::bigint[], %s::text[], %s::timestamptz[], %s::integer[], %s::integer[], %s::bigint[], %s, %s)"
)
_WRITE: Final = (
    "SELECT ledger_write_batch(%s, %s, %s, %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[],"
    " %s::integer[], %s::timestamptz[], %s::jsonb[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],"
    " %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[], %s::integer[],"
    " %s::bigint[], %s::bigint[], %s::bigint[]) AS written"
)
_MORE_LOTS: Final = """
    SELECT lot.id, lot.account_id, date_part('epoch', lot.due) AS due, lot.remaining - lot.held AS free
    FROM points_lot AS lot
    WHERE lot.account_id = ANY (%s) AND lot.is_open
        AND (lot.due, lot.id) > ((SELECT last.due FROM points_lot AS last WHERE last.id = %s), %s)
    ORDER BY lot.due, lot.id LIMIT %s
"""

Lot = list[Any]  # due in seconds, id, account, free units; a list, so that lots sort as they are spent
Debt = list[Any]  # holder, arrears account (negative: yet to be made), units
Posting = tuple[int, int | None, int]  # account, lot, amount


class _Purse:
    """What a wallet has of an asset, as far as it was read, with what the batch decided so far."""

    __slots__ = ("after", "head", "limit", "lots", "members", "more", "number", "owed", "owing")

    def __init__(self, number: int) -> None:
        self.number = number
        self.after: datetime | None = None  # lots due by then serve no take of the batch
        self.limit = 0  # lots to read
        self.owing = False  # whether what it owes matters
        self.members: list[int] = []
        self.lots: list[Lot] = []
        self.head = 0  # lots before this one are empty
        self.more: Lot | None = None  # the last one read, if there may be more
        self.owed: list[Debt] = []

    def add(self, lot: Lot) -> Lot:
        """The lot as it is known here, from now on if it was not yet."""
        place = bisect_left(self.lots, lot[:2])
        if place < len(self.lots) and self.lots[place][1] == lot[1]:
            return self.lots[place]
        self.lots.insert(place, lot)
        self.head = min(self.head, place)
        return lot


class _Plan:
    """What is to be written, by columns."""

    def __init__(self) -> None:
        self.transfers: list[tuple[Any, ...]] = []
        self.lots: list[tuple[Any, ...]] = []
        self.transfer_ids: list[int] = []
        self.lines: list[int] = []
        self.accounts: list[int] = []
        self.posted_lots: list[int | None] = []
        self.amounts: list[int] = []

    def post(self, transfer_id: int, postings: list[Posting]) -> None:
        """A transfer's postings, in their order."""
        self.transfer_ids += [transfer_id] * len(postings)
        self.lines += range(1, len(postings) + 1)
        for account, lot, amount in postings:
            self.accounts.append(account)
            self.posted_lots.append(lot)
            self.amounts.append(amount)

    def parameters(self) -> list[str]:
        """As ``ledger_write_batch`` takes them."""
        return [
            *_columns(self.transfers, 9),
            *_columns(self.lots, 9),
            column(self.transfer_ids),
            column(self.lines),
            column(self.accounts),
            column(self.posted_lots),
            column(self.amounts),
        ]


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[str]:
    return [column(values) for values in zip(*rows, strict=True)] if rows else ["{}"] * width


def _rows(row: DictRow, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(row[name] or () for name in names), strict=True)


class Batch:
    """Commands of one owner and brand, to be answered in their order."""

    def __init__(self, connection: Connection[DictRow], owner: str, brand: str, commands: Sequence[Checked]) -> None:
        self._cursor = connection.cursor(binary=True)
        self._owner = owner
        self._brand = brand
        self._commands = commands

    def apply(self, now: datetime) -> list[Done | RejectedError]:
        """The answer to each; TransientError if others keep taking its keys."""
        for _ in range(TRIES):
            self._wallets: dict[str, str] = {}
            if not self._open():
                self._open()
            answers = [self._answer(checked) for checked in self._commands]
            if not self._plan.transfers or self._write(now):
                return answers
        raise TransientError("other writers use the same keys at this moment; try again", code="points.busy")

    def _open(self) -> bool:
        """Lock and read; False if some holders turned out to be in other wallets."""
        self._plan = _Plan()
        self._purses: dict[tuple[int, str], _Purse] = {}
        self._accounts: dict[tuple[int, str, str], int] = {}
        self._missing: dict[tuple[int, str], int] = {}
        firsts, transfers, new_lots = self._survey()
        purses = list(self._purses)
        after = [purse.after for purse in self._purses.values()]
        holders = [] if self._wallets else list({holder for _, holder in purses})
        asked = list(self._accounts)
        keys = [checked.command.key for checked in self._commands]
        row = self._cursor.execute(
            _OPEN,
            [
                self._owner, self._brand, column(holders), column(keys),
                column(list({asset for asset, *_ in (*purses, *asked)})), column(list(transfers)),
                *(column([name[part] for name in asked]) for part in range(3)),
                *(column([name[part] for name in purses]) for part in range(2)),
                column(after), column([purse.limit for purse in self._purses.values()]),
                column([purse.number for purse in self._purses.values() if purse.owing]), column(list(firsts)),
                len(keys), new_lots,
            ],
        ).fetchone()  # fmt: skip
        assert row is not None
        if row["wallets"] is not None:
            self._wallets = dict(zip(holders, row["wallets"], strict=True))
            return False
        self._read(row)
        return True

    def _survey(self) -> tuple[set[int], set[int], int]:
        """Note the purses and accounts of every line; transfers taken from first, all that are named, new lots."""
        firsts: set[int] = set()
        transfers: set[int] = set()
        accounts = self._accounts
        new_lots = 0
        for checked in self._commands:
            command = checked.command
            if command.reverses is not None:
                transfers.add(command.reverses)
            for take in command.takes:
                purse = self._purse(take)
                purse.limit += 2 if purse.limit else FIRST_LOTS
                if purse.after is None or command.happened_at < purse.after:
                    purse.after = command.happened_at
                if take.first_from is not None:
                    firsts.add(take.first_from)
                if take.short is Short.ARREARS:
                    purse.owing = True
                    accounts[take.asset_id, "member", take.holder] = 0
            for give in command.gives:
                self._purse(give).owing = True
                accounts[give.asset_id, "member", give.holder] = 0
                new_lots += 1
            for move in command.moves:
                accounts[move.asset_id, move.kind, move.holder] = 0
        return firsts, transfers | firsts, new_lots

    def _purse(self, line: Take | Give) -> _Purse:
        name = line.asset_id, self._wallets.get(line.holder, line.holder)
        purse = self._purses.get(name)
        if purse is None:
            purse = self._purses[name] = _Purse(len(self._purses) + 1)
        return purse

    def _read(self, row: DictRow) -> None:
        purses = [*self._purses.values()]
        self._foreign = {*row["foreign_assets"]}
        self._foreign_transfers = {*row["foreign_transfers"]}
        self._accounts = dict(zip(self._accounts, row["made"], strict=True))
        self._known = {
            self._commands[number - 1].command.key: (id_, fingerprint)
            for number, id_, fingerprint in _rows(row, "known_keys", "known_ids", "known_fingerprints")
        }
        for number, account in _rows(row, "member_purses", "members"):
            purses[number - 1].members.append(account)
        for number, *debt in _rows(row, "owed_purses", "owed_holders", "owed_accounts", "owed"):
            purses[number - 1].owed.append(debt)
        for number, *lot in _rows(row, "lot_purses", "lot_dues", "lots", "lot_accounts", "lot_free"):
            purses[number - 1].lots.append(lot)
        for purse in purses:
            purse.lots.sort()
            purse.owed.sort()
            if purse.limit and len(purse.lots) == purse.limit:
                purse.more = purse.lots[-1]
        self._firsts: dict[int, list[Lot]] = {}
        for transfer, *lot in _rows(row, "first_transfers", "first_dues", "first_lots", "first_accounts", "first_free"):
            self._firsts.setdefault(transfer, []).append(lot)
        self._transfer_ids = iter(row["transfer_ids"])
        self._lot_ids = iter(row["lot_ids"])

    def _write(self, now: datetime) -> bool:
        plan = self._plan
        if self._missing:
            row = self._cursor.execute(
                "SELECT ledger_make_accounts(%s, %s::bigint[], %s::text[], %s::text[]) AS made",
                [
                    self._owner,
                    column([asset for asset, _ in self._missing]),
                    column([AccountKind.ARREARS] * len(self._missing)),
                    column([holder for _, holder in self._missing]),
                ],
            ).fetchone()
            assert row is not None
            made = dict(zip(self._missing.values(), row["made"], strict=True))
            plan.accounts = [made.get(account, account) for account in plan.accounts]
        row = self._cursor.execute(_WRITE, [self._owner, self._brand, now, *plan.parameters()]).fetchone()
        assert row is not None
        return bool(row["written"])

    def _answer(self, checked: Checked) -> Done | RejectedError:
        """Decide one command; if it is done, its rows are in the plan and the next one finds what it left."""
        command = checked.command
        lines: tuple[Take | Give | Move, ...] = (*command.takes, *command.gives, *command.moves)
        if self._foreign and any(line.asset_id in self._foreign for line in lines):
            return unknown(command)
        known = self._known.get(command.key)
        if known is not None:
            return Done(known[0], repeated=True) if known[1] == checked.fingerprint else conflict(command)
        if self._foreign_transfers and not self._foreign_transfers.isdisjoint(
            [command.reverses, *(take.first_from for take in command.takes)]
        ):
            return unknown(command)
        postings: list[Posting] = []
        spent: list[tuple[_Purse, Lot, int]] = []
        owing: list[tuple[Debt, int]] = []
        happened = command.happened_at.timestamp()
        for take in command.takes:
            left = self._take(take, happened, spent, postings)
            if left and take.short is Short.REFUSE:
                _undo(spent)
                return insufficient(command, take, take.amount - left)
            if left:
                debt = self._debt(take)
                owing.append((debt, left))
                postings.append((debt[1], None, -left))
        if len(postings) > MAX_TAKEN:
            _undo(spent)
            return too_many_lots(command)
        for debt, units in owing:
            debt[2] += units
        id_ = next(self._transfer_ids)
        for give in command.gives:
            self._give(give, id_, command.happened_at, postings)
        postings += [
            (self._accounts[move.asset_id, move.kind, move.holder], None, move.amount) for move in command.moves
        ]
        self._plan.transfers.append(
            (
                id_, command.key, checked.fingerprint, command.kind, command.reference, command.reverses,
                command.rules_version, command.happened_at, checked.detail,
            )
        )  # fmt: skip
        self._plan.post(id_, postings)
        self._known[command.key] = id_, checked.fingerprint
        return Done(id_)

    def _take(self, take: Take, happened: float, spent: list[tuple[_Purse, Lot, int]], postings: list[Posting]) -> int:
        """Empty lots that are not due by then, the earliest due first; what is left to take."""
        purse = self._purse(take)
        left = take.amount
        if take.first_from is not None:
            for lot in self._firsts.get(take.first_from, ()):
                if left and lot[2] in purse.members and lot[0] > happened:
                    left -= _empty(purse, purse.add(lot), left, spent, postings)
        lots = purse.lots
        while purse.head < len(lots) and not lots[purse.head][3]:
            purse.head += 1
        place = purse.head
        while left:
            if purse.more is not None and (place == len(lots) or lots[place] > purse.more):
                self._read_more(purse)
            elif place == len(lots):
                break
            else:
                lot = lots[place]
                if lot[3] and lot[0] > happened:
                    left -= _empty(purse, lot, left, spent, postings)
                place += 1
        return left

    def _read_more(self, purse: _Purse) -> None:
        assert purse.more is not None
        last = purse.more[1]
        purse.limit = min(2 * purse.limit + 64, MAX_PAGE)
        rows = self._cursor.execute(_MORE_LOTS, [purse.members, last, last, purse.limit]).fetchall()
        for row in rows:
            purse.more = purse.add([row["due"], row["id"], row["account_id"], row["free"]])
        if len(rows) < purse.limit:
            purse.more = None

    def _debt(self, take: Take) -> Debt:
        """The arrears of the take's holder."""
        purse = self._purse(take)
        for debt in purse.owed:
            if debt[0] == take.holder:
                return debt
        account = self._missing.setdefault((take.asset_id, take.holder), -1 - len(self._missing))
        debt = [take.holder, account, 0]
        insort(purse.owed, debt)
        return debt

    def _give(self, give: Give, transfer_id: int, happened_at: datetime, postings: list[Posting]) -> None:
        """A new lot, out of which the wallet's arrears are repaid."""
        account = self._accounts[give.asset_id, "member", give.holder]
        lot_id = next(self._lot_ids)
        postings.append((account, lot_id, give.amount))
        purse = self._purse(give)
        left = give.amount
        for debt in purse.owed:
            units = min(left, debt[2])
            if units:
                postings += (account, lot_id, -units), (debt[1], None, units)
                debt[2] -= units
                left -= units
        purse.add([math.inf if give.expires_at is None else give.expires_at.timestamp(), lot_id, account, left])
        self._plan.lots.append(
            (
                lot_id, transfer_id, account, give.issuer, give.cost_micro, happened_at, give.expires_at,
                give.amount, left,
            )
        )  # fmt: skip


def _empty(purse: _Purse, lot: Lot, wanted: int, spent: list[tuple[_Purse, Lot, int]], postings: list[Posting]) -> int:
    units: int = min(wanted, lot[3])
    if units:
        lot[3] -= units
        spent.append((purse, lot, units))
        postings.append((lot[2], lot[1], -units))
    return units


def _undo(spent: list[tuple[_Purse, Lot, int]]) -> None:
    for purse, lot, units in spent:
        lot[3] += units
        purse.head = min(purse.head, bisect_left(purse.lots, lot[:2]))
