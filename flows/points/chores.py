"""What points do by the clock: the journal is sealed, what nobody came for is free again, what is due expires, and the
entries that sources told go into the ledger."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from canonical_model.errors import HubError
from canonical_model.store import ledger_expiry, ledger_holds, ledger_journal
from flows.points import intake
from flows.runtime.bootstrap import Hub
from flows.runtime.chores import Chore, companies
from flows.runtime.database import UnitOfWork

SEAL_S: Final = 1.0
TAKE_IN_S: Final = 2.0
EXPIRE_HOLDS_S: Final = 5.0
EXPIRE_S: Final = 3_600.0
UNSEALED_S: Final = 60.0

_log = logging.getLogger(__name__)


def owners(hub: Hub) -> list[str]:
    """The groups whose systems are connected."""
    return sorted({owner for owner, _ in companies(hub)})


def seal(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """Seal what is settled of each group's journal, the head signed under the master key."""

    def one(own: UnitOfWork, owner: str) -> bool:
        sealed = ledger_journal.seal(own.connection, owner, now=now, sign=hub.vault.sign)
        if sealed.waits_s > UNSEALED_S:
            _log.warning(
                "points of %s wait to be sealed for %d s: a transaction that writes is open for as long; end it",
                owner,
                sealed.waits_s,
            )
        return sealed.more

    return _each_owner(hub, one)


def expire_holds(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """Free the points that were kept for longer than was said."""
    return ledger_holds.expire_holds(uow.connection, now) >= ledger_holds.EXPIRY_BATCH


def expire_lots(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """What is due by now expires."""
    return _each_owner(hub, lambda own, owner: ledger_expiry.expire_lots(own.connection, owner, as_of=now, now=now) > 0)


def take_in(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """Put what sources told into the ledger."""
    taken = [intake.take_in(uow, owner, brand, now=now) for owner, brand in companies(hub)]
    return any(entries >= intake.BATCH for entries in taken)


def _each_owner(hub: Hub, do: Callable[[UnitOfWork, str], bool]) -> bool:
    """Do something for each group, in a transaction of its own: one that breaks does not stop the others. Whether there
    is more to do at once for any."""
    more = False
    for owner in owners(hub):
        try:
            with hub.database.unit() as own:
                again = do(own, owner)
                own.commit()
        except HubError as error:
            _log.warning("points of %s wait: %s", owner, error)
        except Exception:  # noqa: BLE001 - the other groups' points go on
            _log.exception("points of %s broke; they are tried again", owner)
        else:
            more = more or again
    return more


def every_chore() -> tuple[Chore, ...]:
    """All of them."""
    return (
        Chore("seal_points", SEAL_S, seal),
        Chore("take_in_points", TAKE_IN_S, take_in),
        Chore("expire_points_holds", EXPIRE_HOLDS_S, expire_holds),
        Chore("expire_points", EXPIRE_S, expire_lots),
    )
