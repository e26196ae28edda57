"""Who is calling, and what they may do; and API keys: ``yk_<id>_<secret>``, scoped by operation, system and brand.

A key's secret is 256 random bits, so one SHA-256 is enough at rest: there is nothing to guess by dictionary.
"""

import hashlib
import os
import pwd
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Any, Final, Literal

from canonical_model.errors import AccessError, ConflictError, NotFoundError, RejectedError
from flows.runtime.database import Database, Row, UnitOfWork
from hub_api import audit

PREFIX: Final = "yk"
SECRET_BYTES: Final = 32
MAX_KEY_LENGTH: Final = 128
ALL: Final = "*"
_UNKNOWN_KEY: Final = "the API key is unknown, expired or revoked; use one from `yipan key create`"
_SCOPE: Final = re.compile(
    r"\*|orders:read|orders:write|stock:read|members:read|points:(?:read|write|adjust|rules)|ops:read|ops:write|data:write|data:unmask|estate:write|users:write"
    r"|keys:write|audit:read|ingest:(\*|[A-Za-z0-9_-]{1,60})|channel:[A-Za-z0-9_-]{1,60}"
)


@dataclass(frozen=True, slots=True)
class Access:
    """Who calls, and what they may do in one brand.

    ``key_id`` is the key's id, a person's login, or the name of the operating system's user at the command line;
    ``kind`` says which.
    """

    key_id: str
    name: str
    owner: str
    brand: str
    scopes: frozenset[str]
    kind: Literal["key", "user", "cli"] = "key"

    @property
    def actor(self) -> str:
        """How the audit log names the caller: ``key:<id>``, ``user:<login>`` or ``cli:<os user>``."""
        return f"{self.kind}:{self.key_id}"

    @property
    def channel(self) -> str | None:
        """The system named by the ``channel:`` scope: the sales channel that the caller speaks for, if any."""
        return next((scope.partition(":")[2] for scope in self.scopes if scope.startswith("channel:")), None)

    def covers(self, scope: str) -> bool:
        """Whether ``scope`` opens nothing that the caller may not do already."""
        operation = scope.partition(":")[0]
        if operation == "channel":
            return self.channel in (None, scope.partition(":")[2])
        return bool(self.scopes & {ALL, scope, f"{operation}:*"})

    def require(self, operation: str, target: str) -> None:
        """Returns if a scope covers ``operation:target``; AccessError (``access.scope``) otherwise."""
        wanted = f"{operation}:{target}"
        if not self.scopes & {ALL, wanted, f"{operation}:*"}:
            whose = "key" if self.kind == "key" else "account"
            raise AccessError(
                f"this {whose} lacks the scope {wanted}; ask for one that has it", code="access.scope", scope=wanted
            )

    def require_grant(self, scopes: Iterable[str]) -> None:
        """Returns if the caller may hand ``scopes`` on; nobody gives more than they have (``access.grant``)."""
        wanted = set(scopes)
        if self.channel is not None and f"channel:{self.channel}" not in wanted:
            raise AccessError(f"you speak for {self.channel} only, and so must the key", code="access.grant")
        if lacking := sorted(scope for scope in wanted if not self.covers(scope)):
            raise AccessError(
                f"you cannot hand on what you do not have: {', '.join(lacking)}; ask an admin", code="access.grant"
            )


def command_line(owner: str, brand: str) -> Access:
    """Whoever runs a command on this machine: they hold the master key and the database, so they may do all."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return Access(user, user, owner, brand, frozenset({ALL}), "cli")


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
    by: Access | None = None,
) -> str:
    """A new key; the only time its secret is seen. ``by``: who asks, the command line when left out.

    RejectedError names a scope that does not exist, AccessError one that ``by`` cannot hand on.
    """
    _check_scopes(scopes)
    by = by or command_line(owner, brand)
    by.require("keys", "write")
    by.require_grant(scopes)
    if (owner, brand) != (by.owner, by.brand):
        raise AccessError("a key is made by somebody of its own brand", code="access.brand")
    with database.unit() as uow:
        key_id, key = _insert_key(uow, owner, brand, name, scopes, expires_at)
        audit.record(uow, by, "key.create", f"key:{key_id}", {"scopes": sorted(set(scopes)), "expires_at": expires_at})
        uow.commit()
    return key


def authenticate(database: Database, key: str) -> Access:
    """Who holds ``key``. AccessError when it is malformed, unknown, revoked or expired: all read the same."""
    (access,) = authenticate_many(database, [key])
    if isinstance(access, AccessError):
        raise access
    return access


def authenticate_many(database: Database, keys: Sequence[str]) -> list[Access | AccessError]:
    """As ``authenticate`` for several, in order and in one query; the error in the place of one that opens nothing."""
    holders = dict.fromkeys(keys)
    rows = _find_rows(database, [*holders])
    found = {key: _holder(key, rows.get(_id_of(key))) for key in holders}
    return [found[key] or AccessError(_UNKNOWN_KEY) for key in keys]


def _holder(key: str, row: Row | None) -> Access | None:
    known_hash = row["hash"] if row else _hash("")
    if not compare_digest(known_hash, _hash(key)) or row is None or not _in_force(row):
        return None
    return Access(row["id"], row["name"], row["owner"], row["brand"], frozenset(row["scopes"]))


def list_keys(database: Database, *, owner: str | None = None, brand: str | None = None) -> list[dict[str, Any]]:
    """Every key (of that owner, that brand) without its hash, oldest first."""
    return database.run(
        "SELECT id, owner, brand, name, scopes, created_at, expires_at, revoked_at FROM api_key"
        " WHERE (%(owner)s::text IS NULL OR owner = %(owner)s) AND (%(brand)s::text IS NULL OR brand = %(brand)s)"
        " ORDER BY created_at, id",
        {"owner": owner, "brand": brand},
    )


def revoke_key(database: Database, key_id: str, *, by: Access | None = None) -> None:
    """End a key now. NotFoundError if the caller's brand has none of that id; revoking twice changes nothing."""
    with database.unit() as uow:
        row, by = _lock_key(uow, key_id, by)
        if row["revoked_at"] is None:
            uow.execute("UPDATE api_key SET revoked_at = clock_timestamp() WHERE id = %s", (key_id,))
            audit.record(uow, by, "key.revoke", f"key:{key_id}")
        uow.commit()


def rotate_key(database: Database, key_id: str, *, grace: timedelta, by: Access | None = None) -> str:
    """A new key in the place of one in force, which opens for ``grace`` longer; the only time its secret is seen.

    Scopes and name are the old key's, and so is how long it lives. Raises NotFoundError, ConflictError (ended
    already), AccessError (it can do more than the caller).
    """
    with database.unit() as uow:
        row, by = _lock_key(uow, key_id, by)
        by.require_grant(row["scopes"])
        if not _in_force(row):
            raise ConflictError(f"the key {key_id} has ended; create a new one", code="key.ended")
        now = datetime.now(UTC)
        life = row["expires_at"] - row["created_at"] if row["expires_at"] else None
        new_id, key = _insert_key(
            uow, row["owner"], row["brand"], row["name"], row["scopes"], now + life if life else None
        )
        uow.execute("UPDATE api_key SET expires_at = least(expires_at, %s) WHERE id = %s", (now + grace, key_id))
        detail = {"new": f"key:{new_id}", "grace_s": round(grace.total_seconds())}
        audit.record(uow, by, "key.rotate", f"key:{key_id}", detail)
        uow.commit()
    return key


def _check_scopes(scopes: Sequence[str]) -> None:
    for scope in scopes:
        if not is_scope(scope):
            raise RejectedError(f"there is no scope {scope!r}; docs/configuration.md lists them", code="scope.unknown")
    if not scopes:
        raise RejectedError("a key without scopes opens nothing; name at least one", code="scope.missing")
    if sum(scope.startswith("channel:") for scope in scopes) > 1:
        raise RejectedError("a key speaks for one channel; create one key for each", code="scope.channels")


def _insert_key(
    uow: UnitOfWork, owner: str, brand: str, name: str, scopes: Sequence[str], expires_at: datetime | None
) -> tuple[str, str]:
    key_id = secrets.token_hex(6)
    key = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    uow.execute(
        "INSERT INTO api_key (id, owner, brand, name, hash, scopes, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (key_id, owner, brand, name, _hash(key), sorted(set(scopes)), expires_at),
    )
    return key_id, key


def _lock_key(uow: UnitOfWork, key_id: str, by: Access | None) -> tuple[Row, Access]:
    """The key's row, and who changes it; whoever is not at the command line sees the keys of their brand only."""
    row = uow.execute(
        "SELECT id, owner, brand, name, scopes, created_at, expires_at, revoked_at FROM api_key WHERE id = %s"
        " FOR UPDATE",
        (key_id,),
    ).fetchone()
    if row is None or (by is not None and (row["owner"], row["brand"]) != (by.owner, by.brand)):
        raise NotFoundError(f"there is no key {key_id!r}; `yipan key list` shows them", code="key.unknown")
    by = by or command_line(row["owner"], row["brand"])
    by.require("keys", "write")
    return row, by


def _find_rows(database: Database, keys: Sequence[str]) -> dict[str | None, Row]:
    """The rows of those that look like keys, by id."""
    ids = [key_id for key_id in map(_id_of, keys) if key_id is not None]
    if not ids:
        return {}
    rows = database.run(
        "SELECT id, owner, brand, name, hash, scopes, expires_at, revoked_at FROM api_key WHERE id = ANY(%s)", (ids,)
    )
    return {row["id"]: row for row in rows}


def _id_of(key: str) -> str | None:
    """The id within a key; None if it does not look like one."""
    prefix, _, rest = key.partition("_")
    key_id = rest.partition("_")[0]
    if prefix != PREFIX or not key.isascii() or len(key) > MAX_KEY_LENGTH or not key_id.isalnum():
        return None
    return key_id


def _in_force(row: Row) -> bool:
    return row["revoked_at"] is None and (row["expires_at"] is None or row["expires_at"] > datetime.now(UTC))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
