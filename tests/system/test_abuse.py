"""What a system, a shop or a stranger must not be able to do to the others."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from connectors.kit.xml import render_xml
from connectors.wms.sign import signed_query
from hub_api.auth import create_key
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import BRAND, MINI_PROGRAM, OWNER, Goods
from tests.system.conftest import Shop, eventually

SHANGHAI = ZoneInfo("Asia/Shanghai")


def _push_as_wms(estate: DemoEstate, stream: str, method: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    config = estate.hub.estate.connector("wms").config
    content = render_xml("request", body)
    query = signed_query(
        config.secrets["app_secret"],
        method,
        content,
        app_key=OWNER,
        customer_id=OWNER,
        timestamp=datetime.now(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S"),
    )
    return httpx.post(
        f"{estate.url}/v1/ingest/wms/{stream}",
        params=query,
        content=content,
        headers={"Content-Type": "text/xml; charset=utf-8", **headers},
        timeout=30,
        trust_env=False,
    )


def _count(goods: Goods, quantity: int, at: datetime, number: str) -> dict[str, Any]:
    return {
        "outBizCode": number,
        "warehouseCode": "W-SH",
        "checkTime": at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S"),
        "items": {"item": [{"itemCode": goods.code, "inventoryType": "ZP", "quantity": quantity}]},
    }


def _confirmation(parcel_no: str, goods: Goods, **changes: Any) -> dict[str, Any]:
    order = {
        "deliveryOrderCode": parcel_no,
        "warehouseCode": "W-SH",
        "outBizCode": f"{parcel_no}-C9",
        "status": "DELIVERED",
        "confirmType": 0,
        "orderConfirmTime": datetime.now(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S"),
    }
    line = {"orderLineNo": 1, "itemCode": goods.code, "planQty": 1, "actualQty": 1}
    return {"deliveryOrder": {**order, **changes}, "orderLines": {"orderLine": [line]}}


def _waiting_parcel(shop: Shop, goods: Goods) -> str:
    shop.pickers(paused=True)
    order_id = shop.buy((goods, 1))
    order = shop.until(order_id, lambda order: any(p["erp_document"] for p in order["parcels"]))
    return str(order["parcels"][0]["parcel_no"])


def test_a_till_cannot_turn_a_warehouse_into_its_store(shop: Shop, estate: DemoEstate) -> None:
    coat = shop.goods(W_SH=2)
    key = create_key(estate.hub.database, owner=OWNER, brand=BRAND, name="till", scopes=["ingest:pos"])
    stores = {"batchNo": "takeover", "data": [{"shopCode": "W-SH", "shopName": "mine", "lat": "1.0", "lng": "2.0"}]}
    with estate.client(key) as till:
        answer = till.post("/v1/ingest/pos/stores?wait=true", json=stores)
    (result,) = answer.json()["results"]
    assert (result["status"], result["issues"][0]["code"]) == ("quarantined", "location.kind")
    assert shop.ended(shop.buy((coat, 1)))["status"] == "shipped"


def test_a_count_from_the_future_does_not_silence_the_honest_ones(shop: Shop, estate: DemoEstate) -> None:
    coat = shop.goods(W_SH=3)
    _push_as_wms(
        estate, "stock", "inventory.report", _count(coat, 500, datetime.now(UTC) + timedelta(days=1), "future")
    ).raise_for_status()
    now = datetime.now(UTC) + timedelta(seconds=2)
    _push_as_wms(estate, "stock", "inventory.report", _count(coat, 7, now, "honest")).raise_for_status()
    level = eventually(lambda: shop.stock(coat)["W-SH"], lambda level: level["on_hand"] == 7)
    assert level["on_hand"] == 7


def test_a_header_that_nobody_signed_takes_no_other_messages_number(shop: Shop, estate: DemoEstate) -> None:
    coat = shop.goods(W_SH=2)
    parcel_no = _waiting_parcel(shop, coat)
    stray = _confirmation("P99999999-1", coat)
    _push_as_wms(
        estate, "confirm", "deliveryorder.confirm", stray, **{"Idempotency-Key": f"{parcel_no}-C1"}
    ).raise_for_status()
    shop.pickers(paused=False)
    run = eventually(lambda: shop.run("one_stock.ship_parcel", parcel_no), lambda run: run["state"] == "done")
    assert run["outcome"] == "shipped"


def test_a_confirmation_of_other_goods_or_from_another_place_asks_a_person(shop: Shop, estate: DemoEstate) -> None:
    coat, socks = shop.goods(W_SH=2), shop.goods(W_SH=2)
    for number, wrong in enumerate((_confirmation("", socks), _confirmation("", coat, warehouseCode="W-CD"))):
        parcel_no = _waiting_parcel(shop, coat)
        wrong["deliveryOrder"] |= {"deliveryOrderCode": parcel_no, "outBizCode": f"strange-{number}"}
        answer = _push_as_wms(estate, "confirm", "deliveryorder.confirm", wrong)
        assert b"success" in answer.content
        run = eventually(
            lambda key=parcel_no: shop.run("one_stock.ship_parcel", key),  # type: ignore[misc]
            lambda run: run["state"] == "parked",
        )
        assert (run["state"], run["error"]["code"]) == ("parked", "confirmation.mismatch")


def test_an_order_of_the_year_9999_is_quarantined_and_the_list_goes_on(shop: Shop) -> None:
    coat = shop.goods(W_SH=1)
    body = {
        "channel": MINI_PROGRAM,
        "order_no": "Y9999",
        "seller": "C-MINI",
        "placed_at": "9999-12-31T23:59:59-14:00",
        "lines": [{"line_no": 1, "sku": coat.code, "quantity": 1, "amount_minor": 1}],
        "goods_minor": 1,
        "total_minor": 1,
        "receiver": {"name": "王小明"},
    }
    (result,) = shop.channel.post("/v1/orders?wait=true", json=body).json()["results"]
    assert result["status"] == "quarantined"
    assert shop.channel.get("/v1/orders").status_code == 200


def test_a_nul_is_answered_not_thrown(shop: Shop) -> None:
    for path in ("/v1/stock?sku=%00", "/v1/orders?order_no=%00", "/v1/messages/%00", "/v1/runs?key=%00"):
        assert shop.operator.get(path).status_code in (404, 422), path
    answer = shop.operator.post("/v1/quarantine/discard", content=json.dumps({"cause": "\x00"}))
    assert answer.status_code == 422


def test_a_misshapen_record_shows_no_name_wherever_it_stands(shop: Shop) -> None:
    misshapen = [{"order_no": "X1", "buyer": {"Name": "钱绝密"}, "receiver": "钱绝密 13666665555 绝密路1号"}]
    answer = shop.channel.post("/v1/orders?wait=true", json=misshapen).json()
    raw = shop.operator.get(f"/v1/messages/{answer['message_id']}/raw").text
    rows = shop.operator.get("/v1/quarantine/records", params={"message_id": answer["message_id"]}).json()["items"]
    shown = raw + "".join(shop.operator.get(f"/v1/quarantine/{row['id']}").text for row in rows)
    assert "X1" in shown
    assert not [secret for secret in ("绝密", "钱", "13666665555") if secret in shown]
