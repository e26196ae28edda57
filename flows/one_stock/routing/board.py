"""What the search over many orders moves: a pool of units, and orders that ask for plans out of it."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from flows.one_stock.routing.allocate import wanted_units
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.filters import removed_by
from flows.one_stock.routing.problem import Decision, Place, Plan, Problem
from flows.one_stock.routing.rulebook import Rules, TierName
from flows.one_stock.routing.tiers import parcel_cost, scores

SLOT: Final = -1
"""Stands for a SKU in a pool: what a place with a limit has of it are the parcels that it may still take."""

EPSILON: Final = 1e-6

Unit = tuple[int, int]
"""(place id, SKU id)."""

Offers = Mapping[int, Mapping[int, int]]
"""Units by SKU id, by place id."""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order and its standing plan. ``problem`` names the places that it may use; their ``stock`` and
    ``capacity_left`` do not count, the pool does."""

    key: int
    problem: Problem
    rules: Rules
    plan: Plan


@dataclass(frozen=True, slots=True)
class Answer:
    """A plan: what it uses of the pool, what it leaves unfilled by line, and how good it is for its order.

    ``guarded``: its sums on the tiers that come before cost. ``decision``: what it is the plan of, and ``offers`` what
    that was made of; None for the plan that stood at first.
    """

    plan: Plan
    uses: Mapping[Unit, int]
    unfilled: Mapping[int, int]
    cost: float
    guarded: tuple[float, ...]
    decision: Decision | None = None
    offers: Offers = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Units unfilled."""
        return sum(self.unfilled.values())

    def may_replace(self, standing: "Answer") -> bool:
        """Whether no line loses by it; nor, if none wins, any tier before cost."""
        if any(units > standing.unfilled.get(line_no, 0) for line_no, units in self.unfilled.items()):
            return False
        return self.missing < standing.missing or all(
            new <= old + EPSILON for new, old in zip(self.guarded, standing.guarded, strict=True)
        )


class Pool:
    """Units by SKU and place; SLOT among the SKUs."""

    def __init__(self, *parts: Mapping[Unit, int]) -> None:
        self.by_sku: dict[int, dict[int, int]] = {}
        for units in parts:
            self.add(units)

    def add(self, units: Mapping[Unit, int], sign: int = 1) -> None:
        """Put ``units`` in, or with ``sign`` -1 take them out."""
        for (place_id, sku_id), quantity in units.items():
            places = self.by_sku.setdefault(sku_id, {})
            places[place_id] = places.get(place_id, 0) + sign * quantity

    def of(self, unit: Unit) -> int:
        """How many there are."""
        return self.by_sku.get(unit[1], {}).get(unit[0], 0)

    @contextmanager
    def with_more(self, units: Mapping[Unit, int]) -> Iterator[None]:
        """As if these units were here too."""
        self.add(units)
        try:
            yield
        finally:
            self.add(units, -1)

    @contextmanager
    def without(self, units: Mapping[Unit, int]) -> Iterator[None]:
        """As if others had taken these units, or all there are if they are fewer."""
        gone = {unit: max(0, min(quantity, self.of(unit))) for unit, quantity in units.items()}
        self.add(gone, -1)
        try:
            yield
        finally:
            self.add(gone)


class Seat:
    """One order at the board: asks for a plan out of a pool, and remembers the answers."""

    def __init__(self, order: OpenOrder, everything: Pool, limited: Collection[int]) -> None:
        self.order = order
        self._limited = limited
        self._wanted = wanted_units(order.problem.items)
        tiers = [tier.by for tier in order.rules.tiers]
        self._capped = TierName.DEPTH not in tiers
        self._guards = tiers.index(TierName.COST) if TierName.COST in tiers else len(tiers)
        offers = self._offers(everything)
        usable = [place for place in order.problem.places if self._may_use(place, offers)]
        self._places = {place.id: place for place in usable}
        self._scores = {
            place.id: scores(_at(place, offers), order.problem, order.rules, self._wanted)[: self._guards]
            for place in usable
        }
        self._answers: dict[tuple[tuple[int, ...], ...], Answer] = {}

    @property
    def standing(self) -> Answer | None:
        """The plan that stands at first; None when it uses a place that the order may not use any more."""
        if any(parcel.place_id not in self._places for parcel in self.order.plan.parcels):
            return None
        return self._valued(self.order.plan)

    def ask(self, pool: Pool) -> Answer:
        """What the order's rules make of the pool."""
        offers = {place_id: stock for place_id, stock in self._offers(pool).items() if place_id in self._places}
        question = tuple(
            (place_id, *(stock.get(sku_id, 0) for sku_id in self._wanted)) for place_id, stock in sorted(offers.items())
        )
        known = self._answers.get(question)
        if known is None:
            places = tuple(_at(self._places[place_id], offers) for place_id, *_ in question)
            decision = decide(replace(self.order.problem, places=places), self.order.rules)
            known = self._answers[question] = self._valued(decision.plan, decision, offers)
        return known

    def told(self, offers: Offers, decision: Decision) -> tuple[Problem, Decision]:
        """Question and decision as they go on record: with every place of the order, also those without its goods."""
        places = tuple(
            _at(place, offers) if place.id in offers else replace(place, stock={})
            for place in self.order.problem.places
        )
        problem = replace(self.order.problem, places=places)
        return problem, replace(decision, considered=decide(problem, self.order.rules).considered)

    def _may_use(self, place: Place, offers: Offers) -> bool:
        return removed_by(_at(place, offers), self.order.problem, self.order.rules, self._wanted) is None

    def _offers(self, pool: Pool) -> dict[int, dict[int, int]]:
        offers: dict[int, dict[int, int]] = {}
        slots = pool.by_sku.get(SLOT, {})
        for sku_id, wanted in self._wanted.items():
            for place_id, units in pool.by_sku.get(sku_id, {}).items():
                if units > 0 and (place_id not in self._limited or slots.get(place_id, 0) > 0):
                    offers.setdefault(place_id, {})[sku_id] = min(units, wanted) if self._capped else units
        return offers

    def _valued(self, plan: Plan, decision: Decision | None = None, offers: Offers | None = None) -> Answer:
        uses, unfilled = Counter[Unit](), Counter[int]()
        guarded = [0.0] * self._guards
        cost = 0.0
        for parcel in plan.parcels:
            cost += parcel_cost(self._places[parcel.place_id], self.order.rules)
            guarded = [old + new for old, new in zip(guarded, self._scores[parcel.place_id], strict=True)]
            if parcel.place_id in self._limited:
                uses[parcel.place_id, SLOT] += 1
            for line in parcel.lines:
                uses[parcel.place_id, line.sku_id] += line.quantity
        for line in plan.unfilled:
            unfilled[line.line_no] += line.quantity
        return Answer(plan, uses, unfilled, cost, tuple(guarded), decision, offers or {})


def _at(place: Place, offers: Offers) -> Place:
    return replace(place, stock=offers.get(place.id, {}), capacity_left=None)
