"""The WMS connector against its simulator, by the suite that every connector inherits."""

from dataclasses import replace
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from canonical_model.ports import PushRequest, Record
from connectors.wms.books import WmsBooks
from connectors.wms.doors import METHODS, TIMESTAMP
from connectors.wms.sign import signed_query
from flows.testing.conformance import ConnectorConformance
from flows.testing.live import LiveSystem


class TestWms(ConnectorConformance):
    connector = "wms"
    settings: ClassVar = {"customer_id": "yunshang"}
    secrets: ClassVar = {"app_secret": "keep-this-to-yourself"}
    simulator_settings: ClassVar = {"customer_id": "yunshang", "pick_min_s": "0.01", "pick_max_s": "0.02"}

    def prepare(self, live: LiveSystem) -> None:
        warehouse = {"warehouseCode": "W1", "warehouseName": "上海总仓", "longitude": "121.4737", "latitude": "31.2304"}
        stock = [{"warehouseCode": "W1", "itemCode": f"0{n}", "quantity": 1000} for n in range(300)]
        live.control("POST", "/_seed", {"warehouses": [warehouse], "stock": stock})
        live.control("POST", "/_report?what=warehouses")
        live.control("POST", "/_report?what=stock")
        live.write("delivery_order", "first", parcel("P1"))

    def document(self, live: LiveSystem, writer: str, number: int) -> Record:
        live.control("PUT", "/_picking", {"paused": True})
        if writer == "cancel_order":
            live.write("delivery_order", f"to-cancel-{number}", parcel(f"P{number}"))
        return parcel(f"P{number}")

    def refused(self, live: LiveSystem, writer: str) -> Record:
        return parcel("P-unknown", sku="no-such-item")

    def landed(self, live: LiveSystem, writer: str, document: Record) -> int:
        orders = [o for o in WmsBooks(live.config).delivery_orders() if o["deliveryOrderCode"] == document["parcel_no"]]
        return len(orders) if writer == "delivery_order" else sum(o["status"] == "CANCELED" for o in orders)

    def signed(self, live: LiveSystem, push: PushRequest) -> PushRequest:
        timestamp = push.received_at.astimezone(ZoneInfo("Asia/Shanghai")).strftime(TIMESTAMP)
        query = signed_query(
            self.secrets["app_secret"],
            METHODS[push.stream],
            push.body,
            app_key="yunshang",
            customer_id="yunshang",
            timestamp=timestamp,
        )
        return replace(push, query=query)


def parcel(number: str, sku: str = "01") -> dict[str, Any]:
    line = {"line_no": 1, "sku": "10000101", "sku_ref": sku, "quantity": 2}
    return {
        "parcel_no": number,
        "order_no": "S1",
        "channel": "pos",
        "placed_at": "2026-11-03T01:30:00+00:00",
        "location": "W1",
        "location_ref": "W1",
        "lines": [line],
        "receiver": {"name": "陈一", "city": "杭州市"},
    }
