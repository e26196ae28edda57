"""The pages of the one stock: what they show, to whom, and that nothing of what systems sent becomes markup."""

import re
from types import SimpleNamespace
from typing import cast

import pytest

from flows.one_stock.what_if import WhatIf
from flows.runtime.bootstrap import Hub
from hub_api.console.decision_parts import lines, sureness
from hub_api.console.map_parts import ASPECT, Dot, Way, map_options, window
from hub_api.console.rules_parts import value
from hub_api.console.view import View
from hub_api.console.what_if_parts import summary
from hub_api.console.words import Words
from hub_api.routing_rules import publish_rules
from tests.hub_api.conftest import Client
from tests.hub_api.console.conftest import Visitor
from tests.hub_api.pool import DESK, TEE, Pool

RULES = "parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 3\n[channels.live]\nmax_parcels = 2\n"


@pytest.fixture
def pool(hub: Hub, client: Client) -> Pool:
    publish_rules(hub, DESK, RULES, "rules of the tests", against=0)
    return Pool(hub, client)


def test_a_sku_is_shown_over_all_places_with_its_holds_and_ledger(hub: Hub, pool: Pool, visitor: Visitor) -> None:
    order_id = pool.buy("M1", quantity=2)
    page = visitor("viewer").get(f"/console/stock/{TEE}")
    assert page.status_code == 200
    for shown in ("上海总仓", "武汉华中仓", "广州华南仓", "shop M1", f"/console/orders/{order_id}", "Ledger"):
        assert shown in page.text
    assert '"type":"scatter"' in page.text.replace(" ", "").replace("\\", "")


def test_a_list_of_goods_links_to_each(hub: Hub, pool: Pool, visitor: Visitor) -> None:
    page = visitor("viewer").get("/console/stock", params={"q": "TEE"})
    assert f"/console/stock/{TEE}" in page.text
    assert "CAP-1" not in page.text


def test_an_order_says_why_it_ships_from_there(hub: Hub, pool: Pool, visitor: Visitor) -> None:
    order_id = pool.buy("M1", quantity=2)
    browser = visitor("viewer")
    assert f"/console/orders/{order_id}/decisions" in browser.get(f"/console/orders/{order_id}").text
    page = browser.get(f"/console/orders/{order_id}/decisions", params={"rules": "0"})
    assert page.status_code == 200
    for shown in ("It ships from 上海总仓.", "武汉华中仓", "Routing rules v1", "The built-in rules", "The same:"):
        assert shown in page.text
    for personal in ("陈小一", "13812345678", "文三路"):
        assert personal not in page.text


def test_every_round_of_an_order_has_its_tab(hub: Hub, pool: Pool, visitor: Visitor) -> None:
    order_id = pool.buy("M1", quantity=2)
    path = f"/console/orders/{order_id}/decisions"
    browser = visitor("viewer")
    assert f"{path}?round=1" not in browser.get(path).text
    names = "owner, brand, order_id, action, rules_version, rules_fingerprint, cost, gap, stopped, record"
    hub.database.run(
        f"INSERT INTO order_decision ({names}, round, cause) SELECT {names}, 2, 'resourced' FROM order_decision"
    )
    page = browser.get(path).text
    assert "Round 1 · placed" in page
    assert "Round 2 · sent elsewhere" in page
    assert "sent elsewhere" in re.sub(r"Round 2 · sent elsewhere", "", page)
    assert f"{path}?round=1" in page


def test_a_decision_among_very_many_places_stays_short() -> None:
    places = [
        {"place": f"S{n:03d}", "place_name": f"店 {n}", "km": float(n), "stock": 5, "scores": {"cost": 8.0 + n}}
        | {"removed_by": None if n % 2 else "too_far", "chosen": int(n == 7)}
        for n in range(300)
    ]
    told = {
        "tiers": ["cost"],
        "parcels": [{"place": "S007", "place_name": "店 7", "km": 7.0, "cost": 15.0, "lines": []}],
        "lines": [{"line_no": 1, "sku": "A", "quantity": 1, "unfilled": 0, "places": places}],
    }
    view = cast(View, SimpleNamespace(words=Words("en")))
    shown = lines(view, told)
    assert shown.count("<tr>") == 1 + 12 + 8
    assert shown.index("店 7 <") < shown.index("店 1 <")
    assert "too far × 142, could have sent × 138" in shown


@pytest.mark.parametrize("query", ["round=9", "rules=7", "round=x"])
def test_an_address_of_a_decision_that_is_not_there_is_said_to(
    hub: Hub, pool: Pool, visitor: Visitor, query: str
) -> None:
    page = visitor("viewer").get(f"/console/orders/{pool.buy('M1')}/decisions?{query}")
    assert page.status_code in (200, 404)
    assert "shell-navigation" in page.text
    assert "Something unexpected happened" not in page.text


def test_only_those_who_may_see_the_button_that_publishes(hub: Hub, pool: Pool, visitor: Visitor) -> None:
    assert _buttons(visitor("viewer").get("/console/rules").text) == {"check", "what-if"}
    assert _buttons(visitor("steward").get("/console/rules").text) == {"check", "what-if", "publish"}


def test_the_rules_are_told_in_sentences_and_by_version(hub: Hub, pool: Pool, visitor: Visitor) -> None:
    publish_rules(hub, DESK, RULES.replace("= 3", "= 1"), "one parcel is enough", against=1)
    browser = visitor("viewer")
    now, before = browser.get("/console/rules").text, browser.get("/console/rules?version=1").text
    assert "At most 1 parcels an order." in now
    assert "+max_parcels = 1" in now
    assert "no longer in force" in before
    assert "At most 3 parcels an order." in before
    assert browser.get("/console/rules?version=9").status_code == 404


def test_names_that_systems_sent_stay_text(hub: Hub, pool: Pool, visitor: Visitor) -> None:
    hub.database.run("UPDATE location SET name = '<img src=x onerror=alert(1)>{a|b}' WHERE code = 'W-SH'")
    order_id = pool.buy("M1")
    browser = visitor("viewer")
    for path in (f"/console/stock/{TEE}", f"/console/orders/{order_id}/decisions"):
        page = browser.get(path).text
        assert "onerror=alert" in page
        assert "<img" not in page


class TestMap:
    def test_every_point_lies_well_inside(self) -> None:
        for points in ([(121.47, 31.23)], [(87.6, 43.8), (113.3, 23.1), (126.6, 45.8)], []):
            west, east, south, north = window(points)
            for lon, lat in points:
                assert west < lon < east
                assert south < lat < north
            assert west < east

    def test_a_degree_is_as_long_either_way_halfway_up(self) -> None:
        west, east, south, north = window([(100.0, 25.0), (120.0, 35.0)])
        assert (east - west) * 0.866 / (north - south) == pytest.approx(ASPECT, rel=0.01)

    def test_names_hold_nothing_that_the_chart_would_read(self) -> None:
        options = map_options([Dot("{a}店", 31.0, 121.0, told="{b}")], [Way((121.0, 31.0), (120.0, 30.0))])
        (dot,) = options["series"][-1]["data"]
        assert dot["name"] == "(a)店"
        assert dot["tooltip"]["formatter"] == "(b)"
        assert options["tooltip"]["renderMode"] == "richText"


@pytest.mark.parametrize(
    ("rule", "given", "shown"),
    [
        ("release_after_s", 600, "10 min"),
        ("release_after_s", 0, "not at all"),
        ("filters.max_km", 2500.0, "2,500 km"),
        ("min_parcel_value_minor", 9900, "¥99.00"),
        ("per_km", 0.006, "0.006"),
        ("split_lines", True, "yes"),
        ("filters.kinds", ["store", "warehouse"], "store, warehouse"),
        ("filters.kinds", [], "–"),
        ("on_short", "queue", "wait for goods"),
        (
            "tiers",
            [{"by": "parcels"}, {"by": "cost", "tolerance": 0.1}],
            "complete: the fewest parcels → lowest cost (+10%)",
        ),
    ],
)
def test_a_rule_is_shown_as_people_say_it(rule: str, given: object, shown: str) -> None:
    assert value(Words("en"), rule, given) == shown


@pytest.mark.parametrize(
    ("stopped", "gap", "bound", "shown"),
    [
        ("proved", 0.0, 9.0, "No better plan exists; that is proved."),
        ("proved", 0.02, 9.0, "By the rules no better plan exists; it costs at most 2.0% more than the cheapest."),
        ("budget", 0.005, 9.0, "It costs at most 0.5% more than the best possible plan."),
        (
            "clock",
            0.1,
            9.0,
            "The emergency clock ended the search; it costs at most 10.0% more than the best possible plan.",
        ),
        ("budget", 9e9, 0.0, "How far from the best it is was not worked out."),
    ],
)
def test_it_is_said_how_sure_a_plan_is(stopped: str, gap: float, bound: float, shown: str) -> None:
    assert sureness(Words("en"), {"stopped": stopped, "gap": gap, "bound": bound}) == shown


def test_a_what_if_without_orders_says_so() -> None:
    assert "There are no orders" in summary(Words("en"), WhatIf())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_what_if_says_how_many_orders_it_had_to_leave_out(language: str) -> None:
    said = summary(Words(language), WhatIf(left_out=41, unreadable=43))
    assert said.count("41") == said.count("43") == 1
    assert "There are no orders" not in said


def _buttons(page: str) -> set[str]:
    return set(re.findall(r'"data-do": ?"([a-z-]+)"', page))
