"""How long goods will last where they are, and what could lie better elsewhere. Pure: figures in, advice out.

Advice is only as good as its figures: where a place's authority has been silent too long, or the sales were not
reckoned for a day, the answer says so instead.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import heapify, heapreplace
from typing import Final

from flows.one_stock.geography import distance_km

VELOCITY_LIVES: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A SKU at a place: what is there, what of it may be promised, and how many units a week it sells.

    ``spoken_at``: when the place's authority last told its figure, None if never.
    """

    level_id: int
    sku: str
    location: str
    on_hand: int
    atp: int
    weekly: float
    spoken_at: datetime | None
    lat: float | None = None
    lon: float | None = None

    @property
    def weeks(self) -> float | None:
        """For how many weeks ``atp`` lasts at this pace; None where nothing sells."""
        return self.atp / self.weekly if self.weekly > 0 else None


@dataclass(frozen=True, slots=True)
class Limits:
    """``short_weeks``: below it a place is short. ``target_weeks``: what a place needs of its own. ``over_weeks``:
    above it there is too much; so there is where more than ``idle_units`` lie and nothing was sold.
    ``stale_after_h``: how long an authority may be silent. ``min_units``: fewer are not worth a parcel.
    """

    short_weeks: float = 1.0
    target_weeks: float = 4.0
    over_weeks: float = 12.0
    idle_units: int = 10
    stale_after_h: float = 48.0
    min_units: int = 2


class WarningKind(StrEnum):
    """What is wrong with a shelf, or with the figures about it."""

    SOLD_OUT = "sold_out"
    SHORTAGE = "shortage"
    OVERSTOCK = "overstock"
    IDLE = "idle"
    STALE = "stale"


_TOO_MUCH: Final = frozenset({WarningKind.OVERSTOCK, WarningKind.IDLE})
_TOO_LITTLE: Final = frozenset({WarningKind.SOLD_OUT, WarningKind.SHORTAGE})


@dataclass(frozen=True, slots=True)
class SupplyWarning:
    """One shelf that wants attention. ``units`` says how many are missing to the target, or lie beyond it."""

    kind: WarningKind
    shelf: Shelf
    units: int


@dataclass(frozen=True, slots=True)
class Move:
    """``units`` of a SKU from one shelf to another; ``km`` between them, if known."""

    source: Shelf
    target: Shelf
    units: int
    km: float | None


def velocity_is_stale(reckoned_at: datetime | None, now: datetime) -> bool:
    """Whether the weekly sales are too old to advise by."""
    return reckoned_at is None or now - reckoned_at > VELOCITY_LIVES


def is_stale(shelf: Shelf, limits: Limits, now: datetime) -> bool:
    """Whether its authority has been silent too long."""
    return shelf.spoken_at is None or now - shelf.spoken_at > timedelta(hours=limits.stale_after_h)


def warn(shelf: Shelf, limits: Limits, now: datetime) -> SupplyWarning | None:
    """What is wrong with the shelf, if anything; ``stale`` where its figure is too old to judge."""
    if shelf.on_hand <= 0 and shelf.weekly <= 0:
        return None
    if is_stale(shelf, limits, now):
        return SupplyWarning(WarningKind.STALE, shelf, 0)
    kind = _judged(shelf, limits)
    if kind is None:
        return None
    return SupplyWarning(kind, shelf, _wanted(shelf, limits) if kind in _TOO_LITTLE else _spare(shelf, limits))


def allocate(quantity: int, shelves: Sequence[Shelf]) -> list[tuple[Shelf, int]]:
    """Spread ``quantity`` units of one SKU over ``shelves`` so that the one that runs dry first does so latest.

    The units given add up to ``quantity`` exactly, unless there is no shelf. Where none sells, each is filled to the
    same number. Ties go by the order given.
    """
    sells = any(shelf.weekly > 0 for shelf in shelves)
    takers = [(max(0, shelf.atp), shelf.weekly if sells else 1.0) for shelf in shelves]
    chosen = [n for n, (_, weekly) in enumerate(takers) if weekly > 0]
    if not chosen:
        return []
    weeks = _level(quantity, [takers[n] for n in chosen])
    given = {n: max(0, math.floor(weeks * takers[n][1]) - takers[n][0]) for n in chosen}
    excess = sum(given.values()) - quantity
    for n in chosen:  # rounding of large figures may have given a unit too many
        back = min(given[n], max(0, excess))
        given[n] -= back
        excess -= back
    heap = [((takers[n][0] + given[n]) / takers[n][1], n) for n in chosen]
    heapify(heap)
    for _ in range(quantity - sum(given.values())):
        _, n = heap[0]
        given[n] += 1
        heapreplace(heap, ((takers[n][0] + given[n]) / takers[n][1], n))
    return [(shelves[n], units) for n, units in given.items() if units]


def suggest_transfers(shelves: Sequence[Shelf], limits: Limits, now: datetime) -> list[Move]:
    """Moves of one SKU from places with too much to places that are short, the nearest pairs first.

    A giver keeps its own target, a taker gets no more than its target; shelves with stale figures take no part.
    """
    found = {n: warning for n, shelf in enumerate(shelves) if (warning := warn(shelf, limits, now))}
    spare = {n: _spare(shelves[n], limits) for n, w in found.items() if w.kind in _TOO_MUCH}
    wanted = {n: _wanted(shelves[n], limits) for n, w in found.items() if w.kind in _TOO_LITTLE}
    ways = sorted(
        (_order(km), -min(spare[giver], wanted[taker]), giver, taker, km)
        for giver in spare
        for taker in wanted
        for km in (_km(shelves[giver], shelves[taker]),)
    )
    moves = []
    for _, _, giver, taker, km in ways:
        units = min(spare[giver], wanted[taker])
        if units >= max(1, limits.min_units):
            spare[giver] -= units
            wanted[taker] -= units
            moves.append(Move(shelves[giver], shelves[taker], units, km))
    return moves


def _judged(shelf: Shelf, limits: Limits) -> WarningKind | None:
    if shelf.weeks is None:
        return WarningKind.IDLE if shelf.on_hand > limits.idle_units else None
    if shelf.atp <= 0:
        return WarningKind.SOLD_OUT
    if shelf.weeks < limits.short_weeks:
        return WarningKind.SHORTAGE
    return WarningKind.OVERSTOCK if shelf.weeks > limits.over_weeks else None


def _spare(shelf: Shelf, limits: Limits) -> int:
    return max(0, shelf.atp - math.ceil(shelf.weekly * limits.target_weeks))


def _wanted(shelf: Shelf, limits: Limits) -> int:
    return max(0, math.ceil(shelf.weekly * limits.target_weeks) - max(0, shelf.atp))


def _level(quantity: int, takers: Sequence[tuple[int, float]]) -> float:
    """The weeks to which ``quantity`` fills the emptiest of ``(units, weekly)``."""
    ordered = sorted(takers, key=lambda taker: taker[0] / taker[1])
    units, weekly, weeks = float(quantity), 0.0, 0.0
    for n, (have, pace) in enumerate(ordered):
        units, weekly = units + have, weekly + pace
        weeks = units / weekly
        if n + 1 < len(ordered) and weeks <= ordered[n + 1][0] / ordered[n + 1][1]:
            break
    return weeks


def _km(one: Shelf, other: Shelf) -> float | None:
    if one.lat is None or one.lon is None or other.lat is None or other.lon is None:
        return None
    return distance_km(one.lat, one.lon, other.lat, other.lon)


def _order(km: float | None) -> float:
    return math.inf if km is None else km
