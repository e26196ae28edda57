"""Where members stand before a sale: their level, and what they earned on its day and in its month."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from flows.points import store
from flows.points.dates import day_bounds, month_bounds
from flows.points.earning import Earned, Standing
from flows.points.levels import growth_since, level_of
from flows.points.programme import Programme
from flows.points.store import EarnedBefore, Window


@dataclass(frozen=True, slots=True)
class Sale:
    """Who earns in which programme, and when. ``growth_id``: the asset of its growth, if it has levels."""

    programme: Programme
    asset_id: int
    growth_id: int | None
    holder: str
    happened_at: datetime


class Standings:
    """The standings of a batch of sales; what one of them earns counts for those after it.

    Where a cap goes over more than one order, nobody else reckons for the same members until the commit.
    """

    def __init__(self, connection: Connection[DictRow], owner: str, sales: Sequence[Sale]) -> None:
        self._sales = sales
        capped = [n for n, sale in enumerate(sales) if _is_capped(sale.programme)]
        if capped:
            store.one_at_a_time(connection, owner, (sales[n].holder for n in capped))
        self._wallets = store.wallets_of(connection, owner, (sale.holder for sale in sales))
        self._earned: dict[tuple[str, int], list[EarnedBefore]] = defaultdict(list)
        self._grown: dict[tuple[str, int], list[tuple[datetime, int]]] = defaultdict(list)
        self._read_earned(connection, owner, capped)
        levelled = [n for n, sale in enumerate(sales) if sale.growth_id is not None and sale.programme.levels]
        windows = [self._growth_window(sales[n]) for n in levelled]
        self._growth = dict(zip(levelled, store.growth_of(connection, owner, windows), strict=True))

    def of(self, position: int) -> Standing:
        """The standing before the sale at ``position``."""
        sale = self._sales[position]
        level = None
        if position in self._growth:
            since = growth_since(sale.programme, sale.happened_at)
            more = (n for at, n in self._grown[self._growth_key(sale)] if since <= at <= sale.happened_at)
            level = level_of(sale.programme, self._growth[position] + sum(more))
        if not _is_capped(sale.programme):
            return Standing(level)
        earned = self._earned[self._key(sale)]
        zone = sale.programme.zone
        day, month = day_bounds(zone, sale.happened_at), month_bounds(zone, sale.happened_at)
        return Standing(level, _summed(earned, *day), _summed(earned, *month))

    def add(self, position: int, earned: Earned) -> None:
        """Count what the sale at ``position`` earned."""
        sale = self._sales[position]
        if _is_capped(sale.programme):
            self._earned[self._key(sale)].append(EarnedBefore(sale.happened_at, earned.points, dict(earned.campaigns)))
        if sale.growth_id is not None and earned.growth:
            self._grown[self._growth_key(sale)].append((sale.happened_at, earned.growth))

    def _read_earned(self, connection: Connection[DictRow], owner: str, capped: Iterable[int]) -> None:
        asked: dict[tuple[str, int, datetime], Window] = {}
        for n in capped:
            sale = self._sales[n]
            first, end = month_bounds(sale.programme.zone, sale.happened_at)
            asked.setdefault((*self._key(sale), first), Window(sale.holder, sale.asset_id, first, end))
        found = store.earned_before(connection, owner, list(asked.values()))
        for (wallet, asset_id, _), rows in zip(asked, found, strict=True):
            self._earned[wallet, asset_id] += rows

    def _growth_window(self, sale: Sale) -> Window:
        since = growth_since(sale.programme, sale.happened_at)
        return Window(sale.holder, sale.growth_id or 0, since, sale.happened_at)

    def _key(self, sale: Sale) -> tuple[str, int]:
        return self._wallets[sale.holder], sale.asset_id

    def _growth_key(self, sale: Sale) -> tuple[str, int]:
        return self._wallets[sale.holder], sale.growth_id or 0


def _is_capped(programme: Programme) -> bool:
    return any(cap.per != "order" for cap in programme.caps)


def _summed(earned: Iterable[EarnedBefore], first: datetime, end: datetime) -> Counter[str]:
    """Points by campaign between two instants; all of them under ""."""
    sums: Counter[str] = Counter()
    for each in earned:
        if first <= each.happened_at < end:
            sums.update({**each.campaigns, "": each.points})
    return sums
