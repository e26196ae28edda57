"""The points ledger: transfers, each made in whole or not at all, and once for each (owner, brand, key).

Whoever else writes postings (holds, reversals, expiry) goes through the same guards, ``sql/ledger_10_guard.sql``, and
keeps to the same order: wallets are kept (``ledger_keep_wallets``), the wallets' member and arrears accounts locked by
id, FOR NO KEY UPDATE, keys and lots read, and then transfers numbered. So the order of their numbers is an order in
which they could have been made one after another.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError, LimitError, NotFoundError, RejectedError
from canonical_model.ledger import (
    MAX_COMMAND_LINES,
    MAX_KEY,
    MAX_POINTS,
    AccountKind,
    AssetKind,
    Balance,
    Command,
    Done,
    Give,
    Move,
    Take,
)

MAX_DETAIL: Final = 16_384
MAX_NAME: Final = 200

_BOUNDED: Final = (AccountKind.MEMBER, AccountKind.ARREARS)

_APPLY_ONE: Final = "SELECT * FROM ledger_apply_one(%s, %s, %s, %s, %s::jsonb)"


def ensure_asset(
    connection: Connection[DictRow], owner: str, brand: str, code: str, kind: AssetKind, title: str = ""
) -> int:
    """The id of the asset ``brand/code``, made if it is new; ConflictError if it counts something else."""
    row = connection.execute(
        "INSERT INTO ledger_asset (owner, brand, code, kind, title) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (owner, brand, code) DO UPDATE SET title = excluded.title RETURNING id, kind",
        [owner, brand, code, kind, title],
    ).fetchone()
    assert row is not None
    if row["kind"] != kind:
        raise ConflictError(
            f"{_name(brand, code)} counts {row['kind']}, not {kind}; take another code", code="points.asset_kind"
        )
    return int(row["id"])


def find_asset(connection: Connection[DictRow], owner: str, name: str) -> DictRow | None:
    """The asset named ``brand/code`` (``code`` for the group's own) of an owner: its row, or None."""
    brand, _, code = name.rpartition("/")
    return connection.execute(
        "SELECT * FROM ledger_asset WHERE owner = %s AND brand = %s AND code = %s", [owner, brand, code]
    ).fetchone()


def assets(connection: Connection[DictRow], owner: str) -> list[DictRow]:
    """Every asset of an owner, by brand and code."""
    return connection.execute("SELECT * FROM ledger_asset WHERE owner = %s ORDER BY brand, code", [owner]).fetchall()


def get_asset(connection: Connection[DictRow], owner: str, name: str) -> DictRow:
    """As ``find_asset``; NotFoundError names those there are."""
    row = find_asset(connection, owner, name)
    if row is None:
        known = ", ".join(_name(each["brand"], each["code"]) for each in assets(connection, owner)) or "none"
        raise NotFoundError(
            f"there is no programme {name!r}; known: {known}", code="points.programme_unknown", programme=name
        )
    return row


def _name(brand: str, code: str) -> str:
    return f"{brand}/{code}" if brand else code


def apply(
    connection: Connection[DictRow], owner: str, brand: str, commands: Sequence[Command], *, now: datetime
) -> list[Done | RejectedError]:
    """The answer to each command, as if they were made one by one in their order, each all or nothing.

    ``now``: recorded with each. A key that was used before gets the same answer for the same command, whatever
    happened since, ConflictError (points.key_conflict) for another. RejectedError: points.insufficient (its context
    says what is ``available`` and ``wanted``), points.amount, points.account, points.unbalanced, points.key.
    """
    return [_answer(connection, owner, brand, command, now) for command in commands]


def apply_one(connection: Connection[DictRow], owner: str, brand: str, command: Command, *, now: datetime) -> Done:
    """As ``apply`` for one command; raises what is not done."""
    [answer] = apply(connection, owner, brand, [command], now=now)
    if isinstance(answer, RejectedError):
        raise answer
    return answer


def _answer(
    connection: Connection[DictRow], owner: str, brand: str, command: Command, now: datetime
) -> Done | RejectedError:
    wrong = _refusal(command)
    if wrong is not None:
        return wrong
    body = _canonical(command)
    row = connection.execute(
        _APPLY_ONE, [owner, brand, now, hashlib.sha256(body).hexdigest(), body.decode()]
    ).fetchone()
    assert row is not None
    return _outcome(command, row)


def _outcome(command: Command, row: DictRow) -> Done | RejectedError:
    match row["outcome"]:
        case "done":
            return Done(row["id"])
        case "repeated":
            return Done(row["id"], repeated=True)
        case "conflict":
            return ConflictError(
                f"the key {command.key!r} was used for another command; take a new key",
                code="points.key_conflict",
                key=command.key,
            )
        case "unknown":
            return NotFoundError(
                f"{command.key}: it names an asset that is not this owner's; take the id from get_asset",
                code="points.unknown",
                key=command.key,
            )
    take = command.takes[row["line"] - 1]
    return RejectedError(
        f"{command.key}: {take.amount} are wanted and {row['available']} available; take at most that",
        code="points.insufficient",
        key=command.key,
        asset_id=take.asset_id,
        available=row["available"],
        wanted=take.amount,
    )


def _canonical(command: Command) -> bytes:
    if command.happened_at.tzinfo is not UTC or any(
        give.expires_at is not None and give.expires_at.tzinfo is not UTC for give in command.gives
    ):
        command = replace(
            command,
            happened_at=command.happened_at.astimezone(UTC),
            gives=tuple(
                replace(give, expires_at=give.expires_at and give.expires_at.astimezone(UTC)) for give in command.gives
            ),
        )
    return orjson.dumps(command, default=_plain, option=orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refusal(command: Command) -> RejectedError | None:
    """What is wrong with a command by itself."""
    for code, field, problem in _problems(command):
        return (LimitError if code == "points.limit" else RejectedError)(
            f"{command.key[:MAX_KEY]!r}: {field} {problem}", code=code, key=command.key[:MAX_KEY], field=field
        )
    return None


def _problems(command: Command) -> Iterator[tuple[str, str, str]]:
    for field in ("key", "kind"):
        if not _named(getattr(command, field)):
            yield "points.key", field, f"must have 1 to {MAX_KEY} characters"
    if len(command.reference) > MAX_NAME or "\x00" in command.reference:
        yield "points.key", "reference", f"must have at most {MAX_NAME} characters"
    lines: tuple[Take | Give | Move, ...] = (*command.takes, *command.gives, *command.moves)
    if not 0 < len(lines) <= MAX_COMMAND_LINES:
        yield "points.limit", "lines", f"must be 1 to {MAX_COMMAND_LINES}; split the command"
    sums: dict[int, int] = {}
    for line in lines:
        yield from _line_problems(command, line)
        signed = -line.amount if isinstance(line, Take) else line.amount
        sums[line.asset_id] = sums.get(line.asset_id, 0) + signed
    for asset_id, amount in sums.items():
        if amount:
            yield "points.unbalanced", f"asset {asset_id}", f"is off by {amount}; gives - takes + moves must be 0"


def _line_problems(command: Command, line: Take | Give | Move) -> Iterator[tuple[str, str, str]]:
    field = type(line).__name__.lower()
    least = -MAX_POINTS if isinstance(line, Move) else 1
    if type(line.amount) is not int or line.amount == 0 or not least <= line.amount <= MAX_POINTS:
        yield "points.amount", f"{field}.amount", f"must be a whole number of 1 to {MAX_POINTS}, not {line.amount}"
    if isinstance(line, Move):
        if line.kind in _BOUNDED:
            yield "points.account", "move.kind", f"must not be {line.kind}; use a take or a give"
        if len(line.holder) > MAX_NAME or "\x00" in line.holder:
            yield "points.account", "move.holder", f"must have at most {MAX_NAME} characters"
        return
    if not _named(line.holder):
        yield "points.account", f"{field}.holder", f"must have 1 to {MAX_NAME} characters"
    if isinstance(line, Give):
        if not _named(line.issuer):
            yield "points.account", "give.issuer", f"must have 1 to {MAX_NAME} characters"
        if type(line.cost_micro) is not int or not 0 <= line.cost_micro <= MAX_POINTS:
            yield "points.amount", "give.cost_micro", f"must be a whole number of 0 to {MAX_POINTS}"
        if line.expires_at is not None and line.expires_at <= command.happened_at:
            yield "points.expiry", "give.expires_at", "must be after happened_at; leave out what is due already"


def _named(value: str) -> bool:
    return 0 < len(value) <= MAX_NAME and "\x00" not in value


def balance(connection: Connection[DictRow], asset_id: int, holder: str, *, at: datetime) -> Balance:
    """What the wallet of ``holder`` has of an asset; ``at`` decides which lots are due already."""
    row = connection.execute(
        """
        SELECT coalesce(sum(account.balance) FILTER (WHERE account.kind = 'member'), 0)::bigint AS posted,
            coalesce(sum(account.held), 0)::bigint AS held,
            coalesce(-sum(account.balance) FILTER (WHERE account.kind = 'arrears'), 0)::bigint AS arrears,
            coalesce(sum(due.units), 0)::bigint AS due
        FROM ledger_asset AS asset
        JOIN ledger_account AS account ON account.asset_id = asset.id AND account.kind IN ('member', 'arrears')
            AND account.wallet = ledger_wallet_of(asset.owner, %(holder)s)
        LEFT JOIN LATERAL (
            SELECT sum(remaining - lot.held) AS units FROM points_lot AS lot
            WHERE lot.account_id = account.id AND lot.is_open AND lot.due <= %(at)s
        ) AS due ON true
        WHERE asset.id = %(asset_id)s
        """,
        {"asset_id": asset_id, "holder": holder, "at": at},
    ).fetchone()
    assert row is not None
    return Balance(row["posted"], row["held"], row["posted"] - row["held"] - row["due"], row["arrears"])


def balances_of(
    connection: Connection[DictRow], owner: str, holder: str, *, at: datetime
) -> list[tuple[DictRow, Balance]]:
    """Each asset (its row) that the wallet of ``holder`` has an account of, with what it has of it."""
    held = connection.execute(
        "SELECT * FROM ledger_asset AS asset WHERE owner = %(owner)s AND EXISTS ("
        " SELECT FROM ledger_account AS account WHERE account.asset_id = asset.id"
        " AND account.wallet = ledger_wallet_of(%(owner)s, %(holder)s) AND account.kind IN ('member', 'arrears'))"
        " ORDER BY brand, code",
        {"owner": owner, "holder": holder},
    ).fetchall()
    return [(asset, balance(connection, asset["id"], holder, at=at)) for asset in held]
