"""What simulated suppliers share: goods with stock by area, pre-orders that lapse, orders that leave, their bill."""

import math
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.kit.books import Books
from connectors.kit.simulator import json_response

MAX_ITEMS: Final = 500
MAX_PIECES: Final = 9_999
MAX_AMOUNT: Final = 10**12
MAX_HOLD_S: Final = 10**8

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS goods (
    code TEXT PRIMARY KEY, title TEXT NOT NULL, points INTEGER NOT NULL, cash_minor INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS shelf (
    goods TEXT NOT NULL, area TEXT NOT NULL, quantity INTEGER NOT NULL, PRIMARY KEY (goods, area)
);
CREATE TABLE IF NOT EXISTS preorder (
    id INTEGER PRIMARY KEY, order_no TEXT NOT NULL, member_ref TEXT NOT NULL, state TEXT NOT NULL,
    points INTEGER NOT NULL DEFAULT 0, cash_minor INTEGER NOT NULL DEFAULT 0, hold_until REAL NOT NULL, ship_at REAL
);
CREATE INDEX IF NOT EXISTS ix_preorder_no ON preorder (order_no);
CREATE INDEX IF NOT EXISTS ix_preorder_state ON preorder (state);
CREATE TABLE IF NOT EXISTS taken (
    preorder INTEGER NOT NULL, goods TEXT NOT NULL, area TEXT NOT NULL, quantity INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS ix_taken_goods ON taken (goods, area);
CREATE INDEX IF NOT EXISTS ix_taken_preorder ON taken (preorder);
CREATE TABLE IF NOT EXISTS clock (ahead_s REAL NOT NULL);
INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM clock);
"""
_SHELF: Final = """
SELECT s.area, s.quantity - coalesce((
           SELECT sum(t.quantity) FROM taken t JOIN preorder p ON p.id = t.preorder
            WHERE t.goods = s.goods AND t.area = s.area AND p.state IN ('held', 'ordered')), 0) AS free
  FROM shelf s WHERE s.goods = ? AND s.area IN (?, '*') ORDER BY s.area = '*' LIMIT 1
"""

Row = dict[str, Any]


class State(StrEnum):
    """Where an order stands."""

    HELD = "held"
    ORDERED = "ordered"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"


class Reason(StrEnum):
    """Why a supplier says no."""

    UNKNOWN_GOODS = "unknown_goods"
    OUT_OF_STOCK = "out_of_stock"
    PRICE_CHANGED = "price_changed"
    UNKNOWN_ORDER = "unknown_order"
    LAPSED = "lapsed"
    CANCELLED = "cancelled"
    SHIPPED = "shipped"


class RefusedError(Exception):
    """The supplier says no to an order, or to ``goods`` of it; its simulator knows the protocol's code for it."""

    def __init__(self, reason: Reason, message: str, goods: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.goods = goods


@dataclass(frozen=True, slots=True)
class Item:
    """Goods of an order; ``points`` and ``cash_minor`` are what the buyer believes all its pieces cost."""

    goods: str
    quantity: int
    points: int
    cash_minor: int


class PreOrders:
    """All goods and orders of one supplier.

    A pre-order lapses ``hold_s`` after it was made, an order leaves ``ship_s`` after it was confirmed, by the
    supplier's clock, which ``set_ahead`` moves. An order is told as ``id, number, order_no, state, points,
    cash_minor`` (as billed: 0 when cancelled or lapsed) and ``hold_until`` (Unix time); ``number`` begins with
    ``prefix``. Whatever takes ``db`` is done within ``open``.
    """

    def __init__(self, books: Books, *, prefix: str, hold_s: float, ship_s: float) -> None:
        if not 0 < hold_s <= MAX_HOLD_S:
            raise ValueError(f"hold_s is above 0 and at most {MAX_HOLD_S}")
        books.extend(_SCHEMA)
        self._books = books
        self._prefix = prefix
        self._hold_s = hold_s
        self._ship_s = ship_s

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A transaction on the books, brought up to what time has done: pre-orders lapsed, orders left."""
        with self._books.transaction() as db:
            now = _now(db)
            db.execute("UPDATE preorder SET state = 'lapsed' WHERE state = 'held' AND hold_until <= ?", (now,))
            due = "SELECT id FROM preorder WHERE state = 'ordered' AND ship_at <= ?"
            for row in db.execute(due, (now,)).fetchall():
                _leave(db, row["id"])
            yield db

    def stock_up(self, goods: Sequence[Mapping[str, Any]]) -> None:
        """Take over ``{sku, title?, points, cash_minor, stock: {region: pieces}}``: new, or a change.

        Prices are a piece's. A region is a GB/T 2260 code, whose first two digits count, or ``*`` for every area
        without stock of its own. What is ordered stays so. ValueError when a figure is none.
        """
        with self.open() as db:
            for one in goods:
                values = (one["sku"], one.get("title", one["sku"]), _count(one["points"]), _count(one["cash_minor"]))
                db.execute(
                    "INSERT INTO goods (code, title, points, cash_minor) VALUES (?, ?, ?, ?) ON CONFLICT (code)"
                    " DO UPDATE SET title = excluded.title, points = excluded.points, cash_minor = excluded.cash_minor",
                    values,
                )
                for region, quantity in one.get("stock", {}).items():
                    db.execute(
                        "INSERT INTO shelf (goods, area, quantity) VALUES (?, ?, ?)"
                        " ON CONFLICT DO UPDATE SET quantity = excluded.quantity",
                        (one["sku"], str(region)[:2], _count(quantity)),
                    )

    def reserve(
        self,
        db: sqlite3.Connection,
        *,
        order_no: str,
        member_ref: str,
        area: str,
        items: Sequence[Item],
        until: float = math.inf,
    ) -> Row:
        """Keep the goods, at the latest to ``until``; the pre-order. Knows nothing of an earlier one.

        RefusedError UNKNOWN_GOODS, OUT_OF_STOCK, PRICE_CHANGED, LAPSED (``until`` has passed); ValueError when it
        orders nothing or too much.
        """
        if not 1 <= len(items) <= MAX_ITEMS:
            raise ValueError(f"明细须为 1 至 {MAX_ITEMS} 行")
        now = _now(db)
        if until <= now:
            raise RefusedError(Reason.LAPSED, f"订单 {order_no} 的保留时间已过")
        cursor = db.execute(
            "INSERT INTO preorder (order_no, member_ref, state, hold_until) VALUES (?, ?, 'held', ?)",
            (order_no, member_ref, min(until, now + self._hold_s)),
        )
        assert cursor.lastrowid is not None
        for item in items:
            _take(db, cursor.lastrowid, area, item)
        return self._read(db, cursor.lastrowid)

    def confirm(self, db: sqlite3.Connection, number: str, order_no: str) -> Row:
        """Make the pre-order an order; one that is ordered stays so. RefusedError UNKNOWN_ORDER, LAPSED, CANCELLED."""
        row = self._known(db, number, order_no)
        if row["state"] == State.LAPSED:
            raise RefusedError(Reason.LAPSED, f"订单 {order_no} 的预订单已过期")
        if row["state"] == State.CANCELLED:
            raise RefusedError(Reason.CANCELLED, f"订单 {order_no} 的预订单已取消")
        if row["state"] == State.HELD:
            ship_at = _now(db) + self._ship_s
            db.execute("UPDATE preorder SET state = 'ordered', ship_at = ? WHERE id = ?", (ship_at, row["id"]))
        return self._read(db, row["id"])

    def cancel(self, db: sqlite3.Connection, number: str, order_no: str) -> Row:
        """Release a pre-order, or take back an order that has not left; what is over stays as it is.

        RefusedError UNKNOWN_ORDER, SHIPPED.
        """
        row = self._known(db, number, order_no)
        if row["state"] == State.SHIPPED:
            raise RefusedError(Reason.SHIPPED, f"订单 {order_no} 已发货，不可取消")
        if row["state"] in (State.HELD, State.ORDERED):
            db.execute("UPDATE preorder SET state = 'cancelled' WHERE id = ?", (row["id"],))
        return self._read(db, row["id"])

    def named(self, db: sqlite3.Connection, order_no: str) -> list[Row]:
        """Every order under that number of the buyer's."""
        rows = db.execute("SELECT * FROM preorder WHERE order_no = ? ORDER BY id", (order_no,)).fetchall()
        return [self._told(row) for row in rows]

    def numbered(self, db: sqlite3.Connection, ids: Sequence[int]) -> list[Row]:
        """The orders of those ids."""
        return [self._read(db, one) for one in ids]

    def page(self, db: sqlite3.Connection, after: int, limit: int) -> list[Row]:
        """Orders by id, after that one."""
        rows = db.execute("SELECT * FROM preorder WHERE id > ? ORDER BY id LIMIT ?", (after, limit)).fetchall()
        return [self._told(row) for row in rows]

    def goods(self, area: str, after: str, limit: int) -> list[Row]:
        """What is sold in an area, by code after that one: ``code, title, points, cash_minor, free``."""
        sql = (
            "SELECT * FROM goods g WHERE code > ? AND EXISTS"
            " (SELECT 1 FROM shelf s WHERE s.goods = g.code AND s.area IN (?, '*')) ORDER BY code LIMIT ?"
        )
        with self.open() as db:
            rows = [dict(row) for row in db.execute(sql, (after, area, limit))]
            return [{**row, "free": max(0, db.execute(_SHELF, (row["code"], area)).fetchone()["free"])} for row in rows]

    def ship(self, numbers: Sequence[str] | None = None) -> list[str]:
        """Let those orders leave now, or all that are confirmed; the numbers of what left."""
        with self.open() as db:
            ids = [row["id"] for row in db.execute("SELECT id FROM preorder WHERE state = 'ordered' ORDER BY id")]
            leaving = [one for one in ids if numbers is None or self._number(one) in numbers]
            for one in leaving:
                _leave(db, one)
        return [self._number(one) for one in leaving]

    def set_ahead(self, ahead_s: float) -> None:
        """Put the supplier's clock ahead of the real one, so that nobody waits. ValueError for no number."""
        if not math.isfinite(ahead_s):
            raise ValueError("ahead_s is no number of seconds")
        with self._books.transaction() as db:
            db.execute("UPDATE clock SET ahead_s = ?", (ahead_s,))

    def _known(self, db: sqlite3.Connection, number: str, order_no: str) -> Row:
        for row in self.named(db, order_no):
            if row["number"] == number:
                return row
        raise RefusedError(Reason.UNKNOWN_ORDER, f"预订单 {number} 不存在或不属于订单 {order_no}")

    def _read(self, db: sqlite3.Connection, one: int) -> Row:
        return self._told(db.execute("SELECT * FROM preorder WHERE id = ?", (one,)).fetchone())

    def _told(self, row: Mapping[str, Any]) -> Row:
        billed = row["state"] not in (State.CANCELLED, State.LAPSED)
        return {
            "id": row["id"],
            "number": self._number(row["id"]),
            "order_no": row["order_no"],
            "state": State(row["state"]),
            "points": row["points"] if billed else 0,
            "cash_minor": row["cash_minor"] if billed else 0,
            "hold_until": row["hold_until"],
        }

    def _number(self, one: int) -> str:
        return f"{self._prefix}{one:08d}"


def _now(db: sqlite3.Connection) -> float:
    return time.time() + float(db.execute("SELECT ahead_s FROM clock").fetchone()["ahead_s"])


def _take(db: sqlite3.Connection, preorder: int, area: str, item: Item) -> None:
    quantity, price = item.quantity, (_count(item.points), _count(item.cash_minor))
    if not 1 <= quantity <= MAX_PIECES:
        raise ValueError(f"商品 {item.goods} 数量须为 1 至 {MAX_PIECES}")
    goods = db.execute("SELECT * FROM goods WHERE code = ?", (item.goods,)).fetchone()
    if goods is None:
        raise RefusedError(Reason.UNKNOWN_GOODS, f"商品 {item.goods} 不存在", item.goods)
    if price != (goods["points"] * quantity, goods["cash_minor"] * quantity):
        present = f"{goods['points']} 积分 + {goods['cash_minor']} 分"
        raise RefusedError(Reason.PRICE_CHANGED, f"商品 {item.goods} 现价每件 {present}", item.goods)
    shelf = db.execute(_SHELF, (item.goods, area)).fetchone()
    if shelf is None or shelf["free"] < quantity:
        raise RefusedError(Reason.OUT_OF_STOCK, f"商品 {item.goods} 在 {area} 库存不足", item.goods)
    db.execute(
        "INSERT INTO taken (preorder, goods, area, quantity) VALUES (?, ?, ?, ?)",
        (preorder, item.goods, shelf["area"], quantity),
    )
    db.execute("UPDATE preorder SET points = points + ?, cash_minor = cash_minor + ? WHERE id = ?", (*price, preorder))


def _leave(db: sqlite3.Connection, preorder: int) -> None:
    for taken in db.execute("SELECT goods, area, quantity FROM taken WHERE preorder = ?", (preorder,)).fetchall():
        db.execute(
            "UPDATE shelf SET quantity = quantity - ? WHERE goods = ? AND area = ?",
            (taken["quantity"], taken["goods"], taken["area"]),
        )
    db.execute("UPDATE preorder SET state = 'shipped' WHERE id = ?", (preorder,))


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_AMOUNT:
        raise ValueError(f"数值须为 0 至 {MAX_AMOUNT} 的整数")
    return value


def preorder_controls(preorders: PreOrders) -> list[Route]:
    """``POST /_goods`` (see ``stock_up``), ``POST /_ship`` (numbers; no body: all), ``PUT /_clock {ahead_s}``."""

    async def goods(request: Request) -> Any:
        preorders.stock_up(orjson.loads(await request.body()))
        return {}

    async def ship(request: Request) -> Any:
        body = await request.body()
        return {"shipped": preorders.ship(orjson.loads(body) if body else None)}

    async def clock(request: Request) -> Any:
        preorders.set_ahead(float(orjson.loads(await request.body())["ahead_s"]))
        return {}

    return [
        Route("/_goods", _controlled(goods), methods=["POST"]),
        Route("/_ship", _controlled(ship), methods=["POST"]),
        Route("/_clock", _controlled(clock), methods=["PUT"]),
    ]


def _controlled(handler: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return json_response(await handler(request))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return json_response({"detail": f"{type(error).__name__}: {error}"}, 422)

    return answer
