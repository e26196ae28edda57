"""The SAP connector against its simulator, by the suite that every connector inherits."""

from typing import Any, ClassVar

from canonical_model.ports import Record
from connectors.sap.books import SapBooks
from flows.testing.conformance import ConnectorConformance
from flows.testing.live import LiveSystem


class TestSap(ConnectorConformance):
    connector = "sap"
    settings: ClassVar = {"client": "100", "user": "YIPAN", "sales_area": "1010/10/00"}
    secrets: ClassVar = {"password": "keep-this-to-yourself"}
    simulator_settings: ClassVar = {"page_rows": "3"}

    def prepare(self, live: LiveSystem) -> None:
        materials = [{"number": f"1000{n:04}", "name": "圆领T恤", "unit": "ST"} for n in range(5)]
        live.control("POST", "/_catalogue", {"materials": materials, "packet": 2})
        shelves = [{"material": f"1000{n:04}", "plant": "1010", "quantity": n} for n in range(10)]
        live.control("PUT", "/_stock", shelves)

    def document(self, live: LiveSystem, writer: str, number: int) -> Record:
        if writer == "sales_order":
            return parcel(f"P{number}")
        written = live.write("sales_order", f"to-cancel-{number}", parcel(f"P{number}"))
        return {"parcel_no": f"P{number}", "erp_document": written.outside_id, "reason": "recalled"}

    def refused(self, live: LiveSystem, writer: str) -> Record:
        if writer == "sales_order":
            return parcel("P-unknown", material="000000000099999999")
        return {"parcel_no": "P-unknown", "erp_document": "0000099999", "reason": "recalled"}

    def landed(self, live: LiveSystem, writer: str, document: Record) -> int:
        orders = list(SapBooks(live.config).sales_orders())
        if writer == "sales_order":
            return sum(order["PurchaseOrderByShipToParty"] == document["order_no"] for order in orders)
        rejected = [order for order in orders if order["OverallSDDocumentRejectionSts"] == "C"]
        return sum(order["SalesOrder"] == document["erp_document"] for order in rejected)


def parcel(number: str, material: str = "000000000010000001") -> dict[str, Any]:
    line = {"line_no": 1, "sku": "10000001", "sku_ref": material, "quantity": 2, "unit": "EA", "amount_minor": 1990}
    return {
        "parcel_no": number,
        "order_no": f"order of {number}",
        "channel": "mini",
        "seller": "C10010",
        "placed_at": "2026-11-03T01:30:00+00:00",
        "currency": "CNY",
        "location": "W1",
        "location_ref": "1010/0001",
        "lines": [line],
        "total_minor": 1990,
    }
