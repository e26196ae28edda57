"""Orders whose needs depend on each other: bundles that share goods, parcels that must be worth something.

Whether a set of places will do then depends on who sends what. Sets of places are tried from the smallest on, each
with the best way found to fill it; so it is exact for few places, and for many it is a search within the budget that
starts with the places the plain search favours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from flows.one_stock.routing.allocate import Filled, goods_of, set_units, sets_in, units_filled
from flows.one_stock.routing.problem import Item, Place, Stopped
from flows.one_stock.routing.rulebook import Rules
from flows.one_stock.routing.task import NEAR, Effort

FILL_STEPS: Final = 2_000
STEPS_A_NODE: Final = 20


@dataclass(frozen=True, slots=True)
class Tried:
    """Places that fill so many units, and what they add to each aim."""

    units: int
    values: tuple[float, ...]
    indexes: tuple[int, ...]
    filled: Filled


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best found, and ``least`` of each aim within the limits of the earlier ones, of all that was tried."""

    best: Tried
    least: tuple[float, ...]


def choose(
    items: Sequence[Item],
    places: Sequence[Place],
    weights: Sequence[Sequence[float]],
    limits: Sequence[tuple[float, float]],
    rules: Rules,
    effort: Effort,
    first: Sequence[int],
) -> Chosen:
    """The best set of places: most units, then every aim within its (tolerance, slack) of the best.

    ``weights``: by aim, then place. ``first``: places to try before the others.
    """
    everything = sum(set_units(item) * item.quantity for item in items)
    tried: list[Tried] = [Tried(0, (0.0,) * len(weights), (), {})]
    done: list[frozenset[int]] = []
    for indexes in _sets(len(places), weights[0], first, rules.max_parcels):
        if effort.spent():
            break
        if any(full.issubset(indexes) for full in done):
            continue
        filling = _Filling(items, [places[index] for index in indexes], rules)
        filled = filling.best()
        effort.nodes_left -= (FILL_STEPS - filling.steps_left) // STEPS_A_NODE
        if filling.steps_left < 0 and effort.stopped is Stopped.PROVED:
            effort.stopped = Stopped.BUDGET
        if filled is None or len(filled) < len(indexes):
            continue
        units = units_filled(items, filled)
        values = tuple(sum(each[index] for index in indexes) for each in weights)
        tried.append(Tried(units, values, tuple(sorted(indexes)), filled))
        if units == everything:
            done.append(frozenset(indexes))
    most = max(each.units for each in tried)
    kept = [each for each in tried if each.units == most]
    least = []
    for aim, (tolerance, slack) in enumerate(limits):
        least.append(min(each.values[aim] for each in kept))
        limit = least[-1] * (1 + tolerance) + slack
        kept = [each for each in kept if each.values[aim] <= limit + NEAR * max(1.0, limit)]
    best = min(kept, key=lambda each: (each.values[-1], len(each.indexes), each.indexes))
    return Chosen(best, tuple(least))


def _sets(count: int, weight: Sequence[float], first: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    """The favoured places, then all sets of one place, of two …, the light ones first."""
    if len(first) > 1:
        yield tuple(first)
    rest = sorted((index for index in range(count) if index not in first), key=lambda index: (weight[index], index))
    order = [*first, *rest]
    for size in range(1, min(most, count) + 1):
        for indexes in combinations(order, size):
            if size == 1 or indexes != tuple(first):
                yield indexes


class _Filling:
    """The best way to fill the items from places that all must send something."""

    def __init__(self, items: Sequence[Item], places: Sequence[Place], rules: Rules) -> None:
        self.items, self.places, self.rules = items, places, rules
        self.least = rules.min_parcel_value_minor if len(places) > 1 else 0
        self.goods = [goods_of(item) for item in items]
        self.units = [set_units(item) for item in items]
        poor_first = sorted(places, key=lambda place: (self._potential(place), place.id))
        self.steps = [(place.id, index) for place in poor_first for index in self._by_size()]
        self.stock = {place.id: {sku: max(0, units) for sku, units in place.stock.items()} for place in places}
        self.left = [item.quantity for item in items]
        self.sent: Filled = {}
        self.found: Filled | None = None
        self.most = -1
        self.steps_left = FILL_STEPS

    def best(self) -> Filled | None:
        """Sets by item, by place; None when no way is found that the rules allow."""
        if any(self._potential(place) < self.least for place in self.places):
            return None
        self._step(0, 0)
        return self.found

    def _by_size(self) -> list[int]:
        return sorted(range(len(self.items)), key=lambda index: (-self.units[index], index))

    def _potential(self, place: Place) -> float:
        return sum(
            item.value_minor * sets_in(goods, place.stock, item.quantity) / item.quantity
            for item, goods in zip(self.items, self.goods, strict=True)
        )

    def _step(self, number: int, units: int) -> None:
        self.steps_left -= 1
        open_units = sum([left * each for left, each in zip(self.left, self.units, strict=True)])
        if units + open_units <= self.most or (self.steps_left < 0 and self.found is not None):
            return
        if number == len(self.steps) or not open_units:
            if units > self.most and self._is_allowed():
                self.most = units
                self.found = {place: dict(taken) for place, taken in self.sent.items() if taken}
            return
        if self.steps_left < -FILL_STEPS:
            return
        place_id, index = self.steps[number]
        for sets in self._amounts(place_id, index):
            self._take(place_id, index, sets)
            self._step(number + 1, units + sets * self.units[index])
            self._take(place_id, index, -sets)

    def _amounts(self, place_id: int, index: int) -> Sequence[int]:
        item = self.items[index]
        if not self.rules.split_lines and self.left[index] < item.quantity:
            return (0,)
        most = sets_in(self.goods[index], self.stock[place_id], self.left[index])
        return range(most, -1, -1)

    def _take(self, place_id: int, index: int, sets: int) -> None:
        if not sets:
            return
        for sku_id, units in self.goods[index]:
            self.stock[place_id][sku_id] -= units * sets
        self.left[index] -= sets
        taken = self.sent.setdefault(place_id, {})
        taken[index] = taken.get(index, 0) + sets
        if not taken[index]:
            del taken[index]

    def _is_allowed(self) -> bool:
        if not self.least:
            return True
        used = [taken for taken in self.sent.values() if taken]
        return len(used) < 2 or all(self._value(taken) >= self.least for taken in used)

    def _value(self, taken: dict[int, int]) -> float:
        return sum(self.items[index].value_minor * sets / self.items[index].quantity for index, sets in taken.items())
