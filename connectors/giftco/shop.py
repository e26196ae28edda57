"""The simulated gift supplier: its goods, its pre-orders, and what it bills."""

import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from connectors.kit.books import Books

MAX_ITEMS: Final = 100
MAX_PIECES: Final = 9_999
MAX_AMOUNT: Final = 10**12

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS goods (
    code TEXT PRIMARY KEY, title TEXT NOT NULL, points INTEGER NOT NULL, fen INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS stock (
    goods TEXT NOT NULL, province TEXT NOT NULL, quantity INTEGER NOT NULL, PRIMARY KEY (goods, province)
);
CREATE TABLE IF NOT EXISTS preorder (
    id INTEGER PRIMARY KEY, order_no TEXT NOT NULL, member_ref TEXT NOT NULL, province TEXT NOT NULL,
    state TEXT NOT NULL, points INTEGER NOT NULL, fen INTEGER NOT NULL, hold_until REAL NOT NULL, ship_at REAL
);
CREATE INDEX IF NOT EXISTS ix_preorder_no ON preorder (order_no);
CREATE INDEX IF NOT EXISTS ix_preorder_state ON preorder (state);
CREATE TABLE IF NOT EXISTS item (
    preorder INTEGER NOT NULL, line_no TEXT NOT NULL, goods TEXT NOT NULL, quantity INTEGER NOT NULL,
    PRIMARY KEY (preorder, line_no)
);
CREATE INDEX IF NOT EXISTS ix_item_goods ON item (goods);
CREATE TABLE IF NOT EXISTS answer (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS clock (ahead_s REAL NOT NULL);
INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM clock);
"""

_FREE: Final = """
SELECT s.quantity - coalesce((
           SELECT sum(i.quantity) FROM item i JOIN preorder p ON p.id = i.preorder
            WHERE i.goods = s.goods AND p.province = s.province AND p.state IN ('PREHELD', 'ORDERED')), 0) AS free
  FROM stock s WHERE s.goods = ? AND s.province = ?
"""


class RefusedError(Exception):
    """The supplier says no: an HTTP status, a code, words, and the goods concerned."""

    def __init__(self, status: int, code: str, message: str, goods: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.goods = goods


class GiftShop:
    """All goods and pre-orders of one supplier.

    A pre-order lapses ``hold_s`` after it was made, or when its asker said, if that is sooner; an order ships
    ``ship_s`` after it was confirmed. Both go by the supplier's clock, which ``set_ahead`` moves.
    """

    def __init__(self, books: Books, *, hold_s: float, ship_s: float) -> None:
        self._books = books
        self._hold_s = hold_s
        self._ship_s = ship_s

    def stock_up(self, goods: Sequence[Mapping[str, Any]]) -> None:
        """Take over ``{sku, title?, points, cash_minor, stock: {region: pieces on the shelf}}``: new, or a change.

        A region is a GB/T 2260 code; its first two digits count. What is pre-ordered stays so.
        """
        with self._books.transaction() as db:
            for one in goods:
                values = (one["sku"], one.get("title", one["sku"]), _count(one["points"]), _count(one["cash_minor"]))
                db.execute(
                    "INSERT INTO goods (code, title, points, fen) VALUES (?, ?, ?, ?) ON CONFLICT (code) DO UPDATE"
                    " SET title = excluded.title, points = excluded.points, fen = excluded.fen",
                    values,
                )
                for region, quantity in one.get("stock", {}).items():
                    db.execute(
                        "INSERT INTO stock (goods, province, quantity) VALUES (?, ?, ?)"
                        " ON CONFLICT DO UPDATE SET quantity = excluded.quantity",
                        (one["sku"], str(region)[:2], _count(quantity)),
                    )

    def once(self, key: str, fingerprint: str, deed: str, number: str, request: Mapping[str, Any]) -> bytes:
        """Do the deed under the asker's key: ``reserve``, ``confirm`` or ``cancel``. The same key, the same answer.

        RefusedError changes nothing and is not kept: 409 ``KEY_REUSED`` if the key stood for another request.
        """
        with self._books.transaction() as db:
            self._advance(db)
            known = db.execute("SELECT fingerprint, body FROM answer WHERE key = ?", (key,)).fetchone()
            if known:
                if known["fingerprint"] != fingerprint:
                    raise RefusedError(409, "KEY_REUSED", f"幂等键 {key} 已用于另一请求")
                return bytes(known["body"])
            if deed == "reserve":
                answer = self._reserve(db, request)
            else:
                answer = self._settle(db, deed, number, str(request["orderNo"]))
            body = orjson.dumps(answer)
            db.execute("INSERT INTO answer (key, fingerprint, body) VALUES (?, ?, ?)", (key, fingerprint, body))
            return body

    def preorders(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Pre-orders in the order of their numbers, after that one; ``id`` beside."""
        with self._books.transaction() as db:
            self._advance(db)
            rows = db.execute("SELECT * FROM preorder WHERE id > ? ORDER BY id LIMIT ?", (after, limit)).fetchall()
        return [{**_told(row), "id": row["id"]} for row in rows]

    def goods(self, province: str, after: str, limit: int) -> list[dict[str, Any]]:
        """What is sold in a province, by code after that one, and how many pieces are free."""
        with self._books.transaction() as db:
            self._advance(db)
            rows = db.execute(
                "SELECT g.* FROM goods g JOIN stock s ON s.goods = g.code WHERE s.province = ? AND g.code > ?"
                " ORDER BY g.code LIMIT ?",
                (province, after, limit),
            ).fetchall()
            return [
                {
                    "goodsCode": row["code"],
                    "title": row["title"],
                    "points": row["points"],
                    "cash": _yuan(row["fen"]),
                    "stock": max(0, _free(db, row["code"], province) or 0),
                }
                for row in rows
            ]

    def ship(self, numbers: Sequence[str] | None = None) -> list[str]:
        """Ship those orders now, or all that are confirmed; the numbers of what left."""
        with self._books.transaction() as db:
            self._advance(db)
            rows = db.execute("SELECT * FROM preorder WHERE state = 'ORDERED' ORDER BY id").fetchall()
            leaving = [row for row in rows if numbers is None or _number(row["id"]) in numbers]
            for row in leaving:
                self._leave(db, row)
        return [_number(row["id"]) for row in leaving]

    def set_ahead(self, ahead_s: float) -> None:
        """Put the supplier's clock ahead of the real one, so that holds lapse without waiting."""
        if not math.isfinite(ahead_s):
            raise ValueError("ahead_s is no number of seconds")
        with self._books.transaction() as db:
            db.execute("UPDATE clock SET ahead_s = ?", (ahead_s,))

    def _now(self, db: sqlite3.Connection) -> float:
        return time.time() + float(db.execute("SELECT ahead_s FROM clock").fetchone()["ahead_s"])

    def _advance(self, db: sqlite3.Connection) -> None:
        """What time has done since the last look: pre-orders lapsed, orders shipped."""
        now = self._now(db)
        db.execute("UPDATE preorder SET state = 'LAPSED' WHERE state = 'PREHELD' AND hold_until <= ?", (now,))
        for row in db.execute("SELECT * FROM preorder WHERE state = 'ORDERED' AND ship_at <= ?", (now,)).fetchall():
            self._leave(db, row)

    def _leave(self, db: sqlite3.Connection, order: Mapping[str, Any]) -> None:
        for item in db.execute("SELECT goods, quantity FROM item WHERE preorder = ?", (order["id"],)).fetchall():
            db.execute(
                "UPDATE stock SET quantity = quantity - ? WHERE goods = ? AND province = ?",
                (item["quantity"], item["goods"], order["province"]),
            )
        db.execute("UPDATE preorder SET state = 'SHIPPED' WHERE id = ?", (order["id"],))

    def _reserve(self, db: sqlite3.Connection, request: Mapping[str, Any]) -> dict[str, Any]:
        order_no, province, items = str(request["orderNo"]), str(request["provinceCode"]), request["items"]
        live = "SELECT 1 FROM preorder WHERE order_no = ? AND state IN ('PREHELD', 'ORDERED', 'SHIPPED')"
        if db.execute(live, (order_no,)).fetchone():
            raise RefusedError(409, "ORDER_EXISTS", f"订单 {order_no} 已有有效预订单")
        if not 1 <= len(items) <= MAX_ITEMS:
            raise RefusedError(400, "BAD_REQUEST", f"明细须为 1 至 {MAX_ITEMS} 行")
        now = self._now(db)
        until = min(now + self._hold_s, int(request["holdUntil"]) / 1000)
        if until <= now:
            raise RefusedError(409, "LAPSED", f"订单 {order_no} 的保留时间已过")
        number = db.execute(
            "INSERT INTO preorder (order_no, member_ref, province, state, points, fen, hold_until)"
            " VALUES (?, ?, ?, 'PREHELD', 0, 0, ?)",
            (order_no, str(request["memberRef"]), province, until),
        ).lastrowid
        assert number is not None
        for item in items:
            self._take(db, number, province, item)
        return _told(_preorder(db, number))

    def _take(self, db: sqlite3.Connection, number: int, province: str, item: Mapping[str, Any]) -> None:
        code, quantity = str(item["goodsCode"]), int(item["quantity"])
        points, fen = _count(item["points"]), _fen(item["cash"])
        if not 1 <= quantity <= MAX_PIECES:
            raise RefusedError(400, "BAD_REQUEST", f"商品 {code} 数量须为 1 至 {MAX_PIECES}", code)
        goods = db.execute("SELECT * FROM goods WHERE code = ?", (code,)).fetchone()
        if goods is None:
            raise RefusedError(404, "UNKNOWN_GOODS", f"商品 {code} 不存在", code)
        if (points, fen) != (goods["points"] * quantity, goods["fen"] * quantity):
            present = f"{goods['points']} 积分 + {_yuan(goods['fen'])} 元"
            raise RefusedError(409, "PRICE_CHANGED", f"商品 {code} 现价每件 {present}", code)
        free = _free(db, code, province)
        if free is None or free < quantity:
            raise RefusedError(409, "OUT_OF_STOCK", f"商品 {code} 在 {province} 库存不足", code)
        db.execute(
            "INSERT INTO item (preorder, line_no, goods, quantity) VALUES (?, ?, ?, ?)",
            (number, str(item["lineNo"]), code, quantity),
        )
        db.execute("UPDATE preorder SET points = points + ?, fen = fen + ? WHERE id = ?", (points, fen, number))

    def _settle(self, db: sqlite3.Connection, deed: str, number: str, order_no: str) -> dict[str, Any]:
        known = number.startswith("G") and number[1:].isascii() and number[1:].isdecimal() and len(number) <= 18
        row = _preorder(db, int(number[1:])) if known else None
        if row is None or row["order_no"] != order_no:
            raise RefusedError(404, "UNKNOWN_ORDER", f"预订单 {number} 不存在或不属于订单 {order_no}")
        if deed == "confirm":
            self._confirm(db, row)
        else:
            self._cancel(db, row)
        return _told(_preorder(db, row["id"]))

    def _confirm(self, db: sqlite3.Connection, row: Mapping[str, Any]) -> None:
        if row["state"] in ("LAPSED", "CANCELLED"):
            word = "已过期" if row["state"] == "LAPSED" else "已取消"
            raise RefusedError(409, row["state"], f"订单 {row['order_no']} 的预订单{word}")
        if row["state"] == "PREHELD":
            ship_at = self._now(db) + self._ship_s
            db.execute("UPDATE preorder SET state = 'ORDERED', ship_at = ? WHERE id = ?", (ship_at, row["id"]))

    def _cancel(self, db: sqlite3.Connection, row: Mapping[str, Any]) -> None:
        if row["state"] == "SHIPPED":
            raise RefusedError(409, "SHIPPED", f"订单 {row['order_no']} 已发货，不可取消")
        if row["state"] in ("PREHELD", "ORDERED"):
            db.execute("UPDATE preorder SET state = 'CANCELLED' WHERE id = ?", (row["id"],))


def _preorder(db: sqlite3.Connection, number: int) -> Any:
    return db.execute("SELECT * FROM preorder WHERE id = ?", (number,)).fetchone()


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """A pre-order as the supplier tells it: nothing is billed for what is cancelled or lapsed."""
    billed = row["state"] not in ("CANCELLED", "LAPSED")
    return {
        "preorderNo": _number(row["id"]),
        "orderNo": row["order_no"],
        "state": row["state"],
        "points": row["points"] if billed else 0,
        "cash": _yuan(row["fen"] if billed else 0),
        "holdUntil": int(row["hold_until"] * 1000),
    }


def _free(db: sqlite3.Connection, code: str, province: str) -> int | None:
    row = db.execute(_FREE, (code, province)).fetchone()
    return None if row is None else int(row["free"])


def _number(row_id: int) -> str:
    return f"G{row_id:08d}"


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _fen(yuan: Any) -> int:
    fen = Decimal(str(yuan)) * 100
    if not fen.is_finite() or fen != fen.to_integral_value():
        raise ValueError("cash")
    return _count(int(fen))


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_AMOUNT:
        raise ValueError(f"数值须为 0 至 {MAX_AMOUNT} 的整数")
    return value
