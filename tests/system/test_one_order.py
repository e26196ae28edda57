"""One order through the hub, WMS and SAP: each over its own protocol, each asked for its own books."""

import pytest

from hub_api.demo.estate import DemoEstate
from tests.system.conftest import Shop, eventually


def test_the_nearest_place_that_has_it_all_ships_it_and_everybody_knows_once(shop: Shop) -> None:
    coat, socks = shop.goods(W_SH=5, W_CD=5), shop.goods(W_SH=5)
    order_id = shop.buy((coat, 1), (socks, 2))
    order = shop.ended(order_id)
    (parcel,) = order["parcels"]
    assert (order["status"], parcel["status"]) == ("shipped", "shipped")
    assert [(line["quantity"], line["shipped"]) for line in order["lines"]] == [(1, 1), (2, 2)]
    theirs = shop.at_wms()[parcel["parcel_no"]]
    assert (theirs["warehouseCode"], theirs["status"]) == ("W-SH", "DELIVERED")
    assert shop.at_sap().count(parcel["parcel_no"]) == 1
    level = eventually(lambda: shop.stock(socks)["W-SH"], lambda level: level["on_hand"] == 3)
    assert (level["on_hand"], level["held"], level["atp"]) == (3, 0, 3)


def test_what_no_place_has_together_is_split(shop: Shop) -> None:
    coat, socks = shop.goods(W_SH=1), shop.goods(W_CD=1)
    order = shop.ended(shop.buy((coat, 1), (socks, 1)))
    assert order["status"] == "shipped"
    assert sorted(shop.at_wms()[p["parcel_no"]]["warehouseCode"] for p in order["parcels"]) == ["W-CD", "W-SH"]


def test_an_order_nobody_can_fill_is_cancelled_and_holds_nothing(shop: Shop) -> None:
    coat = shop.goods(W_SH=1, W_CD=1)
    order = shop.ended(shop.buy((coat, 3)))
    assert (order["status"], order["status_reason"], order["parcels"]) == ("cancelled", "no_stock", [])
    assert [level["atp"] for level in shop.stock(coat).values()] == [1, 1]


def test_a_place_that_refuses_is_left_out_and_another_ships(shop: Shop) -> None:
    coat = shop.goods(W_SH=2, W_CD=2)
    shop.pickers(paused=True)
    shop.faults("wms", no_stock=1.0)
    order_id = shop.buy((coat, 1))
    shop.until(order_id, lambda order: len(order["parcels"]) >= 2)
    shop.faults("wms")
    shop.pickers(paused=False)
    order = shop.ended(order_id)
    assert order["parcels"][0]["status"] == "refused"
    assert shop.stock(coat)["W-SH"]["held"] == 0


def test_what_a_warehouse_cannot_find_comes_from_another(shop: Shop) -> None:
    coat = shop.goods(W_SH=4, W_WH=4)
    shop.pickers(paused=True)
    shop.faults("wms", lacking=1.0)
    order_id = shop.buy(
        (coat, 2),
    )
    shop.until(order_id, lambda order: any(p["status"] == "accepted" for p in order["parcels"]))
    shop.pickers(paused=False)
    shop.until(order_id, lambda order: len(order["parcels"]) > 1)
    shop.faults("wms")
    order = shop.ended(order_id)
    assert (order["status"], order["lines"][0]["shipped"]) == ("shipped", 2)
    assert any(line["lacking"] for line in order["parcels"][0]["lines"])


@pytest.mark.parametrize("system", ["wms", "sap"])
def test_a_lost_answer_doubles_nothing(shop: Shop, system: str) -> None:
    coat = shop.goods(W_SH=9)
    shop.faults(system, drop_answer=1.0)
    order_id = shop.buy((coat, 1))
    parcel_no = shop.until(order_id, lambda order: bool(order["parcels"]))["parcels"][0]["parcel_no"]
    effects = f"one_stock.ship_parcel:{parcel_no}:write_{'wms' if system == 'wms' else 'erp'}"
    assert eventually(lambda: shop.effect(effects), lambda state: state == "in_doubt") == "in_doubt"
    shop.faults(system)
    assert shop.ended(order_id)["status"] == "shipped"
    assert shop.effect(effects) == "confirmed"
    assert shop.at_sap().count(parcel_no) == 1
    # It hung up, so nothing was on its way any more: the hub looked without waiting for the write to time out.
    assert "effect.under_way" not in shop.retries(parcel_no)


def test_a_credit_block_parks_the_order_and_a_person_lets_it_go_on(shop: Shop, estate: DemoEstate) -> None:
    coat = shop.goods(W_SH=2)
    shop.tell(estate.sap.url, "/_rules", {"credit_blocked": ["C-MINI"]}, "PUT")
    order_id = shop.buy((coat, 1))
    order = shop.until(order_id, lambda order: any(p["status"] == "accepted" for p in order["parcels"]))
    parcel_no = order["parcels"][0]["parcel_no"]
    run = eventually(lambda: shop.run("one_stock.ship_parcel", parcel_no), lambda run: run.get("state") == "parked")
    assert (run["state"], run["error"]["code"]) == ("parked", "sap.credit_block")
    shop.tell(estate.sap.url, "/_rules", {"credit_blocked": []}, "PUT")
    shop.operator.post(f"/v1/runs/{run['id']}/retry").raise_for_status()
    assert shop.ended(order_id)["status"] == "shipped"
    assert shop.at_sap().count(parcel_no) == 1


def test_a_parcel_not_yet_picked_can_be_cancelled_everywhere(shop: Shop) -> None:
    coat = shop.goods(W_SH=2)
    shop.pickers(paused=True)
    order_id = shop.buy((coat, 1))
    order = shop.until(order_id, lambda order: any(p["erp_document"] for p in order["parcels"]))
    shop.channel.post(f"/v1/orders/{order_id}/cancel").raise_for_status()
    order = shop.ended(order_id)
    assert (order["status"], order["status_reason"]) == ("cancelled", "cancelled")
    assert shop.at_wms()[order["parcels"][0]["parcel_no"]]["status"] == "CANCELED"
    assert shop.stock(coat)["W-SH"]["atp"] == 2


def test_a_parcel_already_picked_goes_its_way(shop: Shop) -> None:
    coat = shop.goods(W_SH=2)
    order_id = shop.buy((coat, 1))
    order = shop.ended(order_id)
    shop.channel.post(f"/v1/orders/{order_id}/cancel").raise_for_status()
    run = eventually(
        lambda: shop.run("one_stock.cancel_order", str(order_id)), lambda run: run.get("state") in ("done", "undone")
    )
    assert (run["outcome"], shop.order(order_id)["status"]) == ("too_late", order["status"])


def test_goods_that_are_not_there_are_taken_back_from_the_newest_order_and_found_elsewhere(
    shop: Shop, estate: DemoEstate
) -> None:
    coat = shop.goods(W_SH=2, W_CD=5)
    shop.pickers(paused=True)
    first, second = shop.buy((coat, 1)), shop.buy((coat, 1))
    for order_id in (first, second):
        shop.until(order_id, lambda order: any(p["erp_document"] for p in order["parcels"]))
    shop.tell(
        estate.wms.url,
        "/_adjust",
        {"warehouseCode": "W-SH", "itemCode": coat.code, "change": -1, "inventoryType": "ZP"},
    )
    shop.until(second, lambda order: len(order["parcels"]) == 2)
    shop.pickers(paused=False)
    kept, moved = shop.ended(first), shop.ended(second)
    assert [p["status"] for p in kept["parcels"]] == ["shipped"]
    assert [p["status"] for p in moved["parcels"]] == ["cancelled", "shipped"]
    assert shop.at_wms()[moved["parcels"][1]["parcel_no"]]["warehouseCode"] == "W-CD"


@pytest.mark.parametrize("system", ["wms", "sap"])
def test_a_system_that_was_away_gets_everything_when_it_is_back(shop: Shop, estate: DemoEstate, system: str) -> None:
    coat = shop.goods(W_SH=3)
    simulator = getattr(estate, system)
    simulator.kill()
    order_id = shop.buy((coat, 1))
    shop.until(order_id, lambda order: bool(order["parcels"]))
    simulator.start()
    assert shop.ended(order_id)["status"] == "shipped"


def test_one_trace_tells_the_story_from_push_to_write_back(shop: Shop) -> None:
    coat = shop.goods(W_SH=1)
    order = shop.ended(shop.buy((coat, 1)))
    trace_id = order["traceparent"].split("-")[1]

    def names() -> set[str]:
        answer = shop.operator.get(f"/v1/traces/{trace_id}")
        return {span["name"] for span in answer.json()["spans"]} if answer.status_code == 200 else set()

    wanted = {
        "one_stock.fulfil_order.reserve",
        "wms.delivery_order",
        "sap.sales_order",
        "one_stock.ship_parcel.consume",
    }
    assert wanted <= eventually(names, lambda found: wanted <= found)
