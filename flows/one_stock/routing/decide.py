"""The decision about one order: filter the places, score them, choose, say what becomes of the order."""

from collections.abc import Sequence
from dataclasses import replace

from flows.one_stock.routing.allocate import Filled, fill, parcels_of, unfilled_of, units_filled, wanted_units
from flows.one_stock.routing.filters import removed_by
from flows.one_stock.routing.problem import Action, Considered, Decision, Item, Part, Place, Plan, Problem, Stopped
from flows.one_stock.routing.rulebook import Rules
from flows.one_stock.routing.tiers import parcel_cost, scores


def decide(problem: Problem, rules: Rules) -> Decision:
    """Where the order ships from. The same problem and rules give the same decision, however they are listed."""
    items = _items(problem, rules)
    wanted = wanted_units(items)
    places = sorted(problem.places, key=lambda place: place.id)
    candidates: list[Place] = []
    considered: list[Considered] = []
    for place in places:
        word = removed_by(place, problem, rules, wanted)
        if word is None:
            candidates.append(place)
        considered.append(Considered(place.id, word, () if word else scores(place, problem, rules, wanted)))
    weights = {entry.place_id: entry.scores[0] for entry in considered if entry.removed_by is None}
    filled = _choose(items, candidates, weights, rules)
    plan = _plan(items, filled, candidates, rules)
    return _decision(plan, items, tuple(considered), rules)


def _items(problem: Problem, rules: Rules) -> list[Item]:
    items = sorted(
        (item for item in problem.items if item.quantity > 0 and item.parts),
        key=lambda item: [(part.line_no, part.sku_id, part.per_set) for part in item.parts],
    )
    if not rules.keep_order_together or not items:
        return items
    parts = tuple(
        Part(part.line_no, part.sku_id, part.per_set * item.quantity) for item in items for part in item.parts
    )
    return [Item(parts, 1, sum(item.value_minor for item in items))]


def _choose(items: Sequence[Item], places: Sequence[Place], weights: dict[int, float], rules: Rules) -> Filled:
    chosen: list[Place] = []
    best: Filled = {}
    while len(chosen) < rules.max_parcels:
        have = units_filled(items, best)
        tries = [
            (units_filled(items, fill(items, [*chosen, place], rules)) - have, place)
            for place in places
            if place not in chosen
        ]
        gains = [(weights[place.id] / units, -units, place.id, place) for units, place in tries if units > 0]
        if not gains:
            break
        chosen.append(min(gains, key=lambda gain: gain[:3])[3])
        best = fill(items, chosen, rules)
    for place in sorted(chosen, key=lambda place: -weights[place.id]):
        rest = [other for other in chosen if other is not place]
        without = fill(items, rest, rules)
        if units_filled(items, without) >= units_filled(items, best):
            chosen, best = rest, without
    return best


def _plan(items: Sequence[Item], filled: Filled, places: Sequence[Place], rules: Rules) -> Plan:
    by_id = {place.id: place for place in places}
    cost = sum(parcel_cost(by_id[place_id], rules) for place_id in sorted(filled))
    return Plan(parcels_of(items, filled, by_id), unfilled_of(items, filled), cost, 0.0, Stopped.BUDGET)


def _decision(plan: Plan, items: Sequence[Item], considered: tuple[Considered, ...], rules: Rules) -> Decision:
    if not plan.unfilled:
        return Decision(Action.ALLOCATE, plan, considered)
    if plan.parcels and rules.on_short == "partial":
        return Decision(Action.PARTIAL, plan, considered)
    action = Action.QUEUE if rules.on_short == "queue" else Action.CANCEL
    nothing = replace(plan, parcels=(), unfilled=unfilled_of(items, {}), cost=0.0, bound=0.0, stopped=Stopped.PROVED)
    return Decision(action, nothing, considered, plan if plan.parcels else None)
