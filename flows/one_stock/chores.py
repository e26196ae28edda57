"""What one stock does by the clock: goods that nobody came for go back, figures are reckoned anew, plans get better.

Every process that works runs every chore, in a thread each; an advisory lock lets one of them at a time through.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Final

from canonical_model.errors import HubError
from canonical_model.store import changes, checkouts, holds, velocity
from canonical_model.store.place_load import forget_days
from flows.one_stock.better_plans import BetterPlans
from flows.runtime.bootstrap import Hub
from flows.runtime.database import UnitOfWork

KEEP_LOADS_DAYS: Final = 7
FIGURES_AGE: Final = timedelta(hours=1)
STOP_S: Final = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """``do`` is done every ``every_s`` in a transaction that commits after it, and again at once while it says so."""

    name: str
    every_s: float
    do: Callable[[Hub, UnitOfWork, datetime], bool]


def companies(hub: Hub) -> list[tuple[str, str]]:
    """Owner and brand of every connected system, by name."""
    configs = [hub.estate.connector(system).config for system in hub.estate.systems]
    return sorted({(hub.estate.owner, hub.estate.brand), *((config.owner, config.brand) for config in configs)})


def expire_checkouts(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """Give back what no order came for in time."""
    return checkouts.expire_due(uow.connection, now) >= checkouts.SWEEP


def expire_holds(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """End the holds that were due and that nobody accepted."""
    return len(holds.expire_due(uow.connection, now)) >= holds.EXPIRY_BATCH


def reckon_velocity(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """Weekly sales and places' figures, where they are an hour old: one brand a transaction."""
    for owner, brand in companies(hub):
        known = velocity.computed_at(uow.connection, owner, brand)
        if known is None or known <= now - FIGURES_AGE:
            velocity.refresh_velocity(uow.connection, owner, brand, now)
    return False


def forget_the_past(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
    """Drop changes that every reader had a week for, and the loads of days gone by."""
    forget_days(uow.connection, now.date() - timedelta(days=KEEP_LOADS_DAYS))
    return changes.trim_changes(uow.connection, now - changes.KEEP) >= changes.TRIM_BATCH - 1


def better_plans() -> Callable[[Hub, UnitOfWork, datetime], bool]:
    """Looks for better plans of orders that wait for their release, where something changed since its last look.

    These are transactions of their own.
    """
    passes = BetterPlans()

    def better(hub: Hub, uow: UnitOfWork, now: datetime) -> bool:
        for owner, brand in companies(hub):
            passes.look(hub.database, owner, brand, now=now, member_schemes=hub.estate.systems)
        return False

    return better


def every_chore() -> tuple[Chore, ...]:
    """All of them, for one hub: what they remember is of its database."""
    return (
        Chore("expire_checkouts", 2.0, expire_checkouts),
        Chore("expire_holds", 5.0, expire_holds),
        Chore("reckon_velocity", 300.0, reckon_velocity),
        Chore("forget_the_past", 600.0, forget_the_past),
        Chore("better_plans", 60.0, better_plans()),
    )


class Chores:
    """The threads of this process that do the chores; ``start`` and ``stop`` once each."""

    def __init__(self, hub: Hub, chores: Sequence[Chore] | None = None) -> None:
        self._hub = hub
        self._stopping = Event()
        self._threads = [
            Thread(target=self._repeat, args=(chore,), name=f"yipan-{chore.name}", daemon=True)
            for chore in chores or every_chore()
        ]

    def start(self) -> None:
        """Begin; each chore is done for the first time when its interval has passed."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is being done."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(STOP_S)

    def _repeat(self, chore: Chore) -> None:
        while not self._stopping.wait(chore.every_s):
            try:
                while do_once(self._hub, chore, datetime.now(UTC)) and not self._stopping.is_set():
                    pass
            except HubError as error:
                _log.warning("%s waits: %s", chore.name, error)
            except Exception:  # noqa: BLE001 - one chore that breaks must not end, nor end the others
                _log.exception("%s broke; it is tried again", chore.name)


def do_once(hub: Hub, chore: Chore, now: datetime) -> bool:
    """Do a chore unless another process is at it; whether there is more to do at once."""
    with hub.database.unit() as uow:
        row = uow.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0)) AS mine", [f"one_stock.{chore.name}"]
        ).fetchone()
        if row is None or not row["mine"]:
            return False
        more = chore.do(hub, uow, now)
        uow.commit()
        return more
