"""The simulated gift supplier's order desk: one answer for each key, one live pre-order for each order."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from connectors.kit.books import Books
from connectors.kit.preorders import Item, PreOrders, Reason, RefusedError, Row, State

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS answer (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, body BLOB NOT NULL);"
)

_STATES: Final[Mapping[State, str]] = {
    State.HELD: "PREHELD",
    State.ORDERED: "ORDERED",
    State.SHIPPED: "SHIPPED",
    State.CANCELLED: "CANCELLED",
    State.LAPSED: "LAPSED",
}
_OVER: Final = frozenset({State.CANCELLED, State.LAPSED})
_STATUSES: Final = {Reason.UNKNOWN_GOODS: 404, Reason.UNKNOWN_ORDER: 404}


class AnswerError(Exception):
    """A refusal as the supplier answers it: an HTTP status, a code, words, and the goods concerned."""

    def __init__(self, status: int, code: str, message: str, goods: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.goods = goods


class OrderDesk:
    """Answers requests for pre-orders in the words of the interface."""

    def __init__(self, books: Books, preorders: PreOrders) -> None:
        books.extend(SCHEMA)
        self._preorders = preorders

    def once(self, key: str, fingerprint: str, deed: str, number: str, request: Mapping[str, Any]) -> bytes:
        """Do the deed under the asker's key: ``reserve``, ``confirm`` or ``cancel``. The same key, the same answer.

        AnswerError changes nothing and is not kept: ``KEY_REUSED`` if the key stood for another request,
        ``ORDER_EXISTS``, and the reasons of ``PreOrders``.
        """
        with self._preorders.open() as db:
            known = db.execute("SELECT fingerprint, body FROM answer WHERE key = ?", (key,)).fetchone()
            if known and known["fingerprint"] != fingerprint:
                raise AnswerError(409, "KEY_REUSED", f"幂等键 {key} 已用于另一请求")
            if known:
                return bytes(known["body"])
            try:
                row = self._do(db, deed, number, request)
            except RefusedError as error:
                status = _STATUSES.get(error.reason, 409)
                raise AnswerError(status, error.reason.upper(), error.message, error.goods) from error
            body = orjson.dumps(told(row))
            db.execute("INSERT INTO answer (key, fingerprint, body) VALUES (?, ?, ?)", (key, fingerprint, body))
            return body

    def _do(self, db: Any, deed: str, number: str, request: Mapping[str, Any]) -> Row:
        order_no = str(request["orderNo"])
        if deed == "confirm":
            return self._preorders.confirm(db, number, order_no)
        if deed == "cancel":
            return self._preorders.cancel(db, number, order_no)
        if any(row["state"] not in _OVER for row in self._preorders.named(db, order_no)):
            raise AnswerError(409, "ORDER_EXISTS", f"订单 {order_no} 已有有效预订单")
        return self._preorders.reserve(
            db,
            order_no=order_no,
            member_ref=str(request["memberRef"]),
            area=str(request["provinceCode"]),
            items=[_item(item) for item in request["items"]],
            until=int(request["holdUntil"]) / 1000,
        )


def told(row: Row) -> dict[str, Any]:
    """A pre-order as the supplier tells it."""
    return {
        "preorderNo": row["number"],
        "orderNo": row["order_no"],
        "state": _STATES[row["state"]],
        "points": row["points"],
        "cash": yuan(row["cash_minor"]),
        "holdUntil": int(row["hold_until"] * 1000),
    }


def yuan(fen: int) -> str:
    """An amount as the supplier writes it."""
    return f"{fen // 100}.{fen % 100:02d}"


def _item(item: Mapping[str, Any]) -> Item:
    fen = Decimal(str(item["cash"])) * 100
    if not fen.is_finite() or fen != fen.to_integral_value():
        raise ValueError("cash")
    return Item(str(item["goodsCode"]), int(item["quantity"]), item["points"], int(fen))
