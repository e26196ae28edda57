"""The simulated voucher supplier's SOAP service: what its operations answer."""

from collections.abc import Callable
from typing import Any, Final

from lxml import etree

from connectors.cardco.client import OK, WSDL
from connectors.cardco.issuer import CardHouse, RefusedError
from connectors.kit.soap_service import Answer, FaultError, Operation, SoapService

SPACE: Final = "http://service.cardco.example.cn/card"

_BUSY: Final[Answer] = {"resultCode": "9001", "resultMsg": "系统繁忙"}
_COUNTS: Final = frozenset({"quantity", "points", "cashFen"})


class CardService:
    """Answers envelopes over the books. ``page_rows``: the most rows that this supplier puts into one page; ``busy``:
    whether it has no time just now."""

    def __init__(self, house: CardHouse, *, user: str, password: str, page_rows: int, busy: Callable[[], bool]) -> None:
        self._house = house
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
                return {"resultCode": error.code, "resultMsg": error.message, "goodsCode": error.goods}

        return answer

    def _pre_order(self, request: etree._Element) -> Answer:
        items = [_values(item) for item in request.iterfind(f"{{{SPACE}}}item")]
        given = _values(request)
        order = self._house.pre_order(given["traceNo"], given["orderNo"], given["memberRef"], given["areaCode"], items)
        return {"order": order}

    def _confirm(self, request: etree._Element) -> Answer:
        given = _values(request)
        return {"order": self._house.confirm(given["traceNo"], given["cardOrderNo"], given["orderNo"])}

    def _cancel(self, request: etree._Element) -> Answer:
        given = _values(request)
        return {"order": self._house.cancel(given["traceNo"], given["cardOrderNo"], given["orderNo"])}

    def _query_orders(self, request: etree._Element) -> Answer:
        given, size = _values(request), self._size(request)
        token = given.get("pageToken", "0")
        if not (token.isascii() and token.isdecimal() and len(token) <= 18):
            raise FaultError("soap:Client", "分页令牌无效")
        rows = self._house.orders(given.get("traceNo"), given.get("orderNo"), int(token), size + 1)
        page = rows[:size]
        return {
            "order": [order for _, order in page],
            "nextPageToken": str(page[-1][0]) if len(rows) > size else None,
        }

    def _query_goods(self, request: etree._Element) -> Answer:
        given, size = _values(request), self._size(request)
        rows = self._house.goods(given["areaCode"], given.get("pageToken", ""), size + 1)
        page = rows[:size]
        return {"goods": page, "nextPageToken": page[-1]["goodsCode"] if len(rows) > size else None}

    def _size(self, request: etree._Element) -> int:
        return min(int(request.findtext(f"{{{SPACE}}}pageSize") or 1), self._page_rows)


def _values(element: etree._Element) -> dict[str, Any]:
    """The texts of an element's children by name; counts as numbers. The schema has checked both."""
    texts = {etree.QName(child).localname: child.text or "" for child in element}
    return {name: int(text) if name in _COUNTS else text for name, text in texts.items()}
