"""Everything the hub and the systems around it know of one play, without ids and times: what two plays compare."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.pos.books import PosBooks
from connectors.sap.books import SapBooks
from connectors.wms.books import WmsBooks
from flows.runtime.database import Database
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import Goods

Books = dict[str, Any]


@dataclass(frozen=True)
class Play:
    """One play of the scenario: what was written after ``marks``, by table the last id, or time, before it began."""

    name: str
    goods: Mapping[str, Goods]
    marks: Mapping[str, float]


class Names:
    """Puts an order's name in the scenario where its id stands, and the goods' name where their code stands."""

    def __init__(self, database: Database, play: Play) -> None:
        rows = database.run("SELECT id, order_no FROM sales_order WHERE id > %s", (play.marks["sales_order"],))
        self.orders = {row["id"]: row["order_no"].partition("-")[2] for row in rows}
        self.goods = {goods.code: name for name, goods in play.goods.items()}
        self.materials = {goods.material: name for name, goods in play.goods.items()}

    def owns(self, parcel_no: str) -> bool:
        """Whether the parcel is of an order of this play."""
        found = re.fullmatch(r"P(\d{8})-\d+", parcel_no)
        return found is not None and int(found[1]) in self.orders

    def of(self, text: str) -> str:
        """The same words in every play."""
        text = re.sub(r"P(\d{8})(-\d+)", lambda found: self.orders[int(found[1])] + found[2], text)
        text = re.sub(r"(_order:)(\d+)", lambda found: found[1] + self.orders[int(found[2])], text)
        return re.sub(r"(resolve_shortfall):\d+:[^:]+", r"\1", text)


def books(estate: DemoEstate, play: Play) -> Books:
    """By the name of each book, its rows in an order of their own."""
    names = Names(estate.hub.database, play)
    found = {**_hub(estate.hub.database, play, names), **_wms(estate, names), **_sap(estate, names)}
    return {name: sorted(rows, key=repr) for name, rows in {**found, **_pos(estate, play)}.items()}


def differences(found: Books, wanted: Books) -> dict[str, tuple[Any, Any]]:
    """By the name of each book that is not alike: what is there too much, and what is missing."""

    def beyond(rows: list[Any], others: list[Any]) -> list[str]:
        return sorted((Counter(map(repr, rows)) - Counter(map(repr, others))).elements())

    return {
        name: (beyond(found[name], wanted[name]), beyond(wanted[name], found[name]))
        for name in wanted
        if found[name] != wanted[name]
    }


def _hub(database: Database, play: Play, names: Names) -> Books:
    marks = play.marks
    found = {name: database.run(query, (marks[name],)) for name, query in _QUERIES.items()}
    skus = database.run("SELECT id, code FROM sku WHERE code = ANY(%s)", (list(names.goods),))
    goods = {row["id"]: names.goods[row["code"]] for row in skus}
    levels = database.run(_LEVELS, (list(goods),))
    shelf = {row["id"]: (goods[row["sku_id"]], row["code"]) for row in levels}
    return {
        "levels": [(*shelf[row["id"]], row["on_hand"], row["held"], row["safety"], row["lots"]) for row in levels],
        "orders": [
            (names.orders[row["id"]], row["channel"], row["kind"], row["status"], row["status_reason"])
            for row in found["sales_order"]
        ],
        "lines": [
            (names.orders[row["order_id"]], row["line_no"], row["quantity"], row["shipped"], row["cancelled"])
            for row in found["sales_order_line"]
        ],
        "parcels": [
            (names.of(row["parcel_no"]), row["code"], row["status"], _lines(row["lines"]), *row["papers"])
            for row in found["parcel"]
        ],
        "holds": [
            (names.of(row["reference"]), row["line_no"], shelf[row["level_id"]], *row["figures"], row["picked"])
            for row in found["stock_hold"]
        ],
        "movements": [
            (shelf[row["level_id"]], row["delta"], row["reason"])
            for row in found["stock_movement"]
            if row["level_id"] in shelf
        ],
        "shortfalls": [(shelf[row["level_id"]], row["quantity"], row["state"]) for row in found["stock_shortfall"]],
        "events": [
            (names.orders[row["order_id"]], row["kind"], names.of(str(row["detail"]))) for row in found["order_event"]
        ],
        "runs": [(names.of(row["key"]), row["state"], row["outcome"]) for row in found["flow_run"]],
        "effects": [(row["system"], row["writer"], names.of(row["key"]), row["state"]) for row in found["effect"]],
        "quarantine": found["quarantine"],
        "messages": list(Counter(tuple(row.values()) for row in found["message"]).items()),
    }


def _lines(lines: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    return [(line["line_no"], line["quantity"], line["shipped"], line["lacking"]) for line in lines]


def _wms(estate: DemoEstate, names: Names) -> Books:
    wms = WmsBooks(estate.hub.estate.connector("wms").config)
    delivery_orders = [
        (
            names.of(row["deliveryOrderCode"]),
            row["warehouseCode"],
            row["status"],
            names.of(row["hubKey"]),
            [(line["planQty"], line["actualQty"], line["lackQty"]) for line in row["orderLines"]["orderLine"]],
        )
        for row in wms.delivery_orders()
        if names.owns(row["deliveryOrderCode"])
    ]
    stock = [
        (names.goods[row["itemCode"]], row["warehouseCode"], row["quantity"], row["lockQuantity"])
        for row in wms.stock()
        if row["itemCode"] in names.goods
    ]
    return {"delivery orders": delivery_orders, "stock of the WMS": stock}


def _sap(estate: DemoEstate, names: Names) -> Books:
    sap = SapBooks(estate.hub.estate.connector("sap").config)
    sales_orders = [
        (
            names.of(row["PurchaseOrderByCustomer"]),
            row["SoldToParty"],
            row["TotalNetAmount"],
            row["OverallSDDocumentRejectionSts"],
        )
        for row in sap.sales_orders()
        if names.owns(row["PurchaseOrderByCustomer"])
    ]
    items = [
        (
            names.of(row["PurchaseOrderByCustomer"]),
            row["UnderlyingPurchaseOrderItem"],
            row["RequestedQuantity"],
            row["SalesDocumentRjcnReason"],
        )
        for row in sap.sales_order_items()
        if names.owns(row["PurchaseOrderByCustomer"])
    ]
    return {"sales orders": sales_orders, "sales order items": items}


def _pos(estate: DemoEstate, play: Play) -> Books:
    pos = PosBooks(estate.hub.estate.connector("pos").config)
    mine = f"{play.name}-"
    return {
        "sales": [row["saleNo"].removeprefix(mine) for row in pos.sales() if row["saleNo"].startswith(mine)],
        "statuses": [
            (row["saleNo"].removeprefix(mine), row["status"])
            for row in pos.statuses()
            if row["saleNo"].startswith(mine)
        ],
    }


_LEVELS = """
SELECT v.id, v.sku_id, l.code, v.on_hand, v.held, v.safety,
       (SELECT count(*) FROM stock_lot t WHERE t.level_id = v.id) AS lots
FROM stock_level v JOIN location l ON l.id = v.location_id WHERE v.sku_id = ANY(%s)
"""
_QUERIES = {
    "sales_order": "SELECT id, channel, kind, status, status_reason FROM sales_order WHERE id > %s",
    "sales_order_line": "SELECT order_id, line_no, quantity, shipped, cancelled FROM sales_order_line"
    " WHERE order_id > %s",
    "parcel": "SELECT p.parcel_no, l.code, p.status, p.lines, ARRAY[p.carrier, (p.waybill IS NOT NULL)::text,"
    " (p.wms_document IS NOT NULL)::text, (p.erp_document IS NOT NULL)::text, (p.shipped_at IS NOT NULL)::text]"
    " AS papers FROM parcel p JOIN location l ON l.id = p.location_id WHERE p.id > %s",
    "stock_hold": "SELECT reference, line_no, level_id, ARRAY[quantity::text, deducting::text, shipped::text, state,"
    " reason] AS figures, picked FROM stock_hold WHERE id > %s",
    "stock_movement": "SELECT level_id, delta, reason FROM stock_movement WHERE id > %s",
    "stock_shortfall": "SELECT level_id, quantity, state FROM stock_shortfall WHERE id > %s",
    "order_event": "SELECT order_id, kind, detail FROM order_event WHERE id > %s",
    "flow_run": "SELECT flow || ':' || business_key AS key, state, outcome FROM flow_run"
    " WHERE id > %s AND flow LIKE 'one_stock.%%'",
    "effect": "SELECT system, writer, key, state FROM effect WHERE id > %s",
    "quarantine": "SELECT system, stream, cause, state FROM quarantine WHERE id > %s",
    "message": "SELECT system, stream, state, quarantined FROM message"
    " WHERE extract(epoch FROM received_at) > %s AND stream <> 'stock'",
}
