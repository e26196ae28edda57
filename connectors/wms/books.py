"""What the WMS's own books say, read over its protocol: the other side of a reconciliation."""

from collections.abc import Iterator
from typing import Any, Final

from canonical_model.ports import SystemConfig
from connectors.kit.manifest import load_manifest
from connectors.wms.client import QimenClient

PAGE_SIZE: Final = 200
TIMEOUT_S: Final = 10.0


class WmsBooks:
    """Reads every row, page by page, in the WMS's own words. Raises TransientError, RejectedError."""

    def __init__(self, config: SystemConfig) -> None:
        self._client = QimenClient(config, load_manifest(config.connector), timeout_s=TIMEOUT_S)

    def stock(self) -> Iterator[dict[str, Any]]:
        """``warehouseCode, itemCode, inventoryType, quantity, lockQuantity`` of every item."""
        return self._all("stock.query", "items", "item")

    def delivery_orders(self) -> Iterator[dict[str, Any]]:
        """Every delivery order with ``deliveryOrderCode, status, hubKey`` and its lines' ``planQty, actualQty``."""
        return self._all("deliveryorder.batchquery", "orders", "order")

    def _all(self, method: str, parent: str, child: str) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            answer = self._client.ask(method, {"page": page, "pageSize": PAGE_SIZE})
            yield from answer[parent][child] if answer[parent] else ()
            if page >= int(answer["totalPage"]):
                return
            page += 1
