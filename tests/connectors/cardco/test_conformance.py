"""The voucher supplier's connector against its simulator, by the suite that every connector inherits."""

from typing import Any, ClassVar

from canonical_model.ports import Record
from connectors.cardco.books import CardcoBooks
from flows.testing.conformance import ConnectorConformance
from flows.testing.live import LiveSystem


class TestCardco(ConnectorConformance):
    connector = "cardco"
    settings: ClassVar = {"user": "YIPAN"}
    secrets: ClassVar = {"password": "keep-this-to-yourself"}
    simulator_settings: ClassVar = {"page_rows": "3"}

    def prepare(self, live: LiveSystem) -> None:
        coffee = {"sku": "COFFEE", "title": "咖啡券", "points": 900, "cash_minor": 300, "stock": {"*": 1000}}
        live.control("POST", "/_goods", [coffee])

    def document(self, live: LiveSystem, writer: str, number: int) -> Record:
        if writer == "reserve":
            return order(f"R{number}")
        held = live.write("reserve", f"to-{writer}-{number}", order(f"R{number}"))
        return {"order_no": f"R{number}", "document": held.outside_id}

    def refused(self, live: LiveSystem, writer: str) -> Record:
        if writer == "reserve":
            return order("R-unknown", sku="no-such-goods")
        return {"order_no": "R-unknown", "document": "C999999999"}

    def landed(self, live: LiveSystem, writer: str, document: Record) -> int:
        found = [row for row in CardcoBooks(live.config).orders() if row["order_no"] == document["order_no"]]
        wanted = {"reserve": "held", "confirm": "ordered", "cancel": "cancelled"}[writer]
        return sum(row["state"] == wanted for row in found)


def order(number: str, sku: str = "COFFEE") -> dict[str, Any]:
    line = {"line_no": 1, "sku": sku, "quantity": 2, "points": 1800, "cash_minor": 600}
    return {
        "order_no": number,
        "member_ref": "4711",
        "region_code": "330106",
        "expires_at": "2099-01-01T00:00:00+08:00",
        "lines": [line],
    }
