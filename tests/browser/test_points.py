"""Points at the console: who bears them, what a member has and why, and putting it right."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from flows.points.rules import publish_rules
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import BRAND
from tests.browser.conftest import PHONE, Open
from tests.system.conftest import Shop, eventually

STARS = f"{BRAND}/stars"
GROWTH = f"{BRAND}/growth"
LEAVES = "linmu/leaves"
RULES = f"""\
zone = "Asia/Shanghai"

[programmes."{STARS}"]
title = "星星"
issuer = "{BRAND}"
cost_micro = 800_000
growth = "{GROWTH}"
refund_grace_days = 30
expiry = {{ kind = "months", months = 12, end_of = "month" }}
levels = [{{ name = "silver", at_least = 1_000 }}, {{ name = "gold", at_least = 5_000 }}]
spend = {{ points_per_100_minor = 100, max_share = "0.5" }}

[[programmes."{STARS}".earn]]
name = "base"
points = 1
per_minor = 100

[[programmes."{STARS}".earn]]
name = "maker of the coat"
add = 200
skus = ["COAT-1"]
issuer = "linmu"

[programmes."{GROWTH}"]
title = "成长值"
issuer = "{BRAND}"

[programmes."{LEAVES}"]
title = "树叶"
issuer = "linmu"
cost_micro = 1_200_000
expiry = {{ kind = "date", month = 12, day = 31, years = 1 }}

[[exchange]]
from = "{STARS}"
to = "{LEAVES}"
give = 3
get = 2
spread = "0.02"
"""
REASON = "the till was closed when the coupon was due"


@pytest.fixture(scope="module")
def member(estate: DemoEstate, shop: Shop) -> str:
    """Our id of a member with a year of sales, a return, an exchange and a gift; the books are sealed."""
    caller = shop.operator
    with estate.hub.database.unit() as uow:
        publish_rules(uow, estate.hub.estate.owner, RULES, "the rules of this season", "test")
        uow.commit()
    people = [
        {"id": f"P{n}", "code": f"VIP{n}", "name": "欧阳小一", "mobile": "13812345678",
         "occurred_at": "2026-01-01T09:30:00+08:00"} for n in range(3)
    ]  # fmt: skip
    told = caller.post("/v1/ingest/hub/members?wait=true", json=people).raise_for_status().json()
    assert told["accepted"] == len(people), told
    now = datetime.now(UTC)
    for month, yuan in enumerate((880, 430, 1260, 399, 650, 1999, 240, 515, 1320)):
        sku = "COAT-1" if month % 4 == 0 else "TEE"
        _earn(caller, "VIP0", f"S{month:03}", yuan, sku, now - timedelta(days=31 * (9 - month)))
    for number in range(4):
        _earn(caller, "VIP1", f"T{number:03}", 700, "TEE", now - timedelta(days=20 * number + 1))
    _done(caller, "returns", programme=STARS, order_no="S003", return_no="R1", happened_at=_iso(now),
          lines=[{"line_no": 1, "quantity": 1}])  # fmt: skip
    _done(caller, "exchanges", exchange_no="X1", holder="hub:VIP0", points=2400, happened_at=_iso(now),
          **{"from": STARS, "to": LEAVES})  # fmt: skip
    gift = {"adjustment_no": "G1", "programme": STARS, "holder": "hub:VIP0", "points": 88, "reason": REASON}
    caller.post("/v1/points/adjustments", json=gift).raise_for_status()
    eventually(
        lambda: caller.get("/v1/points/proofs").json()["seal"], lambda seal: bool(seal and seal["entries"] >= 16)
    )
    found = caller.get("/v1/points/members/hub:VIP0").raise_for_status().json()
    return str(found["holder"])


def test_who_bears_the_points_and_when_they_go(member: str, desk: Open) -> None:
    viewer = desk("chen", language="zh")
    page = viewer.page
    viewer.go("/points")
    expect(_panel(page, "积分计划").locator("tbody tr")).to_have_count(3)
    _has_chart(page, "各发行方积分的去向", "已兑出")
    _has_chart(page, "各月到期积分", STARS)
    viewer.do("verify")
    expect(page.locator(".q-notification").last).to_contain_text("账本无误")
    expect(page.locator(".state[data-state=sound]").first).to_be_visible()
    expect(page.locator(".q-notification")).to_have_count(0)
    viewer.picture("points", whole=True)
    assert _too_wide(page) == []


def test_a_members_balance_is_proved_from_its_lots(member: str, desk: Open) -> None:
    viewer = desk("li")
    page = viewer.page
    viewer.go("/points")
    page.fill("input[name=who]", "hub:VIP0")
    page.locator("form.filters button").first.click()
    viewer.alive()
    expect(page.locator(".title")).to_contain_text("138••••5678")
    expect(page.locator(".shell-main")).not_to_contain_text("13812345678")
    expect(page.locator(".answer")).to_contain_text("points are left in")
    expect(page.locator(".answer .state")).to_have_attribute("data-state", "sound")
    _has_chart(page, "Lots by when they end", "Available")
    debit = _panel(page, "Journal").locator("tbody tr", has_text="X1")
    arrow = debit.locator("a[href^='#lot-']").last
    lot = page.locator(str(arrow.get_attribute("href")))
    expect(lot).to_be_visible()
    viewer.picture("points-member", whole=True)
    assert _too_wide(page) == []
    debit.locator("a").first.click()
    viewer.alive()
    expect(_panel(page, "Postings").locator("tbody tr", has_text="clearing")).to_have_count(2)


def test_a_balance_is_looked_at_as_it_was(member: str, desk: Open) -> None:
    viewer = desk("wang", language="zh", theme="dark", size=PHONE)
    page = viewer.page
    viewer.go(f"/points/member?who={member}")
    expect(page.locator(".shell-main")).not_to_contain_text("138")
    page.fill("input[name=happened]", "2020-01-01T00:00")
    page.locator("form.filters button").last.click()
    viewer.alive()
    expect(page.locator(".note")).to_contain_text("0 分")
    assert _too_wide(page) == []
    viewer.picture("points-phone")
    expect(page.locator("[data-do=adjust]")).to_have_count(0)


def test_a_steward_adjusts_and_merges_with_a_reason(member: str, desk: Open, shop: Shop) -> None:
    steward = desk("chen")
    page = steward.page
    steward.go(f"/points/member?who={member}")
    before = _available(shop, member)
    steward.do("adjust")
    dialog = page.locator(".q-dialog")
    _fill(dialog, "-50", "A1", REASON)
    steward.picture("points-adjust")
    dialog.locator(".first-button").click()
    expect(page.locator(".q-notification").last).to_contain_text("Done")
    assert eventually(lambda: _available(shop, member), lambda now: now != before) == before - 50
    steward.do("merge")
    _fill(page.locator(".q-dialog"), "hub:VIP1", "M1", REASON)
    page.locator(".q-dialog .first-button").click()
    expect(page.locator(".note", has_text="One wallet")).to_be_visible()
    assert _available(shop, member) == before - 50 + 2800
    steward.do("unmerge")
    page.locator(".q-dialog textarea").fill(REASON)
    page.locator(".q-dialog .bad-button").click()
    expect(page.locator(".note", has_text="One wallet")).to_have_count(0)
    assert _available(shop, member) == before - 50


def _earn(caller: httpx.Client, code: str, order_no: str, yuan: int, sku: str, at: datetime) -> None:
    line = {"line_no": 1, "sku": sku, "quantity": 2, "amount_minor": yuan * 100}
    _done(caller, "earns", programme=STARS, holder=f"hub:{code}", order_no=order_no, happened_at=_iso(at), lines=[line])


def _done(caller: httpx.Client, deed: str, **body: Any) -> None:
    answer = caller.post(f"/v1/points/{deed}?wait=true", json=body)
    assert answer.status_code == 200, answer.text


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _available(shop: Shop, member: str) -> int:
    found = shop.operator.get(f"/v1/points/members/{member}").json()["programmes"]
    return next(int(each["available"]) for each in found if each["programme"] == STARS)


def _fill(dialog: Locator, *values: str) -> None:
    dialog.wait_for()
    for number, value in enumerate(values):
        dialog.locator("input, textarea").nth(number).fill(value)


def _panel(page: Page, heading: str) -> Locator:
    return page.locator(".panel", has=page.get_by_role("heading", name=heading, exact=True))


def _too_wide(page: Page) -> list[str]:
    """What reaches beyond the window, if the page as a whole does."""
    found: list[str] = page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('.shell-main *')]"
        ".filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.table'))"
        ".map(each => `${each.tagName} ${each.className} ${each.textContent.slice(0, 40)}`).slice(0, 12)"
    )
    return found


def _has_chart(page: Page, label: str, word: str) -> None:
    chart = page.locator(f"[role=img][aria-label='{label}'] svg")
    expect(chart).to_be_visible()
    expect(chart.locator("text", has_text=word).first).to_be_visible()
