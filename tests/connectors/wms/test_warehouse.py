"""The simulated warehouses: what they pick, ship, lack, refuse and report."""

import time
from collections import Counter
from typing import Any

import pytest

from canonical_model.errors import NotFoundError, RejectedError
from connectors.kit.documents import extract_records, parse_document
from connectors.wms.books import WmsBooks
from flows.testing.live import LiveSystem
from mappings.engine import load_mapping
from tests.connectors.wms.conftest import parcel


def stock(wms: LiveSystem) -> dict[str, tuple[int, int]]:
    return {row["itemCode"]: (int(row["quantity"]), int(row["lockQuantity"])) for row in WmsBooks(wms.config).stock()}


def orders(wms: LiveSystem) -> dict[str, dict[str, Any]]:
    return {order["deliveryOrderCode"]: order for order in WmsBooks(wms.config).delivery_orders()}


def wait_until(wms: LiveSystem, code: str, status: str) -> None:
    deadline = time.monotonic() + 20
    while orders(wms)[code]["status"] != status:
        assert time.monotonic() < deadline, f"{code} did not become {status}: {orders(wms)[code]}"
        time.sleep(0.02)
    wms.wait_until_pushed()


def heard(wms: LiveSystem, stream: str) -> list[dict[str, Any]]:
    """What the hub was told on ``stream``, in canonical words."""
    spec = wms.connector.manifest.stream(stream)
    assert spec is not None
    records: list[Any] = []
    for push in wms.hub.pushes:
        if push.stream == stream:
            media_type = push.headers["content-type"]
            document = parse_document(push.body, media_type, limits=wms.connector.manifest.limits, lists=spec.lists)
            records += extract_records(document, spec.records)
    mapping = load_mapping("wms", spec.mapping)
    return [mapping.map(record, wms.context) for record in records]


def test_an_order_locks_stock_leaves_and_is_reported(wms: LiveSystem) -> None:
    wms.control("PUT", "/_picking", {"paused": True})
    wms.write("delivery_order", "k1", parcel("P1", ("01", 2), ("02", 3)))
    assert stock(wms) == {"01": (10, 2), "02": (10, 3), "03": (10, 0)}
    wms.control("PUT", "/_picking", {"paused": False})
    wait_until(wms, "P1", "DELIVERED")
    assert stock(wms) == {"01": (8, 0), "02": (7, 0), "03": (10, 0)}
    (confirmation,) = heard(wms, "confirm")
    assert confirmation["parcel_no"] == "P1"
    assert [(line["sku"], line["shipped"], line["lacking"]) for line in confirmation["lines"]] == [
        ("01", 2, 0),
        ("02", 3, 0),
    ]
    deltas = heard(wms, "stock_delta")
    assert [(delta["sku"], delta["quantity"], delta["order_refs"]) for delta in deltas] == [
        ("01", -2, ["P1"]),
        ("02", -3, ["P1"]),
    ]
    assert {delta["sequence"] for delta in deltas} == {confirmation["extensions"]["sequence"]}


def test_a_unit_that_is_not_there_is_lacking_and_written_off(wms: LiveSystem) -> None:
    wms.control("PUT", "/_faults", {"lacking": 1})
    wms.write("delivery_order", "k1", parcel("P1", ("01", 2)))
    wait_until(wms, "P1", "DELIVERED")
    (confirmation,) = heard(wms, "confirm")
    assert [(line["shipped"], line["lacking"]) for line in confirmation["lines"]] == [(1, 1)]
    assert [(d["quantity"], d.get("order_refs"), d["reason"]) for d in heard(wms, "stock_delta")] == [
        (-1, ["P1"], "JYCK"),
        (-1, None, "KCTZ"),
    ]
    assert stock(wms)["01"] == (8, 0)


def test_an_order_may_leave_in_two_parts_that_add_up(wms: LiveSystem) -> None:
    wms.control("PUT", "/_faults", {"partial": 1})
    wms.write("delivery_order", "k1", parcel("P1", ("01", 3)))
    wait_until(wms, "P1", "DELIVERED")
    confirmations = heard(wms, "confirm")
    assert [line["shipped"] for c in confirmations for line in c["lines"]] == [1, 2]
    assert len({c["source"]["id"] for c in confirmations}) == 2
    assert stock(wms)["01"] == (7, 0)


def test_a_refused_order_changes_nothing(wms: LiveSystem) -> None:
    before = stock(wms)
    for refused, code in (
        (parcel("P1", ("01", 5), ("02", 11)), "wms.no_stock"),
        (parcel("P1", ("01", 5), ("99", 1)), "wms.unknown_item"),
        (parcel("P1", ("01", 5), warehouse="W9"), "wms.unknown_warehouse"),
    ):
        with pytest.raises(RejectedError) as caught:
            wms.write("delivery_order", "k1", refused)
        assert caught.value.code == code
    wms.control("PUT", "/_faults", {"no_stock": 1})
    with pytest.raises(RejectedError, match="库存不足"):
        wms.write("delivery_order", "k1", parcel("P1", ("01", 1)))
    assert stock(wms) == before
    assert orders(wms) == {}


def test_stock_is_locked_once_and_for_one_order_only(wms: LiveSystem) -> None:
    wms.control("PUT", "/_picking", {"paused": True})
    wms.write("delivery_order", "k1", parcel("P1", ("01", 7)))
    with pytest.raises(RejectedError) as caught:
        wms.write("delivery_order", "k2", parcel("P2", ("01", 4)))
    assert caught.value.code == "wms.no_stock"
    wms.write("delivery_order", "k3", parcel("P3", ("01", 3)))
    assert stock(wms)["01"] == (10, 10)


def test_the_same_code_under_another_key_is_a_conflict(wms: LiveSystem) -> None:
    first = wms.write("delivery_order", "k1", parcel("P1", ("01", 1)))
    assert wms.write("delivery_order", "k1", parcel("P1", ("01", 1))).outside_id == first.outside_id
    with pytest.raises(RejectedError) as caught:
        wms.write("delivery_order", "k2", parcel("P1", ("01", 1)))
    assert caught.value.code == "wms.duplicate"


def test_a_cancelled_order_gives_its_stock_back(wms: LiveSystem) -> None:
    wms.control("PUT", "/_picking", {"paused": True})
    wms.write("delivery_order", "k1", parcel("P1", ("01", 7)))
    wms.write("cancel_order", "c1", parcel("P1"))
    wms.write("cancel_order", "c1", parcel("P1"))
    assert stock(wms)["01"] == (10, 0)
    wms.control("PUT", "/_picking", {"paused": False})
    wms.write("delivery_order", "k2", parcel("P2", ("02", 1)))
    wait_until(wms, "P2", "DELIVERED")
    assert orders(wms)["P1"]["status"] == "CANCELED"


def test_a_picked_order_cannot_be_cancelled(wms: LiveSystem) -> None:
    wms.write("delivery_order", "k1", parcel("P1", ("01", 1)))
    wait_until(wms, "P1", "DELIVERED")
    with pytest.raises(RejectedError) as caught:
        wms.write("cancel_order", "c1", parcel("P1"))
    assert caught.value.code == "wms.already_picked"


def test_an_order_nobody_sent_cannot_be_cancelled(wms: LiveSystem) -> None:
    with pytest.raises(NotFoundError):
        wms.write("cancel_order", "c1", parcel("P9"))


def test_paused_pickers_stay_paused_over_kill_9_and_then_go_on(wms: LiveSystem) -> None:
    wms.control("PUT", "/_picking", {"paused": True})
    wms.write("delivery_order", "k1", parcel("P1", ("01", 1)))
    wms.simulator.kill()
    wms.simulator.start()
    assert orders(wms)["P1"]["status"] == "ACCEPT"
    wms.control("PUT", "/_picking", {"paused": False})
    wait_until(wms, "P1", "DELIVERED")


def test_a_count_comes_in_pages_that_share_their_sequence(wms: LiveSystem) -> None:
    rows = [{"warehouseCode": "W2", "itemCode": f"1{n:03}", "quantity": n} for n in range(250)]
    wms.control("POST", "/_seed", {"stock": rows})
    wms.control("POST", "/_adjust", {"warehouseCode": "W2", "itemCode": "1000", "change": 5})
    wms.control("POST", "/_report?what=stock&warehouse=W2")
    wms.wait_until_pushed()
    pages = [push for push in wms.hub.pushes if push.stream == "stock"]
    figures = heard(wms, "stock")
    assert len(pages) == 2
    assert {figure["sku"]: figure["quantity"] for figure in figures} == {f"1{n:03}": n or 5 for n in range(250)}
    (delta,) = heard(wms, "stock_delta")
    assert {figure["sequence"] for figure in figures} == {delta["sequence"]}


def test_what_is_reported_adds_up_to_the_books(wms: LiveSystem) -> None:
    """Opening stock plus every reported change is the stock, however badly picking and sending go."""
    opening = {item: quantity for item, (quantity, _) in stock(wms).items()}
    faults = {"lacking": 0.3, "partial": 0.5, "duplicate": 0.3, "malformed": 0.3}
    wms.control("PUT", "/_faults", faults)
    for number in range(12):
        wms.write(
            "delivery_order",
            f"k{number}",
            parcel(f"P{number}", ("01", 1), ("02", 1)) if number < 6 else parcel(f"P{number}", ("03", 1)),
        )
    wms.simulator.kill()
    wms.simulator.start()
    wms.control("PUT", "/_faults", faults)
    for number in range(12):
        wait_until(wms, f"P{number}", "DELIVERED")
    whole = {push.query["sign"]: push for push in wms.hub.pushes if push.body.endswith(b"</request>")}
    wms.hub.pushes = list(whole.values())
    changes: Counter[str] = Counter(opening)
    for delta in {delta["source"]["id"]: delta for delta in heard(wms, "stock_delta")}.values():
        changes[delta["sku"]] += delta["quantity"]
    assert {item: changes[item] for item in opening} == {item: quantity for item, (quantity, _) in stock(wms).items()}
