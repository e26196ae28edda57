"""Which places are asked: each filter removes what it should, by its word, and nobody whose figure is unknown."""

from typing import Any

import pytest

from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Item, Part, Place, Problem
from flows.one_stock.routing.rulebook import Filters, Rules

SKU = 7


def _word(place: Place, brand: str = "yun", **filters: Any) -> str | None:
    rules = Rules(parcel_cost=8, per_km=0.01, max_parcels=2, filters=Filters(**filters))
    decision = decide(Problem((Item((Part(1, SKU),), 1),), (place,), brand=brand), rules)
    [considered] = decision.considered
    assert (considered.scores == ()) is (considered.removed_by is not None)
    assert [parcel.place_id for parcel in decision.plan.parcels] == ([] if considered.removed_by else [place.id])
    return considered.removed_by


def _place(**figures: Any) -> Place:
    return Place(1, {SKU: 5}, **figures)


def test_a_place_that_refused_is_removed_by_the_reason_it_gave() -> None:
    assert _word(_place(refused="out_of_stock")) == "out_of_stock"


@pytest.mark.parametrize(("kind", "word"), [("store", None), ("warehouse", "kind")])
def test_only_the_kinds_named_are_asked(kind: str, word: str | None) -> None:
    assert _word(_place(kind=kind), kinds={"store"}) == word


@pytest.mark.parametrize(("code", "word"), [("A1", None), ("B2", "place")])
def test_only_the_places_named_are_asked(code: str, word: str | None) -> None:
    assert _word(_place(code=code), places={"A1"}) == word


@pytest.mark.parametrize(("code", "word"), [("A1", "place"), ("B2", None)])
def test_places_named_as_not_to_be_asked_are_not(code: str, word: str | None) -> None:
    assert _word(_place(code=code), not_places={"A1"}) == word


@pytest.mark.parametrize(("brand", "word"), [("yun", None), ("li", None), ("gu", "brand"), ("", None)])
def test_the_orders_own_brand_and_those_named_are_asked(brand: str, word: str | None) -> None:
    assert _word(_place(brand=brand), brands={"li"}) == word


def test_any_brand_is_asked_where_none_is_named() -> None:
    assert _word(_place(brand="gu")) is None


@pytest.mark.parametrize(("km", "word"), [(99.0, None), (101.0, "too_far"), (None, None)])
def test_a_place_beyond_the_limit_is_too_far(km: float | None, word: str | None) -> None:
    assert _word(_place(km=km), max_km=100) == word


@pytest.mark.parametrize(("rating", "word"), [(4.0, None), (3.9, "rating"), (None, None)])
def test_a_place_rated_too_low_is_not_asked(rating: float | None, word: str | None) -> None:
    assert _word(_place(rating=rating), min_rating=4) == word


@pytest.mark.parametrize(("share", "word"), [(0.8, None), (0.79, "acceptance"), (None, None)])
def test_a_place_that_accepts_too_little_is_not_asked(share: float | None, word: str | None) -> None:
    assert _word(_place(acceptance=share), min_acceptance=0.8) == word


@pytest.mark.parametrize(("counts", "word"), [(True, "service_area"), (False, None)])
def test_a_place_serves_its_area_unless_the_rules_look_away(counts: bool, word: str | None) -> None:
    assert _word(_place(serves=False), service_area=counts) == word


@pytest.mark.parametrize(("counts", "word"), [(True, "closed"), (False, None)])
def test_a_closed_place_is_not_asked_where_hours_count(counts: bool, word: str | None) -> None:
    assert _word(_place(open=False), hours=counts) == word


@pytest.mark.parametrize(("left", "counts", "word"), [(0, True, "capacity"), (0, False, None), (1, True, None)])
def test_a_place_that_can_take_no_parcel_today_is_not_asked(left: int, counts: bool, word: str | None) -> None:
    assert _word(_place(capacity_left=left), capacity=counts) == word


def test_a_place_with_nothing_of_the_order_has_no_stock() -> None:
    assert _word(Place(1, {SKU: 0, 8: 5})) == "no_stock"
