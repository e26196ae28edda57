"""What SAP's own books say, read over its protocol: the other side of a reconciliation."""

from collections.abc import Iterator
from typing import Any, Final

from canonical_model.ports import SystemConfig
from connectors.sap.client import SALES_ORDER_ITEMS, SALES_ORDERS, STOCK, SapClient

TIMEOUT_S: Final = 10.0


class SapBooks:
    """Reads every row, page by page, in SAP's own words. Raises TransientError, RejectedError."""

    def __init__(self, config: SystemConfig) -> None:
        self._client = SapClient(config, timeout_s=TIMEOUT_S)

    def sales_orders(self) -> Iterator[dict[str, Any]]:
        """Every sales order: ``SalesOrder, PurchaseOrderByCustomer, SoldToParty, TotalNetAmount,
        OverallSDDocumentRejectionSts`` (A none, B some, C all items rejected) and more."""
        return self._client.rows(SALES_ORDERS, {"$orderby": "SalesOrder"})

    def sales_order_items(self) -> Iterator[dict[str, Any]]:
        """Every item: ``SalesOrder, PurchaseOrderByCustomer, UnderlyingPurchaseOrderItem, Material, RequestedQuantity,
        NetAmount, SalesDocumentRjcnReason`` and more."""
        return self._client.rows(SALES_ORDER_ITEMS, {"$orderby": "SalesOrder,SalesOrderItem"})

    def stock(self) -> Iterator[dict[str, Any]]:
        """Every shelf and batch of every stock type: ``Material, Plant, StorageLocation, InventoryStockType,
        MatlWrhsStkQtyInMatlBaseUnit`` and more."""
        return self._client.rows(STOCK, {"$orderby": "Material,Plant,StorageLocation"})
