"""Signing in and out. A session is a random token of which only the SHA-256 is kept.

It ends when it was idle too long, when its time is over, when its holder signs out, and when the account changes in
any way (``person.version``). While a person must change their password, the session may do nothing else.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from canonical_model.errors import AccessError, RejectedError, TransientError
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Database, Row, UnitOfWork
from hub_api import audit, passwords, sign_in_guard, totp
from hub_api.auth import Access
from hub_api.roles import ROLES
from hub_api.sign_in_guard import Attempt

TOKEN_BYTES: Final = 32
MAX_TOKEN_LENGTH: Final = 128
TOUCH_S: Final = 30
_SWEPT_AT_ONCE: Final = 1_000

_LIVING: Final = """
    s.hash = %(hash)s AND p.owner = s.owner AND p.login = s.login AND p.version = s.version AND p.state = 'active'
    AND s.expires_at > clock_timestamp() AND s.seen_at > clock_timestamp() - make_interval(secs => s.idle_s)"""


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in person: ``brand`` is the one they look at now, ``brands`` those they may choose from."""

    token: str
    login: str
    name: str
    owner: str
    brand: str
    brands: tuple[str, ...]
    roles: tuple[str, ...]
    must_change_password: bool
    expires_at: datetime

    @property
    def access(self) -> Access:
        """What the person may do in ``brand``; nothing before they have changed a password that they must change."""
        opened: frozenset[str] = frozenset()
        if not self.must_change_password:
            opened = opened.union(*(ROLES.get(role, frozenset()) for role in self.roles))
        return Access(self.login, self.name, self.owner, self.brand, opened, "user")


def sign_in(hub: Hub, login: str, password: str, code: str | None, *, address: str) -> Session:
    """A new session for whoever knows the password, and the code if the account asks for one.

    ``code``: six digits, or a recovery code. ``address``: where the request came from. AccessError: ``sign_in.totp``
    (right so far, the code is wanted), ``sign_in.blocked`` (too many failures; ``after_s``), ``sign_in.no_role``
    (right, but the account opens nothing), and ``sign_in.refused`` for everything else, always with the same words.
    """
    login = fold(login)
    attempt = sign_in_guard.count(hub, login, address)
    person = _proven(hub, login, password, attempt)
    if person["totp_state"] == "active" and not code:
        attempt.was_half_right(hub.database)
        raise AccessError("send the six digits of your authenticator app too, or a recovery code", code="sign_in.totp")
    with hub.database.unit() as uow:
        _check_code(uow, person, code or "")
        if passwords.is_outdated(person["password_hash"]):
            uow.execute(
                "UPDATE person SET password_hash = %s WHERE owner = %s AND login = %s",
                (passwords.hash_password(password), person["owner"], login),
            )
        session = begin(uow, hub, login, version=person["version"])
        attempt.was_right(uow)
        uow.commit()
    _sweep(hub.database)
    return session


def begin(uow: UnitOfWork, hub: Hub, login: str, *, version: int | None = None) -> Session:
    """A session for a person whose identity is proven; the caller commits.

    ``version``: that of the account when it was proven, so that a change in between ends it. AccessError:
    ``sign_in.refused``, ``sign_in.no_role``.
    """
    person = uow.execute(
        "UPDATE person SET signed_in_at = clock_timestamp() WHERE owner = %(owner)s AND login = %(login)s"
        " AND state = 'active' AND version = coalesce(%(version)s, version) RETURNING *",
        {"owner": hub.estate.owner, "login": login, "version": version},
    ).fetchone()
    if person is None:
        raise _refused()
    brands = [
        row["brand"]
        for row in uow.execute(
            "SELECT DISTINCT brand FROM person_role WHERE owner = %s AND login = %s ORDER BY brand",
            (person["owner"], login),
        )
    ]
    if not brands:
        raise AccessError("your account opens nothing yet; ask an admin to give it a role", code="sign_in.no_role")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    uow.execute(
        "INSERT INTO sign_in (hash, owner, login, brand, version, idle_s, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
        (
            _hash(token),
            person["owner"],
            login,
            hub.estate.brand if hub.estate.brand in brands else brands[0],
            person["version"],
            round(hub.settings.session_idle_s),
            hub.settings.session_s,
        ),
    )
    session = _read(uow.execute(_FIND, {"hash": _hash(token), "touch": False}).fetchone(), token)
    assert session is not None
    return session


_FIND: Final = f"""
    WITH living AS (
        SELECT s.hash, s.brand, s.seen_at, s.expires_at, p.owner, p.login, p.name, p.must_change_password
        FROM sign_in s, person p WHERE {_LIVING}
    ), seen AS (
        UPDATE sign_in s SET seen_at = clock_timestamp() FROM living l
        WHERE %(touch)s AND s.hash = l.hash AND l.seen_at < clock_timestamp() - make_interval(secs => {TOUCH_S})
    )
    SELECT l.*, array_agg(DISTINCT r.brand ORDER BY r.brand) AS brands,
        array_agg(r.role ORDER BY r.role) FILTER (WHERE r.brand = l.brand) AS roles
    FROM living l JOIN person_role r ON r.owner = l.owner AND r.login = l.login
    GROUP BY l.hash, l.brand, l.seen_at, l.expires_at, l.owner, l.login, l.name, l.must_change_password"""  # noqa: S608


def get_session(database: Database, token: str, *, active: bool = True) -> Session | None:
    """The session of that token if it is in force. ``active``: the person is there, so it is not idle."""
    if not token or len(token) > MAX_TOKEN_LENGTH:
        return None
    rows = database.run(_FIND, {"hash": _hash(token), "touch": active})
    return _read(rows[0] if rows else None, token)


def find_session(database: Database, token: str, *, active: bool = True) -> Access | None:
    """What the holder of the token may do, or None. See ``get_session``."""
    session = get_session(database, token, active=active)
    return session.access if session else None


def sign_out(database: Database, token: str) -> None:
    """End the session, if there is one."""
    database.run("DELETE FROM sign_in WHERE hash = %s", (_hash(token),))


def choose_brand(database: Database, token: str, brand: str) -> Session:
    """Look at another brand from now on. AccessError when there is no session, or it has no role in that brand."""
    chosen = database.run(
        f"UPDATE sign_in s SET brand = %(brand)s FROM person p WHERE {_LIVING} AND EXISTS (SELECT FROM person_role r"  # noqa: S608
        " WHERE r.owner = s.owner AND r.login = s.login AND r.brand = %(brand)s) RETURNING s.hash",
        {"hash": _hash(token), "brand": brand},
    )
    session = get_session(database, token) if chosen else None
    if session is None:
        raise AccessError(f"your account has no role in the brand {brand!r}", code="access.brand")
    return session


def change_password(hub: Hub, token: str, old: str, new: str, *, address: str) -> Session:
    """Take a new password for oneself; every session of the account ends, and this new one begins.

    Raises AccessError (no session, ``sign_in.blocked``, or ``sign_in.refused``: ``old`` is not the password) and
    RejectedError (``password.weak``, ``password.same``).
    """
    session = get_session(hub.database, token)
    if session is None:
        raise AccessError("your session has ended; sign in again", code="sign_in.ended")
    passwords.check_rules(session.login, new)
    if new == old:
        raise RejectedError("the new password is the old one; take another", code="password.same")
    attempt = sign_in_guard.count(hub, session.login, address)
    person = _proven(hub, session.login, old, attempt)
    with hub.database.unit() as uow:
        uow.execute(
            "UPDATE person SET password_hash = %s, must_change_password = false, version = version + 1"
            " WHERE owner = %s AND login = %s AND version = %s",
            (passwords.hash_password(new), person["owner"], session.login, person["version"]),
        )
        begun = begin(uow, hub, session.login, version=person["version"] + 1)
        uow.execute("UPDATE sign_in SET brand = %s WHERE hash = %s", (session.brand, _hash(begun.token)))
        attempt.was_right(uow)
        audit.record(uow, session.access, "user.password", f"user:{session.login}")
        uow.commit()
    found = get_session(hub.database, begun.token)
    assert found is not None
    return found


def csrf_token(token: str) -> str:
    """What a form of this session carries; it tells nothing about the session's token."""
    return hmac.new(token.encode(), b"yipan csrf", hashlib.sha256).hexdigest()


def fold(login: str) -> str:
    """A login as it is kept: people write it with capitals and blanks around it."""
    return login.strip().casefold()[:200]


def _proven(hub: Hub, login: str, password: str, attempt: Attempt) -> Row:
    """The account, if the password is its own. Takes as long, and refuses in the same words, if there is none."""
    rows = hub.database.run(
        "SELECT * FROM person WHERE owner = %s AND login = %s AND state = 'active'",
        (hub.estate.owner, login.replace("\x00", " ")),
    )
    person = rows[0] if rows else None
    try:
        right = passwords.is_right(person["password_hash"] if person else None, password)
    except TransientError:
        attempt.was_half_right(hub.database)
        raise
    if person is None or not right:
        raise _refused()
    return person


def _check_code(uow: UnitOfWork, person: Mapping[str, Any], code: str) -> None:
    """Returns if the account asks for no code, or this one opens it, now and never again."""
    if person["totp_state"] != "active":
        return
    who = (person["owner"], person["login"])
    secret = uow.services.vault.open(uow.connection, person["totp_key_id"], person["totp_sealed"])
    step = totp.find_step(secret, code.replace(" ", ""), after=person["totp_step"])
    if step is not None:
        used = uow.execute(
            "UPDATE person SET totp_step = %s WHERE owner = %s AND login = %s AND totp_step < %s", (step, *who, step)
        )
    else:
        used = uow.execute(
            "UPDATE recovery_code SET used_at = clock_timestamp()"
            " WHERE owner = %s AND login = %s AND hash = %s AND used_at IS NULL",
            (*who, totp.recovery_hash(code)),
        )
    if used.rowcount == 0:
        raise _refused()


def _refused() -> AccessError:
    return AccessError("login, password or code is wrong; try again, or ask an admin", code="sign_in.refused")


def _read(row: Mapping[str, Any] | None, token: str) -> Session | None:
    if row is None:
        return None
    return Session(
        token=token,
        login=row["login"],
        name=row["name"],
        owner=row["owner"],
        brand=row["brand"],
        brands=tuple(row["brands"]),
        roles=tuple(row["roles"] or ()),
        must_change_password=row["must_change_password"],
        expires_at=row["expires_at"],
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _sweep(database: Database) -> None:
    database.run(
        "DELETE FROM sign_in WHERE hash IN (SELECT hash FROM sign_in WHERE expires_at < clock_timestamp() LIMIT %s"
        " FOR UPDATE SKIP LOCKED)",
        (_SWEPT_AT_ONCE,),
    )
    sign_in_guard.sweep(database)
