"""The simulated stores: their tills, their shelves, and what they push."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from connectors.kit.books import Books
from connectors.kit.outgoing import HubClient, Push

CARRY_OUT: Final = "0"
SEND_HOME: Final = "1"
BATCH: Final = 200
MEDIA_TYPE: Final = "application/json"

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS store (
    code TEXT PRIMARY KEY, body TEXT NOT NULL, serial INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS shelf (
    id INTEGER PRIMARY KEY, store TEXT NOT NULL, goods TEXT NOT NULL, kind TEXT NOT NULL, quantity INTEGER NOT NULL,
    UNIQUE (store, goods, kind)
);
CREATE TABLE IF NOT EXISTS sale (id INTEGER PRIMARY KEY, number TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sale_return (id INTEGER PRIMARY KEY, number TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS status (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, sale TEXT NOT NULL, fingerprint TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS batch (id INTEGER PRIMARY KEY);
"""


class RefusedError(Exception):
    """The till system says no: an HTTP status and its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Tills:
    """All stores of one till system."""

    def __init__(self, books: Books, hub: HubClient, zone: ZoneInfo) -> None:
        self._books = books
        self._hub = hub
        self._zone = zone

    def open_stores(self, stores: Sequence[Mapping[str, Any]]) -> None:
        """Take over stores (the till's field names) and push them."""
        with self._books.transaction() as db:
            for store in stores:
                db.execute(
                    "INSERT INTO store (code, body) VALUES (?, ?)"
                    " ON CONFLICT (code) DO UPDATE SET body = excluded.body",
                    (store["shopCode"], orjson.dumps(store).decode()),
                )
            self._push(db, "stores", stores)

    def receive(self, arrivals: Sequence[Mapping[str, Any]], kind: str = "RECEIVE") -> None:
        """Goods arrive at (or, negative, leave) shelves: ``shopCode, goodsCode, qty``; pushed as changes."""
        with self._books.transaction() as db:
            changes = [
                self._change(db, row["shopCode"], row["goodsCode"], int(row["qty"]), kind, row.get("billNo"))
                for row in arrivals
            ]
            self._push(db, "stock", changes)

    def ring_up(self, sale: Mapping[str, Any]) -> dict[str, Any]:
        """Book one sale and push it: ``shopCode, details [{goodsCode, qty, price}]``, and ``consignee`` if it is sent
        home; ``saleNo``, ``posNo``, ``saleTime``, ``payWay`` as given or made up. Prices are yuan as text."""
        with self._books.transaction() as db:
            store = sale["shopCode"]
            number = sale.get("saleNo") or f"{store}-{self._now():%Y%m%d}-{self._serial(db, store):05d}"
            body = self._receipt(number, sale)
            if db.execute("SELECT 1 FROM sale WHERE number = ?", (number,)).fetchone():
                raise RefusedError(409, f"小票 {number} 已存在")
            db.execute("INSERT INTO sale (number, body) VALUES (?, ?)", (number, orjson.dumps(body).decode()))
            self._push(db, "sales", [body])
            if body["saleType"] == CARRY_OUT:
                self._move_goods(db, body, -1, "SALE", number)
        return body

    def take_back(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Book the return of lines of a sale: ``saleNo, details [{seqNo, qty}]``, ``reason``. RefusedError 404, 422."""
        row = self._books.find("SELECT body FROM sale WHERE number = ?", wish["saleNo"])
        if row is None:
            raise RefusedError(404, f"小票 {wish['saleNo']} 不存在")
        sale = orjson.loads(row["body"])
        sold = {line["seqNo"]: line for line in sale["details"]}
        details = [_returned(sold, line) for line in wish["details"]]
        with self._books.transaction() as db:
            store = sale["shopCode"]
            number = f"{store}-R{self._now():%Y%m%d}-{self._serial(db, store):05d}"
            body = {
                "returnNo": number,
                "origSaleNo": sale["saleNo"],
                "shopCode": store,
                "posNo": sale["posNo"],
                "returnTime": self._time(),
                "reason": wish.get("reason", "七天无理由"),
                "refundAmt": str(sum(Decimal(line["amt"]) for line in details)),
                "details": details,
            }
            db.execute("INSERT INTO sale_return (number, body) VALUES (?, ?)", (number, orjson.dumps(body).decode()))
            self._push(db, "returns", [body])
            self._move_goods(db, body, 1, "RETURN", number)
        return body

    def take_status(self, sale_no: str, key: str, body: Mapping[str, Any]) -> str:
        """Note what became of a sale; the same key and body twice is one notice. RefusedError 404, 409, 422."""
        if not key:
            raise RefusedError(422, "缺少 Idempotency-Key")
        if not self._books.find("SELECT 1 FROM sale WHERE number = ?", sale_no):
            raise RefusedError(404, f"小票 {sale_no} 不存在")
        fingerprint = orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
        known = self._books.find("SELECT id, fingerprint FROM status WHERE key = ?", key)
        if known is not None:
            if known["fingerprint"] != fingerprint:
                raise RefusedError(409, "Idempotency-Key 已用于其他内容")
            return _notice(known["id"])
        with self._books.transaction() as db:
            identity = db.execute(
                "INSERT INTO status (key, sale, fingerprint, body) VALUES (?, ?, ?, ?)",
                (key, sale_no, fingerprint, orjson.dumps(body).decode()),
            ).lastrowid
        return _notice(identity)

    def notice_of(self, key: str) -> str:
        """The notice of that key. RefusedError 404."""
        row = self._books.find("SELECT id FROM status WHERE key = ?", key)
        if row is None:
            raise RefusedError(404, "没有该通知")
        return _notice(row["id"])

    def page(self, what: str, after: int, limit: int) -> dict[str, Any]:
        """One page of a book and where the next begins (None at the end)."""
        rows = self._books.rows(_PAGES[what], after, limit + 1)
        more = len(rows) > limit
        data = [_shown(what, row) for row in rows[:limit]]
        return {"data": data, "next": rows[limit - 1]["id"] if more else None}

    def _receipt(self, number: str, sale: Mapping[str, Any]) -> dict[str, Any]:
        details = [
            {
                "seqNo": position,
                "goodsCode": line["goodsCode"],
                "unit": line.get("unit", "件"),
                "qty": line["qty"],
                "tagAmt": str(Decimal(line["price"]) * line["qty"]),
                "discAmt": "0.00",
                "amt": str(Decimal(line["price"]) * line["qty"]),
            }
            for position, line in enumerate(sale["details"], start=1)
        ]
        total = str(sum(Decimal(line["amt"]) for line in details))
        sent = sale.get("consignee") is not None
        return {
            "saleNo": number,
            "shopCode": sale["shopCode"],
            "posNo": sale.get("posNo", "01"),
            "cashier": sale.get("cashier", "1001"),
            "saleTime": sale.get("saleTime") or self._time(),
            "saleType": SEND_HOME if sent else CARRY_OUT,
            "goodsAmt": total,
            "freightAmt": "0.00",
            "wholeDisc": "0.00",
            "totalAmt": total,
            "details": details,
            "payments": [{"payWay": sale.get("payWay", "WX"), "amt": total, "payNo": f"4200{number}"[:64]}],
            **({"consignee": sale["consignee"]} if sent else {}),
        }

    def _move_goods(self, db: sqlite3.Connection, body: Mapping[str, Any], sign: int, kind: str, number: str) -> None:
        store = body["shopCode"]
        changes = [
            self._change(db, store, line["goodsCode"], sign * line["qty"], kind, number) for line in body["details"]
        ]
        self._push(db, "stock", changes)

    def _change(
        self, db: sqlite3.Connection, store: str, goods: str, quantity: int, kind: str, bill: str | None
    ) -> dict[str, Any]:
        db.execute(
            "INSERT INTO shelf (store, goods, kind, quantity) VALUES (?, ?, '1', ?)"
            " ON CONFLICT (store, goods, kind) DO UPDATE SET quantity = quantity + excluded.quantity",
            (store, goods, quantity),
        )
        return {
            "changeNo": f"{store}-C{self._serial(db, store):06d}",
            "shopCode": store,
            "goodsCode": goods,
            "stockType": "1",
            "changeQty": quantity,
            "changeType": kind,
            "billNo": bill,
            "changeTime": self._time(),
        }

    def _push(self, db: sqlite3.Connection, stream: str, records: Sequence[Mapping[str, Any]]) -> None:
        for start in range(0, len(records), BATCH):
            number = db.execute("INSERT INTO batch DEFAULT VALUES").lastrowid
            key = f"{stream}-{number:08d}"
            body = orjson.dumps({"batchNo": key, "data": records[start : start + BATCH]})
            self._hub.queue(db, Push(stream, key, body, MEDIA_TYPE))

    def _serial(self, db: sqlite3.Connection, store: str) -> int:
        sql = "UPDATE store SET serial = serial + 1 WHERE code = ? RETURNING serial"
        row = db.execute(sql, (store,)).fetchone()
        if row is None:
            raise RefusedError(404, f"门店 {store} 不存在")
        return int(row[0])

    def _now(self) -> datetime:
        return datetime.now(self._zone)

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%d %H:%M:%S")


_PAGES: Final[Mapping[str, str]] = {
    "sales": "SELECT id, body FROM sale WHERE id > ? ORDER BY id LIMIT ?",
    "returns": "SELECT id, body FROM sale_return WHERE id > ? ORDER BY id LIMIT ?",
    "statuses": "SELECT id, key, sale, body FROM status WHERE id > ? ORDER BY id LIMIT ?",
    "stock": 'SELECT id, store AS "shopCode", goods AS "goodsCode", kind AS "stockType", quantity AS qty FROM shelf'
    " WHERE id > ? ORDER BY id LIMIT ?",
}


def _shown(what: str, row: Mapping[str, Any]) -> dict[str, Any]:
    if what == "stock":
        return {key: value for key, value in row.items() if key != "id"}
    body: dict[str, Any] = orjson.loads(row["body"])
    return {**body, "key": row["key"], "noticeNo": _notice(row["id"])} if what == "statuses" else body


def _returned(sold: Mapping[int, Mapping[str, Any]], wish: Mapping[str, Any]) -> dict[str, Any]:
    line = sold.get(wish["seqNo"])
    if line is None or not 0 < wish["qty"] <= line["qty"]:
        raise RefusedError(422, f"第 {wish['seqNo']} 行不可退")
    each = Decimal(line["amt"]) / line["qty"]
    return {
        "seqNo": line["seqNo"],
        "goodsCode": line["goodsCode"],
        "unit": line["unit"],
        "qty": wish["qty"],
        "amt": str((each * wish["qty"]).quantize(Decimal("0.01"))),
    }


def _notice(identity: int | None) -> str:
    return f"N{identity:08d}"
