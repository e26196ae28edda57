"""The hub's own orders: what left or was carried out earns for its member, what comes back is taken back."""

from typing import Any

import pytest

from flows.one_stock.ship_parcel import consume
from flows.points.rules import publish_rules
from flows.runtime.flow import Run
from flows.runtime.runs import get_run
from tests.flows.desk import NOON, Desk, count, order, statuses
from tests.flows.ingest.test_members import member
from tests.flows.points.world import RULES, STARS, Club

CODE = "860000000001"


@pytest.fixture
def shop(stocked: Desk) -> Desk:
    """A stocked desk with a member and the points rules in force."""
    with stocked.hub.database.unit() as uow:
        publish_rules(uow, "yunshang", RULES, "test", "test")
        uow.commit()
    assert statuses(stocked.push("members", member())) == ["accepted"]
    return stocked


def holder(desk: Desk) -> str:
    return str(desk.one("SELECT id FROM member"))


def stars(desk: Desk) -> int:
    desk.hub.runner.drain()
    return Club(desk.hub).has(holder(desk), STARS)


def carried_out(number: str, **fields: Any) -> dict[str, Any]:
    lines = [
        {"line_no": 1, "sku": "TEE", "quantity": 3, "amount_minor": 1_000},
        {"line_no": 2, "sku": "NUT", "quantity": 1, "amount_minor": 550, "unit": "PA"},
    ]
    fields = {"member": CODE, **fields}
    sold = order(number, kind="carry_out", lines=lines, goods_minor=1_550, total_minor=1_550, **fields)
    return {name: value for name, value in sold.items() if name != "receiver" and value is not None}


def returned(number: str, sold: str, sku: str, quantity: int) -> dict[str, Any]:
    line = {"line_no": 7, "sku": sku, "quantity": quantity, "amount_minor": 0, "unit": "PA" if sku == "NUT" else "EA"}
    back = order(number, kind="return", returns_order_no=sold, lines=[line], goods_minor=0, total_minor=0)
    return {name: value for name, value in back.items() if name != "receiver"}


def test_a_sale_carried_out_earns_at_once_and_only_once(shop: Desk) -> None:
    assert statuses(shop.push("orders", carried_out("S1"))) == ["accepted"]
    assert statuses(shop.push("orders", carried_out("S1"), idempotency_key="again")) == ["duplicate"]
    assert stars(shop) == 10 + 5


def test_what_comes_back_is_taken_back_by_its_goods_piece_by_piece(shop: Desk) -> None:
    shop.push("orders", carried_out("S1"))
    left = []
    for nth in range(3):
        assert statuses(shop.push("orders", returned(f"R{nth}", "S1", "TEE", 1))) == ["accepted"]
        left.append(stars(shop))
    assert left == [11, 8, 5]


def test_a_return_in_the_message_of_its_sale_is_taken_back_too(shop: Desk) -> None:
    assert statuses(shop.push("orders", returned("R1", "S1", "NUT", 1), carried_out("S1"))) == ["accepted"] * 2
    assert stars(shop) == 10


def test_buyers_who_are_no_members_and_sales_of_another_day_start_nothing(shop: Desk) -> None:
    sold = carried_out("S1", member=None), carried_out("S2", member="nobody")
    assert statuses(shop.push("orders", *sold)) == ["accepted"] * 2
    rules = RULES.replace(
        '{ name = "base", points = 1, per_minor = 100 }',
        '{ name = "base", points = 1, per_minor = 100, until = 2026-01-01 }',
    )
    with shop.hub.database.unit() as uow:
        publish_rules(
            uow, "yunshang", rules.replace('{ name = "gold", multiply = "2", levels = ["gold"] },', ""), "test", "test"
        )
        uow.commit()
    assert statuses(shop.push("orders", carried_out("S3"))) == ["accepted"]
    assert shop.rows("SELECT business_key FROM flow_run WHERE flow LIKE 'points.%%'") == []


def test_without_points_rules_nothing_is_started(stocked: Desk) -> None:
    stocked.push("members", member())
    sold = carried_out("S1"), returned("R1", "S1", "TEE", 1)
    assert statuses(stocked.push("orders", *sold)) == ["accepted"] * 2
    assert stocked.rows("SELECT business_key FROM flow_run WHERE flow LIKE 'points.%%'") == []


def confirm(desk: Desk, parcel_no: str, shipped: int, lacking: int) -> None:
    """The warehouse's word, booked as the parcel's run does."""
    (row,) = desk.rows(
        "SELECT id FROM flow_run WHERE flow = 'one_stock.ship_parcel' AND business_key = %s", (parcel_no,)
    )
    payload = {
        "location": "W1",
        "source": {"system": "shop"},
        "shipped_at": NOON,
        "lines": [{"line_no": 1, "sku": "TEE", "shipped": shipped, "lacking": lacking}],
    }
    with desk.hub.database.unit() as uow:
        run = get_run(uow, row["id"])
        results = {**run["results"], "await_word": {"signal": "confirmed", "payload": payload}}
        consume.call(
            Run(run["id"], run["owner"], run["brand"], run["flow"], 2, parcel_no, run["input"], results, 1), uow
        )
        uow.commit()


def test_a_delivery_earns_for_what_left_when_it_left(shop: Desk) -> None:
    shop.push("stock", count("TEE", "W1", 5))
    line = {"line_no": 1, "sku": "TEE", "quantity": 3, "amount_minor": 1_000}
    assert statuses(
        shop.push("orders", order("D1", member=CODE, lines=[line], goods_minor=1_000, total_minor=1_000))
    ) == ["accepted"]
    assert stars(shop) == 0
    parcel_no = shop.one("SELECT parcel_no FROM parcel")
    confirm(shop, parcel_no, shipped=2, lacking=1)
    assert stars(shop) == 6
    (run,) = shop.rows("SELECT business_key, results FROM flow_run WHERE flow = 'points.earn'")
    assert run["business_key"] == f"{STARS}:shop:D1:{parcel_no}"
    assert shop.one("SELECT happened_at::text FROM ledger_transfer WHERE kind = 'earn'") == "2026-03-01 04:00:00+00"
