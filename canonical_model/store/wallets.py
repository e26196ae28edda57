"""Wallets: the accounts that one person may spend from. A merge moves accounts between wallets, never a posting.

So an un-merge gives everybody their own lots back, as far as they were not spent meanwhile. Whoever changes wallets
waits until every transaction that writes points of that owner has ended, and lets none begin: seldom, and short.
"""

from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import NotFoundError, RejectedError
from canonical_model.store.ledger_holds import check_key, key_conflict


def wallet_of(connection: Connection[DictRow], owner: str, holder: str) -> str:
    """The name of the holder's wallet: that of one of the holders whose accounts are in it."""
    row = connection.execute("SELECT ledger_wallet_of(%s, %s) AS wallet", [owner, holder]).fetchone()
    assert row is not None
    return str(row["wallet"])


def holders_of(connection: Connection[DictRow], owner: str, wallet: str) -> list[str]:
    """Whose accounts are in a wallet, that of its name first."""
    others = connection.execute(
        "SELECT holder FROM ledger_wallet WHERE owner = %s AND wallet = %s ORDER BY holder", [owner, wallet]
    )
    return [wallet, *(row["holder"] for row in others)]


def find_merge(connection: Connection[DictRow], owner: str, brand: str, key: str) -> DictRow | None:
    """The merge of that key (its row of ``ledger_merge``), or None: then there is none until the transaction ends, but
    for one that it makes itself. Waits as a merge does."""
    connection.execute("SELECT ledger_change_wallets(%s)", [owner])
    return connection.execute(
        "SELECT * FROM ledger_merge WHERE owner = %s AND brand = %s AND key = %s", [owner, brand, key]
    ).fetchone()


def merge(
    connection: Connection[DictRow], owner: str, brand: str, key: str, kept: str, merged: str, *, now: datetime
) -> int:
    """Put everybody in the wallet of ``merged`` into that of ``kept``; the merge's id.

    The same key and holders: the same answer, whatever happened since. ConflictError (points.key_conflict) for other
    holders; RejectedError (points.same_wallet) if they share one already.
    """
    check_key(key)
    known = find_merge(connection, owner, brand, key)
    if known is not None:
        if (known["kept"], known["merged"]) != (kept, merged):
            raise key_conflict(key)
        return int(known["id"])
    into, out_of = wallet_of(connection, owner, kept), wallet_of(connection, owner, merged)
    if into == out_of:
        raise RejectedError(
            f"{key}: {kept} and {merged} share a wallet already; there is nothing to merge",
            code="points.same_wallet",
            key=key,
        )
    holders = holders_of(connection, owner, out_of)
    _put(connection, owner, holders, into)
    row = connection.execute(
        "INSERT INTO ledger_merge (owner, brand, key, kept, merged, holders, merged_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id",
        [owner, brand, key, kept, merged, holders, now],
    ).fetchone()
    assert row is not None
    return int(row["id"])


def unmerge(connection: Connection[DictRow], owner: str, brand: str, merge_id: int, *, now: datetime) -> list[str]:
    """Take those whom a merge brought out of that wallet again, together; who they are, nobody if it was undone before.

    NotFoundError: points.merge_unknown.
    """
    connection.execute("SELECT ledger_change_wallets(%s)", [owner])
    known = connection.execute(
        "SELECT * FROM ledger_merge WHERE owner = %s AND brand = %s AND id = %s", [owner, brand, merge_id]
    ).fetchone()
    if known is None:
        raise NotFoundError(f"there is no merge {merge_id}", code="points.merge_unknown", merge_id=merge_id)
    if known["undone_at"] is not None:
        return []
    holders: list[str] = known["holders"]
    connection.execute("UPDATE ledger_merge SET undone_at = %s WHERE id = %s", [now, merge_id])
    _forget(connection, owner, holders, now, after=merge_id)
    _leave(connection, owner, holders)
    return holders


def extract(connection: Connection[DictRow], owner: str, brand: str, holder: str, *, now: datetime) -> list[str]:
    """Take one holder out of a shared wallet, into their own; who stays there, nobody if it was not shared.

    Merges that had brought the holder there no longer stand for them: un-merging those moves the others only.
    """
    connection.execute("SELECT ledger_change_wallets(%s)", [owner])
    others = _leave(connection, owner, [holder])
    if others:
        _forget(connection, owner, [holder], now)
    return others


def list_merges(connection: Connection[DictRow], owner: str, holder: str, *, limit: int = 100) -> list[DictRow]:
    """Merges that a holder was named in or moved by (rows of ``ledger_merge``), the newest first."""
    return connection.execute(
        "SELECT * FROM ledger_merge WHERE owner = %(owner)s"
        " AND (kept = %(holder)s OR merged = %(holder)s OR %(holder)s = ANY (holders))"
        " ORDER BY id DESC LIMIT %(limit)s",
        {"owner": owner, "holder": holder, "limit": limit},
    ).fetchall()


def _leave(connection: Connection[DictRow], owner: str, leaving: list[str]) -> list[str]:
    """Give some holders of a wallet one of their own, named by the first of them; who stays."""
    wallet = wallet_of(connection, owner, leaving[0])
    staying = [each for each in holders_of(connection, owner, wallet) if each not in leaving]
    if staying:
        if wallet in leaving:
            _put(connection, owner, staying, staying[0])
        _put(connection, owner, leaving, leaving[0])
    return staying


def _put(connection: Connection[DictRow], owner: str, holders: list[str], wallet: str) -> None:
    connection.execute("SELECT ledger_put_into_wallet(%s, %s::text[], %s)", [owner, holders, wallet])


def _forget(connection: Connection[DictRow], owner: str, holders: list[str], now: datetime, *, after: int = 0) -> None:
    """Holders leave a wallet: merges (later than ``after``) that carried them along no longer stand for them."""
    connection.execute(
        """
        UPDATE ledger_merge SET holders = rest.holders,
            undone_at = CASE WHEN cardinality(rest.holders) = 0 THEN %(now)s ELSE undone_at END
        FROM (
            SELECT id, ARRAY(
                SELECT each.holder FROM unnest(holders) WITH ORDINALITY AS each (holder, number)
                WHERE each.holder <> ALL (%(leaving)s::text[]) ORDER BY each.number) AS holders
            FROM ledger_merge
            WHERE owner = %(owner)s AND id > %(after)s AND undone_at IS NULL AND holders && %(leaving)s::text[]
        ) AS rest
        WHERE ledger_merge.id = rest.id
        """,
        {"owner": owner, "after": after, "leaving": holders, "now": now},
    )
