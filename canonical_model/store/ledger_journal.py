"""The journal's seal: a hash chain over every entry of an owner, and the proof that the books are right.

``seal`` takes in, in the order of their ids, the entries before which nothing can appear any more; a head (how many
entries, the chain's last hash) may be signed under a key that the database does not hold. Keep ``Verified.head``
elsewhere too: a whole earlier state that was put back is found by nothing else.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow

from canonical_model.errors import RejectedError

GENESIS: Final = bytes(32)
SEAL_LIMIT: Final = 10_000
WINDOW: Final = 100_000
PAGE: Final = 5_000
MAX_BROKEN: Final = 100
HASH_BYTES: Final = 32
DIGEST_BYTES: Final = 8

Sign = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Sealed:
    """The newest seal: its number, how many entries it counts, the chain's hash (hex), how many were ``added`` now.

    ``more``: there may be entries left to seal at once.
    """

    seq: int
    entries: int
    hash: str
    added: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that is wrong: ``where`` (an entry, account, lot, hold or seal by its names), and what to do."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """``entries`` were read; ``head`` is ``entries:hash``, to keep elsewhere; nothing is ``broken`` if all is well."""

    entries: int
    head: str
    broken: list[Broken] = field(default_factory=list)


def seal(
    connection: Connection[DictRow],
    owner: str,
    *,
    now: datetime,
    limit: int = SEAL_LIMIT,
    sign: Sign | None = None,
) -> Sealed:
    """Seal up to ``limit`` settled entries, and fold them into the balances of the accounts that are no member's.

    Begin a transaction with it, and commit. One sealer an owner: while another is at it, nothing is added.
    """
    last = _last_seal(connection, owner)
    alone = connection.execute(
        "SELECT pg_try_advisory_xact_lock(hashtext('ledger_seal'), hashtext(%s)) AS mine", [owner]
    ).fetchone()
    assert alone is not None
    if not alone["mine"]:
        return _sealed(last)
    last = _last_seal(connection, owner)
    until = _settled(connection, last["transfer_id"])
    if until is None:
        return _sealed(last)
    page = _hashes(connection, owner, last["transfer_id"], until, limit)
    full = page["entries"] == limit
    if not page["entries"] and until - last["transfer_id"] < WINDOW // 2:
        return _sealed(last)
    reached = page["last_id"] if full else until
    seq, entries = last["seq"] + 1, last["entries"] + page["entries"]
    chain = _fold(last["hash"], page["hashes"])
    connection.execute("SELECT ledger_fold_balances(%s, %s, %s)", [owner, last["transfer_id"], reached])
    signature = sign(head_text(owner, seq, entries, chain.hex())) if sign else ""
    connection.execute(
        "INSERT INTO ledger_seal (owner, seq, transfer_id, entries, hash, digests, signature, sealed_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [owner, seq, reached, entries, chain, _digests(page["hashes"]), signature, now],
    )
    return Sealed(seq, entries, chain.hex(), page["entries"], full or until >= last["transfer_id"] + WINDOW)


def head_text(owner: str, seq: int, entries: int, chain: str) -> str:
    """What is signed of a seal."""
    return f"ledger head {owner}:{seq}:{entries}:{chain}"


def verify(
    connection: Connection[DictRow], owner: str, *, sign: Sign | None = None, expected: str | None = None
) -> Verified:
    """Compute the chain anew, and every balance, lot and hold; in pages, in bounded memory.

    ``sign``: the seals' signatures are checked with it. ``expected``: a head that was kept elsewhere, which must be
    part of the chain. What is wrong is named, up to MAX_BROKEN things. Ask in a transaction of its own, and end it.
    """
    if connection.info.transaction_status == TransactionStatus.IDLE:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    kept = _parse_head(expected) if expected else None
    broken: list[Broken] = []
    chain, entries, reached = GENESIS, 0, 0
    for seq, each in enumerate(_seals(connection, owner), 1):
        digests, before = b"", entries
        while True:
            page = _hashes(connection, owner, reached, each["transfer_id"], PAGE)
            if kept is not None and entries <= kept[0] <= entries + page["entries"]:
                upto = (kept[0] - entries) * HASH_BYTES
                if _fold(chain, page["hashes"][:upto]).hex() != kept[1]:
                    broken.append(
                        Broken(f"entry {kept[0]}", "the kept head is not that of this chain; restore a backup")
                    )
                kept = None
            chain = _fold(chain, page["hashes"])
            digests += _digests(page["hashes"])
            entries += page["entries"]
            if page["entries"] < PAGE:
                break
            reached = page["last_id"]
        found = _wrong_with_seal(connection, owner, each, seq, chain, entries, before, digests, sign)
        reached = each["transfer_id"]
        if found is not None:
            broken.append(found)
            break
    if kept is not None and not broken:
        broken.append(Broken(f"entry {kept[0]}", f"the kept head counts {kept[0]} entries, only {entries} are left"))
    for check in (_UNBALANCED, _ACCOUNTS, _LOTS, _HOLDS):
        if len(broken) < MAX_BROKEN:
            rows = connection.execute(check, {"owner": owner, "limit": MAX_BROKEN - len(broken)})
            broken.extend(Broken(row["place"], row["reason"]) for row in rows)
    return Verified(entries, f"{entries}:{chain.hex()}", broken)


_UNBALANCED: Final = """
    SELECT 'entry ' || max(transfer.key) AS place,
        'its postings of ' || asset.code || ' sum to ' || sum(posting.amount) || ', not 0; restore them' AS reason
    FROM ledger_posting AS posting
    JOIN ledger_account AS account ON account.id = posting.account_id
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    LEFT JOIN ledger_transfer AS transfer ON transfer.id = posting.transfer_id
    WHERE asset.owner = %(owner)s
    GROUP BY posting.transfer_id, asset.id HAVING sum(posting.amount) <> 0
    ORDER BY posting.transfer_id LIMIT %(limit)s
"""

_ACCOUNTS: Final = """
    SELECT 'account ' || asset.code || ' ' || account.kind || ' ' || account.holder AS place,
        'its balance is ' || account.balance || ', its postings say ' || coalesce(moved.amount, 0)
            || '; set it to that' AS reason
    FROM ledger_account AS account
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    LEFT JOIN (
        SELECT posting.account_id, sum(posting.amount)::bigint AS amount
        FROM ledger_posting AS posting JOIN ledger_account AS own ON own.id = posting.account_id
        WHERE own.kind IN ('member', 'arrears') OR posting.transfer_id <= (
            SELECT coalesce(max(transfer_id), 0) FROM ledger_seal WHERE owner = %(owner)s)
        GROUP BY posting.account_id
    ) AS moved ON moved.account_id = account.id
    WHERE asset.owner = %(owner)s AND account.balance <> coalesce(moved.amount, 0)
    ORDER BY account.id LIMIT %(limit)s
"""

_LOTS: Final = """
    SELECT 'lot ' || lot.id || ' of ' || coalesce(origin.key, '?') AS place,
        'it has ' || lot.remaining || ' left, its postings say ' || coalesce(moved.amount, 0)
            || '; set it to that' AS reason
    FROM points_lot AS lot
    JOIN ledger_account AS account ON account.id = lot.account_id
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    LEFT JOIN ledger_transfer AS origin ON origin.id = lot.transfer_id
    LEFT JOIN (
        SELECT lot_id, sum(amount)::bigint AS amount FROM ledger_posting WHERE lot_id IS NOT NULL GROUP BY lot_id
    ) AS moved ON moved.lot_id = lot.id
    WHERE asset.owner = %(owner)s AND lot.remaining <> coalesce(moved.amount, 0)
    ORDER BY lot.id LIMIT %(limit)s
"""

_HOLDS: Final = """
    WITH pinned AS (
        SELECT pin.lot_id, sum(pin.amount) AS amount
        FROM ledger_hold AS hold JOIN ledger_hold_lot AS pin ON pin.hold_id = hold.id
        WHERE hold.owner = %(owner)s AND hold.state = 'active' GROUP BY pin.lot_id
    ), kept AS (
        SELECT lot.id, lot.held, lot.account_id FROM points_lot AS lot
        JOIN ledger_account AS account ON account.id = lot.account_id
        JOIN ledger_asset AS asset ON asset.id = account.asset_id
        WHERE asset.owner = %(owner)s AND lot.held > 0
    )
    SELECT 'lot ' || coalesce(kept.id, pinned.lot_id) AS place,
        'it keeps ' || coalesce(kept.held, 0) || ', its holds say ' || coalesce(pinned.amount, 0)
            || '; set it to that' AS reason
    FROM kept FULL JOIN pinned ON pinned.lot_id = kept.id
    WHERE coalesce(kept.held, 0) <> coalesce(pinned.amount, 0)
    UNION ALL
    SELECT 'account ' || asset.code || ' ' || account.kind || ' ' || account.holder,
        'it keeps ' || account.held || ', its lots say ' || coalesce(sums.held, 0) || '; set it to that'
    FROM ledger_account AS account
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    LEFT JOIN (SELECT account_id, sum(held) AS held FROM kept GROUP BY account_id) AS sums
        ON sums.account_id = account.id
    WHERE asset.owner = %(owner)s AND account.held <> coalesce(sums.held, 0)
    UNION ALL
    SELECT 'hold ' || hold.key, 'its lots do not add up to its ' || hold.amount || '; void it'
    FROM ledger_hold AS hold
    WHERE hold.owner = %(owner)s AND hold.state = 'active' AND hold.amount <> (
        SELECT coalesce(sum(pin.amount), 0) FROM ledger_hold_lot AS pin WHERE pin.hold_id = hold.id)
    LIMIT %(limit)s
"""


def _last_seal(connection: Connection[DictRow], owner: str) -> DictRow:
    row = connection.execute(
        "SELECT seq, transfer_id, entries, hash FROM ledger_seal WHERE owner = %s ORDER BY seq DESC LIMIT 1", [owner]
    ).fetchone()
    return row or {"seq": 0, "transfer_id": 0, "entries": 0, "hash": GENESIS}


def _sealed(last: DictRow) -> Sealed:
    return Sealed(last["seq"], last["entries"], bytes(last["hash"]).hex())


def _settled(connection: Connection[DictRow], after: int) -> int | None:
    """The newest transfer, at most WINDOW ids on, before which none can appear any more."""
    row = connection.execute("SELECT feed_settled_before(false) AS before").fetchone()
    assert row is not None
    newest = connection.execute(
        "SELECT id FROM ledger_transfer WHERE id > %(after)s AND id <= greatest(%(after)s + %(window)s,"
        " (SELECT min(id) FROM ledger_transfer WHERE id > %(after)s)) AND written_at < %(before)s"
        " ORDER BY id DESC LIMIT 1",
        {"after": after, "window": WINDOW, "before": row["before"]},
    ).fetchone()
    return newest["id"] if newest else None


def _hashes(connection: Connection[DictRow], owner: str, after: int, until: int, limit: int) -> DictRow:
    row = connection.execute(
        "SELECT * FROM ledger_hashes(%s, %s, %s, %s)", [owner, after, until, limit], binary=True
    ).fetchone()
    assert row is not None
    return row


def _fold(chain: bytes, hashes: bytes) -> bytes:
    for at in range(0, len(hashes), HASH_BYTES):
        chain = hashlib.sha256(chain + hashes[at : at + HASH_BYTES]).digest()
    return chain


def _digests(hashes: bytes) -> bytes:
    return b"".join(hashes[at : at + DIGEST_BYTES] for at in range(0, len(hashes), HASH_BYTES))


def _seals(connection: Connection[DictRow], owner: str) -> Iterator[DictRow]:
    after = 0
    while True:
        rows = connection.execute(
            "SELECT * FROM ledger_seal WHERE owner = %s AND seq > %s ORDER BY seq LIMIT 100", [owner, after]
        ).fetchall()
        if not rows:
            return
        yield from rows
        after = rows[-1]["seq"]


def _wrong_with_seal(
    connection: Connection[DictRow],
    owner: str,
    row: DictRow,
    seq: int,
    chain: bytes,
    entries: int,
    before: int,
    digests: bytes,
    sign: Sign | None,
) -> Broken | None:
    if row["seq"] != seq:
        return Broken(f"seal {seq}", f"it is missing; the next one there is {row['seq']}; restore it from a backup")
    if (bytes(row["hash"]), row["entries"]) != (chain, entries):
        return Broken(f"seal {seq}", f"the entries after the {before}th are not those that were sealed")
    if sign is not None:
        signature = sign(head_text(owner, seq, entries, chain.hex()))
        if not hmac.compare_digest(signature.encode(), str(row["signature"]).encode()):
            return Broken(f"seal {seq}", "its signature is not ours: the chain was written anew; restore a backup")
    return None


def _parse_head(text: str) -> tuple[int, str]:
    count, _, digest = text.partition(":")
    if not count.isdecimal() or len(digest) != 2 * HASH_BYTES:
        raise RejectedError("a kept head reads COUNT:HASH, as verifying prints it", code="points.head")
    return int(count), digest


def list_seals(connection: Connection[DictRow], owner: str, *, limit: int = 100) -> list[dict[str, Any]]:
    """The newest seals: seq, entries, hash (hex), signature, sealed_at."""
    rows = connection.execute(
        "SELECT seq, entries, encode(hash, 'hex') AS hash, signature, sealed_at FROM ledger_seal WHERE owner = %s"
        " ORDER BY seq DESC LIMIT %s",
        [owner, limit],
    )
    return rows.fetchall()
