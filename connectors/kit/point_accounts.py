"""What simulated points providers share: accounts, movements, and the reasons for which one is refused."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final, Literal

from connectors.kit.books import Books

MAX_POINTS: Final = 10**12
MAX_BALANCE: Final = 10**15
MAX_TEXT: Final = 120
STATES: Final = ("open", "closed")
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS account (
    number TEXT PRIMARY KEY, surname TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    balance INTEGER NOT NULL CHECK (balance >= 0)
);
CREATE TABLE IF NOT EXISTS movement (
    id INTEGER PRIMARY KEY, origin TEXT NOT NULL CHECK (origin IN ('partner', 'member', 'opening')),
    account TEXT NOT NULL, points INTEGER NOT NULL, balance INTEGER NOT NULL, day TEXT NOT NULL,
    reference TEXT NOT NULL DEFAULT '', document TEXT NOT NULL DEFAULT '', programme TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS ix_movement_reference ON movement (reference);
CREATE INDEX IF NOT EXISTS ix_movement_day ON movement (account, origin, day);
"""

Origin = Literal["partner", "member"]
Row = dict[str, Any]


class Reason(StrEnum):
    """Why a movement is refused."""

    UNKNOWN_ACCOUNT = "unknown_account"
    CLOSED_ACCOUNT = "closed_account"
    WRONG_NAME = "wrong_name"
    LIMIT = "limit"
    INSUFFICIENT = "insufficient"
    INVALID_POINTS = "invalid_points"
    UNKNOWN_PROGRAMME = "unknown_programme"


class RefusedError(Exception):
    """The provider says no; its simulator knows the protocol's words for the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Move:
    """What is to be moved: ``points`` into the account, or out of it below zero. ``surname``: checked if given."""

    account: str
    points: int
    day: date
    reference: str = ""
    document: str = ""
    programme: str = ""
    surname: str = ""


class PointAccounts:
    """The accounts of one provider. A balance is always the sum of its account's movements, and never negative.

    ``monthly_limit``: most points that partners may move into one account, and out of it, in the calendar month of
    the movements' days; 0 is no limit. ``programmes``: those it runs; empty takes any.
    """

    def __init__(self, books: Books, *, monthly_limit: int, programmes: Iterable[str] = ()) -> None:
        books.extend(SCHEMA)
        self._books = books
        self._monthly_limit = monthly_limit
        self._programmes = frozenset(programmes)

    def open(self, accounts: Iterable[Mapping[str, Any]], day: date) -> None:
        """Take over ``account, balance, state, surname``; of a known account the new ones count. ValueError."""
        with self._books.transaction() as db:
            for given in accounts:
                number, state = text(given["account"]), str(given.get("state", "open"))
                wanted = int(given.get("balance", 0))
                if state not in STATES or not 0 <= wanted <= MAX_BALANCE:
                    raise ValueError(f"state is one of {', '.join(STATES)}, balance 0 to {MAX_BALANCE}")
                db.execute(
                    "INSERT INTO account (number, surname, state, balance) VALUES (?, ?, ?, 0)"
                    " ON CONFLICT (number) DO UPDATE SET surname = excluded.surname, state = excluded.state",
                    (number, str(given.get("surname", "")), state),
                )
                balance = db.execute("SELECT balance FROM account WHERE number = ?", (number,)).fetchone()[0]
                if wanted != balance:
                    _book(db, "opening", Move(number, wanted - balance, day), wanted)

    def move(self, db: sqlite3.Connection, move: Move, origin: Origin = "partner") -> Row:
        """Book a movement in the transaction ``db``; the row. RefusedError, and nothing is booked."""
        if not 0 < abs(move.points) <= MAX_POINTS:
            raise RefusedError(Reason.INVALID_POINTS)
        if origin == "partner" and self._programmes and move.programme not in self._programmes:
            raise RefusedError(Reason.UNKNOWN_PROGRAMME)
        account = db.execute("SELECT * FROM account WHERE number = ?", (move.account,)).fetchone()
        if account is None:
            raise RefusedError(Reason.UNKNOWN_ACCOUNT)
        if account["state"] != "open":
            raise RefusedError(Reason.CLOSED_ACCOUNT)
        if move.surname and move.surname.casefold() != account["surname"].casefold():
            raise RefusedError(Reason.WRONG_NAME)
        if origin == "partner" and self._is_over_limit(db, move):
            raise RefusedError(Reason.LIMIT)
        balance = account["balance"] + move.points
        if balance < 0:
            raise RefusedError(Reason.INSUFFICIENT)
        if balance > MAX_BALANCE:
            raise RefusedError(Reason.LIMIT)
        return _book(db, origin, move, balance)

    def with_reference(self, reference: str) -> list[Row]:
        """A partner's movements with that reference, the first first."""
        return self._books.rows(
            "SELECT * FROM movement WHERE reference = ? AND origin = 'partner' ORDER BY id", reference
        )

    def movement(self, number: int) -> Row | None:
        """The movement of that number."""
        return self._books.find("SELECT * FROM movement WHERE id = ?", number)

    def movements(self, after: int, limit: int) -> list[Row]:
        """Every movement, whoever made it, after that number."""
        return self._books.rows("SELECT * FROM movement WHERE id > ? ORDER BY id LIMIT ?", after, limit)

    def accounts(self, after: str, limit: int) -> list[Row]:
        """Every account, after that number."""
        return self._books.rows("SELECT * FROM account WHERE number > ? ORDER BY number LIMIT ?", after, limit)

    def _is_over_limit(self, db: sqlite3.Connection, move: Move) -> bool:
        if not self._monthly_limit:
            return False
        moved = db.execute(
            "SELECT coalesce(sum(abs(points)), 0) FROM movement WHERE account = ? AND origin = 'partner'"
            " AND substr(day, 1, 7) = ? AND (points > 0) = ?",
            (move.account, move.day.isoformat()[:7], move.points > 0),
        ).fetchone()[0]
        return bool(moved + abs(move.points) > self._monthly_limit)


def text(value: Any) -> str:
    """A code in a request; ValueError unless it is text of 1 to MAX_TEXT characters."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise ValueError(f"a code is text of 1 to {MAX_TEXT} characters")
    return value


def points(value: Any) -> int:
    """An amount in a request; RefusedError unless it is a whole number from 1 to MAX_POINTS."""
    if type(value) is not int or not 0 < value <= MAX_POINTS:
        raise RefusedError(Reason.INVALID_POINTS)
    return value


def _book(db: sqlite3.Connection, origin: str, move: Move, balance: int) -> Row:
    db.execute("UPDATE account SET balance = ? WHERE number = ?", (balance, move.account))
    row = db.execute(
        "INSERT INTO movement (origin, account, points, balance, day, reference, document, programme)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        (
            origin,
            move.account,
            move.points,
            balance,
            move.day.isoformat(),
            move.reference,
            move.document,
            move.programme,
        ),
    ).fetchone()
    return dict(row)
