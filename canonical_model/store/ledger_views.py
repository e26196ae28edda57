"""What the ledger can be asked: transfers and lots with their histories, balances as they were, what issuers owe."""

from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import NotFoundError
from canonical_model.ledger import AccountKind

MAX_PAGE: Final = 500
MAX_LOTS: Final = 10_000

_POSTINGS: Final = """
    SELECT posting.line, posting.account_id, account.kind AS account_kind, account.holder, account.asset_id,
        CASE asset.brand WHEN '' THEN asset.code ELSE asset.brand || '/' || asset.code END AS asset,
        posting.amount, posting.lot_id, lot.issuer, lot.expires_at,
        nullif(lot.due, 'infinity') AS due, origin.key AS lot_key
    FROM ledger_posting AS posting
    JOIN ledger_account AS account ON account.id = posting.account_id
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    LEFT JOIN points_lot AS lot ON lot.id = posting.lot_id
    LEFT JOIN ledger_transfer AS origin ON origin.id = lot.transfer_id
    WHERE posting.transfer_id = %s ORDER BY posting.line
"""

_TRANSFER: Final = """
    SELECT transfer.id, transfer.brand, transfer.key, transfer.kind, transfer.reference, transfer.reverses,
        transfer.rules_version, transfer.happened_at, transfer.recorded_at, transfer.detail
    FROM ledger_transfer AS transfer
"""

_LISTED: Final = """
    SELECT transfer.id, transfer.brand, transfer.key, transfer.kind, transfer.reference, transfer.reverses,
        transfer.rules_version, transfer.happened_at, transfer.recorded_at, transfer.detail
    FROM ledger_transfer AS transfer
    WHERE transfer.owner = %(owner)s AND transfer.id < coalesce(%(after)s, 9223372036854775807)
        AND (%(brand)s::text IS NULL OR transfer.brand = %(brand)s)
        AND (%(reference)s::text IS NULL OR transfer.reference = %(reference)s)
        AND (%(kind)s::text IS NULL OR transfer.kind = %(kind)s)
        AND (%(account)s::bigint IS NULL OR transfer.id IN (
            SELECT transfer_id FROM ledger_posting WHERE account_id = %(account)s))
        AND (%(holder)s::text IS NULL OR transfer.id IN (
            SELECT posting.transfer_id FROM ledger_asset AS asset
            JOIN ledger_account AS own ON own.asset_id = asset.id
                AND own.wallet = ledger_wallet_of(%(owner)s, %(holder)s) AND own.kind IN ('member', 'arrears')
            JOIN ledger_posting AS posting ON posting.account_id = own.id
            WHERE asset.owner = %(owner)s))
    ORDER BY transfer.id DESC LIMIT %(limit)s
"""

# What is sealed is summed already; what is not, is summed here.
_STATEMENT: Final = """
    WITH asset AS (SELECT owner FROM ledger_asset WHERE id = %(asset_id)s),
    moved AS (
        SELECT issuer, kind, amount, cost_micro FROM ledger_issuer_sum WHERE asset_id = %(asset_id)s
        UNION ALL
        SELECT later.issuer, later.kind, later.amount, later.cost_micro
        FROM asset CROSS JOIN LATERAL ledger_issuer_sums(
            asset.owner, (SELECT coalesce(max(transfer_id), 0) FROM ledger_seal WHERE owner = asset.owner),
            9223372036854775807) AS later
        WHERE later.asset_id = %(asset_id)s
    )
    SELECT issuer,
        coalesce(sum(amount) FILTER (WHERE kind = 'issued'), 0)::bigint AS issued,
        coalesce(-sum(amount) FILTER (WHERE kind = 'spent'), 0)::bigint AS spent,
        coalesce(-sum(amount) FILTER (WHERE kind = 'expired'), 0)::bigint AS expired,
        coalesce(-sum(amount) FILTER (WHERE kind = 'exchanged_out'), 0)::bigint AS exchanged_out,
        coalesce(-sum(amount) FILTER (WHERE kind = 'clawed_back'), 0)::bigint AS clawed_back,
        sum(amount)::bigint AS outstanding, sum(cost_micro) AS liability_micro
    FROM moved GROUP BY issuer ORDER BY issuer
"""


def as_of(
    connection: Connection[DictRow],
    asset_id: int,
    holder: str,
    *,
    kind: AccountKind = AccountKind.MEMBER,
    happened_to: datetime | None = None,
    recorded_to: datetime | None = None,
) -> int:
    """What one account had of what had happened by ``happened_to``, as far as it was recorded by ``recorded_to``.

    None: no limit. An account of a holder, not their wallet; 0 for one that is not there.
    """
    row = connection.execute(
        """
        SELECT coalesce(sum(posting.amount), 0)::bigint AS units
        FROM ledger_account AS account
        JOIN ledger_posting AS posting ON posting.account_id = account.id
        JOIN ledger_transfer AS transfer ON transfer.id = posting.transfer_id
        WHERE account.asset_id = %s AND account.kind = %s AND account.holder = %s
            AND transfer.happened_at <= coalesce(%s, 'infinity'::timestamptz)
            AND transfer.recorded_at <= coalesce(%s, 'infinity'::timestamptz)
        """,
        [asset_id, kind, holder, happened_to, recorded_to],
    ).fetchone()
    assert row is not None
    return int(row["units"])


def list_transfers(
    connection: Connection[DictRow],
    owner: str,
    *,
    brand: str | None = None,
    holder: str | None = None,
    account: int | None = None,
    reference: str | None = None,
    kind: str | None = None,
    after: int | None = None,
    limit: int = 100,
) -> list[DictRow]:
    """Transfers, the newest first, without their postings; at most MAX_PAGE. ``after``: the last id of the page before.

    ``holder``: those that touched an account in the holder's wallet; ``account``: that account, by its id.
    """
    return connection.execute(
        _LISTED,
        {
            "owner": owner,
            "brand": brand,
            "holder": holder,
            "account": account,
            "reference": reference,
            "kind": kind,
            "after": after,
            "limit": min(limit, MAX_PAGE),
        },
    ).fetchall()


def get_transfer(connection: Connection[DictRow], owner: str, transfer_id: int) -> dict[str, Any]:
    """A transfer with its ``postings`` (each with account and lot) and the ids of those that reverse it.

    NotFoundError: points.transfer_unknown.
    """
    row = connection.execute(
        _TRANSFER + " WHERE transfer.owner = %s AND transfer.id = %s", [owner, transfer_id]
    ).fetchone()
    if row is None:
        raise NotFoundError(
            f"there is no transfer {transfer_id}; look for it by its reference", code="points.transfer_unknown"
        )
    return _whole(connection, row)


def find_transfer(connection: Connection[DictRow], owner: str, brand: str, key: str) -> dict[str, Any] | None:
    """As ``get_transfer``, by its key; None if there is none."""
    row = connection.execute(
        _TRANSFER + " WHERE transfer.owner = %s AND transfer.brand = %s AND transfer.key = %s", [owner, brand, key]
    ).fetchone()
    return _whole(connection, row) if row else None


def list_lots(
    connection: Connection[DictRow], asset_id: int, holder: str, *, open_only: bool = True, limit: int = MAX_LOTS
) -> list[DictRow]:
    """Lots in the holder's wallet in the order in which they are spent, with the key and reference they came by.

    ``due``: when the lot goes, None for never.
    """
    return connection.execute(
        """
        SELECT lot.id, lot.account_id, lot.transfer_id, lot.issuer, lot.cost_micro, lot.earned_at, lot.expires_at,
            lot.grace_until, nullif(lot.due, 'infinity') AS due, lot.amount, lot.remaining, lot.held, account.holder,
            origin.key AS origin_key, origin.reference AS origin_reference
        FROM ledger_asset AS asset
        JOIN ledger_account AS account ON account.asset_id = asset.id AND account.kind = 'member'
            AND account.wallet = ledger_wallet_of(asset.owner, %(holder)s)
        JOIN points_lot AS lot ON lot.account_id = account.id AND (lot.is_open OR NOT %(open_only)s)
        JOIN ledger_transfer AS origin ON origin.id = lot.transfer_id
        WHERE asset.id = %(asset_id)s ORDER BY lot.due, lot.id LIMIT %(limit)s
        """,
        {"asset_id": asset_id, "holder": holder, "open_only": open_only, "limit": min(limit, MAX_LOTS)},
    ).fetchall()


def issuer_statement(connection: Connection[DictRow], asset_id: int) -> list[DictRow]:
    """For each issuer of an asset's lots: issued = spent + expired + exchanged_out + clawed_back + outstanding.

    Clawed back is also what repaid a debt, and what an adjustment took. ``liability_micro``: what the outstanding ones
    cost the issuer, in millionths of a minor unit.
    """
    return connection.execute(_STATEMENT, {"asset_id": asset_id}).fetchall()


def _whole(connection: Connection[DictRow], row: DictRow) -> dict[str, Any]:
    reversals = connection.execute("SELECT id FROM ledger_transfer WHERE reverses = %s ORDER BY id", [row["id"]])
    postings = connection.execute(_POSTINGS, [row["id"]])
    return {**row, "reversed_by": [each["id"] for each in reversals], "postings": postings.fetchall()}
