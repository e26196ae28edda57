"""Accounts of systems that push by SOAP with a user name: their passwords are sealed, for a digest needs them plain."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from canonical_model.errors import ConflictError, NotFoundError, RejectedError
from flows.runtime.database import Database
from hub_api import audit
from hub_api.auth import Access, command_line, is_scope

PASSWORD_BYTES: Final = 24
MAX_SWEPT: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,59}")
_NOBODYS_PASSWORD: Final = secrets.token_urlsafe(PASSWORD_BYTES)


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who may push, and the password to compare with; ``access`` is None when there is no such account."""

    access: Access | None
    password: str


def create_account(
    database: Database, *, owner: str, brand: str, name: str, scopes: Sequence[str], by: Access | None = None
) -> str:
    """A new account's password; the only time it is shown. ``by``: who asks, the command line when left out.

    Raises RejectedError (a name or scope that does not do), ConflictError (the name is taken, also by an account that
    was revoked), AccessError (``by`` may not make accounts or hand these scopes on).
    """
    if not _NAME.fullmatch(name):
        raise RejectedError(
            "a name has 1 to 60 letters, digits, dots, dashes, underscores or @", code="soap_account.name"
        )
    if not scopes or not all(scope.startswith("ingest:") and is_scope(scope) for scope in scopes):
        raise RejectedError("a SOAP account has scopes ingest:SYSTEM and no others", code="scope.unknown")
    by = by or command_line(owner, brand)
    by.require("keys", "write")
    by.require_grant(scopes)
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    with database.unit() as uow:
        sealed = uow.services.vault.seal(uow.connection, password.encode())
        made = uow.execute(
            "INSERT INTO soap_account (name, owner, brand, scopes, password_key_id, password)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING name",
            (name, owner, brand, sorted(set(scopes)), sealed.key_id, sealed.content),
        ).fetchone()
        if made is None:
            raise ConflictError(f"there is or was an account {name!r}; choose another name", code="soap_account.taken")
        audit.record(uow, by, "soap_account.create", f"soap_account:{name}", {"scopes": sorted(set(scopes))})
        uow.commit()
    return password


def list_accounts(database: Database) -> list[dict[str, Any]]:
    """Every account without its password, oldest first."""
    return database.run(
        "SELECT name, owner, brand, scopes, created_at, revoked_at FROM soap_account ORDER BY created_at, name"
    )


def revoke_account(database: Database, name: str, *, by: Access | None = None) -> None:
    """End an account now. NotFoundError if there is none of that name; revoking twice changes nothing."""
    with database.unit() as uow:
        row = uow.execute(
            "SELECT owner, brand, revoked_at FROM soap_account WHERE name = %s FOR UPDATE", (name,)
        ).fetchone()
        if row is None:
            raise NotFoundError(f"there is no SOAP account {name!r}; `yipan soap account list` shows them")
        if row["revoked_at"] is None:
            uow.execute("UPDATE soap_account SET revoked_at = clock_timestamp() WHERE name = %s", (name,))
            by = by or command_line(row["owner"], row["brand"])
            audit.record(uow, by, "soap_account.revoke", f"soap_account:{name}")
        uow.commit()


def find_account(database: Database, name: str) -> Account:
    """The account in force under ``name``; one that nobody can match when there is none."""
    with database.unit() as uow:
        row = uow.execute(
            "SELECT name, owner, brand, scopes, password_key_id, password FROM soap_account"
            " WHERE name = %s AND revoked_at IS NULL",
            (name,),
        ).fetchone()
        if row is None:
            return Account(None, _NOBODYS_PASSWORD)
        password = uow.services.vault.open(uow.connection, row["password_key_id"], row["password"]).decode()
    access = Access(f"soap.{row['name']}", row["name"], row["owner"], row["brand"], frozenset(row["scopes"]))
    return Account(access, password)


def use_nonce(database: Database, account: str, nonce: bytes, expires_at: datetime) -> bool:
    """Whether ``account`` uses this nonce for the first time; it is remembered until ``expires_at``."""
    rows = database.run(
        "WITH old AS (SELECT account, hash FROM soap_nonce WHERE expires_at < clock_timestamp()"
        " LIMIT %s FOR UPDATE SKIP LOCKED),"
        " swept AS (DELETE FROM soap_nonce n USING old WHERE (n.account, n.hash) = (old.account, old.hash))"
        " INSERT INTO soap_nonce (account, hash, expires_at) VALUES (%s, %s, %s)"
        " ON CONFLICT (account, hash) DO NOTHING RETURNING hash",
        (MAX_SWEPT, account, hashlib.sha256(nonce).hexdigest(), expires_at),
    )
    return bool(rows)
