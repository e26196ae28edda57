"""Holds of points: units of certain lots that are kept for somebody. A hold ends once: posted, voided or expired.

What a hold keeps neither is taken by others nor expires. A hold may be posted after ``expires_at`` until somebody has
expired it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from canonical_model.errors import ConflictError, LimitError, NotFoundError, RejectedError
from canonical_model.ledger import MAX_KEY, MAX_POINTS, Command, Done, HoldCommand, Take
from canonical_model.store.ledger_commands import Checked

EXPIRY_BATCH: Final = 1_000
MAX_LOTS: Final = 10_000

_HOLD: Final = "SELECT * FROM ledger_hold_units(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_POST: Final = "SELECT * FROM ledger_post_hold(%s, %s, %s, %s, %s, %s, %s)"


def hold(connection: Connection[DictRow], owner: str, brand: str, command: HoldCommand, *, now: datetime) -> Done:
    """Keep units of the wallet's lots that are not due by ``happened_at``, the earliest due first; the hold's id.

    The same key and content: the same answer. RejectedError: points.insufficient (``available``, ``wanted``),
    points.amount, points.key, points.expiry, points.account; ConflictError (points.key_conflict) for another content.
    LimitError (points.limit; ``available``) beyond MAX_LOTS lots: posting never has too many.
    """
    _check(command)
    fields = [command.asset_id, command.holder, command.amount, command.reference]
    times = [command.happened_at, command.expires_at]
    row = connection.execute(
        _HOLD, [owner, brand, command.key, _hold_fingerprint(command), *fields, *times, now, MAX_LOTS]
    ).fetchone()
    assert row is not None
    match row["outcome"]:
        case "conflict":
            raise key_conflict(command.key)
        case "unknown":
            raise NotFoundError(
                f"{command.key}: asset_id {command.asset_id} is not this owner's; take the id from get_asset",
                code="points.unknown",
                key=command.key,
            )
        case "insufficient":
            raise RejectedError(
                f"{command.key}: {command.amount} are wanted and {row['available']} available; take at most that",
                code="points.insufficient",
                key=command.key,
                asset_id=command.asset_id,
                available=row["available"],
                wanted=command.amount,
            )
        case "limit":
            raise LimitError(
                f"{command.key}: {command.amount} lie in more than {MAX_LOTS} lots; hold at most {row['available']}",
                code="points.limit",
                key=command.key,
                available=row["available"],
                wanted=command.amount,
            )
    return Done(row["id"], repeated=row["outcome"] == "repeated")


def post_hold(
    connection: Connection[DictRow],
    owner: str,
    brand: str,
    hold_key: str,
    command: Command,
    *,
    amount: int | None = None,
    now: datetime,
) -> Done:
    """Make ``command`` of ``amount`` (None: all) of what the hold keeps, the earliest due first; the rest is free.

    ``command`` has the gives and moves that balance it, and no takes. The same key and content: the same answer,
    also when the hold has ended since. NotFoundError: points.hold_unknown. RejectedError: points.hold_ended (``state``
    says how: posted under another key, voided or expired), points.amount, points.unbalanced, points.account.
    """
    kept = find_hold(connection, owner, brand, hold_key)
    if kept is None:
        raise NotFoundError(f"there is no hold {hold_key!r}; hold first", code="points.hold_unknown", key=hold_key)
    units = kept["amount"] if amount is None else amount
    if command.takes or command.reverses is not None:
        raise RejectedError(
            f"{command.key}: takes and reverses do not go with a hold; leave them out", code="points.account"
        )
    if type(units) is not int or not 0 < units <= kept["amount"]:
        raise RejectedError(
            f"{command.key}: amount must be 1 to {kept['amount']}, what {hold_key!r} keeps, not {units}",
            code="points.amount",
            key=command.key,
        )
    whole = replace(command, takes=(Take(kept["asset_id"], kept["wallet"], units),))
    checked = Checked(whole)
    body = orjson.dumps(checked.command, default=dict)
    fingerprint = hashlib.sha256(orjson.dumps([hold_key, checked.fingerprint])).digest()
    row = connection.execute(
        _POST, [owner, brand, hold_key, units, now, fingerprint, Jsonb(orjson.loads(body))]
    ).fetchone()
    assert row is not None
    if row["outcome"] == "conflict":
        raise key_conflict(command.key)
    if row["outcome"] == "unknown":
        raise NotFoundError(
            f"{command.key}: it names an asset that is not this owner's; take the id from get_asset",
            code="points.unknown",
            key=command.key,
        )
    if row["outcome"] == "ended":
        raise RejectedError(
            f"the hold {hold_key!r} is {row['state']} already; hold anew, under another key",
            code="points.hold_ended",
            key=hold_key,
            state=row["state"],
        )
    return Done(row["id"], repeated=row["outcome"] == "repeated")


def void_hold(connection: Connection[DictRow], owner: str, brand: str, hold_key: str, *, now: datetime) -> bool:
    """Give back what the hold keeps. False if it had ended before, however; NotFoundError: points.hold_unknown."""
    kept = find_hold(connection, owner, brand, hold_key)
    if kept is None:
        raise NotFoundError(f"there is no hold {hold_key!r}", code="points.hold_unknown", key=hold_key)
    ended = connection.execute("SELECT ledger_end_holds(ARRAY[%s::bigint], 'voided', %s)", [kept["id"], now])
    return bool(ended.fetchall())


def expire_holds(connection: Connection[DictRow], now: datetime, limit: int = EXPIRY_BATCH) -> int:
    """End up to ``limit`` holds (of every owner) that were due by ``now``; how many. Commit between two calls."""
    due = connection.execute(
        "SELECT id FROM ledger_hold WHERE state = 'active' AND expires_at <= %s ORDER BY expires_at LIMIT %s",
        [now, limit],
    ).fetchall()
    if not due:
        return 0
    ended = connection.execute(
        "SELECT ledger_end_holds(%s::bigint[], 'expired', %s)", [[row["id"] for row in due], now]
    )
    return len(ended.fetchall())


def find_hold(connection: Connection[DictRow], owner: str, brand: str, key: str) -> DictRow | None:
    """The hold of that key (its row: state, amount, posted, transfer_id …), or None."""
    return connection.execute(
        "SELECT * FROM ledger_hold WHERE owner = %s AND brand = %s AND key = %s", [owner, brand, key]
    ).fetchone()


def key_conflict(key: str) -> ConflictError:
    """The error for a key that was used before for something else."""
    return ConflictError(
        f"the key {key!r} was used for something else; take a new key", code="points.key_conflict", key=key
    )


def fingerprint(fields: Mapping[str, Any]) -> bytes:
    """What tells two contents under one key apart: a hash of their canonical JSON."""
    return hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).digest()


def check_key(key: str) -> None:
    """RejectedError (points.key) unless ``key`` can name something."""
    if not 0 < len(key) <= MAX_KEY or "\x00" in key:
        raise RejectedError(f"key must have 1 to {MAX_KEY} characters, not {len(key)}", code="points.key")


def _check(command: HoldCommand) -> None:
    check_key(command.key)
    amount = command.amount
    if type(amount) is not int or not 0 < amount <= MAX_POINTS:
        raise RejectedError(
            f"{command.key}: amount must be a whole number of 1 to {MAX_POINTS}, not {amount}",
            code="points.amount",
            key=command.key,
            field="amount",
        )
    if not 0 < len(command.holder) <= MAX_KEY or "\x00" in command.holder or len(command.reference) > MAX_KEY:
        raise RejectedError(
            f"{command.key}: holder and reference must have at most {MAX_KEY} characters, and a holder one",
            code="points.account",
            key=command.key,
        )
    if command.expires_at <= command.happened_at:
        raise RejectedError(
            f"{command.key}: expires_at must be after happened_at", code="points.expiry", key=command.key
        )


def _hold_fingerprint(command: HoldCommand) -> bytes:
    times = {name: getattr(command, name).astimezone(UTC) for name in ("happened_at", "expires_at")}
    names = ("asset_id", "holder", "amount", "reference")
    return fingerprint({**{name: getattr(command, name) for name in names}, **times})
