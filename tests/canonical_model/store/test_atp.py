"""What may be promised of a SKU at each place, and of a bundle by its parts."""

import random
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import atp, locations, products, stock
from canonical_model.store.atp import Scope, find_goods, goods_touched
from tests.canonical_model.store.shelf import OWNER, Shelf, delta, snapshot

pytestmark = pytest.mark.every_postgres
BRAND = "yunshang"


class Authority:
    system = "wms"
    fulfilled_by: str | None = "wms"


def add_places(shelf: Shelf, *places: Mapping[str, Any]) -> None:
    rows = [{**shelf.place(place["code"]), **place} for place in places]
    locations.upsert_locations(shelf.connection, rows, lambda _kind, _code: Authority())


def add_bundle(shelf: Shelf, code: str, parts: Mapping[str, int]) -> None:
    components = [{"sku": sku, "quantity": quantity} for sku, quantity in parts.items()]
    products.upsert_products(shelf.connection, [{**shelf.product(code), "kind": "bundle", "components": components}])


def figures(connection: Connection[DictRow], code: str, scope: Scope | None = None) -> dict[str, int]:
    [goods] = find_goods(connection, OWNER, BRAND, [code])
    found = atp.atp(connection, OWNER, BRAND, [goods], scope)
    return {place.location: place.units for place in found[goods.sku_id]}


def test_a_place_has_what_is_neither_held_nor_kept_back(shelf: Shelf) -> None:
    shelf.apply(snapshot(10), snapshot(3, place="W2"), snapshot(7, sku="B"))
    shelf.hold("P1", (shelf.level().level_id, 4))
    stock.set_safety(shelf.connection, shelf.level().level_id, 1)
    assert figures(shelf.connection, "A") == {"W1": 5, "W2": 3}
    assert figures(shelf.connection, "C") == {}


def test_only_places_that_ship_count(shelf: Shelf) -> None:
    add_places(shelf, {"code": "S1", "services": ["sell"]}, {"code": "S2", "active": False}, {"code": "S3"})
    shelf.apply(*[snapshot(2, place=place) for place in ("W1", "S1", "S2", "S3")])
    assert figures(shelf.connection, "A") == {"W1": 2, "S3": 2}


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (Scope(kinds=["store"]), {"S1"}),
        (Scope(places=["W1", "S1"]), {"W1", "S1"}),
        (Scope(places=["W1", "S1"], not_places=["S1"]), {"W1"}),
        (Scope(region="33"), {"S1"}),
        (Scope(region="3302"), set()),
        (Scope(quality="defective"), set()),
    ],
)
def test_a_scope_says_which_places_count(shelf: Shelf, scope: Scope, found: set[str]) -> None:
    add_places(shelf, {"code": "S1", "kind": "store", "region_code": "330106"})
    shelf.apply(*[snapshot(2, place=place) for place in ("W1", "W2", "S1")])
    assert set(figures(shelf.connection, "A", scope)) == found


def test_goods_in_batches_must_last_as_long_as_is_asked(shelf: Shelf) -> None:
    products.upsert_products(shelf.connection, [{**shelf.product("A"), "batch_managed": True}])
    shelf.apply(
        snapshot(5, batch="OLD", expires_on="2026-04-01"),
        snapshot(3, batch="NEW", expires_on="2026-09-01"),
        snapshot(9, sku="B"),
    )
    assert figures(shelf.connection, "A") == {"W1": 8}
    assert figures(shelf.connection, "A", Scope(min_expiry=date(2026, 4, 1))) == {"W1": 8}
    assert figures(shelf.connection, "A", Scope(min_expiry=date(2026, 4, 2))) == {"W1": 3}
    assert figures(shelf.connection, "A", Scope(min_expiry=date(2027, 1, 1))) == {}
    assert figures(shelf.connection, "B", Scope(min_expiry=date(2027, 1, 1))) == {"W1": 9}


def test_a_bundle_is_made_of_what_lies_together(shelf: Shelf) -> None:
    add_bundle(shelf, "SET", {"A": 2, "B": 1})
    shelf.apply(snapshot(5), snapshot(9, place="W2"), snapshot(4, sku="B"), snapshot(1, sku="B", place="W2"))
    assert figures(shelf.connection, "SET") == {"W1": 2, "W2": 1}


def test_a_bundle_with_a_part_that_nobody_knows_cannot_be_had(shelf: Shelf) -> None:
    add_bundle(shelf, "SET", {"A": 1, "UNHEARD": 1})
    shelf.apply(snapshot(5))
    assert figures(shelf.connection, "SET") == {}


def test_what_touches_a_part_touches_its_bundles(shelf: Shelf) -> None:
    add_bundle(shelf, "SET", {"A": 2, "B": 1})
    add_bundle(shelf, "OTHER", {"C": 1})
    [a] = find_goods(shelf.connection, OWNER, BRAND, ["A"])
    assert [each.sku for each in goods_touched(shelf.connection, OWNER, BRAND, [a.sku_id])] == ["A", "SET"]
    assert find_goods(shelf.connection, OWNER, BRAND, ["UNHEARD"]) == []


def hold(shelf: Shelf, reference: str, line: stock.HoldLine) -> object:
    return stock.hold(shelf.connection, owner=OWNER, brand=BRAND, order_id=1, reference=reference, lines=[line])


DAYS = [date(2026, 4, 1), date(2026, 6, 1), date(2026, 9, 1)]


@pytest.mark.parametrize("seed", range(12))
def test_what_is_promised_can_be_held_and_one_more_cannot(shelf: Shelf, seed: int) -> None:
    rng = random.Random(seed)
    products.upsert_products(shelf.connection, [{**shelf.product("A"), "batch_managed": True}])
    shelf.apply(*[snapshot(rng.randint(0, 6), batch=f"L{n}", expires_on=str(day)) for n, day in enumerate(DAYS)])
    level = shelf.level().level_id
    for number in range(6):
        line = stock.HoldLine(1, level, rng.randint(1, 4), rng.choice([None, *DAYS]))
        if hold(shelf, f"P{number}", line) == stock.Held() and rng.random() < 0.4:
            shelf.ship(f"P{number}", line.quantity, seconds=10)
        if rng.random() < 0.3:
            shelf.apply(delta(-1, seconds=20 + number, source_id=f"d{number}"))
    for number, day in enumerate([None, *DAYS, date(2027, 1, 1)]):
        units = figures(shelf.connection, "A", Scope(min_expiry=day)).get("W1", 0)
        for wanted, answer in ((units + 1, stock.Short((level,))), (units, stock.Held())):
            if wanted:
                line = stock.HoldLine(1, level, wanted, day)
                assert hold(shelf, f"Q{number}", line) == answer, (day, units)
        if units:
            shelf.release(f"Q{number}")


counts = st.integers(0, 20)


@given(a=st.tuples(counts, counts), b=st.tuples(counts, counts), per=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_no_bundle_is_promised_that_its_parts_do_not_make(
    a: tuple[int, int], b: tuple[int, int], per: tuple[int, int]
) -> None:
    goods = atp.Goods(9, "SET", {1: per[0], 2: per[1]})
    places = [{"id": n, "code": f"W{n}", "name": "", "region_code": None} for n in (0, 1)]
    found = atp._at_places(goods, {1: dict(enumerate(a)), 2: dict(enumerate(b))}, places)
    by_place = {place.location_id: place.units for place in found}
    for place in (0, 1):
        units = by_place.get(place, 0)
        assert units * per[0] <= a[place]
        assert units * per[1] <= b[place]
        assert (units + 1) * per[0] > a[place] or (units + 1) * per[1] > b[place]
