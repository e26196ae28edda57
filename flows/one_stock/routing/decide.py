"""The decision about one order: filter the places, score them, choose, say what becomes of the order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from flows.one_stock.routing import cheapest, cover, strict
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
from flows.one_stock.routing.filters import goods_missing, words
from flows.one_stock.routing.listed import Listed
from flows.one_stock.routing.problem import (
    NO_STOCK,
    Action,
    Considered,
    Decision,
    Item,
    Place,
    Plan,
    Problem,
    Stopped,
)
from flows.one_stock.routing.rulebook import Rules, TierName
from flows.one_stock.routing.task import Effort, Pool
from flows.one_stock.routing.tiers import costs, parcel_cost, points

LEAST_PER_KM: Final = 1e-6
"""From this price on, whoever is a metre further costs more."""


def decide(problem: Problem, rules: Rules, *, considered: bool = True) -> Decision:
    """Where the order ships from. The same problem and rules give the same decision, however they are listed.

    Aims, one after another: as many units as possible; the tiers; the cost, where no tier names it; fewer parcels;
    lower place ids. The fuse of the budget alone can make a difference from run to run, and the plan says so.
    Without ``considered`` the decision does not tell what was thought of each place, which saves a good part of the
    work where there are hundreds.
    """
    until = monotonic() + rules.budget.emergency_ms / 1000
    effort = Effort(rules.budget.nodes, rules.budget.iterations, until)
    items = items_of(problem.items, rules)
    places = Listed.of(problem.places)
    removed = words(places, problem, rules)
    needs = needs_of(items, together=rules.split_lines)
    if _is_plain(needs, rules):
        plan = _plain_plan(items, needs, places, removed, rules, effort)
        told = _considered(problem, rules, items, places, removed) if considered else ()
        return _decision(plan, items, told, rules)
    wanted = wanted_units(items)
    removed = _with_stock(removed, places, wanted)
    candidates = [place for place, word in zip(places, removed, strict=True) if word is None]
    scored = points(candidates, problem, rules, wanted)
    plan = _planned(items, candidates, scored, rules, effort)
    return _decision(plan, items, _told(places, removed, scored) if considered else (), rules)


def _considered(
    problem: Problem, rules: Rules, items: Sequence[Item], places: Listed, removed: Sequence[str | None]
) -> tuple[Considered, ...]:
    wanted = wanted_units(items)
    removed = _with_stock(removed, places, wanted)
    candidates = [place for place, word in zip(places, removed, strict=True) if word is None]
    return _told(places, removed, points(candidates, problem, rules, wanted))


def _with_stock(removed: Sequence[str | None], places: Listed, wanted: Iterable[int]) -> list[str | None]:
    """The words, and one more for the places that have none of the goods."""
    missing = goods_missing(places, wanted)
    return [NO_STOCK if word is None and none else word for word, none in zip(removed, missing, strict=True)]


def _told(places: Listed, removed: Sequence[str | None], scored: Iterable[tuple[float, ...]]) -> tuple[Considered, ...]:
    following = iter(scored)
    return tuple(
        [
            Considered(place.id, word, next(following) if word is None else ())
            for place, word in zip(places, removed, strict=True)
        ]
    )


def _is_plain(needs: Sequence[Need], rules: Rules) -> bool:
    """Whether cost alone counts, and where one need's goods come from is nothing to the others."""
    return (
        len(rules.tiers) == 1
        and rules.tiers[0].by is TierName.COST
        and rules.split_lines
        and not rules.min_parcel_value_minor
        and are_apart(needs)
    )


def _plain_plan(
    items: Sequence[Item],
    needs: Sequence[Need],
    places: Listed,
    removed: Sequence[str | None],
    rules: Rules,
    effort: Effort,
) -> Plan:
    """The cheapest plan, from columns alone; only the places that send something are looked at one by one."""
    cost = costs(places, rules)
    order = places.nearest if rules.per_km > LEAST_PER_KM else None
    if order is None:
        order = sorted(range(len(places)), key=cost.__getitem__)
    if removed.count(None) < len(removed):
        order = [n for n in order if removed[n] is None]
    needed = [_needed(need, places, order) for need in needs]
    chosen = cheapest.choose(needed, order, cost, rules.max_parcels, effort)
    kept = [places[n] for n in chosen.columns]
    caps = [[min(each.held[n], each.sets) for each in needed] for n in chosen.columns]
    return _plan(items, kept, _Choice(spread(items, needs, kept, caps, whole=False), chosen.proved[0]), rules, effort)


def _needed(need: Need, places: Listed, order: Sequence[int]) -> cheapest.Needed:
    """The need, of which no more sets are wanted than the places in ``order`` hold."""
    if need.units == 1:
        sku_id = need.goods[0][0]
        held, has = places.units(sku_id), places.has(sku_id)
    else:
        columns = [[held // units for held in places.units(sku_id)] for sku_id, units in need.goods]
        held = [min(sets) for sets in zip(*columns, strict=True)]
        has = bytes(map(bool, held))
    total = sum(held) if len(order) == len(held) else sum([held[n] for n in order])
    return cheapest.Needed(held, has, min(need.quantity, total), need.units)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Who sends what, and what is known of the least cost."""

    filled: Filled
    bound: float


def _planned(
    items: Sequence[Item], places: Sequence[Place], scored: Sequence[Sequence[float]], rules: Rules, effort: Effort
) -> Plan:
    return _plan(items, places, _choice(items, places, scored, rules, effort), rules, effort)


def _plan(items: Sequence[Item], places: Sequence[Place], choice: _Choice, rules: Rules, effort: Effort) -> Plan:
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
