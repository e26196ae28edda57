"""What becomes of an order: actions, splitting, groups and bundles, budgets, and what holds for any order."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Action, Decision, Item, Part, Place, PlannedLine, Problem, Stopped
from flows.one_stock.routing.rulebook import Budget, Rules, Tier, TierName
from tests.flows.one_stock.routing import brute

NEAR, MIDDLE, FAR = 1, 2, 3


def _rules(**more: Any) -> Rules:
    return Rules(**{"parcel_cost": 8, "per_km": 0.01, "max_parcels": 4} | more)


def _lines(*wanted: tuple[int, int]) -> tuple[Item, ...]:
    return tuple(Item((Part(number, sku_id),), units, 100) for number, (sku_id, units) in enumerate(wanted, 1))


def _places(*stock: dict[int, int]) -> tuple[Place, ...]:
    return tuple(Place(number, held, km=100.0 * number) for number, held in enumerate(stock, 1))


def _sent(decision: Decision) -> dict[int, dict[int, int]]:
    return {parcel.place_id: {line.line_no: line.quantity for line in parcel.lines} for parcel in decision.plan.parcels}


def test_the_nearest_place_that_has_everything_ships_it() -> None:
    decision = decide(Problem(_lines((7, 2), (8, 1)), _places({7: 2}, {7: 2, 8: 1}, {7: 9, 8: 9})), _rules())
    assert (decision.action, _sent(decision)) == (Action.ALLOCATE, {MIDDLE: {1: 2, 2: 1}})
    assert decision.plan.cost == pytest.approx(10.0)
    assert (decision.plan.gap, decision.plan.stopped) == (0.0, Stopped.PROVED)


def test_a_line_is_split_where_no_place_has_all_of_it() -> None:
    assert _sent(decide(Problem(_lines((7, 5)), _places({7: 3}, {7: 4})), _rules())) == {NEAR: {1: 1}, MIDDLE: {1: 4}}


def test_a_line_that_must_not_be_split_comes_from_one_place_as_far_as_it_has_it() -> None:
    rules = _rules(split_lines=False)
    decision = decide(Problem(_lines((7, 5)), _places({7: 3}, {7: 4})), rules)
    assert (decision.action, _sent(decision)) == (Action.PARTIAL, {MIDDLE: {1: 4}})
    decision = decide(Problem(_lines((7, 5), (8, 1)), _places({7: 5}, {7: 4, 8: 1})), rules)
    assert _sent(decision) == {NEAR: {1: 5}, MIDDLE: {2: 1}}


def test_an_order_kept_together_comes_from_one_place_or_not_at_all() -> None:
    rules = _rules(keep_order_together=True)
    places = _places({7: 2}, {8: 1}, {7: 2, 8: 1})
    assert _sent(decide(Problem(_lines((7, 2), (8, 1)), places), rules)) == {FAR: {1: 2, 2: 1}}
    assert decide(Problem(_lines((7, 2), (8, 1)), places[:2]), rules).action is Action.CANCEL


def test_a_bundle_leaves_in_whole_sets() -> None:
    bundle = Item((Part(1, 7, 2), Part(2, 8)), 3)
    decision = decide(Problem((bundle,), _places({7: 5, 8: 9}, {7: 3, 8: 1})), _rules())
    assert _sent(decision) == {NEAR: {1: 4, 2: 2}, MIDDLE: {1: 2, 2: 1}}


def test_a_group_is_not_split_while_the_other_lines_may_be() -> None:
    group = Item((Part(1, 7), Part(2, 8)), 1)
    single = Item((Part(3, 9),), 1)
    decision = decide(Problem((group, single), _places({7: 1, 9: 1}, {8: 1}, {7: 1, 8: 1})), _rules())
    assert _sent(decision) == {NEAR: {3: 1}, FAR: {1: 1, 2: 1}}


def test_a_bundle_and_a_line_share_what_is_there() -> None:
    items = (Item((Part(1, 7, 2),), 1), Item((Part(2, 7),), 1))
    decision = decide(Problem(items, _places({7: 2}, {7: 1})), _rules())
    assert (decision.action, _sent(decision)) == (Action.ALLOCATE, {NEAR: {1: 2}, MIDDLE: {2: 1}})


def test_with_one_parcel_the_place_that_fills_most_is_taken() -> None:
    decision = decide(Problem(_lines((7, 2), (8, 1)), _places({8: 1}, {7: 2})), _rules(max_parcels=1))
    assert (decision.action, _sent(decision)) == (Action.PARTIAL, {MIDDLE: {1: 2}})
    assert decision.plan.unfilled == (PlannedLine(2, 8, 1),)


def test_a_parcel_of_a_split_order_is_worth_what_the_rules_ask_or_stays() -> None:
    items = (Item((Part(1, 7),), 1, 900), Item((Part(2, 8),), 1, 100))
    places = _places({7: 1}, {8: 1})
    assert _sent(decide(Problem(items, places), _rules(min_parcel_value_minor=100))) == {NEAR: {1: 1}, MIDDLE: {2: 1}}
    decision = decide(Problem(items, places), _rules(min_parcel_value_minor=101))
    assert (decision.action, decision.plan.unfilled) == (Action.PARTIAL, (PlannedLine(1, 7, 1),)) or _sent(
        decision
    ) == {NEAR: {1: 1}}


@pytest.mark.parametrize(("on_short", "action"), [("cancel", Action.CANCEL), ("queue", Action.QUEUE)])
def test_an_order_that_cannot_be_had_whole_waits_or_ends_and_says_what_there_was(on_short: str, action: Action) -> None:
    decision = decide(Problem(_lines((7, 2), (8, 1)), _places({7: 2})), _rules(on_short=on_short))
    assert (decision.action, decision.plan.parcels) == (action, ())
    assert decision.plan.unfilled == (PlannedLine(1, 7, 2), PlannedLine(2, 8, 1))
    assert decision.best_partial is not None
    assert decision.best_partial.unfilled == (PlannedLine(2, 8, 1),)


def test_an_order_of_which_nothing_can_be_had_is_cancelled_even_where_parts_may_be_sent() -> None:
    decision = decide(Problem(_lines((7, 2)), _places({8: 2})), _rules(on_short="partial"))
    assert (decision.action, decision.best_partial) == (Action.CANCEL, None)


def test_stock_below_zero_is_none() -> None:
    assert _sent(decide(Problem(_lines((7, 1)), _places({7: -3}, {7: 1})), _rules())) == {MIDDLE: {1: 1}}


def _crowd(seed: int, places: int, lines: int) -> Problem:
    """A basket over many places, of which each has a part, and often too little."""
    rng = Random(seed)
    wanted = [(sku_id, rng.choice((1, 1, 2, 3, 6, 12))) for sku_id in range(1, lines + 1)]
    return Problem(
        _lines(*wanted),
        tuple(
            Place(
                number,
                {sku_id: rng.randint(1, 12) for sku_id, _ in wanted if rng.random() < 0.35},
                km=rng.uniform(1, 2_500),
                rating=rng.uniform(1, 5),
                is_members=number == 3,
                acceptance=rng.random(),
            )
            for number in range(1, places + 1)
        ),
    )


tiers = st.lists(
    st.builds(Tier, by=st.sampled_from(TierName), tolerance=st.sampled_from((0.0, 0.1))),
    min_size=1,
    max_size=3,
    unique_by=lambda tier: tier.by,
).map(tuple)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), tiers, st.sampled_from((2, 4, 100)))
def test_the_same_order_gets_the_same_plan_however_things_are_listed(
    seed: int, tiers: tuple[Tier, ...], most: int
) -> None:
    rng, rules = Random(seed), _rules(tiers=tiers, max_parcels=most, budget=Budget(nodes=60, emergency_ms=60_000))
    problem = _crowd(seed, 15, 5)
    shuffled = replace(
        problem,
        items=tuple(rng.sample(problem.items, len(problem.items))),
        places=tuple(
            replace(place, stock=dict(rng.sample(list(place.stock.items()), len(place.stock))))
            for place in rng.sample(problem.places, len(problem.places))
        ),
    )
    assert decide(problem, rules) == decide(shuffled, rules) == decide(problem, rules)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), tiers)
def test_the_smallest_budget_still_gives_a_plan_and_its_bound_is_true(seed: int, tiers: tuple[Tier, ...]) -> None:
    problem = _crowd(seed, 14, 6)
    cost_first = (Tier(by=TierName.COST),)
    hasty = decide(problem, _rules(tiers=cost_first, max_parcels=100, budget=Budget(nodes=1, iterations=0)))
    exact = decide(problem, _rules(tiers=cost_first, max_parcels=100, budget=Budget(nodes=10**6, emergency_ms=60_000)))
    assert exact.plan.stopped is Stopped.PROVED
    assert brute.units_in(hasty.plan) == brute.units_in(exact.plan)
    assert hasty.plan.bound <= exact.plan.cost * (1 + 1e-9)
    assert exact.plan.cost <= hasty.plan.cost * (1 + 1e-9)
    assert hasty.plan.gap == 0 or hasty.plan.stopped is Stopped.BUDGET
    tiered = decide(problem, _rules(tiers=tiers, max_parcels=3, budget=Budget(nodes=1, iterations=0)))
    assert len((tiered.best_partial or tiered.plan).parcels) <= 3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_asking_others_whenever_a_place_refuses_comes_to_an_end(seed: int) -> None:
    problem, rules, rounds = _crowd(seed, 10, 4), _rules(max_parcels=100), 0
    while (decision := decide(problem, rules)).plan.parcels:
        refusing = {parcel.place_id for parcel in decision.plan.parcels}
        problem = replace(
            problem,
            places=tuple(
                replace(place, refused="too_busy") if place.id in refusing else place for place in problem.places
            ),
        )
        rounds += 1
        assert rounds <= len(problem.places)
    assert decision.action is Action.CANCEL
    assert {each.removed_by for each in decision.considered} <= {"too_busy", "no_stock"}


def test_a_basket_of_a_hundred_lines_is_planned_within_its_budget() -> None:
    problem = _crowd(1, 120, 100)
    rules = _rules(max_parcels=100, budget=Budget(nodes=200, iterations=50, emergency_ms=60_000))
    plan = decide(problem, rules).plan
    assert plan.unfilled == ()
    assert 0 < plan.bound <= plan.cost
    assert plan.gap < 1


def test_a_fuse_that_burns_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = _rules(max_parcels=100, budget=Budget(nodes=10**7, emergency_ms=10))
    plan = decide(_crowd(5, 200, 60), rules).plan
    assert plan.stopped is Stopped.CLOCK
    assert plan.unfilled == ()
