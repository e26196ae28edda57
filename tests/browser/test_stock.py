"""The one stock at the console: a SKU over all places, why an order ships from there, and rules tried and published."""

import itertools
import random
import re
from collections.abc import Sized
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import pytest
from playwright.sync_api import Locator, Page, expect

from canonical_model.store.velocity import refresh_velocity
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import Goods
from tests.browser.conftest import PHONE, Open
from tests.system.conftest import Shop, eventually

RULES = """\
# 秋冬：先就全，再比成本
parcel_cost = 8.0
per_km = 0.006
max_parcels = 3
on_short = "partial"
release_after_s = 3600

[[tiers]]
by = "parcels"
[[tiers]]
by = "cost"
tolerance = 0.05

[filters]
max_km = 2500

[channels.live]
max_parcels = 2
published_safety = 3
"""
MORE_WAREHOUSES = {
    "W-SY": ("沈阳东北仓", 41.80, 123.43),
    "W-XA": ("西安西北仓", 34.27, 108.95),
    "W-ZZ": ("郑州中原仓", 34.75, 113.62),
    "W-XM": ("厦门海西仓", 24.48, 118.09),
}
WAREHOUSES = ("W-SH", "W-GZ", "W-CD", "W-BJ", "W-WH", *MORE_WAREHOUSES)
CITIES = ("杭州市", "深圳市", "成都市", "武汉市", "青岛市", "昆明市", "郑州市", "大连市", "长沙市")
ORDERS = 24
REASON = "the new warehouse is open: fewer split orders"


@dataclass(frozen=True, slots=True)
class Pool:
    """Goods in nine warehouses, and orders that wait for their release."""

    goods: tuple[Goods, ...]
    orders: tuple[int, ...]


@pytest.fixture(scope="module")
def pool(estate: DemoEstate, shop: Shop) -> Pool:
    """A rulebook that lets plans wait an hour, stock, and orders from all over the country."""
    published = shop.operator.post(
        "/v1/routing/rules", json={"text": RULES, "reason": "rules of the autumn season", "against": 0}
    )
    assert published.status_code == 201, published.text
    _open_warehouses(shop)
    goods = tuple(itertools.islice(shop._goods, 8))
    _fill(shop, goods)
    draw = random.Random(7)
    orders = []
    for _ in range(ORDERS):
        lines = [(each, draw.choice((1, 1, 2, 3))) for each in draw.sample(goods, draw.choice((1, 2, 3)))]
        orders.append(shop.buy(*lines, city=draw.choice(CITIES)))
    eventually(lambda: shop.order(orders[-1])["status"], lambda status: status == "allocated")
    _sell(estate, goods[0])
    return Pool(goods, tuple(orders))


def test_a_sku_is_found_and_seen_over_all_places(pool: Pool, desk: Open) -> None:
    goods = pool.goods[0]
    viewer = desk("wang", language="zh")
    page = viewer.page
    viewer.go("/stock")
    page.fill("input[name=q]", goods.code)
    page.click("form.filters button")
    page.locator("tbody a", has_text=goods.code).click()
    viewer.alive()
    expect(page.get_by_role("heading", level=1)).to_contain_text(goods.name)
    _has_map(page, dots=3)
    places = page.locator(".panel", has=page.get_by_role("heading", name="各地点")).last
    expect(places.locator("tbody tr").first).to_be_visible()
    expect(page.locator(".panel", has=page.get_by_role("heading", name="占用明细"))).to_contain_text("P000")
    viewer.picture("stock", whole=True)
    page.locator(".panel", has=page.get_by_role("heading", name="各渠道看到多少")).get_by_role(
        "link", name="live"
    ).click()
    viewer.alive()
    expect(page.locator(".note")).to_contain_text("live")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_stock_of_a_sku_fits_a_phone_at_night(pool: Pool, desk: Open) -> None:
    viewer = desk("wang", theme="dark", size=PHONE)
    viewer.go(f"/stock/{pool.goods[0].code}")
    _has_map(viewer.page, dots=3)
    assert viewer.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    viewer.picture("stock-phone")


def test_an_order_says_why_it_ships_from_there_and_what_other_rules_would_do(
    estate: DemoEstate, shop: Shop, pool: Pool, desk: Open
) -> None:
    order_id = _split_order(shop, pool)
    viewer = desk("wang")
    page = viewer.page
    viewer.go(f"/orders/{order_id}")
    page.get_by_role("link", name="Why does it ship from there?").click()
    viewer.alive()
    expect(page.locator(".answer")).to_contain_text("It ships from")
    expect(page.locator(".state[data-state=chosen]").first).to_be_visible()
    _has_map(page, dots=2)
    expect(page.locator(".shell-main")).not_to_contain_text("王小明")
    expect(page.locator(".shell-main")).not_to_contain_text("中山路")
    viewer.picture("decision", whole=True)
    page.select_option("select[name=rules]", "0")
    viewer.alive()
    expect(page.locator(".shell-main")).to_contain_text("As it would be: The built-in rules")
    page.get_by_role("heading", name="Try a text of your own").click()
    text = page.locator("textarea").first
    text.fill(text.input_value().replace("max_parcels = 3", "max_parcels = 1"))
    viewer.do("try-rules")
    tried = page.locator("details.panel", has=page.locator("textarea"))
    expect(tried.locator(".note")).to_contain_text("Otherwise")
    expect(tried.locator(".side-panel").last).to_contain_text("a part planned")
    tried.scroll_into_view_if_needed()
    viewer.picture("decision-what-if")
    text.fill("parcel_cost = ")
    viewer.do("try-rules")
    expect(page.locator(".q-notification").last).to_contain_text("Not done")


def test_rules_are_checked_tried_on_orders_and_published(
    estate: DemoEstate, shop: Shop, pool: Pool, desk: Open
) -> None:
    steward = desk("chen")
    page = steward.page
    steward.go("/rules")
    before = shop.operator.get("/v1/routing/rules").json()["latest"]
    expect(page.locator(".rules-summary")).to_contain_text("At most 3 parcels an order.")
    steward.picture("rules")
    text = page.locator("textarea").first
    text.fill(text.input_value().replace("max_parcels = 3", "max_parcels = -1"))
    steward.do("check")
    expect(page.locator(".note.bad")).to_contain_text("max_parcels")
    text.fill(text.input_value().replace("max_parcels = -1", "max_parcels = 1"))
    steward.do("check")
    changed = page.locator(".panel", has=page.get_by_role("heading", name="What would change"))
    expect(changed.locator("tbody tr").first).to_contain_text("Most parcels")
    steward.do("what-if")
    expect(page.locator(".cards .card").first).to_be_visible()
    expect(page.locator(".bars svg")).to_be_visible()
    expect(page.locator(".shell-main")).to_contain_text(f"Of the last {ORDERS}")
    page.locator(".cards").first.scroll_into_view_if_needed()
    steward.picture("rules-what-if")
    steward.do("publish")
    dialog = page.locator(".q-dialog")
    expect(dialog).to_contain_text("Most parcels")
    expect(dialog.locator(".card").first).to_be_visible()
    steward.picture("rules-publish")
    steward.confirm(reason=REASON)
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"v{before + 1}")
    expect(page.locator(".difference")).to_contain_text("+max_parcels = 1")
    expect(page.locator("tbody tr", has_text=REASON).locator(".state")).to_have_attribute("data-state", "in_force")
    assert shop.operator.get("/v1/routing/rules").json()["latest"] == before + 1


def test_a_viewer_tries_rules_and_publishes_none(pool: Pool, desk: Open) -> None:
    viewer = desk("wang", language="zh", theme="dark", size=PHONE)
    viewer.go("/rules")
    expect(viewer.page.locator("[data-do=check]")).to_be_visible()
    expect(viewer.page.locator("[data-do=publish]")).to_have_count(0)
    viewer.do("check")
    expect(viewer.page.locator(".note")).to_contain_text("完全相同")
    assert viewer.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def _has_map(page: Page, *, dots: int) -> None:
    chart: Locator = page.locator(".map svg")
    expect(chart).to_be_visible()
    expect(chart.locator("text").first).to_be_visible()
    eventually(lambda: chart.locator("path").count(), lambda count: count >= dots)


def _split_order(shop: Shop, pool: Pool) -> int:
    """An order of several parcels, the last that there is."""
    split = [number for number in pool.orders if len(shop.order(number)["parcels"]) > 1]
    assert split
    return split[-1]


def _open_warehouses(shop: Shop) -> None:
    rows = [
        {"warehouseCode": code, "warehouseName": name, "latitude": str(lat), "longitude": str(lon), "status": "Y"}
        for code, (name, lat, lon) in MORE_WAREHOUSES.items()
    ]
    shop.tell(shop.estate.wms.url, "/_seed", {"warehouses": rows, "stock": []})
    shop.tell(shop.estate.wms.url, "/_report?what=warehouses", None)
    known = eventually(
        lambda: shop.estate.hub.database.run("SELECT code FROM location WHERE code = ANY (%s)", ([*MORE_WAREHOUSES],)),
        lambda found: len(found) == len(MORE_WAREHOUSES),
    )
    assert re.fullmatch(r"(W-\w\w ?)+", " ".join(row["code"] for row in known))


def _fill(shop: Shop, goods: tuple[Goods, ...]) -> None:
    draw = random.Random(11)
    rows = [
        {"warehouseCode": place, "itemCode": each.code, "inventoryType": "ZP", "quantity": draw.randint(3, 40)}
        for each in goods
        for place in draw.sample(WAREHOUSES, draw.choice((2, 3, 5)) if each is not goods[0] else 7)
    ]
    shop.tell(shop.estate.wms.url, "/_seed", {"warehouses": [], "stock": rows})
    shop.tell(shop.estate.wms.url, "/_report?what=stock", None)
    for each in goods:
        wanted = sum(row["itemCode"] == each.code for row in rows)
        known = eventually(partial(shop.stock, each), partial(_has, wanted))
        assert len(known) == wanted


def _sell(estate: DemoEstate, goods: Goods) -> None:
    """As if the goods had sold for four weeks."""
    hub = estate.hub
    with hub.database.unit() as uow:
        refresh_velocity(uow.connection, hub.estate.owner, hub.estate.brand, datetime.now(UTC))
        uow.execute(
            "INSERT INTO stock_velocity (sku_id, location_id, owner, brand, weekly, days, computed_at)"
            " SELECT sku_id, location_id, level.owner, level.brand, 0.5 + level.id %% 4 * 3.25, 28, now()"
            " FROM stock_level AS level JOIN sku ON sku.id = sku_id WHERE sku.code = %s ON CONFLICT DO NOTHING",
            (goods.code,),
        )
        uow.commit()


def _has(wanted: int, found: Sized) -> bool:
    return len(found) == wanted
