"""Open orders planned together: one gives up goods to another when both together then cost less.

Large-neighbourhood search. *Destroy*: an order that would be better off if it had the pool to itself, those who hold
what it wants and lose least by giving it up, and those who hold what these would take instead. *Repair*: all of them
decide again, each by its own rules; where several want the same units, the order that would pay most for them, which
is their price, takes them. The outcome stands if the group leaves fewer units unfilled, or as many at less cost.

No line gets fewer units than before, and no order gets worse on a tier that its rules put before cost. The same orders
and pool give the same outcome, in whatever order they come.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from flows.one_stock.routing.board import EPSILON, SLOT, Answer, OpenOrder, Pool, Seat, Unit
from flows.one_stock.routing.problem import Decision, Problem

NOWHERE: Final = 10**15
"""More units than any place has."""


@dataclass(frozen=True, slots=True)
class Search:
    """How much is tried. ``iterations``: groups that decide again. ``group``: orders in one. ``tries``: how often in
    vain an order may begin a group. ``asked``: holders of a unit who are asked what giving it up would cost them."""

    iterations: int = 2_000
    group: int = 8
    tries: int = 8
    asked: int = 8


DEFAULT_SEARCH: Final = Search()


@dataclass(frozen=True, slots=True)
class Change:
    """An order's new plan: ``decision`` is ``decide(problem, rules)``; the problem shows what was left to the order.

    ``saving``: how much less it costs than the old one; below 0 where the order made room for another.
    """

    key: int
    problem: Problem
    decision: Decision
    saving: float


@dataclass(frozen=True, slots=True)
class Total:
    """What all orders together leave unfilled, in units, and what they cost."""

    unfilled: int
    cost: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The changed orders by key, and what the changes bring. ``iterations``: groups that decided again."""

    changes: tuple[Change, ...]
    before: Total
    after: Total
    iterations: int

    @property
    def saving(self) -> float:
        """The cost saved, as a share of what it was."""
        return 1 - self.after.cost / self.before.cost if self.before.cost else 0.0


def reoptimise(
    orders: Iterable[OpenOrder], stock: Mapping[Unit, int], slots: Mapping[int, int], search: Search = DEFAULT_SEARCH
) -> Outcome:
    """Better plans for ``orders`` (each key once).

    ``stock``: free units by (place id, SKU id) beyond what the standing plans hold. ``slots``: parcels that each place
    with a limit may still take, likewise. An order whose plan uses a place that its rules now rule out stays as it is.
    """
    board = _Board(sorted(orders, key=lambda order: order.key), stock, slots, search)
    before = board.total()
    iterations = board.improve()
    return Outcome(board.changes(), before, board.total(), iterations)


class _Board:
    def __init__(
        self, orders: list[OpenOrder], stock: Mapping[Unit, int], slots: Mapping[int, int], search: Search
    ) -> None:
        self.search = search
        free = {**stock, **{(place_id, SLOT): parcels for place_id, parcels in slots.items()}}
        held = Counter[Unit]()
        for order in orders:
            for parcel in order.plan.parcels:
                held.update({(parcel.place_id, line.sku_id): line.quantity for line in parcel.lines})
                held[parcel.place_id, SLOT] += parcel.place_id in slots
        self.everything = Pool(free, held)
        seats = {order.key: Seat(order, self.everything, slots) for order in orders}
        self.left = Pool(free)
        self.plans = {key: plan for key, seat in seats.items() if (plan := seat.standing) is not None}
        self.stood = dict(self.plans)
        self.seats = {key: seats[key] for key in self.plans}
        self.wishes = {key: seat.ask(self.everything) for key, seat in self.seats.items()}
        self.holders: dict[Unit, set[int]] = {}
        for key, plan in self.plans.items():
            for unit in plan.uses:
                self.holders.setdefault(unit, set()).add(key)

    def total(self) -> Total:
        return Total(
            sum(plan.missing for plan in self.plans.values()), sum(self.plans[key].cost for key in sorted(self.plans))
        )

    def changes(self) -> tuple[Change, ...]:
        found = []
        for key, plan in sorted(self.plans.items()):
            if plan.decision is not None and plan.uses != self.stood[key].uses:
                told = self.seats[key].told(plan.offers, plan.decision)
                found.append(Change(key, *told, self.stood[key].cost - plan.cost))
        return tuple(found)

    def improve(self) -> int:
        """Let one group after another decide again; how many did."""
        tries = Counter[int]()
        for iteration in range(self.search.iterations):
            key = self._most_envious(tries)
            if key is None:
                return iteration
            rng = Random(f"{key} {tries[key]} {iteration}")
            group = self._group(key, rng, humble=tries[key] > 0)
            if self._decide_again(group, rng if tries[key] else None):
                for member in group:
                    tries[member] = 0
            else:
                tries[key] += 1
        return self.search.iterations

    def _most_envious(self, tries: Mapping[int, int]) -> int | None:
        """The order that would win most if it had the pool to itself; less urgent, the more often it tried."""
        best: tuple[float, float, int] | None = None
        for key, plan in self.plans.items():
            wish, tried = self.wishes[key], tries.get(key, 0)
            units, cost = plan.missing - wish.missing, plan.cost - wish.cost
            if tried < self.search.tries and (units > 0 or (units == 0 and cost > EPSILON)):
                entry = (units / (1 + tried), cost / (1 + tried), -key)
                best = entry if best is None else max(best, entry)
        return None if best is None else -best[2]

    def _group(self, first: int, rng: Random, *, humble: bool) -> list[int]:
        """``first``, who hold what it wishes for, and who hold what these would take instead.

        ``humble``: it wished in vain before, and does without half of what others hold.
        """
        group = [first]
        claimed: dict[Unit, int] = {}
        for member in group:
            wish = self.wishes[first] if member == first else self._instead(member, claimed)
            if member == first and humble:
                given_up = [unit for unit in sorted(self._missing(first, wish)) if rng.random() < 0.5]
                wish = self._instead(first, dict.fromkeys(given_up, NOWHERE))
            missing = self._missing(member, wish)
            claimed.update(dict.fromkeys(missing, NOWHERE))
            for unit, units in sorted(missing.items()):
                found = sum(self.plans[key].uses.get(unit, 0) for key in group if key != member)
                for key in self._cheapest(unit, claimed, group, rng):
                    if found >= units or len(group) >= self.search.group:
                        break
                    group.append(key)
                    found += self.plans[key].uses[unit]
        return group

    def _missing(self, key: int, wish: Answer) -> dict[Unit, int]:
        """What the order would need of others to have its wish."""
        own = self.plans[key].uses
        missing = {unit: units - self.left.of(unit) - own.get(unit, 0) for unit, units in wish.uses.items()}
        return {unit: units for unit, units in missing.items() if units > 0}

    def _instead(self, key: int, claimed: Mapping[Unit, int]) -> Answer:
        """What the order would wish for, were these units gone."""
        with self.everything.without(claimed):
            return self.seats[key].ask(self.everything)

    def _cheapest(self, unit: Unit, claimed: Mapping[Unit, int], group: list[int], rng: Random) -> list[int]:
        """Some of those who hold ``unit``, first those who lose least by giving up what is claimed."""
        holders = sorted(self.holders.get(unit, set()).difference(group))
        some = rng.sample(holders, min(len(holders), self.search.asked))
        return sorted(some, key=lambda key: (self._loss(key, claimed), key))

    def _loss(self, key: int, claimed: Mapping[Unit, int]) -> tuple[int, float]:
        plan = self.plans[key]
        with self.left.with_more(plan.uses), self.left.without(claimed):
            instead = self.seats[key].ask(self.left)
        return instead.missing - plan.missing, instead.cost - plan.cost

    def _decide_again(self, group: list[int], rng: Random | None) -> bool:
        """Whether the group found better plans together; then they stand."""
        old = {key: self.plans[key] for key in group}
        for plan in old.values():
            self.left.add(plan.uses)
        new = self._repaired(old, rng)
        kept = new if new is not None and _is_better(new, old) else old
        for key, plan in kept.items():
            self.left.add(plan.uses, -1)
            self.plans[key] = plan
            for unit in old[key].uses:
                self.holders[unit].discard(key)
            for unit in plan.uses:
                self.holders.setdefault(unit, set()).add(key)
        return kept is not old

    def _repaired(self, old: Mapping[int, Answer], rng: Random | None) -> dict[int, Answer] | None:
        """New plans for a group whose goods are back in the pool; None when one of them would lose by it."""
        chosen: dict[int, Answer] = {}
        while pending := [key for key in old if key not in chosen]:
            wants = {key: self.seats[key].ask(self.left) for key in pending}
            if not all(want.may_replace(old[key]) for key, want in wants.items()):
                break
            contested = self._contested(wants.values())
            rivals = [key for key in pending if contested & wants[key].uses.keys()]
            settled = [key for key in pending if key not in rivals]
            if rivals:
                settled.append(max(rivals, key=lambda key: (self._price(key, rivals, wants, old, rng), -key)))
            for key in settled:
                chosen[key] = wants[key]
                self.left.add(wants[key].uses, -1)
        for plan in chosen.values():
            self.left.add(plan.uses)
        return chosen if len(chosen) == len(old) else None

    def _contested(self, wants: Iterable[Answer]) -> set[Unit]:
        """Units of which all together want more than there are."""
        wanted = Counter[Unit]()
        for want in wants:
            wanted.update(want.uses)
        return {unit for unit, units in wanted.items() if units > self.left.of(unit)}

    def _price(
        self,
        key: int,
        rivals: list[int],
        wants: Mapping[int, Answer],
        old: Mapping[int, Answer],
        rng: Random | None,
    ) -> tuple[float, float]:
        """What the order would pay, in units unfilled and in money, for not coming after all its rivals."""
        others = Counter[Unit]()
        for rival in rivals:
            if rival != key:
                others.update(wants[rival].uses)
        with self.left.without(others):
            last = self.seats[key].ask(self.left)
        noise = 1.0 if rng is None else rng.uniform(0.25, 1.0)
        lost = last.missing - wants[key].missing if last.may_replace(old[key]) else NOWHERE
        return lost, (last.cost - wants[key].cost) * noise


def _is_better(new: Mapping[int, Answer], old: Mapping[int, Answer]) -> bool:
    units = sum(plan.missing for plan in new.values()) - sum(plan.missing for plan in old.values())
    cost = sum(new[key].cost - old[key].cost for key in sorted(new))
    return units < 0 or (units == 0 and cost < -EPSILON)
