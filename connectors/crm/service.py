"""The simulated CRM's SOAP service: what its operations answer."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from lxml import etree

from connectors.crm.loyalty import Loyalty
from connectors.kit.soap_service import Answer, FaultError, Operation, SoapService

WSDL: Final = Path(__file__).parent / "wsdl" / "crm.wsdl"
SPACE: Final = "http://service.crm.example.cn/member"

_BUSY: Final[Answer] = {"resultCode": "E900", "resultMsg": "系统忙"}


class MemberService:
    """Answers envelopes over the books. ``page_rows``: the most rows that this CRM puts into one page; ``busy``:
    whether it has no time just now."""

    def __init__(self, loyalty: Loyalty, *, user: str, password: str, page_rows: int, busy: Callable[[], bool]) -> None:
        self._loyalty = loyalty
        self._busy = busy
        self._page_rows = page_rows
        operations = {"QueryMembers": self._query_members, "QueryPoints": self._query_points}
        guarded = {name: self._unless_busy(operation) for name, operation in operations.items()}
        self._service = SoapService(WSDL, SPACE, user=user, password=password, operations=guarded)

    def answer(self, content: bytes) -> tuple[int, bytes]:
        """HTTP status and envelope."""
        return self._service.answer(content)

    def _unless_busy(self, operation: Operation) -> Operation:
        return lambda request: _BUSY if self._busy() else operation(request)

    def _query_members(self, request: etree._Element) -> Answer:
        now = self._loyalty.now()
        size = self._size(request)
        token = _read_token(request)
        after = (str(token[0]), str(token[1])) if token else None
        rows = self._loyalty.members(request.findtext(f"{{{SPACE}}}modifiedSince"), after, size + 1)
        page = rows[:size]
        return {
            "resultCode": "0",
            "resultMsg": "成功",
            "serverTime": now,
            "member": [_ordered(row, _MEMBER) for row in page],
            "nextPageToken": _token(page[-1]["modifyTime"], page[-1]["memberId"]) if len(rows) > size else None,
        }

    def _query_points(self, request: etree._Element) -> Answer:
        size = self._size(request)
        token = _read_token(request)
        rows = self._loyalty.flows(int(token[0]) if token else 0, size + 1)
        page = rows[:size]
        return {
            "resultCode": "0",
            "resultMsg": "成功",
            "flow": [_ordered(body, _FLOW) for _, body in page],
            "nextPageToken": _token(page[-1][0]) if len(rows) > size else None,
        }

    def _size(self, request: etree._Element) -> int:
        return min(int(request.findtext(f"{{{SPACE}}}pageSize") or 1), self._page_rows)


_MEMBER: Final = (
    "memberId",
    "cardNo",
    "memberName",
    "mobilePhone",
    "gradeCode",
    "shopCode",
    "gender",
    "birthday",
    "remark",
    "delFlag",
    "testFlag",
    "modifyTime",
)
_FLOW: Final = ("flowNo", "cardNo", "accountType", "points", "happenTime", "expireTime", "billNo")


def _ordered(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row.get(name) for name in names}


def _token(*place: Any) -> str:
    return urlsafe_b64encode(orjson.dumps(place)).decode()


def _read_token(request: etree._Element) -> list[Any] | None:
    token = request.findtext(f"{{{SPACE}}}pageToken")
    if token is None:
        return None
    try:
        place: list[Any] = orjson.loads(urlsafe_b64decode(token))
        return place
    except ValueError as error:
        raise FaultError("soap:Client", "分页令牌无效") from error
