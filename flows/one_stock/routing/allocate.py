"""From order lines to needs, and from chosen places back to parcels with lines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flows.one_stock.routing.problem import Item, Part, Place, PlannedLine, PlannedParcel
from flows.one_stock.routing.rulebook import Rules

Filled = dict[int, dict[int, int]]
"""Sets by the item's index, by place id."""


@dataclass(frozen=True, slots=True)
class Need:
    """Sets wanted of the same goods, by one item or by several plain ones. ``goods``: units of each SKU in a set."""

    items: tuple[int, ...]
    goods: tuple[tuple[int, int], ...]
    quantity: int

    @property
    def units(self) -> int:
        """Units in a set."""
        return sum(units for _, units in self.goods)


def items_of(items: Iterable[Item], rules: Rules) -> list[Item]:
    """The items in an order that does not depend on how they are listed; one item where all must stay together."""
    kept = [item for item in items if item.quantity > 0 and item.parts]
    kept.sort(
        key=lambda item: (sorted((part.line_no, part.sku_id, part.per_set) for part in item.parts), item.quantity)
    )
    if not rules.keep_order_together or not kept:
        return kept
    parts = tuple(Part(part.line_no, part.sku_id, part.per_set * item.quantity) for item in kept for part in item.parts)
    return [Item(parts, 1, sum(item.value_minor for item in kept))]


def wanted_units(items: Iterable[Item]) -> dict[int, int]:
    """Units of each SKU that all items ask for."""
    wanted: dict[int, int] = {}
    for item in items:
        for part in item.parts:
            wanted[part.sku_id] = wanted.get(part.sku_id, 0) + part.per_set * item.quantity
    return wanted


def needs_of(items: Sequence[Item], *, together: bool) -> list[Need]:
    """What the items want; with ``together``, plain items of one SKU are one need."""
    needs: list[Need] = []
    plain: dict[int, int] = {}
    for index, item in enumerate(items):
        need = Need((index,), goods_of(item), item.quantity)
        if together and len(need.goods) == 1 and need.units == 1:
            sku_id = need.goods[0][0]
            if sku_id in plain:
                same = needs[plain[sku_id]]
                needs[plain[sku_id]] = Need((*same.items, index), same.goods, same.quantity + item.quantity)
                continue
            plain[sku_id] = len(needs)
        needs.append(need)
    return needs


def are_apart(needs: Iterable[Need]) -> bool:
    """Whether no SKU is wanted by two needs, so that what one takes is nothing to another."""
    seen: set[int] = set()
    for need in needs:
        for sku_id, _ in need.goods:
            if sku_id in seen:
                return False
            seen.add(sku_id)
    return True


def sets_held(needs: Sequence[Need], places: Iterable[Place]) -> list[list[int]]:
    """Sets of each need, by place, then need."""
    if all(need.units == 1 for need in needs):
        plain = [(need.goods[0][0], need.quantity) for need in needs]
        return [
            [(held if held < most else most) if (held := get(sku_id, 0)) > 0 else 0 for sku_id, most in plain]
            for get in [place.stock.get for place in places]
        ]
    return [[sets_in(need.goods, place.stock, need.quantity) for need in needs] for place in places]


def spread(
    items: Sequence[Item], needs: Sequence[Need], places: Sequence[Place], caps: Sequence[Sequence[int]], *, whole: bool
) -> Filled:
    """Sets of every item from the places, which hold ``caps`` sets of each need.

    A need comes from one place where one holds all of it, else from those that hold most; ``whole``: from one in any
    case.
    """
    filled: Filled = {place.id: {} for place in places}
    order = sorted(range(len(places)), key=lambda index: places[index].id)
    for number, need in enumerate(needs):
        left = need.quantity
        shares: list[tuple[int, int]] = []
        for index in sorted(order, key=lambda index: -caps[index][number])[: 1 if whole else None]:
            sets = min(left, caps[index][number])
            if sets:
                shares.append((places[index].id, sets))
                left -= sets
        _share_out(items, need, shares, filled)
    return filled


def _share_out(items: Sequence[Item], need: Need, shares: Iterable[tuple[int, int]], filled: Filled) -> None:
    """Gives what the places send to the need's items, the largest first, so that few of them are split."""
    left = {index: items[index].quantity for index in need.items}
    for place_id, sets in shares:
        rest = sets
        for index in sorted(left, key=lambda index: (-left[index], index)):
            taken = min(rest, left[index])
            if taken:
                filled[place_id][index] = taken
                left[index] -= taken
                rest -= taken


def units_filled(items: Sequence[Item], filled: Filled) -> int:
    """Units in all parcels."""
    return sum(set_units(items[index]) * sets for taken in filled.values() for index, sets in taken.items())


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


def goods_of(item: Item) -> tuple[tuple[int, int], ...]:
    """Units of each SKU in one set of the item."""
    goods: dict[int, int] = {}
    for part in item.parts:
        goods[part.sku_id] = goods.get(part.sku_id, 0) + part.per_set
    return tuple(goods.items())


def sets_in(goods: Iterable[tuple[int, int]], stock: Mapping[int, int], most: int) -> int:
    """How many sets of the goods this stock holds, ``most`` at most."""
    for sku_id, units in goods:
        held = stock.get(sku_id, 0) // units
        most = min(most, held)
    return max(0, most)


def set_units(item: Item) -> int:
    """Units in one set of the item."""
    return sum([part.per_set for part in item.parts])


def _lines(items: Sequence[Item], sets: Mapping[int, int]) -> tuple[PlannedLine, ...]:
    units: dict[tuple[int, int], int] = {}
    for index, count in sets.items():
        for part in items[index].parts:
            key = (part.line_no, part.sku_id)
            units[key] = units.get(key, 0) + part.per_set * count
    return tuple([PlannedLine(line_no, sku_id, quantity) for (line_no, sku_id), quantity in sorted(units.items())])
