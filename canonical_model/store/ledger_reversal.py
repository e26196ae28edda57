"""Reversal: a transfer is taken back in whole or in part, and the lots that it took from have their units again."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from canonical_model.errors import NotFoundError, RejectedError
from canonical_model.ledger import MAX_POINTS, Done, Short
from canonical_model.store.ledger_holds import check_key, fingerprint, key_conflict

MAX_GRACE_DAYS: Final = 3_660

_REVERSE: Final = "SELECT * FROM ledger_reverse(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


def reverse(
    connection: Connection[DictRow],
    owner: str,
    brand: str,
    key: str,
    transfer_id: int,
    *,
    amount: int | None = None,
    happened_at: datetime,
    now: datetime,
    grace_until: datetime | None = None,
    short: Short = Short.REFUSE,
    detail: Mapping[str, Any] | None = None,
) -> Done:
    """Give back ``amount`` (None: all that is left) of what a transfer took: the last taken first, to the same lots.

    All reversals of a transfer together never give back more than it took. A transfer that also gave lots, or that is
    about several assets, goes back whole; if what it gave is spent, that is refused, or owed (``short``).

    What lies in the future is taken as ``now``: no date of a caller's expires what is not due.
    Lots that are due by ``happened_at`` live on until ``grace_until``; without, what came back to them expires at once.
    What the wallet owes is repaid from what came back. Both are transfers of their own, with the keys ``expire:{key}``
    and ``repay:{key}``. Debts that were repaid meanwhile are owed again first (``owe:{key}``), and the lots that repaid
    them have it back.

    The same key and content: the same answer. NotFoundError: points.transfer_unknown. RejectedError:
    points.over_reversed (``available``: what is left), points.whole_only, points.spent, points.not_reversible (claw an
    earn back instead), points.amount, points.expiry.
    """
    check_key(key)
    at = min(happened_at, now)
    _check(key, amount, at, grace_until)
    content = {"reverses": transfer_id, "amount": amount, "happened_at": happened_at.astimezone(UTC)}
    grace = {"grace_until": grace_until.astimezone(UTC).isoformat()} if grace_until else {}
    print_of = fingerprint({**content, **grace, "short": short, "detail": dict(detail or {})})
    said = {**(detail or {}), **grace}
    asked = [owner, brand, key, print_of, transfer_id, amount, at]
    row = connection.execute(_REVERSE, [*asked, grace_until, short is Short.ARREARS, Jsonb(said), now]).fetchone()
    assert row is not None
    if row["outcome"] not in {"done", "repeated"}:
        raise _refused(key, transfer_id, amount, row)
    return Done(row["id"], repeated=row["outcome"] == "repeated")


def _check(key: str, amount: int | None, at: datetime, grace_until: datetime | None) -> None:
    if amount is not None and (type(amount) is not int or not 0 < amount <= MAX_POINTS):
        raise RejectedError(
            f"{key}: amount must be a whole number of 1 to {MAX_POINTS}, not {amount}",
            code="points.amount",
            key=key,
            field="amount",
        )
    if grace_until is not None and not timedelta() < grace_until - at <= timedelta(days=MAX_GRACE_DAYS):
        raise RejectedError(
            f"{key}: grace_until must be after happened_at, by at most {MAX_GRACE_DAYS} days, not {grace_until}",
            code="points.expiry",
            key=key,
            field="grace_until",
        )


def _refused(key: str, transfer_id: int, amount: int | None, row: DictRow) -> RejectedError:
    left = row["available"]
    match row["outcome"]:
        case "conflict":
            return key_conflict(key)
        case "missing":
            return NotFoundError(
                f"{key}: there is no transfer {transfer_id}; look for it by its key", code="points.transfer_unknown"
            )
        case "fixed":
            detail = f"transfer {transfer_id} took nothing that could go back; claw an earn back instead"
            code = "points.not_reversible"
        case "whole":
            detail = f"transfer {transfer_id} goes back whole, all {left} of it; leave the amount out"
            code = "points.whole_only"
        case "over":
            detail = (
                f"{left} of transfer {transfer_id} are left to reverse, not {amount or 'any'}; ask for at most that"
            )
            code = "points.over_reversed"
        case _:
            detail = f"of what transfer {transfer_id} gave only {left} are left; reverse it with short='arrears'"
            code = "points.spent"
    return RejectedError(f"{key}: {detail}", code=code, key=key, transfer_id=transfer_id, available=left)
