"""The points ledger: transfers, each made in whole or not at all, and once for each (owner, brand, key).

Whoever else writes postings (holds, reversals, expiry) goes through the same guards, ``sql/ledger_10_guard.sql``, and
keeps to the same order: wallets are kept (``ledger_keep_wallets``), the wallets' member and arrears accounts locked by
id, FOR NO KEY UPDATE, keys and lots read, and then transfers numbered. So the order of their numbers is an order in
which they could have been made one after another.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError, NotFoundError, RejectedError
from canonical_model.ledger import AssetKind, Balance, Command, Done, Give, Move, Short, Take
from canonical_model.store.ledger_batch import Batch
from canonical_model.store.ledger_commands import Checked, column, conflict, insufficient, too_many_lots, unknown

MAX_BATCH: Final = 1000

_APPLY_ONE: Final = (
    "SELECT * FROM ledger_apply_one(%s, %s, %s, %s, %s, %s, %s, %s::bigint, %s::integer, %s, %s::jsonb, %s::text[],"
    " %s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::timestamptz[])"
)


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
    says what is ``available`` and ``wanted``), points.unknown, points.limit, and what ``Checked`` says.
    """
    if len(commands) == 1:
        return [_one(connection, owner, brand, commands[0], now)]
    answers: list[Done | RejectedError | None] = [None] * len(commands)
    for start in range(0, len(commands), MAX_BATCH):
        batch: dict[int, Checked] = {}
        for place in range(start, min(start + MAX_BATCH, len(commands))):
            try:
                batch[place] = Checked(commands[place])
            except RejectedError as error:
                answers[place] = error
        if batch:
            done = Batch(connection, owner, brand, [*batch.values()]).apply(now)
            for place, answer in zip(batch, done, strict=True):
                answers[place] = answer
    return [answer for answer in answers if answer is not None]


def apply_one(connection: Connection[DictRow], owner: str, brand: str, command: Command, *, now: datetime) -> Done:
    """As ``apply`` for one command; raises what is not done. One round trip."""
    answer = _one(connection, owner, brand, command, now)
    if isinstance(answer, RejectedError):
        raise answer
    return answer


def _one(
    connection: Connection[DictRow], owner: str, brand: str, command: Command, now: datetime
) -> Done | RejectedError:
    try:
        checked = Checked(command)
    except RejectedError as error:
        return error
    command = checked.command
    takes, gives, moves = command.takes, command.gives, command.moves
    lines: list[Take | Give | Move] = [*takes, *gives, *moves]
    roles = ["take" if take.short is Short.REFUSE else "owe" for take in takes] + ["give"] * len(gives)
    row = connection.execute(
        _APPLY_ONE,
        [
            owner, brand, now, command.key, checked.fingerprint, command.kind, command.reference, command.reverses,
            command.rules_version, command.happened_at, checked.detail,
            column(roles + [move.kind for move in moves]),
            column([line.asset_id for line in lines]),
            column([line.holder for line in lines]),
            column([line.amount for line in lines]),
            column([take.first_from for take in takes]),
            column([give.issuer for give in gives]),
            column([give.cost_micro for give in gives]),
            column([give.expires_at for give in gives]),
        ],
    ).fetchone()  # fmt: skip
    assert row is not None
    match row["outcome"]:
        case "done" | "repeated" as outcome:
            return Done(row["id"], repeated=outcome == "repeated")
        case "conflict":
            return conflict(command)
        case "unknown":
            return unknown(command)
        case "limit":
            return too_many_lots(command)
    return insufficient(command, takes[row["number"] - 1], row["available"])


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
