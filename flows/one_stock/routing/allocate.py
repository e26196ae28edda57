"""Which units go into which parcel, once the places are chosen."""

from collections.abc import Mapping, Sequence

from flows.one_stock.routing.problem import Item, Place, PlannedLine, PlannedParcel
from flows.one_stock.routing.rulebook import Rules

Filled = dict[int, dict[int, int]]
"""Sets by item's index, by place id."""


def wanted_units(items: Sequence[Item]) -> dict[int, int]:
    """Units of each SKU that all items ask for."""
    wanted: dict[int, int] = {}
    for item in items:
        for part in item.parts:
            wanted[part.sku_id] = wanted.get(part.sku_id, 0) + part.per_set * item.quantity
    return wanted


def sets_at(item: Item, stock: Mapping[int, int]) -> int:
    """How many whole sets of ``item`` this stock holds."""
    needs: dict[int, int] = {}
    for part in item.parts:
        needs[part.sku_id] = needs.get(part.sku_id, 0) + part.per_set
    return min(item.quantity, *(max(0, stock.get(sku_id, 0)) // units for sku_id, units in needs.items()))


def fill(items: Sequence[Item], places: Sequence[Place], rules: Rules) -> Filled:
    """Takes from the places in their order whatever they hold; items of several units come first."""
    order = sorted(range(len(items)), key=lambda index: (-_set_units(items[index]), index))
    left = [item.quantity for item in items]
    filled: Filled = {}
    for place in places:
        stock = dict(place.stock)
        for index in order:
            item = items[index]
            if not left[index] or (not rules.split_lines and left[index] < item.quantity):
                continue
            sets = min(left[index], sets_at(item, stock))
            if sets:
                left[index] -= sets
                filled.setdefault(place.id, {})[index] = sets
                for part in item.parts:
                    stock[part.sku_id] -= part.per_set * sets
    return filled


def units_filled(items: Sequence[Item], filled: Filled) -> int:
    """Units in all parcels."""
    return sum(_set_units(items[index]) * sets for taken in filled.values() for index, sets in taken.items())


def parcels_of(items: Sequence[Item], filled: Filled, places: Mapping[int, Place]) -> tuple[PlannedParcel, ...]:
    """The parcels by place id, each with its lines by line number."""
    return tuple(
        PlannedParcel(place_id, _lines(items, filled[place_id]), places[place_id].km)
        for place_id in sorted(filled)
        if filled[place_id]
    )


def unfilled_of(items: Sequence[Item], filled: Filled) -> tuple[PlannedLine, ...]:
    """What no parcel carries."""
    left = {index: item.quantity for index, item in enumerate(items)}
    for taken in filled.values():
        for index, sets in taken.items():
            left[index] -= sets
    return _lines(items, {index: sets for index, sets in left.items() if sets})


def _set_units(item: Item) -> int:
    return sum(part.per_set for part in item.parts)


def _lines(items: Sequence[Item], sets: Mapping[int, int]) -> tuple[PlannedLine, ...]:
    units: dict[tuple[int, int], int] = {}
    for index, count in sets.items():
        for part in items[index].parts:
            key = (part.line_no, part.sku_id)
            units[key] = units.get(key, 0) + part.per_set * count
    return tuple(PlannedLine(line_no, sku_id, quantity) for (line_no, sku_id), quantity in sorted(units.items()))
