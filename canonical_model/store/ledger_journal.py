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
from canonical_model.store.ledger_checks import Broken, Told, wrong_with_books
from canonical_model.store.ledger_record_checks import wrong_with_records

GENESIS: Final = bytes(32)
SEAL_LIMIT: Final = 10_000
WINDOW: Final = 100_000
PAGE: Final = 5_000
MAX_BROKEN: Final = 100
NAMED: Final = 200_000
HASH_BYTES: Final = 32
DIGEST_BYTES: Final = 8
ENTRIES: Final = "sealed entries"

Sign = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Sealed:
    """The newest seal: its number, how many entries it counts, the chain's hash (hex), how many were ``added`` now.

    ``more``: there may be entries left to seal at once. ``waits_s``: for how long the oldest entry has waited that is
    not sealed, 0 if there is none.
    """

    seq: int
    entries: int
    hash: str
    added: int = 0
    more: bool = False
    waits_s: float = 0.0


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
    """Seal up to ``limit`` settled entries, and fold them into the balances of accounts that are no member's and into
    the sums of issuers.

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
        return _sealed(last, _waits_s(connection, owner, last["transfer_id"]))
    page = _hashes(connection, owner, last["transfer_id"], until, limit)
    full = page["entries"] == limit
    if not page["entries"] and until - last["transfer_id"] < WINDOW // 2:
        return _sealed(last, _waits_s(connection, owner, until))
    reached = page["last_id"] if full else until
    seq, entries = last["seq"] + 1, last["entries"] + page["entries"]
    chain = _fold(last["hash"], page["hashes"])
    folded = [owner, last["transfer_id"], reached] * 2
    connection.execute("SELECT ledger_fold_balances(%s, %s, %s), ledger_fold_issuers(%s, %s, %s)", folded)
    signature = sign(head_text(owner, seq, entries, chain.hex())) if sign else ""
    connection.execute(
        "INSERT INTO ledger_seal (owner, seq, transfer_id, entries, hash, digests, signature, sealed_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [owner, seq, reached, entries, chain, _digests(page["hashes"]), signature, now],
    )
    more = full or until >= last["transfer_id"] + WINDOW
    return Sealed(seq, entries, chain.hex(), page["entries"], more, _waits_s(connection, owner, reached))


def head_text(owner: str, seq: int, entries: int, chain: str) -> str:
    """What is signed of a seal."""
    return f"ledger head {owner}:{seq}:{entries}:{chain}"


def verify(
    connection: Connection[DictRow],
    owner: str,
    *,
    sign: Sign | None = None,
    expected: str | None = None,
    told: Told | None = None,
) -> Verified:
    """Compute the chain anew, and every balance, lot, hold, wallet and grace; in pages, in bounded memory.

    ``sign``: the seals' signatures are checked with it. ``expected``: a head that was kept elsewhere, which must be
    part of the chain; RejectedError (points.head) when it is none. What is wrong is named, up to MAX_BROKEN things.
    ``told`` hears what is gone through (ENTRIES, then BALANCES), how much of it was, and how much there is.
    Ask in a transaction of its own, and end it.
    """
    if connection.info.transaction_status == TransactionStatus.IDLE:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    chain = _Chain(connection, owner, sign, _parse_head(expected) if expected else None)
    entries = _last_seal(connection, owner)["entries"]
    for row in _seals(connection, owner):
        chain.check(row)
        if told is not None:
            told(ENTRIES, chain.entries, entries)
        if len(chain.broken) >= MAX_BROKEN:
            break
    broken = chain.end()
    broken.extend(wrong_with_books(connection, owner, MAX_BROKEN - len(broken), told=told))
    broken.extend(wrong_with_records(connection, owner, MAX_BROKEN - len(broken)))
    return Verified(chain.entries, f"{chain.entries}:{chain.hash.hex()}", broken)


class _Chain:
    """The chain as it is computed anew, block by block; after a broken one it goes on from what was sealed."""

    def __init__(
        self, connection: Connection[DictRow], owner: str, sign: Sign | None, kept: tuple[int, str] | None
    ) -> None:
        self.broken: list[Broken] = []
        self.hash = GENESIS
        self.entries = 0
        self._reached = 0
        self._seq = 0
        self._connection = connection
        self._owner = owner
        self._sign = sign
        self._kept = kept

    def check(self, row: DictRow) -> None:
        """Compare a seal with the entries that it is over."""
        self._seq += 1
        if row["seq"] != self._seq:
            reason = f"it is missing, the next one there is {row['seq']}; restore it from a backup"
            self.broken.append(Broken(f"seal {self._seq}", reason))
            self._seq = row["seq"]
        digests = self._read(row["transfer_id"])
        sealed = bytes(row["hash"])
        if (sealed, row["entries"]) != (self.hash, self.entries):
            self.broken.extend(self._altered(row, digests))
        self.hash, self.entries, self._reached = sealed, row["entries"], row["transfer_id"]
        self._check_signature(row)

    def end(self) -> list[Broken]:
        """What is wrong, when no seal is left."""
        if self._kept is not None and not self.broken:
            count = self._kept[0]
            reason = f"the kept head counts {count} entries, only {self.entries} are left; restore a backup"
            self.broken.append(Broken(f"entry {self.entries + 1}", reason))
        return self.broken[:MAX_BROKEN]

    def _read(self, until: int) -> bytes:
        """Fold the entries up to a transfer; the first bytes of their hashes."""
        after, parts = self._reached, []
        while True:
            page = _hashes(self._connection, self._owner, after, until, PAGE)
            self._check_kept(page)
            self.hash = _fold(self.hash, page["hashes"])
            self.entries += page["entries"]
            parts.append(_digests(page["hashes"]))
            if page["entries"] < PAGE:
                return b"".join(parts)
            after = page["last_id"]

    def _check_kept(self, page: DictRow) -> None:
        if self._kept is None or not self.entries <= self._kept[0] <= self.entries + page["entries"]:
            return
        count, kept = self._kept
        if _fold(self.hash, page["hashes"][: (count - self.entries) * HASH_BYTES]).hex() != kept:
            reason = "this is not the entry that the kept head was computed over; restore a backup"
            self.broken.append(Broken(f"entry {count}", reason))
        self._kept = None

    def _altered(self, row: DictRow, digests: bytes) -> Iterator[Broken]:
        """Which entries of a block are not those that were sealed."""
        sealed, there = _cut(bytes(row["digests"])), _cut(digests)
        names = _names(self._connection, self._owner, self._reached, row["transfer_id"])
        known, found = set(sealed), set(there)
        lost = [at for at, digest in enumerate(sealed) if digest not in found]
        new = [at for at, digest in enumerate(there) if digest not in known]
        first = row["entries"] - len(sealed)
        for place in new:
            number = f"entry {names[place]}" if place < len(names) else f"entry {first + place + 1}"
            if place in lost:
                yield Broken(number, "it or its postings are not what was sealed; restore them from a backup")
            else:
                yield Broken(number, "it came between entries that were sealed without it; remove it with its postings")
        for place in lost:
            if place not in new:
                yield Broken(f"entry {first + place + 1}", "it was sealed and is no longer there; restore a backup")
        if not new and not lost:
            yield Broken(f"seal {row['seq']}", "its hash is not that of its entries; restore it from a backup")

    def _check_signature(self, row: DictRow) -> None:
        if self._sign is None:
            return
        wanted = self._sign(head_text(self._owner, row["seq"], row["entries"], bytes(row["hash"]).hex()))
        if not hmac.compare_digest(wanted.encode(), str(row["signature"]).encode()):
            reason = "its signature is not ours, the chain was written anew; restore a backup"
            self.broken.append(Broken(f"seal {row['seq']}", reason))


def _last_seal(connection: Connection[DictRow], owner: str) -> DictRow:
    row = connection.execute(
        "SELECT seq, transfer_id, entries, hash FROM ledger_seal WHERE owner = %s ORDER BY seq DESC LIMIT 1", [owner]
    ).fetchone()
    return row or {"seq": 0, "transfer_id": 0, "entries": 0, "hash": GENESIS}


def _sealed(last: DictRow, waits_s: float = 0.0) -> Sealed:
    return Sealed(last["seq"], last["entries"], bytes(last["hash"]).hex(), waits_s=waits_s)


def _waits_s(connection: Connection[DictRow], owner: str, after: int) -> float:
    """For how long the first entry after a transfer has waited."""
    row = connection.execute(
        "SELECT extract(epoch FROM clock_timestamp() - written_at)::float8 AS waits FROM ledger_transfer"
        " WHERE id > %s AND owner = %s ORDER BY id LIMIT 1",
        [after, owner],
    ).fetchone()
    return max(0.0, row["waits"]) if row else 0.0


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


def _cut(digests: bytes) -> list[bytes]:
    return [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]


def _names(connection: Connection[DictRow], owner: str, after: int, until: int) -> list[str]:
    rows = connection.execute(
        "SELECT brand, key FROM ledger_transfer WHERE owner = %s AND id > %s AND id <= %s ORDER BY id LIMIT %s",
        [owner, after, until, NAMED],
    )
    return [f"{row['brand']} {row['key']}" for row in rows]


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
