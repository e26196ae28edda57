"""The cheapest parcels, where cost is all that counts and no need touches another's goods.

Places are looked at from the cheapest on. As soon as those seen hold a plan, nothing that costs more can better it;
most orders are proved with one or two parcels before a search is needed.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from flows.one_stock.routing import cover
from flows.one_stock.routing.task import NEAR, Effort, Pool

INFINITE: Final = float("inf")
MAX_TRIED: Final = 24
"""So many places at most are tried in threes; of more, the search finds out."""

BYTE: Final = 8


@dataclass(frozen=True, slots=True)
class Needed:
    """What every place has of a need (``held``), and whether it has any (``has``, a 1 or 0 each); ``sets`` wanted of
    it, of ``units`` units."""

    held: Sequence[int]
    has: bytes
    sets: int
    units: int


@dataclass(slots=True)
class _Seen:
    """The places worth a search so far, the cheapest first, with what each has (``own``) and has all of (``full``), a
    bit a need; the best few of them together, and their ``value``. ``bits``: of every need that anybody has."""

    bits: Sequence[tuple[int, Sequence[int], int]]
    wanted: int
    places: list[int] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    own: list[int] = field(default_factory=list)
    full: list[int] = field(default_factory=list)
    value: float = INFINITE
    best: tuple[int, ...] = ()

    @property
    def edge(self) -> float:
        """What costs more is no better."""
        return self.value + NEAR * max(1.0, self.value)

    def holds(self, ranks: tuple[int, ...], full: int) -> bool:
        """Whether these places, which have something of every need, have enough; ``full``: what one has all of."""
        rest = self.wanted & ~full
        if not rest:
            return True
        columns = [self.places[rank] for rank in ranks]
        return all(not bit & rest or sum([held[n] for n in columns]) >= sets for bit, held, sets in self.bits)

    def offer(self, ranks: tuple[int, ...], value: float) -> None:
        """Keeps them if they are better; at a tie the fewer, then those that were seen first."""
        near = NEAR * max(1.0, value)
        if value < self.value - near or (
            value <= self.value + near and (len(ranks), ranks) < (len(self.best), self.best)
        ):
            self.value, self.best = value, ranks


def choose(
    needed: Sequence[Needed], order: Iterable[int], cost: Sequence[float], most: int, effort: Effort
) -> cover.Chosen:
    """The cheapest places that hold most units, as ``cover.choose``; ``columns`` are their positions, ascending.

    ``order``: the positions that may be asked, the cheapest first; ``cost`` by position; ``most``: parcels.
    """
    seen = _look(needed, order, cost, most)
    if _is_proved(seen, most):
        return cover.Chosen(tuple(sorted([seen.places[rank] for rank in seen.best])), (seen.value,), 0)
    kept = sorted(seen.places)
    caps = [[min(need.held[place], need.sets) for need in needed] for place in kept]
    pool = Pool([need.sets for need in needed], [need.units for need in needed], caps, most)
    chosen = cover.choose(pool, [cover.Aim([cost[place] for place in kept])], effort)
    return cover.Chosen(tuple([kept[column] for column in chosen.columns]), chosen.proved, chosen.missing)


def _look(needed: Sequence[Needed], order: Iterable[int], cost: Sequence[float], most: int) -> _Seen:
    """Every place that a best plan may need: none that only has what a cheaper one has all of, and none that costs
    too much beside the best plan of one or two."""
    asked = [need for need in needed if need.sets]
    bits = [(1 << number, need.held, need.sets) for number, need in enumerate(asked)]
    wanted = (1 << len(asked)) - 1
    seen = _Seen(bits, wanted)
    owns = _owns([need.has for need in asked], len(cost))
    useless, strong = {0}, list[int]()
    edge = INFINITE
    for place in order:
        price = cost[place]
        if price > edge:
            break
        own = owns[place]
        if own in useless or (own != wanted and seen.places and price + seen.cost[0] > edge):
            continue
        if _is_covered(own, strong):
            useless.add(own)
            continue
        full = sum([bit for bit, column, sets in bits if column[place] >= sets])
        seen.places.append(place)
        seen.cost.append(price)
        seen.own.append(own)
        seen.full.append(full)
        if full == wanted:
            seen.value, seen.best = price, (len(seen.places) - 1,)
            break
        if full:
            strong.append(full)
        if most > 1:
            _pair(seen)
            edge = seen.edge
    return seen


def _owns(has: Sequence[bytes], count: int) -> Sequence[int]:
    """For every place the needs that it has any of, a bit a need; bytes are joined as whole numbers, eight at once."""
    parts = []
    for start in range(0, len(has), BYTE):
        joined = 0
        for shift, each in enumerate(has[start : start + BYTE]):
            joined |= int.from_bytes(each, "little") << shift
        parts.append(joined.to_bytes(count, "little"))
    if len(parts) < 2:
        return parts[0] if parts else bytes(count)
    return [int.from_bytes(each, "little") for each in zip(*parts, strict=True)]


def _is_covered(own: int, strong: Iterable[int]) -> bool:
    for mask in strong:  # noqa: SIM110 - half the time of any()
        if not own & ~mask:
            return True
    return False


def _pair(seen: _Seen) -> None:
    """Offers the last place seen with an earlier one, the cheapest that will do."""
    last = len(seen.places) - 1
    own, full, price, edge = seen.own[last], seen.full[last], seen.cost[last], seen.edge
    for rank in range(last):
        value = seen.cost[rank] + price
        if value > edge:
            return
        if seen.own[rank] | own == seen.wanted and seen.holds((rank, last), seen.full[rank] | full):
            seen.offer((rank, last), value)
            return


def _is_proved(seen: _Seen, most: int) -> bool:
    """Whether the best is that of all plans; tries three together where that may be cheaper, unless they are many."""
    cost, count = seen.cost, len(seen.cost)
    if not seen.best:
        return False
    if most < 3 or count < 3 or _ends(sum(cost[:3]), seen.value):
        return True
    eligible = bisect_right(cost, seen.edge - cost[0] - cost[1])
    if eligible > MAX_TRIED:
        return False
    for last in range(2, eligible):
        _triple(seen, last)
    return most < 4 or count < 4 or _ends(sum(cost[:4]), seen.value)


def _triple(seen: _Seen, last: int) -> None:
    """Offers that place with two earlier ones."""
    own, full, cost = seen.own, seen.full, seen.cost
    for middle in range(1, last):
        spent = cost[middle] + cost[last]
        if spent + cost[0] > seen.edge:
            return
        both = own[middle] | own[last]
        for first in range(middle):
            if spent + cost[first] > seen.edge:
                break
            if both | own[first] == seen.wanted:
                ranks = (first, middle, last)
                if seen.holds(ranks, full[first] | full[middle] | full[last]):
                    seen.offer(ranks, cost[first] + cost[middle] + cost[last])
                    break


def _ends(bound: float, value: float) -> bool:
    """Whether nothing better than ``value`` can lie where ``bound`` holds."""
    return bound * (1 + NEAR) + NEAR >= value
