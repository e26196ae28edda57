"""SOAP requests as text, so that tests can break them anywhere."""

from typing import Any, Final
from xml.sax.saxutils import escape

from lxml import etree

SOAP_11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12: Final = "http://www.w3.org/2003/05/soap-envelope"
NAMESPACE: Final = "urn:yipan:soap:v1"
MEDIA_TYPES: Final = {SOAP_11: "text/xml; charset=utf-8", SOAP_12: "application/soap+xml; charset=utf-8"}


def element(name: str, value: Any) -> str:
    """One element; a dict is its children, a list the element repeated."""
    if isinstance(value, list):
        return "".join(element(name, each) for each in value)
    inside = "".join(element(*child) for child in value.items()) if isinstance(value, dict) else escape(str(value))
    return f"<{name}>{inside}</{name}>"


def operation(name: str, *items: dict[str, Any], message_id: str = "m1", system: str | None = None) -> str:
    """The element of an operation."""
    named = "" if system is None else element("system", system)
    return (
        f'<{name} xmlns="{NAMESPACE}">{element("messageId", message_id)}{named}{element("item", list(items))}</{name}>'
    )


def envelope(body: str, *, header: str = "", version: str = SOAP_11) -> bytes:
    """The envelope around a body and header blocks."""
    head = f"<s:Header>{header}</s:Header>" if header else ""
    return f'<s:Envelope xmlns:s="{version}">{head}<s:Body>{body}</s:Body></s:Envelope>'.encode()


def product(code: str = "TEE-RED-M", **more: Any) -> dict[str, Any]:
    """A sellable SKU."""
    return {"code": code, "spu": "TEE", "name": "速干短袖👕", **more}


def read(content: bytes) -> etree._Element:
    """The one element in the body of an answer."""
    (body,) = etree.fromstring(content).iterfind("{*}Body")
    (element,) = body
    return element


def text(element: etree._Element, path: str) -> str | None:
    """The text of the element at ``path``, whatever its namespaces."""
    return element.findtext("/".join(f"{{*}}{step}" for step in path.split("/")))


def texts(element: etree._Element, path: str) -> list[str]:
    return [found.text or "" for found in element.iterfind("/".join(f"{{*}}{step}" for step in path.split("/")))]
