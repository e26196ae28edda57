"""What points do by the clock: the journal is sealed, what nobody came for is free again, what is due expires, and the
entries that sources told go into the ledger."""

from datetime import datetime
from typing import Final

from canonical_model.store import ledger_expiry, ledger_holds, ledger_journal
from flows.points import intake
from flows.runtime.bootstrap import Hub
from flows.runtime.chores import Chore, companies
from flows.runtime.database import UnitOfWork

SEAL_S: Final = 1.0
TAKE_IN_S: Final = 2.0
EXPIRE_HOLDS_S: Final = 5.0
EXPIRE_S: Final = 3_600.0


def owners(hub: Hub) -> list[str]:
    """The groups whose systems are connected."""
    return sorted({owner for owner, _ in companies(hub)})


def seal(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """Seal what is settled of each group's journal, the head signed under the master key."""
    sealed = [ledger_journal.seal(uow.connection, owner, now=now, sign=hub.vault.sign) for owner in owners(hub)]
    return any(each.more for each in sealed)


def expire_holds(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """Free the points that were kept for longer than was said."""
    return ledger_holds.expire_holds(uow.connection, now) >= ledger_holds.EXPIRY_BATCH


def expire_lots(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """What is due by now expires."""
    lots = [ledger_expiry.expire_lots(uow.connection, owner, as_of=now, now=now) for owner in owners(hub)]
    return any(lots)


def take_in(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """Put what sources told into the ledger."""
    taken = [intake.take_in(uow, owner, brand, now=now) for owner, brand in companies(hub)]
    return any(entries >= intake.BATCH for entries in taken)


def every_chore() -> tuple[Chore, ...]:
    """All of them."""
    return (
        Chore("seal_points", SEAL_S, seal),
        Chore("take_in_points", TAKE_IN_S, take_in),
        Chore("expire_points_holds", EXPIRE_HOLDS_S, expire_holds),
        Chore("expire_points", EXPIRE_S, expire_lots),
    )
