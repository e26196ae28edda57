"""The decision about one order: filter the places, score them, choose, say what becomes of the order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from time import monotonic

from flows.one_stock.routing import cover, strict
from flows.one_stock.routing.allocate import (
    Filled,
    Need,
    are_apart,
    items_of,
    needs_of,
    parcels_of,
    sets_held,
    spread,
    unfilled_of,
    wanted_units,
)
from flows.one_stock.routing.filters import words
from flows.one_stock.routing.problem import Action, Considered, Decision, Item, Place, Plan, Problem, Stopped
from flows.one_stock.routing.rulebook import Rules, TierName
from flows.one_stock.routing.task import Effort, Pool
from flows.one_stock.routing.tiers import parcel_cost, points


def decide(problem: Problem, rules: Rules) -> Decision:
    """Where the order ships from. The same problem and rules give the same decision, however they are listed.

    Aims, one after another: as many units as possible; the tiers; the cost, where no tier names it; fewer parcels;
    lower place ids. The fuse of the budget alone can make a difference from run to run, and the plan says so.
    """
    until = monotonic() + rules.budget.emergency_ms / 1000
    items = items_of(problem.items, rules)
    wanted = wanted_units(items)
    places = sorted(problem.places, key=attrgetter("id"))
    removed = words(places, problem, rules, wanted)
    candidates = [place for place, word in zip(places, removed, strict=True) if word is None]
    scored = points(candidates, problem, rules, wanted)
    following = iter(scored)
    considered = [
        Considered(place.id, word, next(following) if word is None else ())
        for place, word in zip(places, removed, strict=True)
    ]
    plan = _planned(items, candidates, scored, rules, until)
    return _decision(plan, items, tuple(considered), rules)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Who sends what, and what is known of the least cost."""

    filled: Filled
    bound: float


def _planned(
    items: Sequence[Item], places: Sequence[Place], scored: Sequence[Sequence[float]], rules: Rules, until: float
) -> Plan:
    effort = Effort(rules.budget.nodes, rules.budget.iterations, until)
    choice = _choice(items, places, scored, rules, effort)
    by_id = {place.id: place for place in places}
    parcels = parcels_of(items, choice.filled, by_id)
    cost = sum([parcel_cost(by_id[parcel.place_id], rules) for parcel in parcels])
    bound = cost if effort.stopped is Stopped.PROVED and choice.bound >= cost * (1 - 1e-9) else min(cost, choice.bound)
    unfilled = unfilled_of(items, choice.filled)
    return Plan(parcels, unfilled, cost, bound, effort.stopped, effort.nodes, effort.iterations)


def _aims(places: Sequence[Place], scored: Sequence[Sequence[float]], rules: Rules) -> tuple[list[cover.Aim], int]:
    """The tiers as aims, the cost after them where none names it, and which of them is the cost."""
    columns = list(zip(*scored, strict=True)) or [()] * len(rules.tiers)
    aims = [cover.Aim(weights, tier.tolerance, tier.slack) for weights, tier in zip(columns, rules.tiers, strict=True)]
    names = [tier.by for tier in rules.tiers]
    if TierName.COST in names:
        return aims, names.index(TierName.COST)
    return [*aims, cover.Aim([parcel_cost(place, rules) for place in places])], len(aims)


def _choice(
    items: Sequence[Item], places: Sequence[Place], scored: Sequence[Sequence[float]], rules: Rules, effort: Effort
) -> _Choice:
    aims, cost_aim = _aims(places, scored, rules)
    needs = needs_of(items, together=rules.split_lines)
    caps = sets_held(needs, places)
    pool = _pool(needs, caps, rules)
    chosen = cover.choose(pool, aims, effort)
    kept = [places[column] for column in chosen.columns]
    filled = spread(items, needs, kept, [caps[column] for column in chosen.columns], whole=not rules.split_lines)
    if are_apart(needs) and not rules.min_parcel_value_minor and (rules.split_lines or not chosen.missing):
        return _Choice(filled, chosen.proved[cost_aim])
    return _strict_choice(items, places, aims, cost_aim, chosen, rules, effort)


def _strict_choice(
    items: Sequence[Item],
    places: Sequence[Place],
    aims: Sequence[cover.Aim],
    cost_aim: int,
    plain: cover.Chosen,
    rules: Rules,
    effort: Effort,
) -> _Choice:
    """Starts from the plain choice. A search that was cut short proves one parcel and no more."""
    effort.stopped = Stopped.PROVED
    found = strict.choose(
        items,
        places,
        [aim.weights for aim in aims],
        [(aim.tolerance, aim.slack) for aim in aims],
        rules,
        effort,
        plain.columns,
    )
    if effort.stopped is Stopped.PROVED:
        return _Choice(found.best.filled, found.least[cost_aim])
    return _Choice(found.best.filled, min(aims[cost_aim].weights, default=0.0) if found.best.indexes else 0.0)


def _pool(needs: Sequence[Need], caps: Sequence[Sequence[int]], rules: Rules) -> Pool:
    """What the search sees. A line that must not be split is one set, as large as one place can send."""
    if rules.split_lines:
        totals = [sum(held) for held in zip(*caps, strict=True)] if caps else [0] * len(needs)
        wanted = [min(need.quantity, total) for need, total in zip(needs, totals, strict=True)]
        return Pool(wanted, [need.units for need in needs], caps, rules.max_parcels)
    most = [max(held) for held in zip(*caps, strict=True)] if caps else [0] * len(needs)
    single = [[int(0 < top <= sets) for sets, top in zip(held, most, strict=True)] for held in caps]
    units = [need.units * top for need, top in zip(needs, most, strict=True)]
    return Pool([int(top > 0) for top in most], units, single, rules.max_parcels)


def _decision(plan: Plan, items: Sequence[Item], considered: tuple[Considered, ...], rules: Rules) -> Decision:
    if not plan.unfilled:
        return Decision(Action.ALLOCATE, plan, considered)
    if plan.parcels and rules.on_short == "partial":
        return Decision(Action.PARTIAL, plan, considered)
    action = Action.QUEUE if rules.on_short == "queue" else Action.CANCEL
    nothing = replace(plan, parcels=(), unfilled=unfilled_of(items, {}), cost=0.0, bound=0.0, stopped=Stopped.PROVED)
    return Decision(action, nothing, considered, plan if plan.parcels else None)
