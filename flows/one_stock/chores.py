"""What one stock does by the clock: goods that nobody came for go back, figures are reckoned anew, plans get better."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from canonical_model.store import changes, checkouts, holds, velocity
from canonical_model.store.place_load import forget_days
from flows.one_stock.better_plans import BetterPlans
from flows.runtime.bootstrap import Hub
from flows.runtime.chores import Chore, companies
from flows.runtime.database import UnitOfWork

KEEP_LOADS_DAYS: Final = 7
FIGURES_AGE: Final = timedelta(hours=1)


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
