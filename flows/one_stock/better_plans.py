"""When to look for better plans: not again while nothing came about that could make one.

What a pass has looked at is remembered by the process: the rulebook, the orders, and how far the feed of stock was.
Places open, close and change by the clock and by hand, so a pass is due again after AGAIN_AFTER in any case.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import changes, open_plans
from flows.one_stock.reoptimise import ORDERS, Report, reoptimise
from flows.one_stock.rulebooks import rulebook_of
from flows.runtime.database import Database

AGAIN_AFTER: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a pass that left every plan as it was has looked at. ``change``: the newest entry of the feed of stock."""

    at: datetime
    rules: str
    orders: frozenset[int]
    change: int


class BetterPlans:
    """Passes over the brands of one database, by one thread at a time."""

    def __init__(self, again_after: timedelta = AGAIN_AFTER) -> None:
        self._again_after = again_after
        self._seen: dict[tuple[str, str], _Seen] = {}

    def look(
        self, database: Database, owner: str, brand: str, *, now: datetime, member_schemes: Sequence[str] = ()
    ) -> Report | None:
        """Better the plans of a brand; None if nothing has changed since a pass that found nothing to better.

        ``member_schemes``: the systems whose membership numbers orders may name, most trusted first.
        """
        seen = self._seen.pop((owner, brand), None)
        with database.unit() as uow:
            still = self._still(uow.connection, owner, brand, seen, now) if seen else None
            found = still or _read(uow.connection, owner, brand, now)
        report = None if still else reoptimise(database, owner, brand, now=now, member_schemes=member_schemes)
        if report is None or not (report.changed or report.skipped):
            self._seen[owner, brand] = found
        return report

    def _still(
        self, connection: Connection[DictRow], owner: str, brand: str, seen: _Seen, now: datetime
    ) -> _Seen | None:
        """The same, brought up to date, unless something came about since. Orders that left make no plan better."""
        if now >= seen.at + self._again_after or rulebook_of(connection, owner, brand).fingerprint != seen.rules:
            return None
        news = changes.list_changes(connection, owner, brand, after=seen.change, limit=1)
        if news.items or news.more or news.reset or not _orders(connection, owner, brand) <= seen.orders:
            return None
        return replace(seen, change=news.next)


def _read(connection: Connection[DictRow], owner: str, brand: str, now: datetime) -> _Seen:
    """Where all of it is now. What comes about while the pass reads lies behind this, and makes the next one look."""
    change = changes.list_changes(connection, owner, brand).next
    return _Seen(now, rulebook_of(connection, owner, brand).fingerprint, _orders(connection, owner, brand), change)


def _orders(connection: Connection[DictRow], owner: str, brand: str) -> frozenset[int]:
    return frozenset(order.id for order in open_plans.list_open(connection, owner, brand, limit=ORDERS))
