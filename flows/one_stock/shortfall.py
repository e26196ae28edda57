"""Starts the run that makes good a promise the goods no longer cover."""

from collections.abc import Sequence
from typing import Final

from canonical_model.store.stock import Shortfall
from flows.runtime import runs
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Start

RESOLVE_SHORTFALL: Final = "one_stock.resolve_shortfall"


def start_resolving(uow: UnitOfWork, owner: str, brand: str, shortfalls: Sequence[Shortfall], *, cause: str) -> None:
    """One run for each shortfall and ``cause`` (a message, a parcel); those of one level go one after another."""
    runs.start_runs(
        uow,
        [
            Start(
                flow=RESOLVE_SHORTFALL,
                owner=owner,
                brand=brand,
                key=f"{shortfall.id}:{cause}",
                input={"level_id": shortfall.level_id, "shortfall_id": shortfall.id},
                order_key=str(shortfall.level_id),
            )
            for shortfall in shortfalls
        ],
    )
