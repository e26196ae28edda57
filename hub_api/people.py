"""The accounts of people: who there is, what they are in each brand, how they prove who they are.

Every change is audited, raises the account's version (which ends its sessions) and asks for ``users:write``. Nobody
gives, or changes an account that has, more than they may do themselves. What concerns the whole account (password,
second factor, state) of somebody with roles in several brands is changed at the command line only.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from canonical_model.errors import AccessError, ConflictError, NotFoundError, RejectedError
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from hub_api import audit, passwords, sign_in_guard, totp
from hub_api.auth import Access
from hub_api.roles import scopes_of
from hub_api.sessions import fold

_LOGIN: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,79}")
MAX_NAME: Final = 120


_LIST: Final = """
    SELECT p.login, p.name, p.state, p.must_change_password, p.totp_state, p.created_at, p.signed_in_at,
        p.password_hash IS NOT NULL AS has_password, p.oidc_subject IS NOT NULL AS signs_on,
        coalesce(r.brands, '{}') AS brands
    FROM person p LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(b.brand, b.roles) AS brands FROM (
            SELECT brand, array_agg(role ORDER BY role) AS roles FROM person_role
            WHERE owner = p.owner AND login = p.login AND (%(every)s OR brand = %(brand)s) GROUP BY brand
        ) b
    ) r ON true
    WHERE p.owner = %(owner)s AND (%(every)s OR r.brands IS NOT NULL)
        AND (%(login)s::text IS NULL OR p.login = %(login)s)
    ORDER BY p.login"""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a person takes into their authenticator app: shown this once. ``uri`` is what the QR code says."""

    uri: str
    recovery_codes: tuple[str, ...]


def create_person(
    hub: Hub, access: Access, login: str, *, name: str, roles: Sequence[str], password: str | None = None
) -> None:
    """A new account with roles in the caller's brand.

    A password given here must be changed at the first sign-in; without one the person signs in by OpenID only.
    Raises RejectedError (``login.invalid``, ``role.unknown``, ``password.weak``), ConflictError, AccessError.
    """
    login = fold(login)
    if _LOGIN.fullmatch(login) is None:
        raise RejectedError(
            "a login has letters a-z, digits and . _ @ + -, at most 80 of them", code="login.invalid", field="login"
        )
    name = _checked_name(name)
    _check_grant(hub, access, roles)
    if password is not None:
        passwords.check_rules(login, password)
    kept = passwords.hash_password(password) if password is not None else None
    with hub.database.unit() as uow:
        made = uow.execute(
            "INSERT INTO person (owner, login, name, password_hash, must_change_password) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (access.owner, login, name, kept, kept is not None),
        )
        if made.rowcount == 0:
            raise ConflictError(f"there is a user {login!r} already; `yipan user roles` gives it roles", code="user")
        _put_roles(uow, access, login, roles)
        audit.record(uow, access, "user.create", f"user:{login}", {"roles": sorted(set(roles))})
        uow.commit()


def list_people(
    uow: UnitOfWork, access: Access, *, every_brand: bool = False, login: str | None = None
) -> list[dict[str, Any]]:
    """The accounts with a role in the caller's brand, by login; ``brands`` holds their roles in it.

    ``every_brand``: all accounts with their roles in all brands, for the command line only.
    """
    access.require("users", "write")
    rows = uow.execute(
        _LIST,
        {
            "owner": access.owner,
            "brand": access.brand,
            "login": login,
            "every": every_brand and access.kind == "cli",
        },
    )
    return rows.fetchall()


def get_person(uow: UnitOfWork, access: Access, login: str) -> dict[str, Any]:
    """One account as ``list_people`` shows it. NotFoundError if there is none of that login."""
    rows = list_people(uow, access, every_brand=True, login=fold(login))
    if not rows:
        raise _unknown(login)
    return rows[0]


def set_roles(hub: Hub, access: Access, login: str, roles: Sequence[str]) -> None:
    """What the person is in the caller's brand from now on; no roles at all takes them out of it.

    Raises NotFoundError, RejectedError (``role.unknown``), AccessError (``access.grant``).
    """
    _check_grant(hub, access, roles)
    with hub.database.unit() as uow:
        person = _lock(uow, access, login)
        before = _roles_in(uow, access, person["login"])
        access.require_grant(scopes_of(before))
        uow.execute(
            "DELETE FROM person_role WHERE owner = %s AND login = %s AND brand = %s",
            (access.owner, person["login"], access.brand),
        )
        _put_roles(uow, access, person["login"], roles)
        _changed(uow, access, person, "user.roles", {"before": before, "after": sorted(set(roles))})
        uow.commit()


def set_state(hub: Hub, access: Access, login: str, *, active: bool) -> None:
    """Let the account in, or keep it out; its sessions end. Raises NotFoundError, AccessError."""
    with hub.database.unit() as uow:
        person = _lock_whole(uow, access, login)
        uow.execute(
            "UPDATE person SET state = %s WHERE owner = %s AND login = %s",
            ("active" if active else "disabled", access.owner, person["login"]),
        )
        _changed(uow, access, person, "user.enable" if active else "user.disable", {})
        uow.commit()


def set_password(hub: Hub, access: Access, login: str, password: str) -> None:
    """Give somebody a password, which they must change when they sign in. For one's own: sessions.change_password.

    Raises NotFoundError, AccessError, RejectedError (``password.weak``).
    """
    access.require("users", "write")
    passwords.check_rules(fold(login), password)
    kept = passwords.hash_password(password)
    with hub.database.unit() as uow:
        person = _lock_whole(uow, access, login)
        uow.execute(
            "UPDATE person SET password_hash = %s, must_change_password = true WHERE owner = %s AND login = %s",
            (kept, access.owner, person["login"]),
        )
        _changed(uow, access, person, "user.password", {})
        uow.commit()


def unlock(hub: Hub, access: Access, login: str) -> bool:
    """Forget the failed sign-ins of a login; whether there were any. Raises NotFoundError, AccessError."""
    with hub.database.unit() as uow:
        person = _lock_whole(uow, access, login)
        had_failures = sign_in_guard.forget(uow, hub, person["login"])
        audit.record(uow, access, "user.unlock", f"user:{person['login']}")
        uow.commit()
    return had_failures


def begin_totp(hub: Hub, access: Access, login: str) -> Enrolment:
    """A new second factor, asked for only after ``confirm_totp``. One's own, or of somebody one may change.

    ConflictError when one is asked for already: remove it first. Also raises NotFoundError, AccessError.
    """
    secret, codes = totp.new_secret(), totp.new_recovery_codes()
    with hub.database.unit() as uow:
        person = _lock_whole(uow, access, login, own=True)
        if person["totp_state"] == "active":
            raise ConflictError("a second factor is set up; have it removed first", code="totp.active")
        sealed = uow.services.vault.seal(uow.connection, secret)
        who = (access.owner, person["login"])
        uow.execute(
            "UPDATE person SET totp_state = 'pending', totp_key_id = %s, totp_sealed = %s, totp_step = 0"
            " WHERE owner = %s AND login = %s",
            (sealed.key_id, sealed.content, *who),
        )
        uow.execute("DELETE FROM recovery_code WHERE owner = %s AND login = %s", who)
        uow.execute(
            "INSERT INTO recovery_code (owner, login, hash) SELECT %s, %s, * FROM unnest(%s::text[])",
            (*who, [totp.recovery_hash(code) for code in codes]),
        )
        audit.record(uow, access, "user.totp.begin", f"user:{person['login']}")
        uow.commit()
    return Enrolment(totp.uri(person["login"], secret), tuple(codes))


def confirm_totp(hub: Hub, access: Access, login: str, code: str) -> None:
    """Ask for the second factor from now on, if ``code`` shows that the app has it. Other sessions end.

    Raises RejectedError (``totp.wrong``), ConflictError (nothing was begun), NotFoundError, AccessError.
    """
    with hub.database.unit() as uow:
        person = _lock_whole(uow, access, login, own=True)
        if person["totp_state"] != "pending":
            raise ConflictError("no second factor waits to be confirmed; begin one first", code="totp.not_begun")
        secret = uow.services.vault.open(uow.connection, person["totp_key_id"], person["totp_sealed"])
        step = totp.find_step(secret, code.replace(" ", ""), after=0)
        if step is None:
            raise RejectedError("that is not the code of this moment; check the phone's clock", code="totp.wrong")
        uow.execute(
            "UPDATE person SET totp_state = 'active', totp_step = %s WHERE owner = %s AND login = %s",
            (step, access.owner, person["login"]),
        )
        _changed(uow, access, person, "user.totp.confirm", {})
        uow.commit()


def remove_totp(hub: Hub, access: Access, login: str) -> None:
    """Stop asking somebody for a second factor, for they lost it. Raises NotFoundError, AccessError."""
    with hub.database.unit() as uow:
        person = _lock_whole(uow, access, login)
        who = (access.owner, person["login"])
        uow.execute(
            "UPDATE person SET totp_state = 'none', totp_key_id = NULL, totp_sealed = NULL"
            " WHERE owner = %s AND login = %s",
            who,
        )
        uow.execute("DELETE FROM recovery_code WHERE owner = %s AND login = %s", who)
        _changed(uow, access, person, "user.totp.remove", {})
        uow.commit()


def meet(
    uow: UnitOfWork, hub: Hub, login: str, *, subject: str, name: str, roles: Mapping[str, Iterable[str]] | None
) -> int:
    """The account of somebody whom the OpenID provider has proven; its version, to begin a session with.

    ``subject``: the provider's own id of the person; the account is tied to the first one that comes. ``roles`` by
    brand: what the account is from now on, made if need be; None leaves it as it is. AccessError (``oidc.account``)
    when there is no such account, it has a password of its own, or it is tied to somebody else.
    """
    who = {"owner": hub.estate.owner, "login": login}
    person = uow.execute(
        "SELECT * FROM person WHERE owner = %(owner)s AND login = %(login)s FOR UPDATE", who
    ).fetchone()
    if person is None and roles is not None and any(roles.values()):
        person = _welcome(uow, hub, login, name)
    if person is None or person["password_hash"] is not None or person["oidc_subject"] not in (None, subject):
        raise AccessError("no account here goes with your sign-in; ask an admin for one", code="oidc.account")
    if person["oidc_subject"] is None:
        uow.execute(
            "UPDATE person SET oidc_subject = %(subject)s WHERE owner = %(owner)s AND login = %(login)s",
            {**who, "subject": subject},
        )
    if roles is not None:
        for brand in brands_of(hub):
            _follow(
                uow, Access(login, name, hub.estate.owner, brand, frozenset(), "user"), person, roles.get(brand, ())
            )
    found = uow.execute("SELECT version FROM person WHERE owner = %(owner)s AND login = %(login)s", who).fetchone()
    assert found is not None
    return int(found["version"])


def forget_sign_on(hub: Hub, access: Access, login: str) -> None:
    """Tie the account to whomever the OpenID provider names next by that login. Raises NotFoundError, AccessError."""
    with hub.database.unit() as uow:
        person = _lock_whole(uow, access, login)
        uow.execute(
            "UPDATE person SET oidc_subject = NULL WHERE owner = %s AND login = %s", (access.owner, person["login"])
        )
        _changed(uow, access, person, "user.sign_on.forget", {})
        uow.commit()


def brands_of(hub: Hub) -> list[str]:
    """The brands of this estate."""
    connected = {connector.config.brand for connector in hub.estate.connectors.values()}
    return sorted(connected | {hub.estate.brand})


def _welcome(uow: UnitOfWork, hub: Hub, login: str, name: str) -> Row | None:
    """A new account for somebody whom the provider gives a role; None if the login cannot be one."""
    if _LOGIN.fullmatch(login) is None:
        return None
    shown = "".join(letter for letter in " ".join(name.split()) if letter.isprintable())[:MAX_NAME] or login
    person = uow.execute(
        "INSERT INTO person (owner, login, name) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING RETURNING *",
        (hub.estate.owner, login, shown),
    ).fetchone()
    if person is not None:
        made = Access(login, shown, hub.estate.owner, hub.estate.brand, frozenset(), "user")
        audit.record(uow, made, "user.create", f"user:{login}", {"source": "oidc"})
    return person


def _follow(uow: UnitOfWork, access: Access, person: Row, roles: Iterable[str]) -> None:
    """Make the roles in one brand those that the provider tells, if they are others."""
    before, after = _roles_in(uow, access, person["login"]), sorted(set(roles))
    if before == after:
        return
    uow.execute(
        "DELETE FROM person_role WHERE owner = %s AND login = %s AND brand = %s",
        (access.owner, person["login"], access.brand),
    )
    _put_roles(uow, access, person["login"], after)
    _changed(uow, access, person, "user.roles", {"before": before, "after": after, "source": "oidc"})


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise RejectedError(f"a name has 1 to {MAX_NAME} printable characters", code="name.invalid", field="name")
    return name


def _check_grant(hub: Hub, access: Access, roles: Iterable[str]) -> None:
    access.require("users", "write")
    access.require_grant(scopes_of(roles))
    if access.owner != hub.estate.owner or access.brand not in brands_of(hub):
        there = ", ".join(brands_of(hub))
        raise RejectedError(f"there is no brand {access.brand!r}; there are {there}", code="brand.unknown")


def _lock(uow: UnitOfWork, access: Access, login: str) -> Row:
    person = uow.execute(
        "SELECT * FROM person WHERE owner = %s AND login = %s FOR UPDATE", (access.owner, fold(login))
    ).fetchone()
    if person is None:
        raise _unknown(login)
    return person


def _unknown(login: str) -> NotFoundError:
    return NotFoundError(f"there is no user {login!r}; `yipan user list` shows them", code="user.unknown")


def _lock_whole(uow: UnitOfWork, access: Access, login: str, *, own: bool = False) -> Row:
    """The account, for a change that concerns all of it. ``own``: its holder may make the change too."""
    mine = own and access.kind == "user" and access.key_id == fold(login)
    if not mine:
        access.require("users", "write")
    person = _lock(uow, access, login)
    if mine or access.kind == "cli":
        return person
    roles = uow.execute(
        "SELECT brand, role FROM person_role WHERE owner = %s AND login = %s", (access.owner, person["login"])
    ).fetchall()
    if not roles or any(row["brand"] != access.brand for row in roles):
        raise AccessError(
            "this account is not of your brand alone; change it with `yipan user` where the hub runs",
            code="access.brand",
        )
    access.require_grant(scopes_of(row["role"] for row in roles))
    return person


def _roles_in(uow: UnitOfWork, access: Access, login: str) -> list[str]:
    rows = uow.execute(
        "SELECT role FROM person_role WHERE owner = %s AND login = %s AND brand = %s ORDER BY role",
        (access.owner, login, access.brand),
    )
    return [row["role"] for row in rows]


def _put_roles(uow: UnitOfWork, access: Access, login: str, roles: Iterable[str]) -> None:
    uow.execute(
        "INSERT INTO person_role (owner, login, brand, role) SELECT %s, %s, %s, * FROM unnest(%s::text[])",
        (access.owner, login, access.brand, sorted(set(roles))),
    )


def _changed(uow: UnitOfWork, access: Access, person: Row, action: str, detail: dict[str, Any]) -> None:
    uow.execute(
        "UPDATE person SET version = version + 1 WHERE owner = %s AND login = %s", (person["owner"], person["login"])
    )
    uow.execute("DELETE FROM sign_in WHERE owner = %s AND login = %s", (person["owner"], person["login"]))
    audit.record(uow, access, action, f"user:{person['login']}", detail)
