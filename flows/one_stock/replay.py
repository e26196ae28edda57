"""Recorded orders decided again under other rules.

A record holds the stock as the order found it, which the orders before it had lowered by the plans of that day. So the
replay keeps books on how its own plans differ from those: what they left where the old ones took is there, what they
took where the old ones left is gone, and so with the places' slots of a day. With ``independent`` each order finds
what it found then. Under the recorded rules nothing differs, and every decision is the recorded one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from time import perf_counter

from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Decision, Place, Plan, Problem
from flows.one_stock.routing.record import Record
from flows.one_stock.routing.rulebook import Rules
from flows.one_stock.snapshot import PLACES_ZONE

RulesOf = Callable[[str], Rules]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded decision, what would have been decided instead, from what, and how long that took."""

    record: Record
    problem: Problem
    decision: Decision
    ms: float


def replay(
    records: Iterable[tuple[Record, datetime]], rules_of: RulesOf, *, independent: bool = False
) -> Iterator[Replayed]:
    """Decide every record again, in the given order. ``rules_of``: the rules of a channel."""
    books = _Differences()
    for record, decided_at in records:
        day = decided_at.astimezone(PLACES_ZONE).date()
        began = perf_counter()
        problem = record.problem if independent else books.adjusted(record.problem, day)
        decision = decide(problem, rules_of(record.channel))
        yield Replayed(record, problem, decision, (perf_counter() - began) * 1_000)
        books.enter(record.decision.plan, day, 1)
        books.enter(decision.plan, day, -1)


class _Differences:
    """How much more is there than was then: units by place and SKU, and slots by place and day."""

    def __init__(self) -> None:
        self._units: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._slots: defaultdict[tuple[int, date], int] = defaultdict(int)

    def enter(self, plan: Plan, day: date, sign: int) -> None:
        """Give back what ``plan`` took (``sign`` 1), or let it take (-1)."""
        for parcel in plan.parcels:
            self._slots[parcel.place_id, day] += sign
            units = self._units[parcel.place_id]
            for line in parcel.lines:
                units[line.sku_id] += sign * line.quantity

    def adjusted(self, problem: Problem, day: date) -> Problem:
        """The problem as these books would have left it."""
        wanted = {part.sku_id for item in problem.items for part in item.parts}
        return replace(problem, places=tuple(self._place(place, wanted, day) for place in problem.places))

    def _place(self, place: Place, wanted: set[int], day: date) -> Place:
        more: Mapping[int, int] = self._units.get(place.id, {})
        differing = {sku_id: more[sku_id] for sku_id in wanted if more.get(sku_id)}
        slots = self._slots.get((place.id, day), 0)
        if differing:
            stock = {sku_id: max(0, place.stock.get(sku_id, 0) + units) for sku_id, units in differing.items()}
            place = replace(place, stock={**place.stock, **stock})
        if slots and place.capacity_left is not None:
            place = replace(place, capacity_left=max(0, place.capacity_left + slots))
        return place
