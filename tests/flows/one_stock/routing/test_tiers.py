"""What plans are compared on: each tier prefers what it says, and a tolerance lets the next tier speak."""

from typing import Any

import pytest

from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Decision, Item, Part, Place, Problem
from flows.one_stock.routing.rulebook import Rules, Tier, TierName

SKU = 7


def _rules(*tiers: Tier) -> Rules:
    return Rules(parcel_cost=8, per_km=0.01, max_parcels=4, tiers=tiers)


def _decided(places: list[Place], *tiers: Tier, quantity: int = 1, promised_days: float | None = None) -> Decision:
    return decide(
        Problem((Item((Part(1, SKU),), quantity),), tuple(places), promised_days=promised_days), _rules(*tiers)
    )


def _senders(decision: Decision) -> list[int]:
    return [parcel.place_id for parcel in decision.plan.parcels]


@pytest.mark.parametrize(
    ("by", "better", "worse"),
    [
        (TierName.COST, {"km": 90.0}, {"km": 100.0}),
        (TierName.DISTANCE, {"km": 90.0}, {"km": 100.0}),
        (TierName.DEPTH, {"stock": {SKU: 9}}, {"stock": {SKU: 3}}),
        (TierName.MEMBER, {"is_members": True}, {}),
        (TierName.RATING, {"rating": 4.5}, {"rating": 4.0}),
        (TierName.RATING, {"rating": 3.0}, {"rating": None}),
        (TierName.RATING, {"rating": None}, {"rating": 2.0}),
        (TierName.ACCEPTANCE, {"acceptance": 0.9}, {"acceptance": 0.8}),
        (TierName.ACCEPTANCE, {"acceptance": None}, {"acceptance": 0.4}),
        (TierName.VELOCITY, {"weekly": {SKU: 0.5}}, {"weekly": {SKU: 6.0}}),
        (TierName.PROMISE, {"days": 2.0}, {"days": 3.0}),
        (TierName.PROMISE, {"days": None}, {"days": 3.0}),
        (TierName.PROMISE, {"km": 500.0}, {"km": 600.0}),
        (TierName.PROMISE, {"km": 900.0}, {"km": None}),
        (TierName.PROMISE, {"km": 900.0, "days": 2.0}, {"km": 600.0}),
    ],
)
def test_a_tier_prefers_the_better_place_wherever_it_is_listed(
    by: TierName, better: dict[str, Any], worse: dict[str, Any]
) -> None:
    for first, second in ((better, worse), (worse, better)):
        usual: dict[str, Any] = {"stock": {SKU: 5}, "km": 50.0}
        places = [Place(number, **usual | each) for number, each in enumerate((first, second), 1)]
        decision = _decided(places, Tier(by=by), promised_days=2.0)
        assert _senders(decision) == [1 if first is better else 2]


def test_how_long_goods_take_is_a_matter_of_the_rules() -> None:
    rules = Rules(parcel_cost=8, per_km=0, max_parcels=1, tiers=[Tier(by=TierName.PROMISE)], handling_days=0.5,
                  km_per_day=100)  # fmt: skip
    places = (Place(1, {SKU: 1}, km=300.0), Place(2, {SKU: 1}, km=150.0), Place(3, {SKU: 1}, days=1.5))
    decision = decide(Problem((Item((Part(1, SKU),), 1),), places, promised_days=2.0), rules)
    assert [entry.scores for entry in decision.considered] == [(1.5,), (0.0,), (0.0,)]


def test_days_within_the_promise_are_all_the_same() -> None:
    near = Place(1, {SKU: 5}, km=10.0, days=2.0)
    far = Place(2, {SKU: 5}, km=90.0, days=1.0)
    assert _senders(_decided([near, far], Tier(by=TierName.PROMISE), promised_days=2.0)) == [1]


def test_fewest_parcels_first_takes_the_far_place_that_has_it_all() -> None:
    places = [Place(1, {SKU: 1}, km=1.0), Place(2, {SKU: 1}, km=2.0), Place(3, {SKU: 2}, km=9_000.0)]
    assert _senders(_decided(places, Tier(by=TierName.PARCELS), quantity=2)) == [3]
    assert _senders(_decided(places, Tier(by=TierName.COST), quantity=2)) == [1, 2]


def test_the_members_own_store_comes_first_within_a_tolerance_on_cost() -> None:
    near, own = Place(1, {SKU: 5}, km=0.0), Place(2, {SKU: 5}, km=70.0, is_members=True)
    member = Tier(by=TierName.MEMBER)
    assert _senders(_decided([near, own], Tier(by=TierName.COST), member)) == [1]
    assert _senders(_decided([near, own], Tier(by=TierName.COST, tolerance=0.1), member)) == [2]
    assert _senders(_decided([near, own], Tier(by=TierName.COST, slack=0.7), member)) == [2]
    assert _senders(_decided([near, own], Tier(by=TierName.COST, slack=0.6), member)) == [1]


def test_the_cheaper_of_equals_is_taken_where_no_tier_names_the_cost() -> None:
    far, near = Place(1, {SKU: 5}, km=900.0), Place(2, {SKU: 5}, km=9.0)
    assert _senders(_decided([far, near], Tier(by=TierName.MEMBER))) == [2]


def test_of_places_that_are_equal_in_everything_the_lower_id_is_taken() -> None:
    assert _senders(_decided([Place(2, {SKU: 5}), Place(1, {SKU: 5})], Tier(by=TierName.COST))) == [1]


def test_every_place_is_shown_with_its_score_on_every_tier() -> None:
    places = [Place(2, {SKU: 5}, km=100.0, rating=4.0), Place(1, {8: 1})]
    decision = _decided(places, Tier(by=TierName.COST), Tier(by=TierName.RATING), Tier(by=TierName.PARCELS))
    assert [(each.place_id, each.removed_by) for each in decision.considered] == [(1, "no_stock"), (2, None)]
    assert decision.considered[1].scores == (9.0, 1.0, 1.0)


def test_an_unknown_distance_counts_as_the_rules_say() -> None:
    places = [Place(1, {SKU: 5}), Place(2, {SKU: 5}, km=999.0)]
    assert _senders(_decided(places, Tier(by=TierName.DISTANCE))) == [2]
