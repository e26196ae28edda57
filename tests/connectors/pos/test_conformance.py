"""The POS connector against its simulator, by the suite that every connector inherits."""

from typing import Any, ClassVar

from canonical_model.ports import Record
from connectors.pos.books import PosBooks
from flows.testing.conformance import ConnectorConformance
from flows.testing.live import LiveSystem


class TestPos(ConnectorConformance):
    connector = "pos"
    secrets: ClassVar = {"access_token": "keep-this-to-yourself"}

    def prepare(self, live: LiveSystem) -> None:
        live.control("POST", "/_stores", [{"shopCode": "S001", "shopName": "杭州湖滨店", "state": "OPEN"}])
        live.control("POST", "/_receive", [{"shopCode": "S001", "goodsCode": "000012", "qty": 500}])
        carried_out = live.control("POST", "/_sales", sale())
        wish = {"saleNo": carried_out["saleNo"], "details": [{"seqNo": 1, "qty": 1}]}
        live.control("POST", "/_returns", wish)

    def document(self, live: LiveSystem, writer: str, number: int) -> Record:
        sent_home = live.control("POST", "/_sales", sale(consignee={"name": "陈一", "phone": "13800000000"}))
        return {"order_no": sent_home["saleNo"], "status": "shipped", "parcels": [], "lines": []}

    def refused(self, live: LiveSystem, writer: str) -> Record:
        return {"order_no": "never-sold", "status": "shipped", "parcels": [], "lines": []}

    def landed(self, live: LiveSystem, writer: str, document: Record) -> int:
        return sum(status["saleNo"] == document["order_no"] for status in PosBooks(live.config).statuses())


def sale(**more: Any) -> dict[str, Any]:
    return {"shopCode": "S001", "details": [{"goodsCode": "000012", "qty": 2, "price": "129.00"}], **more}
