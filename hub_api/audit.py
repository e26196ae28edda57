"""The audit log: who changed what, chained so that nobody alters it unseen.

Each entry's hash covers its own fields and the hash before it, so a changed, missing or inserted entry breaks the
chain there. The head (how many entries, the last hash) is signed under the master key, which the database does not
hold: whoever may write to the database cannot cut the end off or compute the chain anew. What remains is putting a
whole earlier state back; against that, keep ``Verified.head`` elsewhere and hand it to ``verify``.

No personal data enters: an entry names fields and records, never their values.
"""

import hashlib
import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from canonical_model.errors import LimitError, RejectedError
from flows.runtime.database import Database, Row, UnitOfWork
from flows.runtime.sealing import Vault

if TYPE_CHECKING:
    from hub_api.auth import Access

GENESIS: Final = "0" * 64
MAX_DETAIL_BYTES: Final = 16 * 1024
PAGE: Final = 2_000
_COLUMNS: Final = ("seq", "at", "owner", "brand", "actor", "action", "subject", "detail")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Broken:
    """The first thing wrong with the chain: the number of the entry, and what is wrong."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """``count`` entries were read; ``head`` is ``count:hash``, to keep elsewhere; ``broken`` is None if all is well."""

    count: int
    head: str
    broken: Broken | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Whose entries; None means any."""

    owner: str
    brand: str
    actor: str | None = None
    action: str | None = None
    subject: str | None = None


def record(
    uow: UnitOfWork, access: "Access", action: str, subject: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Append an entry in the caller's transaction, for the brand of ``access``.

    Call it last before the commit: from here on every other writer waits for this transaction to end. A head that
    was tampered with is never signed as sound again, but nobody is kept from repairing things because of it.
    """
    vault = uow.services.vault
    head = uow.execute(
        "INSERT INTO audit_head (id, count, hash, signature) VALUES (1, 0, %s, '')"
        " ON CONFLICT (id) DO UPDATE SET id = 1 RETURNING count, hash, signature, clock_timestamp() AS at",
        (GENESIS,),
    ).fetchone()
    assert head is not None
    entry = {
        "seq": head["count"] + 1,
        "at": head["at"],
        "owner": access.owner,
        "brand": access.brand,
        "actor": access.actor,
        "action": action,
        "subject": subject,
        "detail": _canonical(detail or {}),
    }
    digest = _hash(entry, head["hash"])
    sound = _is_signed(vault, head)
    if not sound:
        _log.error("the head of the audit log is not as it was left; run `yipan audit verify`")
    uow.execute(
        "WITH kept AS (UPDATE audit_head SET count = %(seq)s, hash = %(hash)s, signature = %(signature)s)"
        " INSERT INTO audit (seq, at, owner, brand, actor, action, subject, detail, hash) VALUES (%(seq)s, %(at)s,"
        " %(owner)s, %(brand)s, %(actor)s, %(action)s, %(subject)s, %(detail)s, %(hash)s)",
        {**entry, "hash": digest, "signature": _signature(vault, entry["seq"], digest, sound=sound)},
    )


def verify(database: Database, expected: str | None = None) -> Verified:
    """Read the whole chain from one snapshot, in bounded memory.

    ``expected``: a head that was kept elsewhere, which must still be part of the chain; RejectedError when it is
    none.
    """
    kept_seq, kept_hash = _parse_head(expected) if expected else (0, GENESIS)
    previous, count, broken = GENESIS, 0, None
    with database.unit() as uow:
        uow.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        head = uow.execute("SELECT count, hash, signature FROM audit_head WHERE id = 1").fetchone()
        with uow.connection.cursor(name="audit_chain") as cursor:
            cursor.itersize = PAGE
            cursor.execute("SELECT * FROM audit ORDER BY seq")
            for row in cursor:
                count += 1
                broken = _wrong_with(row, count, previous)
                if broken is None and row["seq"] == kept_seq and row["hash"] != kept_hash:
                    broken = Broken(count, "this is not the entry that the kept head was signed over")
                if broken is not None:
                    break
                previous = row["hash"]
        vault = uow.services.vault
    if broken is None:
        broken = _wrong_with_head(vault, head, count, previous)
    if broken is None and count < kept_seq:
        broken = Broken(count + 1, f"the kept head counts {kept_seq} entries, only {count} are left")
    return Verified(count, f"{count}:{previous}", broken)


def list_entries(uow: UnitOfWork, wanted: AuditFilter, *, before: int | None = None, limit: int = 100) -> list[Row]:
    """Entries of one brand, newest first; ``detail`` as an object."""
    rows = uow.execute(
        "SELECT seq, at, actor, action, subject, detail, hash FROM audit"
        " WHERE owner = %(owner)s AND brand = %(brand)s AND seq < coalesce(%(before)s::bigint, 9223372036854775807)"
        " AND (%(actor)s::text IS NULL OR actor = %(actor)s) AND (%(action)s::text IS NULL OR action = %(action)s)"
        " AND (%(subject)s::text IS NULL OR subject = %(subject)s) ORDER BY seq DESC LIMIT %(limit)s",
        {
            "owner": wanted.owner,
            "brand": wanted.brand,
            "actor": wanted.actor,
            "action": wanted.action,
            "subject": wanted.subject,
            "before": before,
            "limit": limit,
        },
    )
    return [{**row, "detail": orjson.loads(row["detail"])} for row in rows]


def _canonical(detail: Mapping[str, Any]) -> str:
    text = orjson.dumps(detail, option=orjson.OPT_SORT_KEYS)
    if len(text) > MAX_DETAIL_BYTES:
        raise LimitError(f"this is over {MAX_DETAIL_BYTES} bytes for the audit log; name fewer or shorter things")
    return text.decode()


def _hash(entry: Mapping[str, Any], previous: str) -> str:
    fields = [entry[name] for name in _COLUMNS]
    fields[1] = _moment(entry["at"])
    return hashlib.sha256(orjson.dumps([*fields, previous])).hexdigest()


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _signature(vault: Vault, count: int, digest: str, *, sound: bool) -> str:
    return vault.sign(f"audit head {'sound' if sound else 'broken'}:{count}:{digest}")


def _is_signed(vault: Vault, head: Mapping[str, Any]) -> bool:
    """Whether the head is as ``record`` left it, or that of a log in which nothing was ever written."""
    if (head["count"], head["hash"], head["signature"]) == (0, GENESIS, ""):
        return True
    expected = _signature(vault, head["count"], head["hash"], sound=True)
    return hmac.compare_digest(expected.encode(), str(head["signature"]).encode())


def _wrong_with(row: Mapping[str, Any], number: int, previous: str) -> Broken | None:
    if row["seq"] != number:
        return Broken(number, f"entry {number} is missing; the next one there is {row['seq']}")
    if row["hash"] != _hash(row, previous):
        return Broken(number, "its fields or the entry before it were altered: the hash does not match")
    return None


def _wrong_with_head(vault: Vault, head: Mapping[str, Any] | None, count: int, last: str) -> Broken | None:
    if head is None:
        return None if count == 0 else Broken(count, "the head of the log was removed")
    if head["count"] > count:
        return Broken(count + 1, f"the head counts {head['count']} entries, only {count} are left")
    if head["count"] < count:
        return Broken(head["count"] + 1, f"the head counts {head['count']} entries; this one came past it")
    if head["hash"] != last or not _is_signed(vault, head):
        return Broken(count, "the head does not fit this last entry: the log was altered, then perhaps written on")
    return None


def _parse_head(text: str) -> tuple[int, str]:
    count, _, digest = text.partition(":")
    if not count.isdecimal() or len(digest) != len(GENESIS):
        raise RejectedError("a kept head reads COUNT:HASH, as `yipan audit verify` prints it", code="audit.head")
    return int(count), digest
