"""What proves a balance: the postings of a wallet, what its lots' points went for, and when what is left will go."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow

MAX_WENT: Final = 5_000

_POSTINGS: Final = """
    SELECT posting.transfer_id, posting.amount AS points, account.kind AS account, account.holder, posting.lot_id,
        CASE asset.brand WHEN '' THEN asset.code ELSE asset.brand || '/' || asset.code END AS programme,
        lot.issuer, nullif(lot.due, 'infinity') AS due, origin.id AS origin_id, origin.reference AS origin_reference,
        origin.kind AS origin_kind
    FROM ledger_posting AS posting
    JOIN ledger_account AS account ON account.id = posting.account_id AND account.kind IN ('member', 'arrears')
        AND account.wallet = (SELECT ledger_wallet_of(%(owner)s, %(holder)s))
    JOIN ledger_asset AS asset ON asset.id = account.asset_id AND asset.owner = %(owner)s
    LEFT JOIN points_lot AS lot ON lot.id = posting.lot_id
    LEFT JOIN ledger_transfer AS origin ON origin.id = lot.transfer_id
    WHERE posting.transfer_id = ANY (%(ids)s::bigint[]) ORDER BY posting.transfer_id, posting.line
"""

_SUMS: Final = """
    SELECT transfer.kind, sum(posting.amount)::bigint AS points, count(DISTINCT transfer.id)::bigint AS transfers
    FROM ledger_account AS account
    JOIN ledger_posting AS posting ON posting.account_id = account.id
    JOIN ledger_transfer AS transfer ON transfer.id = posting.transfer_id
    WHERE account.asset_id = %(asset)s AND account.kind = 'member'
        AND account.wallet = (SELECT ledger_wallet_of(%(owner)s, %(holder)s))
    GROUP BY transfer.kind ORDER BY transfer.kind
"""

_CHANGES: Final = """
    SELECT transfer.id AS transfer_id, transfer.kind, transfer.reference, transfer.happened_at, transfer.recorded_at,
        sum(posting.amount)::bigint AS points
    FROM ledger_account AS account
    JOIN ledger_posting AS posting ON posting.account_id = account.id
    JOIN ledger_transfer AS transfer ON transfer.id = posting.transfer_id AND transfer.recorded_at > %(since)s
    WHERE account.asset_id = %(asset)s AND account.kind = 'member'
        AND account.wallet = (SELECT ledger_wallet_of(%(owner)s, %(holder)s))
    GROUP BY transfer.id ORDER BY transfer.id DESC LIMIT %(limit)s
"""

_WENT: Final = """
    SELECT posting.lot_id, transfer.id AS transfer_id, transfer.kind, transfer.reference, transfer.happened_at,
        sum(posting.amount)::bigint AS points
    FROM points_lot AS lot
    JOIN ledger_posting AS posting ON posting.account_id = lot.account_id AND posting.lot_id = lot.id
    JOIN ledger_transfer AS transfer ON transfer.id = posting.transfer_id
    WHERE lot.id = ANY (%(lots)s::bigint[]) AND transfer.id <> lot.transfer_id
    GROUP BY posting.lot_id, transfer.id ORDER BY posting.lot_id, transfer.id LIMIT %(limit)s
"""

_NEXT_DUE: Final = """
    SELECT lot.due, sum(lot.remaining)::bigint AS points
    FROM ledger_account AS account JOIN points_lot AS lot ON lot.account_id = account.id AND lot.is_open
    WHERE account.asset_id = %(asset)s AND account.kind = 'member' AND lot.due > %(at)s AND lot.due < 'infinity'
        AND account.wallet = (SELECT ledger_wallet_of(%(owner)s, %(holder)s))
    GROUP BY lot.due ORDER BY lot.due LIMIT 1
"""

# The last month that is told holds what is due later too. What ends at a month's first instant belongs to the last one.
_DUE: Final = """
    SELECT CASE asset.brand WHEN '' THEN asset.code ELSE asset.brand || '/' || asset.code END AS programme,
        CASE WHEN lot.due < 'infinity' THEN least(
            date_trunc('month', (lot.due - interval '1 microsecond') AT TIME ZONE %(zone)s),
            date_trunc('month', now() AT TIME ZONE %(zone)s) + %(months)s * interval '1 month')::date END AS month,
        sum(lot.remaining)::bigint AS points
    FROM ledger_asset AS asset
    JOIN ledger_account AS account ON account.asset_id = asset.id AND account.kind = 'member'
    JOIN points_lot AS lot ON lot.account_id = account.id AND lot.is_open
    WHERE asset.owner = %(owner)s AND asset.brand = %(brand)s AND asset.kind = 'points'
    GROUP BY 1, 2 ORDER BY 1, 2 NULLS LAST
"""

_OF_BRAND: Final = """
    WITH given AS (
        SELECT DISTINCT ledger_wallet_of(%(owner)s, holder) AS wallet FROM unnest(%(holders)s::text[]) AS holder
    )
    SELECT 1 FROM member WHERE owner = %(owner)s AND brand = %(brand)s AND id = ANY (ARRAY(
        SELECT (CASE WHEN holder ~ '^[1-9][0-9]{0,17}$' THEN holder END)::bigint FROM (
            SELECT wallet AS holder FROM given
            UNION SELECT peer.holder FROM given
                JOIN ledger_wallet AS peer ON peer.owner = %(owner)s AND peer.wallet = given.wallet) AS named)) LIMIT 1
"""


def postings_of(
    connection: Connection[DictRow], owner: str, holder: str, transfer_ids: Sequence[int]
) -> dict[int, list[DictRow]]:
    """The postings of some transfers that touch the holder's wallet, by transfer, each with its lot and its origin."""
    found: defaultdict[int, list[DictRow]] = defaultdict(list)
    given = {"owner": owner, "holder": holder, "ids": list(transfer_ids)}
    for row in connection.execute(_POSTINGS, given):
        found[row.pop("transfer_id")].append(row)
    return found


def sums_by_kind(connection: Connection[DictRow], owner: str, asset_id: int, holder: str) -> list[DictRow]:
    """What each kind of transfer brought the wallet in all: ``kind``, ``points``, ``transfers``."""
    return connection.execute(_SUMS, {"owner": owner, "asset": asset_id, "holder": holder}).fetchall()


def recorded_since(
    connection: Connection[DictRow], owner: str, asset_id: int, holder: str, since: datetime, *, limit: int
) -> list[DictRow]:
    """What was recorded of the wallet since a time, newest first, whenever it happened."""
    given = {"owner": owner, "asset": asset_id, "holder": holder, "since": since, "limit": limit}
    return connection.execute(_CHANGES, given).fetchall()


def went_for(connection: Connection[DictRow], lot_ids: Sequence[int]) -> dict[int, list[DictRow]]:
    """What moved these lots after they had come, by lot, oldest first; MAX_WENT in all."""
    found: defaultdict[int, list[DictRow]] = defaultdict(list)
    for row in connection.execute(_WENT, {"lots": list(lot_ids), "limit": MAX_WENT}):
        found[row.pop("lot_id")].append(row)
    return found


def next_due(
    connection: Connection[DictRow], owner: str, asset_id: int, holder: str, *, at: datetime
) -> DictRow | None:
    """When the next points of the wallet go after ``at``, and how many: ``due``, ``points``; None if none ever do."""
    given = {"owner": owner, "asset": asset_id, "holder": holder, "at": at}
    return connection.execute(_NEXT_DUE, given).fetchone()


def due_by_month(
    connection: Connection[DictRow], owner: str, brand: str, *, zone: str, months: int
) -> list[dict[str, Any]]:
    """What is left of a brand's programmes by the month of its last day: ``programme``, ``month``, ``points``.

    ``month`` is its first day, None for what never ends; the last of ``months`` has what ends later too.
    """
    given = {"owner": owner, "brand": brand, "zone": zone, "months": months}
    return connection.execute(_DUE, given).fetchall()


def is_of_brand(connection: Connection[DictRow], owner: str, brand: str, holders: Sequence[str]) -> bool:
    """Whether somebody in the wallets of these holders is a member of the brand."""
    given = {"owner": owner, "brand": brand, "holders": list(holders)}
    return connection.execute(_OF_BRAND, given).fetchone() is not None
