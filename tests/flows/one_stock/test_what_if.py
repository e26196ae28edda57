"""Sums over orders routed two ways add up, and are drawn for people."""

from lxml import etree

from flows.one_stock.routed import Routed, Sent, Totals
from flows.one_stock.routing.problem import Action
from flows.one_stock.routing.rulebook import Rulebook
from flows.one_stock.what_if import WhatIf, compare
from flows.one_stock.what_if_picture import BUSIEST, draw

WHOLE = Routed(
    "1", Action.ALLOCATE, (Sent("店<1>", (("A", 2),), 10.0), Sent("W", (("B", 1),), None)), (), 30.0, 0.02, 4.0
)
PART = Routed("2", Action.PARTIAL, (Sent("W", (("A", 1),), 5.0),), (("A", 3),), 9.0, 0.0, 2.0)
NONE = Routed("3", Action.CANCEL, (), (("B", 2),), 0.0, 0.0, 1.0)
SVG = "{http://www.w3.org/2000/svg}"


def words(picture: str) -> list[str | None]:
    return [text.text for text in etree.fromstring(picture.encode()).iter(f"{SVG}text")]


def test_sums_count_every_order_parcel_and_unit_once() -> None:
    totals = Totals()
    for order in (WHOLE, PART, NONE):
        totals.add(order)
    assert totals.document() == {
        "orders": 3,
        "complete": 1,
        "partial": 1,
        "unserved": 1,
        "split": 1,
        "units": 9,
        "unfilled_units": 5,
        "parcels": 3,
        "distance_km": 15.0,
        "cost": 39.0,
        "gap_mean": 0.01,
        "gap_max": 0.02,
        "ms_p50": 2.0,
        "ms_p99": 3.96,
    }
    assert totals.load() == [
        {"node": "W", "parcels": 2, "units": 2},
        {"node": "店<1>", "parcels": 1, "units": 2},
    ]


def test_sums_of_nothing_are_nothing() -> None:
    assert set(Totals().document().values()) == {0}
    assert Totals().load() == []
    assert compare([], []).document()["orders"] == []
    assert etree.fromstring(draw(WhatIf()).encode()).tag == f"{SVG}svg"


def test_an_order_is_priced_by_other_rules_without_moving() -> None:
    rules = Rulebook("parcel_cost = 1\nper_km = 2\nmax_parcels = 1\nunknown_km = 50\n").rules()
    assert WHOLE.priced_by(rules).cost == (1 + 20) + (1 + 100)
    assert WHOLE.priced_by(rules).parcels == WHOLE.parcels


def test_orders_that_cost_otherwise_but_ship_the_same_are_not_changed() -> None:
    found = compare(
        [WHOLE, PART], [WHOLE.priced_by(Rulebook("parcel_cost = 1\nper_km = 2\nmax_parcels = 1\n").rules()), NONE]
    )
    assert [order["changed"] for order in found.orders] == [False, True]
    assert found.changed == 1


def test_the_picture_names_its_figures_and_places_and_is_always_the_same() -> None:
    found = compare([WHOLE, PART, NONE], [PART, PART, PART])
    picture = draw(found)
    assert picture == draw(found)
    assert {"3 orders under other rules: 2 would ship otherwise", "Cost, in the rules' money", "店<1>", "W"} <= {
        *words(picture)
    }
    for foreign in ("<script", "http://kozea", "https://"):
        assert foreign not in picture


def test_only_the_busiest_places_are_drawn() -> None:
    found = WhatIf()
    for number in range(40):
        order = Routed(str(number), Action.ALLOCATE, (Sent(f"S{number:02d}", (("A", 1),), 1.0),), (), 1.0, 0.0)
        found.add(order, order)
    drawn = [text for text in words(draw(found)) if text and text.startswith("S")]
    assert len(drawn) == BUSIEST
