"""The simulated SAP's own books: material master, stock, sales orders, IDocs, and the rules a test sets."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final, NamedTuple

import orjson

from connectors.kit.books import Books

FIRST_ORDER: Final = 4969
FIRST_DOCNUM: Final = 232001

# The views carry SAP's own property names, so that OData is a thin layer over them.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS material (matnr TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stock (
    matnr TEXT NOT NULL, plant TEXT NOT NULL, storage_location TEXT NOT NULL, batch TEXT NOT NULL,
    special_stock TEXT NOT NULL, stock_type TEXT NOT NULL, quantity TEXT NOT NULL, unit TEXT NOT NULL,
    PRIMARY KEY (matnr, plant, storage_location, batch, special_stock, stock_type)
);
CREATE TABLE IF NOT EXISTS sales_order (
    id INTEGER PRIMARY KEY, purchase_order TEXT NOT NULL, ship_to_order TEXT NOT NULL, sold_to TEXT NOT NULL,
    order_type TEXT NOT NULL, organisation TEXT NOT NULL, channel TEXT NOT NULL, division TEXT NOT NULL,
    currency TEXT NOT NULL, ordered_ms INTEGER NOT NULL, created_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS ix_sales_order_purchase_order ON sales_order (purchase_order);
CREATE TABLE IF NOT EXISTS sales_order_item (
    order_id INTEGER NOT NULL, item TEXT NOT NULL, purchase_order_item TEXT NOT NULL, material TEXT NOT NULL,
    quantity TEXT NOT NULL, unit TEXT NOT NULL, net TEXT NOT NULL, plant TEXT NOT NULL, storage_location TEXT NOT NULL,
    rejection TEXT NOT NULL DEFAULT '', PRIMARY KEY (order_id, item)
);
CREATE TABLE IF NOT EXISTS idoc (
    id INTEGER PRIMARY KEY, direction TEXT NOT NULL, message_type TEXT NOT NULL, status TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS rule (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE VIEW IF NOT EXISTS A_MatlStkInAcctMod AS SELECT
    CASE WHEN matnr GLOB '*[^0-9]*' THEN matnr ELSE ltrim(matnr, '0') END AS Material,
    plant AS Plant, storage_location AS StorageLocation, batch AS Batch, '' AS Supplier, '' AS Customer,
    '00000000' AS WBSElementInternalID, '' AS SDDocument, '000000' AS SDDocumentItem,
    special_stock AS InventorySpecialStockType, stock_type AS InventoryStockType, unit AS MaterialBaseUnit,
    quantity AS MatlWrhsStkQtyInMatlBaseUnit
    FROM stock;
CREATE VIEW IF NOT EXISTS A_SalesOrderItem AS SELECT
    printf('%010d', order_id) AS SalesOrder, item AS SalesOrderItem, purchase_order AS PurchaseOrderByCustomer,
    purchase_order_item AS UnderlyingPurchaseOrderItem,
    CASE WHEN material GLOB '*[^0-9]*' THEN material ELSE ltrim(material, '0') END AS Material,
    quantity AS RequestedQuantity, unit AS RequestedQuantityUnit, net AS NetAmount, currency AS TransactionCurrency,
    plant AS ProductionPlant, storage_location AS StorageLocation, rejection AS SalesDocumentRjcnReason
    FROM sales_order_item JOIN sales_order ON sales_order.id = order_id;
CREATE VIEW IF NOT EXISTS A_SalesOrder AS SELECT
    printf('%010d', id) AS SalesOrder, order_type AS SalesOrderType, organisation AS SalesOrganization,
    channel AS DistributionChannel, division AS OrganizationDivision, sold_to AS SoldToParty,
    purchase_order AS PurchaseOrderByCustomer, ship_to_order AS PurchaseOrderByShipToParty,
    ordered_ms AS CustomerPurchaseOrderDate, created_ms AS CreationDate, currency AS TransactionCurrency,
    (SELECT printf('%.2f', sum(net)) FROM sales_order_item WHERE order_id = id) AS TotalNetAmount,
    (SELECT CASE sum(rejection <> '') WHEN 0 THEN 'A' WHEN count(*) THEN 'C' ELSE 'B' END
     FROM sales_order_item WHERE order_id = id) AS OverallSDDocumentRejectionSts
    FROM sales_order;
"""


class Rules(NamedTuple):
    """How SAP is in the mood to answer.

    credit_blocked: customers that may not buy; credit_limit: the most one order may cost, as text; locked: customers or
    sales orders that a user is changing; delivered: sales orders that left the house; deferred: take IDocs and post
    nothing; odata_errors: refuse with a 400 and an OData error instead of a 200 with BAPIRET2.
    """

    credit_blocked: tuple[str, ...] = ()
    credit_limit: str | None = None
    locked: tuple[str, ...] = ()
    delivered: tuple[str, ...] = ()
    deferred: bool = False
    odata_errors: bool = False


class Item(NamedTuple):
    """One line of a sales order."""

    purchase_order_item: str
    material: str
    quantity: str
    unit: str
    net: Decimal
    plant: str
    storage_location: str


class SalesOrder(NamedTuple):
    """A sales order as ORDERS05 asks for it."""

    purchase_order: str
    ship_to_order: str
    sold_to: str
    order_type: str
    area: tuple[str, str, str]
    currency: str
    ordered_at: datetime
    items: tuple[Item, ...]

    @property
    def total(self) -> Decimal:
        return sum((item.net for item in self.items), Decimal(0))


class SimulatedBooks(Books):
    """Books with SAP's vocabulary. Every write is one transaction."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)

    def rules(self) -> Rules:
        """The rules in force."""
        known: dict[str, Any] = {}
        for row in self.rows("SELECT name, value FROM rule"):
            value = orjson.loads(row["value"])
            known[row["name"]] = tuple(value) if isinstance(value, list) else value
        return Rules(**known)

    def set_rules(self, changes: Mapping[str, Any]) -> None:
        """Change the named rules; ValueError for an unknown one."""
        if unknown := changes.keys() - set(Rules._fields):
            raise ValueError(f"unknown rule {min(unknown)!r}; choose from {', '.join(Rules._fields)}")
        with self.transaction() as transaction:
            transaction.executemany(
                "INSERT INTO rule VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [(name, orjson.dumps(value).decode()) for name, value in changes.items()],
            )

    def set_stock(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Set figures of shelves; how many. Absent keys: batch and special_stock "", stock_type "01", unit "EA"."""
        values = [
            (
                stored_number(row["material"]),
                row["plant"],
                row.get("storage_location", ""),
                row.get("batch", ""),
                row.get("special_stock", ""),
                row.get("stock_type", "01"),
                f"{Decimal(str(row['quantity'])):.3f}",
                row.get("unit", "EA"),
            )
            for row in rows
        ]
        with self.transaction() as transaction:
            transaction.executemany(
                "INSERT INTO stock VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET quantity = excluded.quantity, unit = excluded.unit",
                values,
            )
        return len(values)

    def knows_material(self, matnr: str) -> bool:
        """Whether the material may be ordered: it is in the master, or there is no master at all."""
        known = self.find("SELECT 1 FROM material WHERE matnr = ?", matnr)
        return known is not None or self.find("SELECT 1 FROM material") is None

    def add_material(self, transaction: Connection, matnr: str, body: Mapping[str, Any]) -> None:
        """Create or change a material."""
        transaction.execute(
            "INSERT INTO material VALUES (?, ?) ON CONFLICT (matnr) DO UPDATE SET body = excluded.body",
            (matnr, orjson.dumps(body).decode()),
        )

    def add_idoc(self, transaction: Connection, direction: str, message_type: str, status: str, body: bytes) -> int:
        """Keep an IDoc; its number."""
        number = transaction.execute("SELECT coalesce(max(id) + 1, ?) FROM idoc", (FIRST_DOCNUM,)).fetchone()[0]
        transaction.execute("INSERT INTO idoc VALUES (?, ?, ?, ?, ?)", (number, direction, message_type, status, body))
        return int(number)

    def add_order(self, transaction: Connection, order: SalesOrder, created_at: datetime) -> str:
        """Post a sales order; its number. Like SAP, this does not look for one with the same purchase order number."""
        (number,) = transaction.execute("SELECT coalesce(max(id) + 1, ?) FROM sales_order", (FIRST_ORDER,)).fetchone()
        moments = (_milliseconds(order.ordered_at), _milliseconds(created_at))
        header = (number, *order[:4], *order.area, order.currency, *moments)
        transaction.execute("INSERT INTO sales_order VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", header)
        transaction.executemany(
            "INSERT INTO sales_order_item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
            [
                (number, f"{position * 10}", *item[:4], f"{item.net:.2f}", item.plant, item.storage_location)
                for position, item in enumerate(order.items, start=1)
            ],
        )
        return f"{number:010}"

    def reject_item(self, order: str, item: str, reason: str) -> bool:
        """Give an item a reason for rejection; whether there is such an item."""
        with self.transaction() as transaction:
            changed = transaction.execute(
                "UPDATE sales_order_item SET rejection = ? WHERE order_id = ? AND item = ?", (reason, int(order), item)
            )
            return changed.rowcount == 1


def stored_number(material: str) -> str:
    """A material number as SAP stores it (MATN1): digits alone are filled with zeros to 18 places."""
    return material.zfill(18) if material.isascii() and material.isdigit() else material


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
