"""The simulated voucher supplier's SOAP service: what its operations answer."""

import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from lxml import etree

from connectors.cardco.client import OK, WSDL
from connectors.kit.books import Books
from connectors.kit.preorders import Item, PreOrders, Reason, RefusedError, Row, State
from connectors.kit.soap_service import Answer, FaultError, Operation, SoapService

SPACE: Final = "http://service.cardco.example.cn/card"
TIME: Final = "%Y-%m-%d %H:%M:%S"
MAX_TOKEN: Final = 18

_BUSY: Final[Answer] = {"resultCode": "9001", "resultMsg": "系统繁忙"}
_STATUSES: Final[Mapping[State, str]] = {
    State.HELD: "10",
    State.ORDERED: "20",
    State.SHIPPED: "21",
    State.CANCELLED: "30",
    State.LAPSED: "40",
}
_CODES: Final[Mapping[Reason, str]] = {
    Reason.UNKNOWN_GOODS: "2001",
    Reason.OUT_OF_STOCK: "2002",
    Reason.PRICE_CHANGED: "2003",
    Reason.UNKNOWN_ORDER: "3001",
    Reason.LAPSED: "3002",
    Reason.SHIPPED: "3003",
    Reason.CANCELLED: "3004",
}
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS trace (
    trace_no TEXT NOT NULL, preorder INTEGER NOT NULL, PRIMARY KEY (trace_no, preorder)
);
"""


class CardService:
    """Answers envelopes over the books. ``page_rows``: the most rows that this supplier puts into one page; ``busy``:
    whether it has no time just now. A call is noted under its trace number, and that is all that is done with it."""

    def __init__(
        self,
        books: Books,
        preorders: PreOrders,
        *,
        user: str,
        password: str,
        zone: ZoneInfo,
        page_rows: int,
        busy: Callable[[], bool],
    ) -> None:
        books.extend(_SCHEMA)
        self._preorders = preorders
        self._zone = zone
        self._page_rows = page_rows
        self._busy = busy
        operations = {
            "PreOrder": self._pre_order,
            "ConfirmOrder": self._confirm,
            "CancelOrder": self._cancel,
            "QueryOrders": self._query_orders,
            "QueryGoods": self._query_goods,
        }
        guarded = {name: self._guarded(operation) for name, operation in operations.items()}
        self._service = SoapService(WSDL, SPACE, user=user, password=password, operations=guarded)

    def answer(self, content: bytes) -> tuple[int, bytes]:
        """HTTP status and envelope."""
        return self._service.answer(content)

    def _guarded(self, operation: Operation) -> Operation:
        """The operation's answer, or a refusal in the supplier's words, both in a 200."""

        def answer(request: etree._Element) -> Answer:
            if self._busy():
                return _BUSY
            try:
                return {"resultCode": OK, "resultMsg": "成功", **operation(request)}
            except RefusedError as error:
                return {
                    "resultCode": _CODES[error.reason],
                    "resultMsg": error.message,
                    "goodsCode": error.goods,
                }

        return answer

    def _pre_order(self, request: etree._Element) -> Answer:
        given = _texts(request)
        with self._preorders.open() as db:
            row = self._preorders.reserve(
                db,
                order_no=given["orderNo"],
                member_ref=given["memberRef"],
                area=given["areaCode"],
                items=[_item(_texts(item)) for item in request.iterfind(f"{{{SPACE}}}item")],
            )
            return self._filed(db, given["traceNo"], row)

    def _confirm(self, request: etree._Element) -> Answer:
        given = _texts(request)
        with self._preorders.open() as db:
            row = self._preorders.confirm(db, given["cardOrderNo"], given["orderNo"])
            return self._filed(db, given["traceNo"], row)

    def _cancel(self, request: etree._Element) -> Answer:
        given = _texts(request)
        with self._preorders.open() as db:
            row = self._preorders.cancel(db, given["cardOrderNo"], given["orderNo"])
            return self._filed(db, given["traceNo"], row)

    def _query_orders(self, request: etree._Element) -> Answer:
        """Those of a call, those of an order number, or all."""
        given, size = _texts(request), self._size(request)
        token = given.get("pageToken", "0")
        if not (token.isascii() and token.isdecimal() and len(token) <= MAX_TOKEN):
            raise FaultError("soap:Client", "分页令牌无效")
        after = int(token)
        with self._preorders.open() as db:
            if "traceNo" in given:
                sql = "SELECT preorder FROM trace WHERE trace_no = ? ORDER BY preorder"
                ids = [row["preorder"] for row in db.execute(sql, (given["traceNo"],))]
                rows = self._preorders.numbered(db, ids)
            elif "orderNo" in given:
                rows = self._preorders.named(db, given["orderNo"])
            else:
                rows = self._preorders.page(db, after, size + 1)
        rows = [row for row in rows if row["id"] > after]
        page = rows[:size]
        return {
            "order": [self._told(row) for row in page],
            "nextPageToken": str(page[-1]["id"]) if len(rows) > size else None,
        }

    def _query_goods(self, request: etree._Element) -> Answer:
        given, size = _texts(request), self._size(request)
        rows = self._preorders.goods(given["areaCode"], given.get("pageToken", ""), size + 1)
        page = rows[:size]
        goods = [
            {
                "goodsCode": row["code"],
                "title": row["title"],
                "points": row["points"],
                "cashFen": row["cash_minor"],
                "stock": row["free"],
            }
            for row in page
        ]
        return {"goods": goods, "nextPageToken": page[-1]["code"] if len(rows) > size else None}

    def _filed(self, db: sqlite3.Connection, trace_no: str, row: Row) -> Answer:
        """The answer about an order, after the call that made or changed it was noted."""
        sql = "INSERT INTO trace (trace_no, preorder) VALUES (?, ?) ON CONFLICT DO NOTHING"
        db.execute(sql, (trace_no, row["id"]))
        return {"order": self._told(row)}

    def _told(self, row: Row) -> dict[str, Any]:
        return {
            "cardOrderNo": row["number"],
            "orderNo": row["order_no"],
            "status": _STATUSES[row["state"]],
            "points": row["points"],
            "cashFen": row["cash_minor"],
            "holdUntil": datetime.fromtimestamp(row["hold_until"], self._zone).strftime(TIME),
        }

    def _size(self, request: etree._Element) -> int:
        return min(int(request.findtext(f"{{{SPACE}}}pageSize") or 1), self._page_rows)


def _texts(element: etree._Element) -> dict[str, str]:
    """The texts of an element's children by name. The schema has checked them."""
    return {etree.QName(child).localname: child.text or "" for child in element}


def _item(given: Mapping[str, str]) -> Item:
    return Item(given["goodsCode"], int(given["quantity"]), int(given["points"]), int(given["cashFen"]))
