"""Where an order ships from: pure decisions, no database, no clock.

The nearest place that has everything; if none has, the fewest parcels, and among those the shortest way.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

MAX_PARCELS: Final = 4
MAX_CANDIDATES: Final = 12
FAR_AWAY_KM: Final = 20_000.0


@dataclass(frozen=True, slots=True)
class Demand:
    """``quantity`` base units of a SKU still wanted by one order line."""

    line_no: int
    sku_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Place:
    """A place that may ship, how far it is from the buyer, and what it can promise by SKU."""

    location_id: int
    distance_km: float
    promisable: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """Part of one demand, from the place of its parcel."""

    line_no: int
    sku_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class PlannedParcel:
    """What one place sends."""

    location_id: int
    lines: tuple[PlannedLine, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Parcels, nearest first, and what no place can promise."""

    parcels: tuple[PlannedParcel, ...]
    unfilled: tuple[Demand, ...]


def choose_places(demands: Sequence[Demand], places: Iterable[Place]) -> Plan:
    """Plan ``demands`` over ``places``; the same input gives the same plan.

    Up to MAX_PARCELS places among the MAX_CANDIDATES best are searched exactly; beyond that the places that
    fill most are taken one after another.
    """
    ordered = _candidates(demands, places)
    for size in range(1, min(MAX_PARCELS, len(ordered)) + 1):
        for chosen in sorted(combinations(ordered, size), key=_way):
            plan = _allocate(demands, chosen)
            if not plan.unfilled:
                return plan
    return _allocate(demands, _greedy(demands, ordered))


def _way(chosen: Sequence[Place]) -> tuple[float, list[int]]:
    return sum(place.distance_km for place in chosen), [place.location_id for place in chosen]


def _fills(demands: Sequence[Demand], place: Place) -> int:
    wanted: dict[int, int] = {}
    for demand in demands:
        wanted[demand.sku_id] = wanted.get(demand.sku_id, 0) + demand.quantity
    return sum(min(quantity, place.promisable.get(sku_id, 0)) for sku_id, quantity in wanted.items())


def _candidates(demands: Sequence[Demand], places: Iterable[Place]) -> list[Place]:
    useful = [(place, _fills(demands, place)) for place in places]
    useful = [(place, filled) for place, filled in useful if filled > 0]
    useful.sort(key=lambda item: (-item[1], item[0].distance_km, item[0].location_id))
    best = [place for place, _ in useful[:MAX_CANDIDATES]]
    return sorted(best, key=lambda place: (place.distance_km, place.location_id))


def _greedy(demands: Sequence[Demand], ordered: Sequence[Place]) -> list[Place]:
    chosen: list[Place] = []
    left = list(demands)
    while left:
        rest = [place for place in ordered if place not in chosen and _fills(left, place)]
        if not rest:
            break
        chosen.append(max(rest, key=lambda place: (_fills(left, place), -place.distance_km)))
        left = list(_allocate(demands, chosen).unfilled)
    return chosen


def _allocate(demands: Sequence[Demand], chosen: Sequence[Place]) -> Plan:
    left = {demand.line_no: demand.quantity for demand in demands}
    parcels = []
    for place in chosen:
        stock = dict(place.promisable)
        lines = []
        for demand in demands:
            taken = min(left[demand.line_no], stock.get(demand.sku_id, 0))
            if taken > 0:
                stock[demand.sku_id] -= taken
                left[demand.line_no] -= taken
                lines.append(PlannedLine(demand.line_no, demand.sku_id, taken))
        if lines:
            parcels.append(PlannedParcel(place.location_id, tuple(lines)))
    unfilled = tuple(Demand(d.line_no, d.sku_id, left[d.line_no]) for d in demands if left[d.line_no])
    return Plan(tuple(parcels), unfilled)
