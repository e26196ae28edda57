"""The simulated CRM's SOAP service: SOAP 1.1, document/literal, a UsernameToken in every header."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from lxml import etree

from connectors.crm.loyalty import Loyalty
from connectors.kit.soap_schema import load_schema
from connectors.kit.soap_validation import Validator
from connectors.kit.xml import safe_parser

WSDL: Final = Path(__file__).parent / "wsdl" / "crm.wsdl"
SPACE: Final = "http://service.crm.example.cn/member"
SOAP_11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"

_SECURITY: Final = f"{{{SOAP_11}}}Header/{{{WSSE}}}Security/{{{WSSE}}}UsernameToken"

Answer = Mapping[str, Any]

_BUSY: Final[Answer] = {"resultCode": "E900", "resultMsg": "系统忙"}


class FaultError(Exception):
    """A SOAP fault: its code (with the prefix of its namespace) and its words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class MemberService:
    """Answers envelopes over the books. ``page_rows``: the most rows that this CRM puts into one page; ``busy``:
    whether it has no time just now."""

    def __init__(self, loyalty: Loyalty, *, user: str, password: str, page_rows: int, busy: Callable[[], bool]) -> None:
        self._loyalty = loyalty
        self._busy = busy
        self._user = user
        self._password = password
        self._page_rows = page_rows
        self._validator = Validator(load_schema(WSDL))
        self._operations: dict[str, Callable[[etree._Element], Answer]] = {
            "QueryMembers": self._query_members,
            "QueryPoints": self._query_points,
        }

    def answer(self, content: bytes) -> tuple[int, bytes]:
        """HTTP status and envelope."""
        try:
            request = self._request(content)
            name = etree.QName(request).localname
            said = _BUSY if self._busy() else self._operations[name](request)
            return 200, _envelope(_element(f"{name}Response", said))
        except FaultError as error:
            return 500, _envelope(_fault(error))

    def _request(self, content: bytes) -> etree._Element:
        try:
            root = etree.fromstring(content, safe_parser())
        except etree.XMLSyntaxError as error:
            raise FaultError("soap:Client", "报文不是合法的 XML") from error
        self._check_token(root)
        body = root.find(f"{{{SOAP_11}}}Body")
        request: etree._Element | None = next(iter(body), None) if body is not None else None
        if request is None or etree.QName(request).localname not in self._operations:
            raise FaultError("soap:Client", "未知的方法")
        if violations := self._validator.violations(request):
            raise FaultError("soap:Client", f"参数错误: {violations[0].field} {violations[0].code}")
        return request

    def _check_token(self, root: etree._Element) -> None:
        token = root.find(_SECURITY)
        user = token.findtext(f"{{{WSSE}}}Username") or "" if token is not None else ""
        password = token.findtext(f"{{{WSSE}}}Password") or "" if token is not None else ""
        right = hmac.compare_digest(user.encode(), self._user.encode())
        if not hmac.compare_digest(password.encode(), self._password.encode()) or not right:
            raise FaultError("wsse:FailedAuthentication", "用户名或密码错误")

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


def _element(name: str, value: Any) -> etree._Element:
    element = etree.Element(f"{{{SPACE}}}{name}", nsmap={"m": SPACE})
    if isinstance(value, Mapping):
        for inner, values in value.items():
            for one in values if isinstance(values, list) else [values]:
                if one is not None:
                    element.append(_element(inner, one))
    else:
        element.text = str(value)
    return element


def _fault(error: FaultError) -> etree._Element:
    fault = etree.Element(f"{{{SOAP_11}}}Fault", nsmap={"soap": SOAP_11, "wsse": WSSE})
    etree.SubElement(fault, "faultcode").text = error.code
    etree.SubElement(fault, "faultstring").text = error.message
    return fault


def _envelope(content: etree._Element) -> bytes:
    root = etree.Element(f"{{{SOAP_11}}}Envelope", nsmap={"soap": SOAP_11})
    etree.SubElement(root, f"{{{SOAP_11}}}Body").append(content)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")
