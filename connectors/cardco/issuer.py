"""The simulated voucher supplier: what it sells, what is ordered of it, and what it bills."""

import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors.kit.books import Books

HELD: Final = "10"
ORDERED: Final = "20"
DELIVERED: Final = "21"
CANCELLED: Final = "30"
LAPSED: Final = "40"
NATIONWIDE: Final = "*"
MAX_COUNT: Final = 10**12
TIME: Final = "%Y-%m-%d %H:%M:%S"

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS goods (
    code TEXT PRIMARY KEY, title TEXT NOT NULL, points INTEGER NOT NULL, fen INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS pool (
    goods TEXT NOT NULL, area TEXT NOT NULL, quantity INTEGER NOT NULL, PRIMARY KEY (goods, area)
);
CREATE TABLE IF NOT EXISTS card_order (
    id INTEGER PRIMARY KEY, order_no TEXT NOT NULL, member_ref TEXT NOT NULL, status TEXT NOT NULL,
    points INTEGER NOT NULL DEFAULT 0, fen INTEGER NOT NULL DEFAULT 0, hold_until REAL NOT NULL, deliver_at REAL
);
CREATE INDEX IF NOT EXISTS ix_card_order_no ON card_order (order_no);
CREATE INDEX IF NOT EXISTS ix_card_order_status ON card_order (status);
CREATE TABLE IF NOT EXISTS taken (
    card_order INTEGER NOT NULL, goods TEXT NOT NULL, area TEXT NOT NULL, quantity INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS ix_taken ON taken (goods, area);
CREATE INDEX IF NOT EXISTS ix_taken_order ON taken (card_order);
CREATE TABLE IF NOT EXISTS trace (
    trace_no TEXT NOT NULL, card_order INTEGER NOT NULL, PRIMARY KEY (trace_no, card_order)
);
CREATE TABLE IF NOT EXISTS clock (ahead_s REAL NOT NULL);
INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM clock);
"""

_POOL: Final = """
SELECT p.area, p.quantity - coalesce((
           SELECT sum(t.quantity) FROM taken t JOIN card_order o ON o.id = t.card_order
            WHERE t.goods = p.goods AND t.area = p.area AND o.status IN ('10', '20')), 0) AS free
  FROM pool p WHERE p.goods = ? AND p.area IN (?, '*') ORDER BY p.area = '*' LIMIT 1
"""


class RefusedError(Exception):
    """The supplier says no: a result code, words, and the goods concerned."""

    def __init__(self, code: str, message: str, goods: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.goods = goods


class CardHouse:
    """Everything that one supplier sells, and its orders.

    A pre-order lapses ``hold_s`` after it was made; an order is delivered ``deliver_s`` after it was confirmed. Both
    go by the supplier's clock, which ``set_ahead`` moves.
    """

    def __init__(self, books: Books, *, hold_s: float, deliver_s: float, zone: ZoneInfo) -> None:
        self._books = books
        self._hold_s = hold_s
        self._deliver_s = deliver_s
        self._zone = zone

    def stock_up(self, goods: Sequence[Mapping[str, Any]]) -> None:
        """Take over ``{sku, title?, points, cash_minor, stock: {region: pieces}}``: new, or a change.

        A region is a GB/T 2260 code, whose first two digits count, or ``*`` for every area that has no stock of its
        own. What is pre-ordered stays so.
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
                        "INSERT INTO pool (goods, area, quantity) VALUES (?, ?, ?)"
                        " ON CONFLICT DO UPDATE SET quantity = excluded.quantity",
                        (one["sku"], str(region)[:2], _count(quantity)),
                    )

    def pre_order(
        self, trace_no: str, order_no: str, member_ref: str, area: str, items: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Keep the goods; the order. A second call keeps them a second time.

        RefusedError 2001 unknown goods, 2002 too few, 2003 another price.
        """
        with self._books.transaction() as db:
            now = self._advance(db)
            number = db.execute(
                "INSERT INTO card_order (order_no, member_ref, status, hold_until) VALUES (?, ?, ?, ?)",
                (order_no, member_ref, HELD, now + self._hold_s),
            ).lastrowid
            assert number is not None
            for item in items:
                _take(db, number, area, item)
            return self._filed(db, trace_no, number)

    def confirm(self, trace_no: str, number: str, order_no: str) -> dict[str, Any]:
        """Make the pre-order an order; one that is ordered stays so. RefusedError 3001, 3002 lapsed, 3004 cancelled."""
        with self._books.transaction() as db:
            now = self._advance(db)
            row = _known(db, number, order_no)
            if row["status"] == LAPSED:
                raise RefusedError("3002", f"订单 {order_no} 的预占已过期")
            if row["status"] == CANCELLED:
                raise RefusedError("3004", f"订单 {order_no} 已取消")
            if row["status"] == HELD:
                db.execute(
                    "UPDATE card_order SET status = ?, deliver_at = ? WHERE id = ?",
                    (ORDERED, now + self._deliver_s, row["id"]),
                )
            return self._filed(db, trace_no, row["id"])

    def cancel(self, trace_no: str, number: str, order_no: str) -> dict[str, Any]:
        """Release a pre-order, or take an order back that is not delivered; else RefusedError 3001, 3003 delivered."""
        with self._books.transaction() as db:
            self._advance(db)
            row = _known(db, number, order_no)
            if row["status"] == DELIVERED:
                raise RefusedError("3003", f"订单 {order_no} 已发放，不可取消")
            if row["status"] in (HELD, ORDERED):
                db.execute("UPDATE card_order SET status = ? WHERE id = ?", (CANCELLED, row["id"]))
            return self._filed(db, trace_no, row["id"])

    def orders(
        self, trace_no: str | None, order_no: str | None, after: int, limit: int
    ) -> list[tuple[int, dict[str, Any]]]:
        """Orders with their numbers, after that one: all, or those of a call, or those of an order number."""
        sql = (
            "SELECT * FROM card_order o WHERE id > ? AND (? IS NULL OR order_no = ?)"
            " AND (? IS NULL OR EXISTS (SELECT 1 FROM trace t WHERE t.trace_no = ? AND t.card_order = o.id))"
            " ORDER BY id LIMIT ?"
        )
        with self._books.transaction() as db:
            self._advance(db)
            rows = db.execute(sql, (after, order_no, order_no, trace_no, trace_no, limit)).fetchall()
        return [(row["id"], self._told(row)) for row in rows]

    def goods(self, area: str, after: str, limit: int) -> list[dict[str, Any]]:
        """What is sold in an area, by code after that one, and how much of it is free."""
        sql = (
            "SELECT * FROM goods g WHERE code > ? AND EXISTS"
            " (SELECT 1 FROM pool p WHERE p.goods = g.code AND p.area IN (?, '*')) ORDER BY code LIMIT ?"
        )
        with self._books.transaction() as db:
            self._advance(db)
            found = db.execute(sql, (after, area, limit)).fetchall()
            free = {row["code"]: db.execute(_POOL, (row["code"], area)).fetchone()["free"] for row in found}
        return [
            {
                "goodsCode": row["code"],
                "title": row["title"],
                "points": row["points"],
                "cashFen": row["fen"],
                "stock": max(0, free[row["code"]]),
            }
            for row in found
        ]

    def deliver(self, numbers: Sequence[str] | None = None) -> list[str]:
        """Deliver those orders now, or all that are confirmed; the numbers of what was delivered."""
        with self._books.transaction() as db:
            self._advance(db)
            rows = db.execute("SELECT id FROM card_order WHERE status = ? ORDER BY id", (ORDERED,)).fetchall()
            due = [row["id"] for row in rows if numbers is None or _number(row["id"]) in numbers]
            for order in due:
                _deliver(db, order)
        return [_number(order) for order in due]

    def set_ahead(self, ahead_s: float) -> None:
        """Put the supplier's clock ahead of the real one, so that holds lapse without waiting."""
        if not math.isfinite(ahead_s):
            raise ValueError("ahead_s is no number of seconds")
        with self._books.transaction() as db:
            db.execute("UPDATE clock SET ahead_s = ?", (ahead_s,))

    def _advance(self, db: sqlite3.Connection) -> float:
        """What time has done since the last look: pre-orders lapsed, orders delivered. Now, by this clock."""
        now = time.time() + float(db.execute("SELECT ahead_s FROM clock").fetchone()["ahead_s"])
        db.execute("UPDATE card_order SET status = ? WHERE status = ? AND hold_until <= ?", (LAPSED, HELD, now))
        due = "SELECT id FROM card_order WHERE status = ? AND deliver_at <= ?"
        for row in db.execute(due, (ORDERED, now)).fetchall():
            _deliver(db, row["id"])
        return now

    def _filed(self, db: sqlite3.Connection, trace_no: str, order: int) -> dict[str, Any]:
        """The order, after the call that made or changed it was noted."""
        db.execute("INSERT INTO trace (trace_no, card_order) VALUES (?, ?) ON CONFLICT DO NOTHING", (trace_no, order))
        return self._told(db.execute("SELECT * FROM card_order WHERE id = ?", (order,)).fetchone())

    def _told(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """An order as the supplier tells it: nothing is billed for what is cancelled or lapsed."""
        billed = row["status"] not in (CANCELLED, LAPSED)
        return {
            "cardOrderNo": _number(row["id"]),
            "orderNo": row["order_no"],
            "status": row["status"],
            "points": row["points"] if billed else 0,
            "cashFen": row["fen"] if billed else 0,
            "holdUntil": datetime.fromtimestamp(row["hold_until"], self._zone).strftime(TIME),
        }


def _take(db: sqlite3.Connection, order: int, area: str, item: Mapping[str, Any]) -> None:
    code, quantity, points, fen = item["goodsCode"], item["quantity"], item["points"], item["cashFen"]
    goods = db.execute("SELECT * FROM goods WHERE code = ?", (code,)).fetchone()
    if goods is None:
        raise RefusedError("2001", f"商品 {code} 不存在", code)
    if (points, fen) != (goods["points"] * quantity, goods["fen"] * quantity):
        raise RefusedError("2003", f"商品 {code} 现价每件 {goods['points']} 积分 + {goods['fen']} 分", code)
    pool = db.execute(_POOL, (code, area)).fetchone()
    if pool is None or pool["free"] < quantity:
        raise RefusedError("2002", f"商品 {code} 在 {area} 库存不足", code)
    db.execute(
        "INSERT INTO taken (card_order, goods, area, quantity) VALUES (?, ?, ?, ?)",
        (order, code, pool["area"], quantity),
    )
    db.execute("UPDATE card_order SET points = points + ?, fen = fen + ? WHERE id = ?", (points, fen, order))


def _known(db: sqlite3.Connection, number: str, order_no: str) -> Any:
    for row in db.execute("SELECT * FROM card_order WHERE order_no = ?", (order_no,)):
        if _number(row["id"]) == number:
            return row
    raise RefusedError("3001", f"订单 {number} 不存在或不属于 {order_no}")


def _deliver(db: sqlite3.Connection, order: int) -> None:
    for taken in db.execute("SELECT goods, area, quantity FROM taken WHERE card_order = ?", (order,)).fetchall():
        db.execute(
            "UPDATE pool SET quantity = quantity - ? WHERE goods = ? AND area = ?",
            (taken["quantity"], taken["goods"], taken["area"]),
        )
    db.execute("UPDATE card_order SET status = ? WHERE id = ?", (DELIVERED, order))


def _number(row_id: int) -> str:
    return f"C{row_id:09d}"


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"数值须为 0 至 {MAX_COUNT} 的整数")
    return value
