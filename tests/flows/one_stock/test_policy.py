"""Choosing places: nearest with everything, else fewest parcels, never more than is there."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from flows.one_stock.policy import Demand, Place, Plan, choose_places

NEAR, MIDDLE, FAR = 1, 2, 3


def _places(*stock: tuple[int, float, dict[int, int]]) -> list[Place]:
    return [Place(location_id, distance_km, promisable) for location_id, distance_km, promisable in stock]


def _sources(plan: Plan) -> list[int]:
    return [parcel.location_id for parcel in plan.parcels]


def test_the_nearest_place_that_has_it_all_ships_everything() -> None:
    places = _places((FAR, 900, {7: 5, 8: 5}), (NEAR, 10, {7: 5}), (MIDDLE, 100, {7: 5, 8: 5}))
    plan = choose_places([Demand(1, 7, 2), Demand(2, 8, 1)], places)
    assert _sources(plan) == [MIDDLE]
    assert plan.unfilled == ()


def test_two_parcels_beat_three_even_over_a_longer_way() -> None:
    places = _places((NEAR, 1, {7: 1}), (MIDDLE, 2, {8: 1}), (FAR, 3, {9: 1}), (4, 5000, {8: 1, 9: 1}))
    plan = choose_places([Demand(1, 7, 1), Demand(2, 8, 1), Demand(3, 9, 1)], places)
    assert _sources(plan) == [NEAR, 4]


def test_one_line_may_come_from_two_places() -> None:
    plan = choose_places([Demand(1, 7, 5)], _places((NEAR, 1, {7: 3}), (FAR, 9, {7: 4})))
    assert [(p.location_id, p.lines[0].quantity) for p in plan.parcels] == [(NEAR, 3), (FAR, 2)]


def test_two_lines_of_one_sku_share_what_is_there() -> None:
    plan = choose_places([Demand(1, 7, 2), Demand(2, 7, 2)], _places((NEAR, 1, {7: 3})))
    assert plan.unfilled == (Demand(2, 7, 1),)


def test_what_nobody_has_is_said() -> None:
    assert choose_places([Demand(1, 7, 2)], []).unfilled == (Demand(1, 7, 2),)


demands = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=6).map(
    lambda rows: [Demand(line, sku, quantity) for line, (sku, quantity) in enumerate(rows, 1)]
)
places = st.lists(st.tuples(st.floats(0, 5000), st.dictionaries(st.integers(1, 5), st.integers(0, 9))), max_size=8).map(
    lambda rows: [Place(number, *row) for number, row in enumerate(rows, 1)]
)


@given(demands, places)
def test_a_plan_promises_no_unit_that_is_not_there_and_accounts_for_every_unit(
    wanted: list[Demand], offered: list[Place]
) -> None:
    plan = choose_places(wanted, offered)
    taken = Counter[tuple[int, int]]()
    filled = Counter[int]()
    for parcel in plan.parcels:
        assert parcel.lines
        for line in parcel.lines:
            assert line.quantity > 0
            taken[parcel.location_id, line.sku_id] += line.quantity
            filled[line.line_no] += line.quantity
    stock = {place.location_id: place.promisable for place in offered}
    assert all(quantity <= stock[place].get(sku, 0) for (place, sku), quantity in taken.items())
    open_ = {demand.line_no: demand.quantity for demand in plan.unfilled}
    assert all(filled[d.line_no] + open_.get(d.line_no, 0) == d.quantity for d in wanted)


@given(demands, places)
def test_a_unit_is_left_open_only_when_the_pool_lacks_it(wanted: list[Demand], offered: list[Place]) -> None:
    plan = choose_places(wanted, offered)
    for sku in {demand.sku_id for demand in wanted}:
        pool = sum(place.promisable.get(sku, 0) for place in offered)
        asked = sum(demand.quantity for demand in wanted if demand.sku_id == sku)
        left = sum(demand.quantity for demand in plan.unfilled if demand.sku_id == sku)
        assert left == max(0, asked - pool)


@given(demands, places, st.randoms())
def test_the_order_in_which_places_are_listed_changes_nothing(
    wanted: list[Demand], offered: list[Place], random: Random
) -> None:
    shuffled = random.sample(offered, len(offered))
    assert choose_places(wanted, offered) == choose_places(wanted, shuffled)
