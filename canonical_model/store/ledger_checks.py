"""Whether the ledger's books agree: balances, lots and holds with the postings, account by account."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow

TRANSFERS: Final = 100_000
ACCOUNTS: Final = 20_000
BALANCES: Final = "balances, lots and holds"

Told = Callable[[str, int, int], None]

# Every transfer sums to zero for each asset, and postings belong to one.
_UNBALANCED: Final = """
    SELECT CASE WHEN max(transfer.key) IS NULL THEN 'transfer ' || posting.transfer_id
            ELSE 'entry ' || max(transfer.brand) || ' ' || max(transfer.key) END AS place,
        CASE WHEN max(transfer.key) IS NULL THEN 'it is not there, but its postings are; restore it from a backup'
            ELSE 'its postings of ' || asset.code || ' sum to ' || sum(posting.amount)
                || ', not to 0; restore them from a backup' END AS reason
    FROM ledger_posting AS posting
    JOIN ledger_account AS account ON account.id = posting.account_id
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    LEFT JOIN ledger_transfer AS transfer ON transfer.id = posting.transfer_id AND transfer.owner = asset.owner
    WHERE asset.owner = %(owner)s AND posting.transfer_id > %(after)s AND posting.transfer_id <= %(until)s
    GROUP BY posting.transfer_id, asset.id HAVING sum(posting.amount) <> 0 OR max(transfer.key) IS NULL
    ORDER BY posting.transfer_id LIMIT %(limit)s
"""

# Balances are the sums of postings: those of free accounts up to the newest seal. So is what is left of lots.
_MOVED: Final = """
    WITH own AS MATERIALIZED (
        SELECT account.*, CASE asset.brand WHEN '' THEN '' ELSE asset.brand || '/' END || asset.code AS asset
        FROM ledger_account AS account JOIN ledger_asset AS asset ON asset.id = account.asset_id
        WHERE asset.owner = %(owner)s AND account.id > %(after)s AND account.id <= %(until)s
    ), moved AS MATERIALIZED (
        SELECT posting.account_id, posting.lot_id, sum(posting.amount) AS amount
        FROM ledger_posting AS posting JOIN own ON own.id = posting.account_id
        WHERE posting.account_id > %(after)s AND posting.account_id <= %(until)s
            AND (own.kind IN ('member', 'arrears') OR posting.transfer_id <= (
                SELECT coalesce(max(transfer_id), 0) FROM ledger_seal WHERE owner = %(owner)s))
        GROUP BY posting.account_id, posting.lot_id
    ), lot AS MATERIALIZED (
        SELECT own.id AS account_id, points_lot.id, points_lot.remaining
        FROM own JOIN points_lot ON points_lot.account_id = own.id AND points_lot.is_open
    )
    SELECT 'account ' || own.asset || ' ' || own.kind || ' ' || own.holder AS place,
        'its balance is ' || own.balance || ', its postings say ' || coalesce(sums.amount, 0)
            || '; set it to that' AS reason
    FROM own LEFT JOIN (SELECT account_id, sum(amount) AS amount FROM moved GROUP BY account_id) AS sums
        ON sums.account_id = own.id
    WHERE own.balance <> coalesce(sums.amount, 0)
    UNION ALL
    SELECT 'lot ' || coalesce(moved.lot_id, lot.id) || ' of ' || own.asset || ' ' || own.holder,
        'it has ' || coalesce(lot.remaining, 0) || ' left, its postings say ' || coalesce(moved.amount, 0)
            || '; set it to that'
    FROM (SELECT * FROM moved WHERE lot_id IS NOT NULL) AS moved
    FULL JOIN lot ON lot.id = moved.lot_id AND lot.account_id = moved.account_id
    JOIN own ON own.id = coalesce(moved.account_id, lot.account_id)
    WHERE coalesce(lot.remaining, 0) <> coalesce(moved.amount, 0)
    UNION ALL
    SELECT 'account ' || own.asset || ' ' || own.kind || ' ' || own.holder,
        'it is in the wallet ' || own.wallet || ', its holder in ' || coalesce(named.wallet, own.holder)
            || '; put it there'
    FROM own LEFT JOIN ledger_wallet AS named ON named.owner = %(owner)s AND named.holder = own.holder
    WHERE own.kind IN ('member', 'arrears') AND own.wallet <> coalesce(named.wallet, own.holder)
    LIMIT %(limit)s
"""

# What is kept is what active holds pin.
_KEPT: Final = """
    WITH pinned AS MATERIALIZED (
        SELECT pin.lot_id, sum(pin.amount) AS amount
        FROM ledger_hold AS hold JOIN ledger_hold_lot AS pin ON pin.hold_id = hold.id
        WHERE hold.owner = %(owner)s AND hold.state = 'active' GROUP BY pin.lot_id
    ), lot AS MATERIALIZED (
        SELECT points_lot.id, points_lot.held, points_lot.account_id
        FROM points_lot JOIN ledger_account AS account ON account.id = points_lot.account_id
        JOIN ledger_asset AS asset ON asset.id = account.asset_id
        WHERE asset.owner = %(owner)s AND points_lot.held > 0
    )
    SELECT 'lot ' || coalesce(kept.id, pinned.lot_id) AS place,
        'it keeps ' || coalesce(kept.held, 0) || ', its holds say ' || coalesce(pinned.amount, 0)
            || '; set it to that' AS reason
    FROM lot AS kept FULL JOIN pinned ON pinned.lot_id = kept.id
    WHERE coalesce(kept.held, 0) <> coalesce(pinned.amount, 0)
    UNION ALL
    SELECT 'account ' || asset.code || ' ' || account.kind || ' ' || account.holder,
        'it keeps ' || account.held || ', its lots say ' || coalesce(sums.held, 0) || '; set it to that'
    FROM ledger_account AS account
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    LEFT JOIN (SELECT account_id, sum(held) AS held FROM lot GROUP BY account_id) AS sums
        ON sums.account_id = account.id
    WHERE asset.owner = %(owner)s AND account.held <> coalesce(sums.held, 0)
    LIMIT %(limit)s
"""

# What is kept of issuers is the sum of the sealed postings of their lots.
_SEALED: Final = "SELECT coalesce(max(transfer_id), 0) AS transfer_id FROM ledger_seal WHERE owner = %(owner)s"
_ADDED: Final = ("amount", "cost_micro")
_SUMS: Final = "SELECT * FROM ledger_issuer_sums(%(owner)s, %(after)s, %(until)s)"
_KEPT_SUMS: Final = """
    SELECT kept.* FROM ledger_issuer_sum AS kept JOIN ledger_asset AS asset ON asset.id = kept.asset_id
    WHERE asset.owner = %(owner)s ORDER BY asset.brand, asset.code, kept.issuer, kept.kind
"""
_NAMES: Final = """
    SELECT id, CASE brand WHEN '' THEN '' ELSE brand || '/' END || code AS name FROM ledger_asset
    WHERE owner = %(owner)s
"""


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that is wrong: ``where`` (an entry, account, lot, hold or seal by its names), and what to do."""

    where: str
    reason: str


def wrong_with_books(
    connection: Connection[DictRow], owner: str, limit: int, *, told: Told | None = None
) -> list[Broken]:
    """Up to ``limit`` things that do not agree with the postings; none if all is well. A statement looks at no more
    than TRANSFERS transfers or ACCOUNTS accounts. ``told`` hears after each: BALANCES, how many were made, of all."""
    ends = connection.execute(
        "SELECT coalesce((SELECT max(transfer_id) FROM ledger_posting), 0) AS transfer,"
        " coalesce((SELECT max(id) FROM ledger_account), 0) AS account"
    ).fetchone()
    assert ends is not None
    broken: list[Broken] = []
    pages = [(_UNBALANCED, after, TRANSFERS) for after in range(0, ends["transfer"], TRANSFERS)]
    pages += [(_MOVED, after, ACCOUNTS) for after in range(0, ends["account"], ACCOUNTS)]
    pages.append((_KEPT, 0, 0))
    for number, (check, after, size) in enumerate(pages, 1):
        if len(broken) >= limit:
            break
        asked = {"owner": owner, "after": after, "until": after + size, "limit": limit - len(broken)}
        broken.extend(Broken(row["place"], row["reason"]) for row in connection.execute(check, asked))
        if told is not None:
            told(BALANCES, number, len(pages) + 1)
    broken.extend(_wrong_sums(connection, owner)[: limit - len(broken)])
    if told is not None:
        told(BALANCES, len(pages) + 1, len(pages) + 1)
    return broken


def _wrong_sums(connection: Connection[DictRow], owner: str) -> list[Broken]:
    """Which of the issuers' sums are not those of what is sealed."""
    sealed = connection.execute(_SEALED, {"owner": owner}).fetchone()
    assert sealed is not None
    end, wanted = sealed["transfer_id"], defaultdict[tuple[int, str, str], list[Decimal]](lambda: [Decimal(0)] * 2)
    for after in range(0, end, TRANSFERS):
        asked = {"owner": owner, "after": after, "until": min(after + TRANSFERS, end)}
        for row in connection.execute(_SUMS, asked):
            key = (row["asset_id"], row["issuer"], row["kind"])
            wanted[key] = [was + row[name] for was, name in zip(wanted[key], _ADDED, strict=True)]
    names = {row["id"]: row["name"] for row in connection.execute(_NAMES, {"owner": owner})}
    broken = []
    for row in connection.execute(_KEPT_SUMS, {"owner": owner}):
        amounts = wanted.pop((row["asset_id"], row["issuer"], row["kind"]), [Decimal(0)] * 2)
        for name, amount in zip(_ADDED, amounts, strict=True):
            if row[name] != amount:
                reason = f"its {name} is {row[name]}, its postings say {amount}; set it to that"
                broken.append(Broken(f"issuer {names[row['asset_id']]} {row['issuer']} {row['kind']}", reason))
    for (asset_id, issuer, kind), (amount, cost_micro) in sorted(wanted.items()):
        reason = f"its sum is missing, its postings say {amount}, cost_micro {cost_micro}; add it"
        broken.append(Broken(f"issuer {names.get(asset_id, asset_id)} {issuer} {kind}", reason))
    return broken
