"""What simulated SOAP services share: SOAP 1.1, document/literal, a UsernameToken in every header."""

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from lxml import etree

from connectors.kit.soap import SOAP_11
from connectors.kit.soap_schema import load_schema
from connectors.kit.soap_validation import Validator
from connectors.kit.xml import safe_parser

WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
MEDIA_TYPE: Final = "text/xml; charset=utf-8"

_SECURITY: Final = f"{{{SOAP_11}}}Header/{{{WSSE}}}Security/{{{WSSE}}}UsernameToken"

Answer = Mapping[str, Any]
Operation = Callable[[etree._Element], Answer]


class FaultError(Exception):
    """A SOAP fault: its code (with the prefix of its namespace) and its words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class SoapService:
    """Answers the envelopes of one WSDL whose elements are in ``space``.

    ``operations`` take the request's element, checked against the schema, and answer the content of
    ``<name>Response``: text, mappings, lists of either; None is left out. They may raise FaultError.
    """

    def __init__(
        self, wsdl: Path, space: str, *, user: str, password: str, operations: Mapping[str, Operation]
    ) -> None:
        self._space = space
        self._user = user
        self._password = password
        self._operations = operations
        self._validator = Validator(load_schema(wsdl))

    def answer(self, content: bytes) -> tuple[int, bytes]:
        """HTTP status and envelope."""
        try:
            request = self._request(content)
            name = etree.QName(request).localname
            said = self._operations[name](request)
            return 200, _envelope(self._element(f"{name}Response", said))
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

    def _element(self, name: str, value: Any) -> etree._Element:
        element = etree.Element(f"{{{self._space}}}{name}", nsmap={"m": self._space})
        if isinstance(value, Mapping):
            for inner, values in value.items():
                for one in values if isinstance(values, list) else [values]:
                    if one is not None:
                        element.append(self._element(inner, one))
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
