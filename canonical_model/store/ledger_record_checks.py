"""Whether what the ledger keeps beside its balances is what was recorded: numbers, wallets, holds, graces, lots."""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store.ledger_checks import Broken

LOTS: Final = 100_000
_FETCHED: Final = 1_000

# The chain begins at 1: nothing can be below it.
_BELOW: Final = """
    SELECT 'entry ' || brand || ' ' || key AS place,
        'its number ' || id || ' is below all that is sealed; remove it with its postings' AS reason
    FROM ledger_transfer WHERE owner = %(owner)s AND id <= 0
    UNION ALL
    SELECT DISTINCT 'transfer ' || posting.transfer_id, 'its number is below all that is sealed; remove its postings'
    FROM ledger_posting AS posting JOIN ledger_account AS account ON account.id = posting.account_id
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    WHERE asset.owner = %(owner)s AND posting.transfer_id <= 0
    UNION ALL
    SELECT 'account ' || asset.code || ' ' || account.kind || ' ' || account.holder,
        'its number ' || account.id || ' is none that the ledger gives; remove it with its postings'
    FROM ledger_account AS account JOIN ledger_asset AS asset ON asset.id = account.asset_id
    WHERE asset.owner = %(owner)s AND account.id <= 0
    LIMIT %(limit)s
"""

# A holder is where the last merge, un-merge or extract put them.
_WALLETS: Final = """
    WITH last AS (
        SELECT DISTINCT ON (holder) holder, wallet FROM ledger_wallet_change WHERE owner = %(owner)s
        ORDER BY holder, id DESC
    ), named AS (
        SELECT holder, wallet FROM ledger_wallet WHERE owner = %(owner)s
    )
    SELECT 'holder ' || holder AS place,
        'it is in the wallet ' || coalesce(named.wallet, holder) || ', what was recorded of its merges says '
            || coalesce(last.wallet, holder) || '; put it there, with its accounts' AS reason
    FROM last FULL JOIN named USING (holder)
    WHERE coalesce(last.wallet, holder) <> coalesce(named.wallet, holder)
    ORDER BY holder LIMIT %(limit)s
"""

# A hold, also one that has ended, names lots for all of its amount; a posted one was posted to those.
_HOLDS: Final = """
    SELECT 'hold ' || hold.key AS place, CASE
        WHEN hold.amount <> pinned.amount
            THEN 'its lots hold ' || pinned.amount || ', it says ' || hold.amount || '; '
                || CASE hold.state WHEN 'active' THEN 'void it' ELSE 'restore it from a backup' END
        ELSE 'it says that ' || hold.posted || ' were posted, its transfer says ' || posted.amount
            || '; restore it from a backup' END AS reason
    FROM ledger_hold AS hold
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS amount FROM ledger_hold_lot WHERE hold_id = hold.id
    ) AS pinned
    CROSS JOIN LATERAL (
        SELECT coalesce(-sum(posting.amount), 0) AS amount
        FROM ledger_posting AS posting JOIN ledger_transfer AS entry ON entry.id = posting.transfer_id
        WHERE posting.transfer_id = hold.transfer_id AND entry.owner = hold.owner AND hold.state = 'posted'
            AND EXISTS (SELECT FROM ledger_hold_lot WHERE hold_id = hold.id AND lot_id = posting.lot_id)
    ) AS posted
    WHERE hold.owner = %(owner)s AND (hold.amount <> pinned.amount OR hold.posted <> posted.amount)
    ORDER BY hold.id LIMIT %(limit)s
"""

# The transfer that made a lot posted to it.
_ORIGINS: Final = """
    SELECT 'lot ' || lot.id || ' of ' || asset.code || ' ' || account.holder AS place,
        'no transfer made it; remove it' AS reason
    FROM points_lot AS lot JOIN ledger_account AS account ON account.id = lot.account_id
    JOIN ledger_asset AS asset ON asset.id = account.asset_id AND asset.owner = %(owner)s
    WHERE lot.id > %(after)s AND lot.id <= %(until)s AND NOT EXISTS (
        SELECT FROM ledger_posting AS posting
        WHERE posting.transfer_id = lot.transfer_id AND posting.lot_id = lot.id
            AND posting.account_id = lot.account_id AND posting.amount > 0)
    ORDER BY lot.id LIMIT %(limit)s
"""

# What gave lots a grace, in its order, and the grace that they have.
_GRACES: Final = """
    WITH granted AS MATERIALIZED (
        SELECT posting.lot_id, back.id, back.happened_at, (back.detail ->> 'grace_until')::timestamptz AS until
        FROM ledger_transfer AS back JOIN ledger_posting AS posting ON posting.transfer_id = back.id
        WHERE back.owner = %(owner)s AND back.kind IN ('reverse', 'repay') AND back.detail ? 'grace_until'
            AND posting.lot_id IS NOT NULL AND posting.amount > 0
    ), graced AS (
        SELECT lot_id FROM granted
        UNION
        SELECT lot.id FROM points_lot AS lot JOIN ledger_account AS account ON account.id = lot.account_id
        JOIN ledger_asset AS asset ON asset.id = account.asset_id AND asset.owner = %(owner)s
        WHERE lot.grace_until IS NOT NULL
    )
    SELECT lot.id, lot.expires_at, lot.grace_until, granted.happened_at, granted.until
    FROM graced JOIN points_lot AS lot ON lot.id = graced.lot_id LEFT JOIN granted ON granted.lot_id = lot.id
    ORDER BY lot.id, granted.id
"""


def wrong_with_records(connection: Connection[DictRow], owner: str, limit: int) -> list[Broken]:
    """Up to ``limit`` numbers, wallets, holds, lots and graces that are not as recorded, each with what to do."""
    row = connection.execute("SELECT coalesce(max(id), 0) AS lot FROM points_lot").fetchone()
    assert row is not None
    pages = [(check, 0, 0) for check in (_BELOW, _WALLETS, _HOLDS)]
    pages += [(_ORIGINS, after, LOTS) for after in range(0, row["lot"], LOTS)]
    broken: list[Broken] = []
    for check, after, size in pages:
        if len(broken) >= limit:
            return broken
        asked = {"owner": owner, "after": after, "until": after + size, "limit": limit - len(broken)}
        broken.extend(Broken(each["place"], each["reason"]) for each in connection.execute(check, asked))
    broken.extend(islice(_graces(connection, owner), limit - len(broken)))
    return broken


def _graces(connection: Connection[DictRow], owner: str) -> Iterator[Broken]:
    with connection.cursor("ledger_graces") as cursor:
        cursor.itersize = _FETCHED
        cursor.execute(_GRACES, {"owner": owner})
        for lot_id, rows in groupby(cursor, itemgetter("id")):
            grants = list(rows)
            wanted = _grace_of(grants)
            if grants[0]["grace_until"] != wanted:
                reason = f"it lives until {grants[0]['grace_until'] or 'it expires'}, what came back to it says "
                yield Broken(f"lot {lot_id}", f"{reason}{wanted or 'no more than that'}; set grace_until to that")


def _grace_of(grants: list[DictRow]) -> datetime | None:
    """Until when a lot lives on, by what came back to it, in its order, after it was due."""
    due, grace = grants[0]["expires_at"], None
    for grant in grants:
        if grant["until"] is not None and due is not None and due <= grant["happened_at"]:
            due = grace = grant["until"]
    return grace
