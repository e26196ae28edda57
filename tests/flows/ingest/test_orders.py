"""Orders become rows with our SKUs and base units, start their fulfilment once, and keep people sealed."""

from typing import Any

import orjson
import pytest

from flows.runtime.sealing import Sealed
from tests.flows.desk import Desk, codes, order, product, statuses

SALE = {
    "saleNo": "S001-20261103-0007",
    "shopCode": "S001",
    "posNo": "02",
    "cashier": "1088",
    "vipNo": "V-7",
    "saleTime": "2026-11-03 09:30:00",
    "saleType": "1",
    "goodsAmt": "258.00",
    "totalAmt": "258.00",
    "details": [{"seqNo": 1, "goodsCode": "000012", "unit": "件", "qty": 2, "amt": "258.00"}],
    "payments": [{"payWay": "WX", "amt": "258.00"}],
    "consignee": {
        "name": "陈一",
        "phone": "13800000000",
        "city": "杭州市",
        "address": "文三路 1 号",
        "areaCode": "330106",
    },
}


def lines(desk: Desk, number: str) -> list[tuple[int, str, int]]:
    return [
        (row["line_no"], row["sku_code"], row["quantity"])
        for row in desk.rows(
            "SELECT l.* FROM sales_order_line l JOIN sales_order o ON o.id = l.order_id WHERE o.order_no = %s"
            " ORDER BY line_no",
            (number,),
        )
    ]


def fulfilments(desk: Desk) -> list[dict[str, Any]]:
    return desk.rows(
        "SELECT business_key, input, traceparent FROM flow_run WHERE flow = 'one_stock.fulfil_order' ORDER BY id"
    )


def test_a_delivery_order_starts_its_fulfilment_in_the_trace_of_its_push(stocked: Desk) -> None:
    trace = "00-11111111111111111111111111111111-2222222222222222-01"
    assert statuses(stocked.push("orders", order("A1", "TEE"), traceparent=trace)) == ["accepted"]
    (row,) = stocked.rows("SELECT id, status, kind, lat, lon, body FROM sales_order")
    assert (row["status"], row["kind"]) == ("received", "delivery")
    assert 30 < row["lat"] < 31
    assert set(row["body"]["receiver"]) == {"region_code"}
    (run,) = fulfilments(stocked)
    assert run == {"business_key": str(row["id"]), "input": {"order_id": row["id"]}, "traceparent": trace}


def test_the_same_order_in_another_message_is_a_duplicate_and_starts_nothing(stocked: Desk) -> None:
    stocked.push("orders", order("A1", "TEE"), idempotency_key="first")
    assert statuses(stocked.push("orders", order("A1", "TEE"), idempotency_key="second")) == ["duplicate"]
    assert stocked.one("SELECT count(*) FROM sales_order") == 1
    assert len(fulfilments(stocked)) == 1


@pytest.mark.parametrize("change", [{"seller": "other"}, {"receiver": {"name": "陈二", "city": "杭州市"}}])
def test_an_order_that_changed_is_refused(stocked: Desk, change: dict[str, Any]) -> None:
    stocked.push("orders", order("A1", "TEE"))
    (result,) = stocked.push("orders", order("A1", "TEE", **change))
    assert codes(result) == ["order.conflict"]


def test_the_same_order_twice_in_one_message_is_one_order(stocked: Desk) -> None:
    assert statuses(stocked.push("orders", order("A1", "TEE"), order("A1", "TEE"))) == ["accepted", "duplicate"]


def test_lines_are_counted_in_base_units(desk: Desk) -> None:
    case = {"unit": "CS", "numerator": 24}
    desk.push(
        "products", product("NUT", base_unit="PA", units=[case, {"unit": "DZN", "numerator": 1, "denominator": 2}])
    )
    cases = order("A1", "NUT")
    cases["lines"][0] |= {"quantity": 2, "unit": "箱"}
    halves = order("A2", "NUT")
    halves["lines"][0] |= {"quantity": 3, "unit": "DZN"}
    results = desk.push("orders", cases, halves)
    assert statuses(results) == ["accepted", "quarantined"]
    assert codes(results[1]) == ["unit.fraction"]
    assert lines(desk, "A1") == [(1, "NUT", 48)]


def test_a_carried_out_sale_is_complete_and_its_return_too(stocked: Desk) -> None:
    sale = order("S1", "TEE", kind="carry_out", receiver=None)
    back = order("R1", "TEE", kind="return", returns_order_no="S1", receiver=None)
    assert statuses(stocked.push("orders", back, sale)) == ["accepted", "accepted"]
    rows = stocked.rows("SELECT order_no, status FROM sales_order ORDER BY order_no")
    assert rows == [{"order_no": "R1", "status": "completed"}, {"order_no": "S1", "status": "completed"}]
    events = stocked.rows("SELECT kind FROM order_event ORDER BY id")
    assert [event["kind"] for event in events] == ["carry_out", "return"]
    assert fulfilments(stocked) == []


def pushed(desk: Desk, sale: dict[str, Any], batch: str = "B1") -> list[dict[str, Any]]:
    return desk.apply(desk.send_body(orjson.dumps({"batchNo": batch, "data": [sale]}), "sales", system="pos"))


def test_personal_words_lie_open_nowhere(desk: Desk) -> None:
    """Nobody declared remark and vipName, yet both name people: of a personal stream, no extra field lies open."""
    desk.push("products", product("TEE", identifiers=[{"scheme": "pos", "value": "000012"}]))
    sale = SALE | {"remark": "给住在绿城的王太太", "vip": {"vipName": "王小二"}}
    (result,) = pushed(desk, sale)
    assert result == {"position": 0, "status": "accepted", "source_id": SALE["saleNo"], "issues": []}
    (row,) = desk.rows("SELECT receiver_key_id, extensions_sealed, body -> 'extensions' AS open FROM sales_order")
    assert row["open"] == {}
    with desk.hub.database.unit() as uow:
        extensions = desk.hub.vault.open_json(uow.connection, row["receiver_key_id"], row["extensions_sealed"])
    assert extensions == {"cashier": "1088", "vipNo": "V-7", "remark": sale["remark"], "vip": sale["vip"]}
    words = ("13800000000", "陈一", "文三路", "V-7", "王太太", "王小二")
    for table in ("sales_order", "message", "message_record", "flow_run", "flow_step", "data_key", "crosswalk"):
        stored = " ".join(row["t"] for row in desk.rows(f"SELECT t::text FROM {table} t"))
        assert not any(word in stored or word.encode().hex() in stored for word in words), table


def test_extra_words_about_a_person_are_erased_with_them_also_without_a_receiver(desk: Desk) -> None:
    desk.push("products", product("TEE", identifiers=[{"scheme": "pos", "value": "000012"}]))
    carried_out = {name: value for name, value in SALE.items() if name != "consignee"} | {"saleType": "0"}
    assert statuses(pushed(desk, carried_out | {"vipName": "王小二"})) == ["accepted"]
    (row,) = desk.rows("SELECT receiver_key_id, receiver_sealed, extensions_sealed FROM sales_order")
    assert row["receiver_sealed"] is None
    sealed = Sealed(row["receiver_key_id"], row["extensions_sealed"])
    with desk.hub.database.unit() as uow:
        desk.hub.vault.destroy(uow.connection, desk.hub.vault.token("V-7"))
        assert desk.hub.vault.open_many(uow.connection, [sealed]) == [None]


def test_a_sealed_extra_word_that_changed_is_a_conflict_and_the_same_is_not(desk: Desk) -> None:
    desk.push("products", product("TEE", identifiers=[{"scheme": "pos", "value": "000012"}]))
    pushed(desk, SALE | {"remark": "one"})
    assert statuses(pushed(desk, SALE | {"remark": "one"}, "B2")) == ["duplicate"]
    (result,) = pushed(desk, SALE | {"remark": "two"}, "B3")
    assert codes(result) == ["order.conflict"]


def test_only_a_channel_itself_sends_its_orders(stocked: Desk) -> None:
    (result,) = stocked.push("orders", order("A1", "TEE", channel="other_shop"))
    assert codes(result) == ["order.channel"]
