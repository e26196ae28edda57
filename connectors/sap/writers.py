"""Sales orders out: written as ORDERS05, found by their purchase order number, rejected item by item."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import orjson

from canonical_model.errors import ConfigurationError, NotFoundError, UncertainError
from canonical_model.ports import Manifest, Receipt, Record, SystemConfig, Writer
from connectors.sap.client import IDOC_INBOX, SALES_ORDER_ITEMS, SALES_ORDERS, SapClient, quoted
from connectors.sap.idoc import SALES_AREA_PARTS, render_orders05

PURCHASE_ORDER_LENGTH: Final = 35


def writers(config: SystemConfig, manifest: Manifest) -> dict[str, Writer]:
    """The destinations, by name. ConfigurationError when the sales area is not ``organisation/channel/division``."""
    timeouts_s = {spec.name: spec.timeout_s for spec in manifest.writers}
    return {
        "sales_order": SalesOrderWriter(config, timeouts_s["sales_order"]),
        "sales_order_cancel": SalesOrderCancelWriter(config, timeouts_s["sales_order_cancel"]),
    }


def purchase_order_number(key: str) -> str:
    """The customer purchase order number (BSTKD, 35 characters) of the write ``flow:business key:step``.

    It is the business key, so that a person recognises the parcel; a repeated step keeps its ``#2``. One that is
    too long is cut and made unique by a digest.
    """
    _, _, rest = key.partition(":")
    business_key, _, step = rest.rpartition(":")
    number = business_key + "".join(step.partition("#")[1:]) if business_key else key
    if len(number) <= PURCHASE_ORDER_LENGTH:
        return number
    return f"{number[:24]}~{sha256(number.encode()).hexdigest()[:10]}"


class SalesOrderWriter:
    """Writes ORDERS05. SAP does not notice a second one with the same purchase order number: ``find`` must ask."""

    def __init__(self, config: SystemConfig, timeout_s: float) -> None:
        area = config.settings["sales_area"].split("/")
        if len(area) != len(SALES_AREA_PARTS):
            raise ConfigurationError(
                f"system {config.name!r}: settings.sales_area is {config.settings['sales_area']!r}; write "
                "organisation/channel/division, such as 1010/10/00",
                system=config.name,
                key="settings.sales_area",
            )
        self._area = (area[0], area[1], area[2])
        self._sap_client = config.settings["client"]
        self._client = SapClient(config, timeout_s=timeout_s)

    def write(self, key: str, body: Record) -> Receipt:
        """Create the sales order. UncertainError also when SAP took the IDoc and has not posted it yet."""
        number = purchase_order_number(key)
        document = render_orders05(body, purchase_order=number, client=self._sap_client, sales_area=self._area)
        answer = self._client.change("POST", IDOC_INBOX, document, "application/xml")
        order = answer.get("SALESDOCUMENT")
        if not order:
            raise UncertainError(
                f"SAP took the IDoc of purchase order {number} but named no sales order; look for it",
                code="sap.unposted",
            )
        return Receipt(order, {"purchase_order": number, "idoc": answer.get("DOCNUM")})

    def find(self, key: str) -> Receipt | None:
        """The first sales order with the key's purchase order number; ``duplicates`` are any others."""
        number = purchase_order_number(key)
        query = {
            "$filter": f"PurchaseOrderByCustomer eq {quoted(number)}",
            "$select": "SalesOrder,PurchaseOrderByCustomer",
            "$orderby": "SalesOrder",
        }
        orders = [row["SalesOrder"] for row in self._client.rows(SALES_ORDERS, query)]
        if not orders:
            return None
        return Receipt(orders[0], {"purchase_order": number, "duplicates": orders[1:]})


class SalesOrderCancelWriter:
    """Gives every item of a sales order a reason for rejection. The same again changes nothing."""

    def __init__(self, config: SystemConfig, timeout_s: float) -> None:
        self._client = SapClient(config, timeout_s=timeout_s)

    def write(self, key: str, body: Record) -> Receipt:
        """Reject the items of ``body["SalesOrder"]`` that are not yet; NotFoundError if SAP has no such order."""
        order = str(body["SalesOrder"])
        items = self._items(order)
        if not items:
            raise NotFoundError(f"SAP has no sales order {order}; check the number", code="sap.no_order")
        reason = orjson.dumps({"SalesDocumentRjcnReason": body["SalesDocumentRjcnReason"]})
        for item in _open(items):
            path = f"{SALES_ORDER_ITEMS}(SalesOrder={quoted(order)},SalesOrderItem={quoted(item)})"
            self._client.change("PATCH", path, reason, "application/json", {"If-Match": "*"})
        if left := _open(self._items(order)):
            raise UncertainError(
                f"SAP still shows items {', '.join(left)} of {order} as open; ask again", code="sap.open"
            )
        return Receipt(order, {"items": len(items)})

    def find(self, key: str) -> Receipt | None:
        """Nothing to look for: writing again is harmless."""
        return None

    def _items(self, order: str) -> dict[str, str]:
        query = {"$filter": f"SalesOrder eq {quoted(order)}", "$select": "SalesOrderItem,SalesDocumentRjcnReason"}
        rows = self._client.rows(SALES_ORDER_ITEMS, query)
        return {row["SalesOrderItem"]: row["SalesDocumentRjcnReason"] for row in rows}


def _open(items: Mapping[str, str]) -> list[str]:
    return [item for item, reason in items.items() if not reason]
