"""The simulated warehouses: their books, their pickers, and what they report."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from connectors.kit.books import Books
from connectors.kit.faults import Faults
from connectors.kit.outgoing import HubClient, Push
from connectors.kit.xml import render_xml

LACKING: Final = "lacking"
PARTIAL: Final = "partial"
NO_STOCK: Final = "no_stock"
PAGE_SIZE: Final = 200
MEDIA_TYPE: Final = "text/xml; charset=utf-8"

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS warehouse (
    code TEXT PRIMARY KEY, body TEXT NOT NULL, sequence INTEGER NOT NULL DEFAULT 0, report INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS stock (
    warehouse TEXT NOT NULL, item TEXT NOT NULL, quality TEXT NOT NULL, quantity INTEGER NOT NULL,
    locked INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (warehouse, item, quality)
);
CREATE TABLE IF NOT EXISTS delivery_order (
    id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, warehouse TEXT NOT NULL, hub_key TEXT, cancel_key TEXT,
    status TEXT NOT NULL, rounds INTEGER NOT NULL DEFAULT 0, due_at REAL
);
CREATE INDEX IF NOT EXISTS ix_order_due ON delivery_order (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS order_line (
    order_id INTEGER NOT NULL, line_no TEXT NOT NULL, item TEXT NOT NULL, plan INTEGER NOT NULL,
    shipped INTEGER NOT NULL DEFAULT 0, lacking INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (order_id, line_no)
);
CREATE TABLE IF NOT EXISTS picking (paused INTEGER NOT NULL);
INSERT INTO picking SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM picking);
"""


class RefusedError(Exception):
    """The WMS says no: a Qimen code and its words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Clock:
    """This WMS's clock, which may be wrong by ``skew_s``."""

    zone: ZoneInfo
    skew_s: float = 0.0

    def text(self) -> str:
        """Now, as Qimen writes times: no offset, whole seconds."""
        now = datetime.now(self.zone) + timedelta(seconds=self.skew_s)
        return now.strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class Shipment:
    """What one round of packing took out: (line_no, item, plan, actual) a line."""

    order: Mapping[str, Any]
    lines: Sequence[tuple[str, str, int, int]]
    final: bool


class Warehouses:
    """All warehouses of one WMS. An order is picked, then shipped, each ``pick_s`` (from, to) seconds later."""

    def __init__(self, books: Books, faults: Faults, hub: HubClient, clock: Clock, pick_s: tuple[float, float]) -> None:
        self._books = books
        self._faults = faults
        self._hub = hub
        self._clock = clock
        self._pick_s = pick_s
        self._changed = asyncio.Event()

    def seed(self, warehouses: Sequence[Mapping[str, Any]], stock: Sequence[Mapping[str, Any]]) -> None:
        """Take over warehouses (Qimen's field names) and counted stock; tells the hub nothing."""
        with self._books.transaction() as db:
            for warehouse in warehouses:
                body = orjson.dumps(warehouse).decode()
                db.execute(
                    "INSERT INTO warehouse (code, body) VALUES (?, ?)"
                    " ON CONFLICT (code) DO UPDATE SET body = excluded.body",
                    (warehouse["warehouseCode"], body),
                )
            for row in stock:
                db.execute(
                    "INSERT INTO stock (warehouse, item, quality, quantity) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET quantity = excluded.quantity",
                    (row["warehouseCode"], row["itemCode"], row.get("inventoryType", "ZP"), int(row["quantity"])),
                )

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``deliveryorder.create``: lock the stock. RefusedError S003 known code, S007 no stock, S010, S011."""
        head, lines = request["deliveryOrder"], request["orderLines"]["orderLine"]
        code, warehouse = head["deliveryOrderCode"], head["warehouseCode"]
        if self._books.find("SELECT 1 FROM delivery_order WHERE code = ?", code):
            raise RefusedError("S003", f"发货单 {code} 已存在")
        if not self._books.find("SELECT 1 FROM warehouse WHERE code = ?", warehouse):
            raise RefusedError("S011", f"仓库 {warehouse} 不存在")
        if self._faults.strikes(NO_STOCK):
            raise RefusedError("S007", "库存不足")
        with self._books.transaction() as db:
            for line in lines:
                self._lock(db, warehouse, line["itemCode"], int(line["planQty"]))
            order_id = db.execute(
                "INSERT INTO delivery_order (code, warehouse, hub_key, status, due_at) VALUES (?, ?, ?, 'ACCEPT', ?)",
                (code, warehouse, request.get("extendProps", {}).get("hubKey"), self._due()),
            ).lastrowid
            db.executemany(
                "INSERT INTO order_line (order_id, line_no, item, plan) VALUES (?, ?, ?, ?)",
                [(order_id, line["orderLineNo"], line["itemCode"], int(line["planQty"])) for line in lines],
            )
        self._changed.set()
        return {"deliveryOrderId": f"WD{order_id:08d}", "warehouseCode": warehouse, "createTime": self._clock.text()}

    def cancel(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``order.cancel``: unlock the stock. RefusedError S012 unknown, S020 picked already."""
        order = self._books.find("SELECT * FROM delivery_order WHERE code = ?", request["orderCode"])
        if order is None:
            raise RefusedError("S012", f"发货单 {request['orderCode']} 不存在")
        if order["status"] == "CANCELED":
            return {}
        if order["status"] != "ACCEPT":
            raise RefusedError("S020", f"发货单 {order['code']} 已拣货，不可取消")
        with self._books.transaction() as db:
            for line in self._lines(order["id"]):
                _move(db, order["warehouse"], line["item"], quantity=0, locked=-line["plan"])
            db.execute(
                "UPDATE delivery_order SET status = 'CANCELED', due_at = NULL, cancel_key = ? WHERE id = ?",
                (request.get("extendProps", {}).get("hubKey"), order["id"]),
            )
        return {}

    def query(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``deliveryorder.query`` by code, or by the key that travelled in extendProps. RefusedError S012."""
        extension = request.get("extendProps") or {}
        for column, value in (
            ("code", request.get("orderCode")),
            ("hub_key", extension.get("hubKey")),
            ("cancel_key", extension.get("cancelKey")),
        ):
            sql = f"SELECT * FROM delivery_order WHERE {column} = ?"  # noqa: S608 - three fixed names
            if value and (order := self._books.find(sql, value)):
                head = self._order(order)
                return {"orderLines": head.pop("orderLines"), "deliveryOrder": head}
        raise RefusedError("S012", "发货单不存在")

    def orders(self, page: int, size: int) -> dict[str, Any]:
        """``deliveryorder.batchquery``: one page of all orders."""
        total = self._books.number("SELECT count(*) FROM delivery_order")
        rows = self._books.rows("SELECT * FROM delivery_order ORDER BY id LIMIT ? OFFSET ?", size, (page - 1) * size)
        return {"totalPage": _pages(total, size), "orders": {"order": [self._order(row) for row in rows]}}

    def stock(self, page: int, size: int) -> dict[str, Any]:
        """``stock.query``: one page of all stock."""
        total = self._books.number("SELECT count(*) FROM stock")
        rows = self._books.rows(f"{_STOCK} ORDER BY 1, 2, 3 LIMIT ? OFFSET ?", size, (page - 1) * size)
        return {"totalPage": _pages(total, size), "items": {"item": rows}}

    def inventory(self, criteria: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """``inventory.query``: the stock of named items."""
        rows = []
        for wanted in criteria:
            rows += self._books.rows(
                f"{_STOCK} WHERE warehouse = ? AND item = ? ORDER BY 3", wanted["warehouseCode"], wanted["itemCode"]
            )
        return {"items": {"item": rows}}

    def report_warehouses(self) -> None:
        """Push ``warehouse.report``."""
        with self._books.transaction() as db:
            db.execute("UPDATE warehouse SET report = report + 1")
            rows = db.execute("SELECT body, report FROM warehouse ORDER BY code").fetchall()
            key = f"WH-{max(row['report'] for row in rows)}"
            body = {"outBizCode": key, "items": {"item": [orjson.loads(row["body"]) for row in rows]}}
            self._hub.queue(db, Push("warehouses", key, render_xml("request", body), MEDIA_TYPE))

    def report_stock(self, only: str | None = None) -> None:
        """Push ``inventory.report``: every page of a full count of one warehouse, or of each."""
        with self._books.transaction() as db:
            for warehouse in db.execute("SELECT code, sequence FROM warehouse ORDER BY code").fetchall():
                if only in (None, warehouse["code"]):
                    self._report_stock(db, warehouse["code"], warehouse["sequence"])

    def adjust(self, warehouse: str, item: str, change: int, quality: str) -> None:
        """Book a found or lost quantity and push the change."""
        with self._books.transaction() as db:
            sequence = _next_sequence(db, warehouse)
            _move(db, warehouse, item, quantity=change, locked=0, quality=quality)
            self._report_changes(db, warehouse, sequence, "KCTZ", None, [(item, change, quality)])

    def pause(self, *, paused: bool) -> None:
        """Stop or go on picking."""
        with self._books.transaction() as db:
            db.execute("UPDATE picking SET paused = ?", (int(paused),))
        self._changed.set()

    async def work(self) -> None:
        """Pick and ship what is due, until cancelled."""
        while True:
            self._changed.clear()
            order = self._books.find(
                "SELECT o.* FROM delivery_order o, picking p WHERE o.due_at IS NOT NULL AND NOT p.paused"
                " ORDER BY o.due_at LIMIT 1"
            )
            wait_s = None if order is None else order["due_at"] - time.time()
            if order is not None and wait_s is not None and wait_s <= 0:
                self._advance(order)
                await asyncio.sleep(0)
            else:
                await _wait(self._changed, wait_s)

    def _advance(self, order: Mapping[str, Any]) -> None:
        with self._books.transaction() as db:
            if order["status"] == "ACCEPT":
                db.execute(
                    "UPDATE delivery_order SET status = 'PICK', due_at = ? WHERE id = ?", (self._due(), order["id"])
                )
            else:
                self._ship(db, self._pack(order))

    def _pack(self, order: Mapping[str, Any]) -> Shipment:
        """What this round takes out: part of it, all of it, or all but a unit that is not there."""
        open_lines = [
            (line["line_no"], line["item"], line["plan"] - line["shipped"] - line["lacking"])
            for line in self._lines(order["id"])
        ]
        open_lines = [line for line in open_lines if line[2]]
        if order["rounds"] == 0 and sum(line[2] for line in open_lines) > 1 and self._faults.strikes(PARTIAL):
            line_no, item, quantity = open_lines[0]
            now = quantity if len(open_lines) > 1 else quantity // 2
            return Shipment(order, [(line_no, item, now, now)], final=False)
        short = self._faults.random.randrange(len(open_lines)) if self._faults.strikes(LACKING) else None
        packed = [(no, item, plan, plan - (index == short)) for index, (no, item, plan) in enumerate(open_lines)]
        return Shipment(order, packed, final=True)

    def _ship(self, db: sqlite3.Connection, shipment: Shipment) -> None:
        order, code = shipment.order, shipment.order["warehouse"]
        sequence = _next_sequence(db, code)
        lost = []
        for line_no, item, plan, actual in shipment.lines:
            db.execute(
                "UPDATE order_line SET shipped = shipped + ?, lacking = lacking + ? WHERE order_id = ? AND line_no = ?",
                (actual, plan - actual, order["id"], line_no),
            )
            _move(db, code, item, quantity=-plan, locked=-plan)
            lost += [(item, actual - plan, "ZP")] if actual < plan else []
        status, due_at = ("DELIVERED", None) if shipment.final else ("PARTDELIVERED", self._due())
        db.execute(
            "UPDATE delivery_order SET status = ?, due_at = ?, rounds = rounds + 1 WHERE id = ?",
            (status, due_at, order["id"]),
        )
        self._confirm(db, shipment, sequence, status)
        left = [(item, -actual, "ZP") for _, item, _, actual in shipment.lines if actual]
        self._report_changes(db, code, sequence, "JYCK", order["code"], left)
        if lost:
            self._report_changes(db, code, _next_sequence(db, code), "KCTZ", None, lost)

    def _confirm(self, db: sqlite3.Connection, shipment: Shipment, sequence: int, status: str) -> None:
        order = shipment.order
        key = f"{order['code']}-C{order['rounds'] + 1}"
        packed = [{"itemCode": item, "quantity": actual} for _, item, _, actual in shipment.lines if actual]
        package = {
            "logisticsCode": "SF",
            "expressCode": f"SF{order['id']:010d}{order['rounds'] + 1}",
            "items": {"item": packed},
        }
        body = {
            "deliveryOrder": {
                "deliveryOrderCode": order["code"],
                "deliveryOrderId": f"WD{order['id']:08d}",
                "warehouseCode": order["warehouse"],
                "orderType": "JYCK",
                "status": status,
                "outBizCode": key,
                "confirmType": 0 if shipment.final else 1,
                "orderConfirmTime": self._clock.text(),
            },
            "packages": {"package": [package]} if packed else None,
            "orderLines": {
                "orderLine": [
                    {"orderLineNo": no, "itemCode": item, "inventoryType": "ZP", "planQty": plan, "actualQty": actual}
                    for no, item, plan, actual in shipment.lines
                ]
            },
            "extendProps": {"sequence": sequence},
        }
        self._hub.queue(db, Push("confirm", key, render_xml("request", body), MEDIA_TYPE))

    def _report_changes(
        self,
        db: sqlite3.Connection,
        warehouse: str,
        sequence: int,
        kind: str,
        order_code: str | None,
        changes: Sequence[tuple[str, int, str]],
    ) -> None:
        items = [
            {
                "outBizCode": f"CHG-{warehouse}-{sequence}-{number}",
                "warehouseCode": warehouse,
                "orderCode": order_code,
                "orderType": kind,
                "itemCode": item,
                "inventoryType": quality,
                "quantity": change,
                "changeTime": self._clock.text(),
                "extendProps": {"sequence": sequence},
            }
            for number, (item, change, quality) in enumerate(changes, start=1)
        ]
        if items:
            body = render_xml("request", {"items": {"item": items}})
            self._hub.queue(db, Push("stock_delta", str(items[0]["outBizCode"]), body, MEDIA_TYPE))

    def _report_stock(self, db: sqlite3.Connection, warehouse: str, sequence: int) -> None:
        sql = "UPDATE warehouse SET report = report + 1 WHERE code = ? RETURNING report"
        number = db.execute(sql, (warehouse,)).fetchone()["report"]
        rows = [dict(row) for row in db.execute(f"{_STOCK} WHERE warehouse = ? ORDER BY 2, 3", (warehouse,))]
        pages = _pages(len(rows), PAGE_SIZE)
        for page in range(1, pages + 1):
            key = f"SNAP-{warehouse}-{number}-{page}"
            body = {
                "totalPage": pages,
                "currentPage": page,
                "pageSize": PAGE_SIZE,
                "warehouseCode": warehouse,
                "checkTime": self._clock.text(),
                "outBizCode": key,
                "items": {"item": rows[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]},
                "extendProps": {"sequence": sequence},
            }
            self._hub.queue(db, Push("stock", key, render_xml("request", body), MEDIA_TYPE))

    def _lock(self, db: sqlite3.Connection, warehouse: str, item: str, quantity: int) -> None:
        row = self._books.find(
            "SELECT quantity - locked AS free FROM stock WHERE warehouse = ? AND item = ? AND quality = 'ZP'",
            warehouse,
            item,
        )
        if row is None:
            raise RefusedError("S010", f"商品 {item} 不存在")
        if row["free"] < quantity:
            raise RefusedError("S007", f"商品 {item} 库存不足")
        _move(db, warehouse, item, quantity=0, locked=quantity)

    def _order(self, row: Mapping[str, Any]) -> dict[str, Any]:
        lines = [
            {
                "orderLineNo": line["line_no"],
                "itemCode": line["item"],
                "planQty": line["plan"],
                "actualQty": line["shipped"],
                "lackQty": line["lacking"],
            }
            for line in self._lines(row["id"])
        ]
        return {
            "deliveryOrderCode": row["code"],
            "deliveryOrderId": f"WD{row['id']:08d}",
            "warehouseCode": row["warehouse"],
            "status": row["status"],
            "hubKey": row["hub_key"] or "",
            "orderLines": {"orderLine": lines},
        }

    def _lines(self, order_id: int) -> list[dict[str, Any]]:
        return self._books.rows("SELECT * FROM order_line WHERE order_id = ? ORDER BY rowid", order_id)

    def _due(self) -> float:
        return time.time() + self._faults.random.uniform(*self._pick_s)


_STOCK: Final = (
    'SELECT warehouse AS "warehouseCode", item AS "itemCode", quality AS "inventoryType", quantity,'
    ' locked AS "lockQuantity" FROM stock'
)


def _move(
    db: sqlite3.Connection, warehouse: str, item: str, *, quantity: int, locked: int, quality: str = "ZP"
) -> None:
    db.execute(
        "INSERT INTO stock (warehouse, item, quality, quantity, locked) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET quantity = quantity + excluded.quantity, locked = locked + excluded.locked",
        (warehouse, item, quality, quantity, locked),
    )


def _next_sequence(db: sqlite3.Connection, warehouse: str) -> int:
    """Every booking of a warehouse takes the next number; a count carries the last."""
    sql = "UPDATE warehouse SET sequence = sequence + 1 WHERE code = ? RETURNING sequence"
    return int(db.execute(sql, (warehouse,)).fetchone()[0])


def _pages(total: int, size: int) -> int:
    return max(1, -(-total // size))


async def _wait(changed: asyncio.Event, wait_s: float | None) -> None:
    try:
        await asyncio.wait_for(changed.wait(), wait_s)
    except TimeoutError:
        return
