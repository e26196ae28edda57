"""Open orders planned together: never worse, nothing given out twice, nobody robbed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.one_stock.routing.batch import Outcome, Search, reoptimise
from flows.one_stock.routing.board import OpenOrder
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Item, Part, Place, Plan, PlannedLine, PlannedParcel, Problem
from flows.one_stock.routing.rulebook import Rulebook

MONEY = "parcel_cost = 10\nper_km = 1\nmax_parcels = 3\non_short = 'partial'\n"
RULES = Rulebook(MONEY).rules()
NEAR, FAR = 1, 2
TEA, CUP = 7, 8

Case = tuple[list[OpenOrder], dict[tuple[int, int], int], dict[int, int]]
"""Orders, free stock by (place, SKU), and slots left by place."""


def order(
    key: int, wanted: dict[int, int], km: dict[int, float], plan: dict[int, dict[int, int]], book: str = MONEY
) -> OpenOrder:
    """An order for units by SKU, over places so many kilometres away, planned as units by SKU by place."""
    lines = {sku_id: line_no for line_no, sku_id in enumerate(wanted, 1)}
    open_ = Counter(wanted)
    for taken in plan.values():
        open_.subtract(taken)
    problem = Problem(
        tuple(Item((Part(lines[sku_id], sku_id),), units) for sku_id, units in wanted.items()),
        tuple(Place(place_id, {}, km=far) for place_id, far in km.items()),
    )
    parcels = tuple(
        PlannedParcel(place_id, tuple(PlannedLine(lines[sku_id], sku_id, units) for sku_id, units in taken.items()))
        for place_id, taken in plan.items()
    )
    unfilled = tuple(PlannedLine(lines[sku_id], sku_id, units) for sku_id, units in open_.items() if units)
    return OpenOrder(key, problem, Rulebook(book).rules(), Plan(parcels, unfilled, 0.0, 0.0))


def places(outcome: Outcome) -> dict[int, list[int]]:
    """Where the changed orders ship from now."""
    return {change.key: [parcel.place_id for parcel in change.decision.plan.parcels] for change in outcome.changes}


def test_the_last_unit_nearby_goes_to_whom_it_saves_most() -> None:
    first = order(1, {TEA: 1}, {NEAR: 5, FAR: 9}, {NEAR: {TEA: 1}})
    second = order(2, {TEA: 1}, {NEAR: 5, FAR: 500}, {FAR: {TEA: 1}})
    outcome = reoptimise([first, second], {}, {})
    assert places(outcome) == {1: [FAR], 2: [NEAR]}
    assert outcome.before.cost - outcome.after.cost == 495 - 4


def test_what_became_free_meanwhile_is_used() -> None:
    split = order(1, {TEA: 1, CUP: 1}, {NEAR: 5, FAR: 9}, {NEAR: {TEA: 1}, FAR: {CUP: 1}})
    outcome = reoptimise([split], {(NEAR, CUP): 1}, {})
    assert places(outcome) == {1: [NEAR]}


def test_goods_go_round_in_a_ring_of_three() -> None:
    far = 300.0
    km = {1: {1: 0, 2: far, 3: 1}, 2: {1: 1, 2: 0, 3: far}, 3: {1: far, 2: 1, 3: 0}}
    ring = [order(key, {TEA: 1}, km[key], {key % 3 + 1: {TEA: 1}}) for key in (1, 2, 3)]
    assert reoptimise(ring, {}, {}).after.cost == 30


def test_an_order_is_not_robbed_of_a_unit_though_all_together_would_cost_less() -> None:
    complete = order(1, {TEA: 1}, {NEAR: 900}, {NEAR: {TEA: 1}})
    waiting = order(2, {TEA: 1}, {NEAR: 0}, {})
    outcome = reoptimise([complete, waiting], {}, {})
    assert outcome.changes == ()
    assert outcome.after.unfilled == 1


def test_a_place_takes_no_more_parcels_than_it_may() -> None:
    orders = [order(key, {TEA: 1}, {NEAR: 1, FAR: 50 * key}, {FAR: {TEA: 1}}) for key in (1, 2, 3)]
    outcome = reoptimise(orders, {(NEAR, TEA): 9}, {NEAR: 1})
    assert places(outcome) == {3: [NEAR]}


def test_a_full_place_still_swaps_one_parcel_for_another() -> None:
    first = order(1, {TEA: 1}, {NEAR: 5, FAR: 9}, {NEAR: {TEA: 1}})
    second = order(2, {TEA: 1}, {NEAR: 5, FAR: 500}, {FAR: {TEA: 1}})
    outcome = reoptimise([first, second], {(NEAR, TEA): 5, (FAR, TEA): 5}, {NEAR: 0})
    assert places(outcome) == {1: [FAR], 2: [NEAR]}


def test_what_the_rules_put_before_cost_is_not_sold_for_money() -> None:
    members_first = MONEY + "[[tiers]]\nby = 'member'\n[[tiers]]\nby = 'cost'\n"
    first = order(1, {TEA: 1}, {NEAR: 5, FAR: 9}, {NEAR: {TEA: 1}}, members_first)
    own, other = first.problem.places
    first = replace(first, problem=replace(first.problem, places=(replace(own, is_members=True), other)))
    second = order(2, {TEA: 1}, {NEAR: 5, FAR: 500}, {FAR: {TEA: 1}}, members_first)
    assert reoptimise([first, second], {}, {}).changes == ()


def test_an_order_at_a_place_that_it_may_no_longer_use_stays_as_it_is() -> None:
    stuck = order(1, {TEA: 1}, {NEAR: 5, FAR: 900}, {FAR: {TEA: 1}})
    near, far = stuck.problem.places
    stuck = replace(stuck, problem=replace(stuck.problem, places=(near, replace(far, refused="rejected"))))
    assert reoptimise([stuck], {(NEAR, TEA): 1}, {}).changes == ()


def test_without_iterations_nothing_changes() -> None:
    split = order(1, {TEA: 1, CUP: 1}, {NEAR: 5, FAR: 9}, {NEAR: {TEA: 1}, FAR: {CUP: 1}})
    assert reoptimise([split], {(NEAR, CUP): 1}, {}, Search(iterations=0)).changes == ()


@st.composite
def standing_orders(draw: st.DrawFn) -> Case:
    """Up to six orders over up to four places, planned one after another, and what is left for them."""
    ids = range(1, draw(st.integers(1, 4)) + 1)
    skus = (TEA, CUP, 9)
    left = {place_id: {sku_id: draw(st.integers(0, 4)) for sku_id in skus} for place_id in ids}
    limits = {place_id: draw(st.integers(0, 4)) for place_id in ids if draw(st.booleans())}
    books = (MONEY, MONEY + "split_lines = false\n", MONEY + "[[tiers]]\nby = 'parcels'\n[[tiers]]\nby = 'cost'\n")
    orders = []
    for key in range(1, draw(st.integers(1, 6)) + 1):
        wanted = draw(st.dictionaries(st.sampled_from(skus), st.integers(1, 3), min_size=1))
        at_hand = [
            Place(number, left[number], km=draw(st.integers(0, 90)), capacity_left=limits.get(number)) for number in ids
        ]
        items = tuple(Item((Part(line_no, sku_id),), units) for line_no, (sku_id, units) in enumerate(wanted.items()))
        problem = Problem(items, tuple(at_hand))
        rules = Rulebook(draw(st.sampled_from(books))).rules()
        plan = decide(problem, rules).plan
        for parcel in plan.parcels:
            left[parcel.place_id] = dict(Counter(left[parcel.place_id]) - _units(parcel))
            if parcel.place_id in limits:
                limits[parcel.place_id] -= 1
        orders.append(OpenOrder(key, problem, rules, plan))
    return orders, {(place_id, sku_id): n for place_id, taken in left.items() for sku_id, n in taken.items()}, limits


def _units(parcel: PlannedParcel) -> Counter[int]:
    units = Counter[int]()
    for line in parcel.lines:
        units[line.sku_id] += line.quantity
    return units


def _used(plans: Sequence[Plan]) -> tuple[Counter[tuple[int, int]], Counter[int]]:
    """Units by place and SKU, and parcels by place."""
    units, parcels = Counter[tuple[int, int]](), Counter[int]()
    for plan in plans:
        for parcel in plan.parcels:
            parcels[parcel.place_id] += 1
            for sku_id, quantity in _units(parcel).items():
                units[parcel.place_id, sku_id] += quantity
    return units, parcels


def _by_line(plan: Plan) -> Counter[int]:
    got = Counter[int]()
    for parcel in plan.parcels:
        for line in parcel.lines:
            got[line.line_no] += line.quantity
    return got


@settings(deadline=None)
@given(standing_orders())
def test_no_unit_and_no_slot_is_given_out_twice_and_no_line_gets_less(
    case: Case,
) -> None:
    orders, stock, slots = case
    outcome = reoptimise(orders, stock, slots)
    new = {change.key: change.decision.plan for change in outcome.changes}
    plans = [new.get(each.key, each.plan) for each in orders]
    (units_before, parcels_before), (units, parcels) = _used([each.plan for each in orders]), _used(plans)
    assert all(quantity <= stock.get(unit, 0) + units_before[unit] for unit, quantity in units.items())
    assert all(parcels[place_id] <= left + parcels_before[place_id] for place_id, left in slots.items())
    for each in orders:
        before, after = _by_line(each.plan), _by_line(new.get(each.key, each.plan))
        assert all(after[line_no] >= units for line_no, units in before.items())


@settings(deadline=None)
@given(standing_orders(), st.randoms(use_true_random=False))
def test_it_is_never_worse_and_does_not_depend_on_the_order_of_the_orders(case: Case, rng: Random) -> None:
    orders, stock, slots = case
    outcome = reoptimise(orders, stock, slots)
    before, after = outcome.before, outcome.after
    assert after.unfilled < before.unfilled or (after.unfilled == before.unfilled and after.cost <= before.cost + 1e-6)
    shuffled = rng.sample(orders, len(orders))
    assert reoptimise(shuffled, dict(reversed(stock.items())), slots) == outcome


@settings(deadline=None)
@given(standing_orders())
def test_each_new_plan_is_what_its_rules_decide_on_its_problem(
    case: Case,
) -> None:
    orders, stock, slots = case
    rules = {each.key: each.rules for each in orders}
    for change in reoptimise(orders, stock, slots).changes:
        assert decide(change.problem, rules[change.key]) == change.decision
