"""API keys: ``yk_<id>_<secret>``, stored as a hash, scoped by operation, system and brand.

The secret is 256 random bits, so one SHA-256 is enough at rest: there is nothing to guess by dictionary.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Any, Final

from canonical_model.errors import AccessError, NotFoundError, RejectedError
from flows.runtime.database import Database, Row

PREFIX: Final = "yk"
SECRET_BYTES: Final = 32
MAX_KEY_LENGTH: Final = 128
ALL: Final = "*"
_SCOPE: Final = re.compile(
    r"\*|orders:read|orders:write|stock:read|ops:read|ops:write|ingest:(\*|[A-Za-z0-9_-]{1,60})|channel:[A-Za-z0-9_-]{1,60}"
)


@dataclass(frozen=True, slots=True)
class Access:
    """What the caller may do. ``channel`` is the sales channel the key speaks for, if it speaks for one."""

    key_id: str
    name: str
    owner: str
    brand: str
    scopes: frozenset[str]

    @property
    def channel(self) -> str | None:
        """The system named by the key's ``channel:`` scope."""
        return next((scope.partition(":")[2] for scope in self.scopes if scope.startswith("channel:")), None)

    def require(self, operation: str, target: str) -> None:
        """Returns if a scope covers ``operation:target``; AccessError (``access.scope``) otherwise."""
        wanted = f"{operation}:{target}"
        if not self.scopes & {ALL, wanted, f"{operation}:*"}:
            raise AccessError(f"this key lacks the scope {wanted}; ask for a key that has it", code="access.scope")


def is_scope(word: str) -> bool:
    """Whether there is such a scope."""
    return _SCOPE.fullmatch(word) is not None


def create_key(
    database: Database,
    *,
    owner: str,
    brand: str,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
) -> str:
    """A new key; the only time its secret is seen. RejectedError names a scope that does not exist."""
    for scope in scopes:
        if not is_scope(scope):
            raise RejectedError(f"there is no scope {scope!r}; docs/configuration.md lists them", code="scope.unknown")
    if not scopes:
        raise RejectedError("a key without scopes opens nothing; name at least one", code="scope.missing")
    if sum(scope.startswith("channel:") for scope in scopes) > 1:
        raise RejectedError("a key speaks for one channel; create one key for each", code="scope.channels")
    key_id = secrets.token_hex(6)
    key = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    database.run(
        "INSERT INTO api_key (id, owner, brand, name, hash, scopes, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (key_id, owner, brand, name, _hash(key), sorted(set(scopes)), expires_at),
    )
    return key


def authenticate(database: Database, key: str) -> Access:
    """Who holds ``key``. AccessError when it is malformed, unknown, revoked or expired: all read the same."""
    row = _find_row(database, key)
    known_hash = row["hash"] if row else _hash("")
    if not compare_digest(known_hash, _hash(key)) or row is None or not _in_force(row):
        raise AccessError("the API key is unknown, expired or revoked; use one from `yipan key create`")
    return Access(row["id"], row["name"], row["owner"], row["brand"], frozenset(row["scopes"]))


def list_keys(database: Database) -> list[dict[str, Any]]:
    """Every key without its hash, oldest first."""
    return database.run(
        "SELECT id, owner, brand, name, scopes, created_at, expires_at, revoked_at FROM api_key ORDER BY created_at, id"
    )


def revoke_key(database: Database, key_id: str) -> None:
    """End a key now. NotFoundError if there is none of that id; revoking twice changes nothing."""
    found = database.run(
        "UPDATE api_key SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = %s RETURNING id", (key_id,)
    )
    if not found:
        raise NotFoundError(f"there is no key {key_id!r}; `yipan key list` shows them")


def _find_row(database: Database, key: str) -> Row | None:
    prefix, _, rest = key.partition("_")
    key_id = rest.partition("_")[0]
    if prefix != PREFIX or not key.isascii() or len(key) > MAX_KEY_LENGTH or not key_id.isalnum():
        return None
    rows = database.run(
        "SELECT id, owner, brand, name, hash, scopes, expires_at, revoked_at FROM api_key WHERE id = %s", (key_id,)
    )
    return rows[0] if rows else None


def _in_force(row: Row) -> bool:
    return row["revoked_at"] is None and (row["expires_at"] is None or row["expires_at"] > datetime.now(UTC))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
