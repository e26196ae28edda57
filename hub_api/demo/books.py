"""Compares the hub record by record with each system's own books, read over that system's own protocol."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from canonical_model.order import OrderStatus, ParcelStatus
from canonical_model.store import stock
from connectors.pos.books import PosBooks
from connectors.sap.books import SapBooks
from connectors.wms.books import WmsBooks
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import TILL, Wish, catalogue

PAGE: Final = 500
ENDED: Final = frozenset({OrderStatus.SHIPPED, OrderStatus.PARTLY_SHIPPED, OrderStatus.CANCELLED})

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``compared`` records of one book against another; each difference is one sentence."""

    title: str
    compared: int
    differences: tuple[str, ...]


def read_all(estate: DemoEstate, path: str) -> list[dict[str, Any]]:
    """Every item of a list of the hub's API, page after page."""
    with estate.client(estate.operator_key) as client:
        found, after = [], 0
        while True:
            page = client.get(path, params={"after": after, "limit": PAGE}).raise_for_status().json()
            found += page["items"]
            if page["next"] is None:
                return found
            after = page["next"]


def read_orders(estate: DemoEstate) -> list[dict[str, Any]]:
    """Every order of the hub with lines, parcels and events, over its API."""
    heads = read_all(estate, "/v1/orders")
    with estate.client(estate.operator_key) as client:
        return [client.get(f"/v1/orders/{head['id']}").raise_for_status().json() for head in heads]


def compare_books(estate: DemoEstate, wishes: Sequence[Wish], orders: Sequence[Row]) -> Iterator[Comparison]:
    """One comparison after another; reads the simulators' books anew for each."""
    config = {name: estate.hub.estate.connector(name).config for name in ("pos", "wms", "sap")}
    wms, pos, sap = WmsBooks(config["wms"]), PosBooks(config["pos"]), SapBooks(config["sap"])
    yield _placed(wishes, orders)
    yield _sales(list(pos.sales()), orders)
    yield _parcels(list(wms.delivery_orders()), orders)
    yield _bookings(list(sap.sales_orders()), list(sap.sales_order_items()), orders)
    yield _statuses(list(pos.statuses()), orders)
    levels = read_levels(estate)
    yield _stock("warehouse stock: WMS and hub", _wms_stock(wms.stock()), levels, "wms")
    if "drp" not in estate.legacy:
        yield _stock("store stock: tills and hub", _pos_stock(pos.stock()), levels, "pos")
    yield _folds(estate)


def differences(title: str, theirs: Mapping[Any, Any], ours: Mapping[Any, Any]) -> Comparison:
    """One sentence for each name that the two books say something else of."""
    names = sorted(theirs.keys() | ours.keys(), key=str)
    wrong = [
        f"{name}: {theirs.get(name, 'nothing')} there, {ours.get(name, 'nothing')} in the hub"
        for name in names
        if theirs.get(name) != ours.get(name)
    ]
    return Comparison(title, len(names), tuple(wrong))


def _placed(wishes: Sequence[Wish], orders: Sequence[Row]) -> Comparison:
    theirs = {(wish.channel, wish.order_no): wish.total_minor for wish in wishes if wish.channel != TILL}
    ours = {(o["channel"], o["order_no"]): o["total_minor"] for o in orders if o["channel"] != TILL}
    return differences("channel orders: shops and hub", theirs, ours)


def _sales(sales: Sequence[Row], orders: Sequence[Row]) -> Comparison:
    theirs = {sale["saleNo"]: int(Decimal(sale["totalAmt"]) * 100) for sale in sales}
    ours = {o["order_no"]: o["total_minor"] for o in orders if o["channel"] == TILL}
    return differences("sales: tills and hub", theirs, ours)


def _all_parcels(orders: Iterable[Row]) -> Iterator[Row]:
    return (parcel for order in orders for parcel in order["parcels"])


def _parcels(delivery_orders: Sequence[Row], orders: Sequence[Row]) -> Comparison:
    counted = Counter(row["deliveryOrderCode"] for row in delivery_orders)
    theirs = {
        row["deliveryOrderCode"]: (
            counted[row["deliveryOrderCode"]],
            "cancelled" if row["status"] == "CANCELED" else "kept",
            sorted(
                (int(line["orderLineNo"]), int(line["planQty"]), int(line["actualQty"]))
                for line in row["orderLines"]["orderLine"]
            ),
        )
        for row in delivery_orders
    }
    ours = {
        parcel["parcel_no"]: (
            1,
            "cancelled" if _called_back(parcel) else "kept",
            sorted((line["line_no"], line["quantity"], line["shipped"]) for line in parcel["lines"]),
        )
        for parcel in _all_parcels(orders)
        if parcel["wms_document"]
    }
    return differences("parcels: WMS and hub", theirs, ours)


def _called_back(parcel: Row) -> bool:
    lacking = any(line["lacking"] for line in parcel["lines"])
    return bool(parcel["status"] == ParcelStatus.CANCELLED and not lacking)


def _bookings(booked: Sequence[Row], items: Sequence[Row], orders: Sequence[Row]) -> Comparison:
    counted = Counter(order["PurchaseOrderByCustomer"] for order in booked)
    lines: dict[str, list[tuple[int, str]]] = {}
    for item in items:
        amount = f"{Decimal(item['RequestedQuantity']):f} {'rejected' if item['SalesDocumentRjcnReason'] else 'open'}"
        lines.setdefault(item["SalesOrder"], []).append((int(item["UnderlyingPurchaseOrderItem"]), amount))
    theirs = {
        order["PurchaseOrderByCustomer"]: (
            counted[order["PurchaseOrderByCustomer"]],
            order["SalesOrder"],
            sorted(lines[order["SalesOrder"]]),
        )
        for order in booked
    }
    ours = {
        parcel["parcel_no"]: (
            1,
            parcel["erp_document"],
            sorted(
                (line["line_no"], f"{line['quantity']} {'rejected' if _called_back(parcel) else 'open'}")
                for line in parcel["lines"]
            ),
        )
        for parcel in _all_parcels(orders)
        if parcel["erp_document"]
    }
    return differences("sales orders: SAP and hub", theirs, ours)


def _statuses(statuses: Sequence[Row], orders: Sequence[Row]) -> Comparison:
    told = Counter(status["saleNo"] for status in statuses)
    ours = {
        order["order_no"]: 1
        for order in orders
        if order["channel"] == TILL and order["kind"] == "delivery" and order["status"] in ENDED
    }
    return differences("order ends told: tills and hub", told, ours)


def read_levels(estate: DemoEstate) -> list[dict[str, Any]]:
    """Every stock level of the hub, over its API."""
    return read_all(estate, "/v1/stock")


def _wms_stock(rows: Iterable[Row]) -> dict[tuple[str, str], int]:
    return {
        (row["warehouseCode"], row["itemCode"]): int(row["quantity"]) for row in rows if row["inventoryType"] == "ZP"
    }


def _pos_stock(rows: Iterable[Row]) -> dict[tuple[str, str], int]:
    codes = {goods.item: goods.code for goods in catalogue()}
    return {(row["shopCode"], codes[row["goodsCode"]]): int(row["qty"]) for row in rows}


def _stock(title: str, theirs: Mapping[Any, int], levels: Sequence[Row], system: str) -> Comparison:
    ours = {(level["location"], level["sku"]): level["on_hand"] for level in levels if level["system"] == system}
    return differences(title, theirs, ours)


def _folds(estate: DemoEstate) -> Comparison:
    with estate.hub.database.unit() as uow:
        differences = stock.verify(uow.connection)
    return Comparison(
        "hub's figures and their ledgers",
        len(read_levels(estate)),
        tuple(f"level {d.level_id}: {d.rule} is {d.found}, its ledger says {d.expected}" for d in differences),
    )
