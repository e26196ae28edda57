"""The simulated tills: what they sell, take back, count and remember."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from canonical_model.errors import ConfigurationError, ConflictError, RejectedError
from connectors.kit.registry import connect
from connectors.pos.books import PosBooks
from flows.testing.live import LiveSystem, live_system

HOME = {"name": "陈一", "phone": "13800000000", "city": "杭州市"}
TOKEN = "keep-this-to-yourself"


@pytest.fixture
def pos(tmp_path: Path) -> Iterator[LiveSystem]:
    with live_system(
        "pos",
        tmp_path / "books.db",
        settings={},
        secrets={"access_token": TOKEN},
        simulator_settings={"access_token": TOKEN},
        faults={},
    ) as live:
        live.control("POST", "/_stores", [{"shopCode": "S001", "shopName": "杭州湖滨店"}])
        live.control("POST", "/_receive", [{"shopCode": "S001", "goodsCode": "000012", "qty": 10}])
        yield live


def sell(pos: LiveSystem, quantity: int, **more: Any) -> dict[str, Any]:
    details = [{"goodsCode": "000012", "qty": quantity, "price": "129.90"}]
    return dict(pos.control("POST", "/_sales", {"shopCode": "S001", "details": details, **more}))


def on_shelf(pos: LiveSystem) -> int:
    (row,) = PosBooks(pos.config).stock()
    return int(row["qty"])


def test_what_is_carried_out_leaves_the_shelf_and_what_is_sent_home_does_not(pos: LiveSystem) -> None:
    assert sell(pos, 2)["saleType"] == "0"
    assert on_shelf(pos) == 8
    assert sell(pos, 3, consignee=HOME)["saleType"] == "1"
    assert on_shelf(pos) == 8


def test_a_return_comes_back_to_the_shelf_and_names_its_sale(pos: LiveSystem) -> None:
    sold = sell(pos, 3)
    back = pos.control("POST", "/_returns", {"saleNo": sold["saleNo"], "details": [{"seqNo": 1, "qty": 2}]})
    assert (back["origSaleNo"], back["refundAmt"]) == (sold["saleNo"], "259.80")
    assert on_shelf(pos) == 9


@pytest.mark.parametrize("wish", [{"seqNo": 1, "qty": 4}, {"seqNo": 1, "qty": 0}, {"seqNo": 2, "qty": 1}])
def test_more_than_was_sold_is_not_taken_back(pos: LiveSystem, wish: dict[str, int]) -> None:
    sold = sell(pos, 3)
    with pytest.raises(RejectedError, match="不可退"):
        pos.control("POST", "/_returns", {"saleNo": sold["saleNo"], "details": [wish]})
    assert list(PosBooks(pos.config).returns()) == []


def test_a_receipt_number_is_given_once(pos: LiveSystem) -> None:
    sell(pos, 1, saleNo="R1")
    with pytest.raises(ConflictError):
        sell(pos, 1, saleNo="R1")
    assert on_shelf(pos) == 9
    assert len(list(PosBooks(pos.config).sales())) == 1


def test_an_unknown_store_sells_nothing(pos: LiveSystem) -> None:
    with pytest.raises(RejectedError, match="S404"):
        pos.control("POST", "/_sales", {"shopCode": "S404", "details": [{"goodsCode": "1", "qty": 1, "price": "1"}]})
    assert list(PosBooks(pos.config).sales()) == []


def test_every_change_of_the_shelf_is_pushed_once(pos: LiveSystem) -> None:
    sold = sell(pos, 2)
    pos.control("POST", "/_returns", {"saleNo": sold["saleNo"], "details": [{"seqNo": 1, "qty": 1}]})
    pos.control("POST", "/_receive?kind=COUNT", [{"shopCode": "S001", "goodsCode": "000012", "qty": -4}])
    pos.wait_until_pushed()
    changes: Counter[str] = Counter()
    numbers = []
    for push in pos.hub.pushes:
        if push.stream == "stock":
            for change in orjson.loads(push.body)["data"]:
                changes[change["goodsCode"]] += change["changeQty"]
                numbers.append(change["changeNo"])
    assert changes["000012"] == on_shelf(pos) == 5
    assert len(set(numbers)) == len(numbers) == 4


def test_books_are_read_page_by_page(pos: LiveSystem) -> None:
    arrivals = [{"shopCode": "S001", "goodsCode": f"{n:06}", "qty": 1} for n in range(450)]
    pos.control("POST", "/_receive", arrivals)
    assert len({row["goodsCode"] for row in PosBooks(pos.config).stock()}) == 450


def test_one_key_stands_for_one_status(pos: LiveSystem) -> None:
    sold = sell(pos, 1, consignee=HOME)
    status = {"order_no": sold["saleNo"], "status": "shipped", "parcels": [], "lines": []}
    first = pos.write("order_status", "k1", status)
    assert pos.write("order_status", "k1", status).outside_id == first.outside_id
    with pytest.raises(ConflictError):
        pos.write("order_status", "k1", {**status, "status": "cancelled"})
    assert pos.connector.writers["order_status"].find("k1") == first
    assert pos.connector.writers["order_status"].find("k2") is None
    assert [row["status"] for row in PosBooks(pos.config).statuses()] == ["SENT"]


def test_a_sale_number_cannot_lead_the_request_astray(pos: LiveSystem) -> None:
    for number in ("../../_faults", "a/b", "?x=1", "#", "a b", "订单"):
        with pytest.raises(RejectedError):
            pos.write("order_status", "k1", {"order_no": number, "status": "shipped"})
    assert list(PosBooks(pos.config).statuses()) == []


def test_a_wrong_token_is_for_a_person_to_correct(pos: LiveSystem) -> None:
    stranger = connect(replace(pos.config, secrets={"access_token": "guessed"}))
    with pytest.raises(ConfigurationError) as caught:
        stranger.writers["order_status"].write("k1", {"saleNo": "R1"})
    assert "guessed" not in str(caught.value)
