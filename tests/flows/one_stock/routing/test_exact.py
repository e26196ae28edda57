"""A decision against trying everything: units, tiers and cost are the best there are, and every promise can be kept."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Item, Part, Place, Plan, Problem, Stopped
from flows.one_stock.routing.rulebook import Budget, Rules, Tier, TierName
from flows.one_stock.routing.tiers import parcel_cost, scores
from tests.flows.one_stock.routing import brute

SKUS = (1, 2, 3, 4)


def _numbered(drafts: list[tuple[list[tuple[int, int]], int, int]]) -> tuple[Item, ...]:
    lines = iter(range(1, 100))
    return tuple(
        Item(tuple(Part(next(lines), sku_id, per_set) for sku_id, per_set in parts), quantity, value)
        for parts, quantity, value in drafts
    )


plain_items = st.lists(
    st.tuples(st.sampled_from(SKUS).map(lambda sku_id: [(sku_id, 1)]), st.integers(1, 4), st.integers(0, 50)),
    min_size=1,
    max_size=3,
    unique_by=lambda draft: draft[0][0],
).map(_numbered)
any_items = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 2)), min_size=1, max_size=2),
        st.integers(1, 3),
        st.integers(0, 50),
    ),
    min_size=1,
    max_size=3,
).map(_numbered)
place_drafts = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(SKUS), st.integers(0, 4)),
        st.one_of(st.none(), st.sampled_from((1.0, 50.0, 300.0, 301.0, 2_000.0))),
        st.booleans(),
        st.sampled_from((None, 1.0, 4.5)),
        st.dictionaries(st.sampled_from(SKUS), st.floats(0, 9)),
    ),
    max_size=4,
)
tiers = st.lists(
    st.builds(
        Tier, by=st.sampled_from(TierName), tolerance=st.sampled_from((0.0, 0.2)), slack=st.sampled_from((0.0, 1.0))
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda tier: tier.by,
)
rules = st.builds(
    Rules,
    parcel_cost=st.sampled_from((0.0, 8.0)),
    per_km=st.sampled_from((0.0, 0.01)),
    max_parcels=st.integers(1, 4),
    tiers=tiers.map(tuple),
    split_lines=st.sampled_from((True, True, False)),
    min_parcel_value_minor=st.sampled_from((0, 0, 20)),
    budget=st.just(Budget(nodes=100_000, emergency_ms=60_000)),
)


def _problem(items: tuple[Item, ...], drafts: list[tuple]) -> Problem:  # type: ignore[type-arg]
    places = tuple(
        Place(number, stock, km=km, is_members=mine, rating=rating, weekly=weekly)
        for number, (stock, km, mine, rating, weekly) in enumerate(drafts, 1)
    )
    return Problem(items, places)


def _check_best(problem: Problem, rules: Rules) -> None:
    decision = decide(problem, rules)
    plan = decision.best_partial or decision.plan
    _check_promises(problem, plan, rules)
    if rules.min_parcel_value_minor and plan.stopped is Stopped.BUDGET:
        return
    most, least, limits = brute.best_values(problem, rules)
    assert brute.units_in(plan) == most
    places = {place.id: place for place in problem.places}
    wanted = brute.wanted_of(problem.items)
    points = [
        [*scores(places[parcel.place_id], problem, rules, wanted), parcel_cost(places[parcel.place_id], rules)]
        for parcel in plan.parcels
    ]
    values = [sum(column) for column in zip(*points, strict=True)] or [0.0] * len(least)
    assert plan.stopped is Stopped.PROVED
    assert all(value <= limit + 1e-6 for value, limit in zip(values, limits, strict=True)), (values, least, limits)
    names = [tier.by for tier in rules.tiers]
    least_cost = least[names.index(TierName.COST)] if TierName.COST in names else least[-1]
    assert plan.bound <= least_cost + 1e-6
    assert abs(plan.cost - values[-1]) < 1e-6


def _check_promises(problem: Problem, plan: Plan, rules: Rules) -> None:
    places = {place.id: place for place in problem.places}
    done: Counter[tuple[int, int]] = Counter()
    assert len(plan.parcels) <= rules.max_parcels
    assert [parcel.place_id for parcel in plan.parcels] == sorted({parcel.place_id for parcel in plan.parcels})
    for parcel in plan.parcels:
        assert parcel.lines
        sent: Counter[int] = Counter()
        for line in parcel.lines:
            assert line.quantity > 0
            sent[line.sku_id] += line.quantity
            done[line.line_no, line.sku_id] += line.quantity
        assert all(units <= places[parcel.place_id].stock.get(sku_id, 0) for sku_id, units in sent.items())
    for line in plan.unfilled:
        assert line.quantity > 0
        done[line.line_no, line.sku_id] += line.quantity
    asked: Counter[tuple[int, int]] = Counter()
    for item in problem.items:
        for part in item.parts:
            asked[part.line_no, part.sku_id] += part.per_set * item.quantity
    assert done == asked
    _check_sets(problem, plan, rules)


def _check_sets(problem: Problem, plan: Plan, rules: Rules) -> None:
    """Every parcel has whole sets; no line is split where it must not be; no parcel of several is worth too little."""
    worth = []
    for parcel in plan.parcels:
        units = {(line.line_no, line.sku_id): line.quantity for line in parcel.lines}
        value = 0.0
        for item in problem.items:
            per_set: Counter[tuple[int, int]] = Counter()
            for part in item.parts:
                per_set[part.line_no, part.sku_id] += part.per_set
            counts = {units.get(key, 0) / need for key, need in per_set.items()}
            assert len(counts) == 1
            sets = counts.pop()
            assert sets == int(sets)
            value += item.value_minor * sets / item.quantity
        worth.append(value)
    if len(worth) > 1:
        assert min(worth) >= rules.min_parcel_value_minor
    if not rules.split_lines:
        senders = Counter(line_no for parcel in plan.parcels for line_no in {line.line_no for line in parcel.lines})
        assert max(senders.values(), default=0) <= 1


@settings(max_examples=200, deadline=None)
@given(plain_items, place_drafts, rules)
def test_a_plan_for_plain_lines_is_the_best_there_is(items, drafts, rules) -> None:  # type: ignore[no-untyped-def]
    _check_best(_problem(items, drafts), rules)


@settings(max_examples=200, deadline=None)
@given(any_items, place_drafts, rules)
def test_a_plan_for_bundles_that_share_goods_is_the_best_there_is(items, drafts, rules) -> None:  # type: ignore[no-untyped-def]
    _check_best(_problem(items, drafts), rules)
