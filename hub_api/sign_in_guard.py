"""Slows guessing down: failed sign-ins are counted by login and by address, before the password is looked at.

An attempt is counted first and given back when it turns out right, so guesses made at the same moment are counted
too. A login that does not exist is counted like any other: how it is refused tells nobody whether it exists.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from canonical_model.errors import AccessError
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Database, UnitOfWork

FREE_PER_LOGIN: Final = 5
FREE_PER_ADDRESS: Final = 30
FIRST_WAIT_S: Final = 30
LONGEST_WAIT_S: Final = 15 * 60
FORGET_S: Final = 24 * 3600
_DOUBLINGS: Final = 10
_SWEPT_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Counted:
    subject: str
    blocked_until: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One counted attempt to sign in."""

    login: _Counted
    address: _Counted

    def was_right(self, uow: UnitOfWork) -> None:
        """Forget this login's failures, and do not count the attempt against the address."""
        for counted in self._in_order():
            _give_back(uow, counted)
        uow.execute("DELETE FROM sign_in_guard WHERE subject = %s", (self.login.subject,))

    def was_half_right(self, database: Database) -> None:
        """Do not count the attempt; earlier failures stay."""
        with database.unit() as uow:
            for counted in self._in_order():
                _give_back(uow, counted)
            uow.commit()

    def _in_order(self) -> list[_Counted]:
        """The order in which everybody locks them."""
        return sorted((self.login, self.address), key=lambda each: each.subject)


def count(hub: Hub, login: str, address: str) -> Attempt:
    """Count an attempt. AccessError (``sign_in.blocked``, with ``after_s``) when there were too many before."""
    subjects = {
        login_subject(hub, login): FREE_PER_LOGIN,
        hub.vault.token(f"sign-in address:{_network(address)}"): FREE_PER_ADDRESS,
    }
    counted: dict[str, _Counted] = {}
    with hub.database.unit() as uow:
        for subject, free in sorted(subjects.items()):
            counted[subject] = _Counted(subject, _count(uow, subject, free))
        uow.commit()
    by_login, by_address = (counted[subject] for subject in subjects)
    return Attempt(by_login, by_address)


def forget(uow: UnitOfWork, hub: Hub, login: str) -> bool:
    """Let a login try again at once; whether it had failures."""
    found = uow.execute("DELETE FROM sign_in_guard WHERE subject = %s", (login_subject(hub, login),))
    return found.rowcount > 0


def login_subject(hub: Hub, login: str) -> str:
    """The row that counts a login's failures."""
    return hub.vault.token(f"sign-in login:{login}")


def sweep(database: Database) -> None:
    """Remove what is old enough to be forgotten."""
    database.run(
        "DELETE FROM sign_in_guard WHERE subject IN (SELECT subject FROM sign_in_guard"
        " WHERE failed_at < clock_timestamp() - make_interval(secs => %s) LIMIT %s FOR UPDATE SKIP LOCKED)",
        (FORGET_S, _SWEPT_AT_ONCE),
    )


def _count(uow: UnitOfWork, subject: str, free: int) -> datetime | None:
    """Until when the next attempt is refused, if this one fails. AccessError when this one is."""
    row = uow.execute(
        "INSERT INTO sign_in_guard (subject, failures) VALUES (%(subject)s, 1) ON CONFLICT (subject) DO UPDATE SET"
        " failures = CASE WHEN sign_in_guard.failed_at < clock_timestamp() - make_interval(secs => %(forget)s) THEN 1"
        " ELSE sign_in_guard.failures + 1 END, failed_at = clock_timestamp()"
        " RETURNING failures, extract(epoch FROM blocked_until - clock_timestamp())::float AS left_s",
        {"subject": subject, "forget": FORGET_S},
    ).fetchone()
    assert row is not None
    if row["left_s"] is not None and row["left_s"] > 0:
        wait_s = max(1, round(row["left_s"]))
        raise AccessError(
            f"too many failed sign-ins; try again in {wait_s} s, or ask for `yipan user unlock`",
            code="sign_in.blocked",
            after_s=wait_s,
        )
    if row["failures"] < free:
        return None
    wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(_DOUBLINGS, row["failures"] - free))
    blocked = uow.execute(
        "UPDATE sign_in_guard SET blocked_until = clock_timestamp() + make_interval(secs => %s) WHERE subject = %s"
        " RETURNING blocked_until",
        (wait_s, subject),
    ).fetchone()
    assert blocked is not None
    until: datetime = blocked["blocked_until"]
    return until


def _give_back(uow: UnitOfWork, counted: _Counted) -> None:
    uow.execute(
        "UPDATE sign_in_guard SET failures = greatest(failures - 1, 0),"
        " blocked_until = CASE WHEN blocked_until = %s THEN NULL ELSE blocked_until END WHERE subject = %s",
        (counted.blocked_until, counted.subject),
    )


def _network(address: str) -> str:
    """One home or office: the address itself, or the /64 that an IPv6 address lies in."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if parsed.version == 4:
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))
