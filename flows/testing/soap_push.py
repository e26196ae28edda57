"""A push to the hub's SOAP door, taken apart as the door does: which stream it is for, its records, its name."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
from lxml import etree

from canonical_model.ports import Manifest, PushRequest
from connectors.kit.xml import safe_parser

DOOR: Final = "/soap/v1"
SOAP_11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
HUB: Final = "urn:yipan:soap:v1"
ANSWER: Final = (
    f'<soap:Envelope xmlns:soap="{SOAP_11}"><soap:Body><Taken xmlns="{HUB}"/></soap:Body></soap:Envelope>'.encode()
)

_CAPITAL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def from_soap(push: PushRequest, manifest: Manifest, schemas: Mapping[str, Mapping[str, Any]]) -> PushRequest:
    """The same push as JSON records of its stream, under its message id; as it is when it cannot be read."""
    try:
        root = etree.fromstring(push.body, safe_parser())
    except etree.XMLSyntaxError:
        return push
    request = root.find(f"{{{SOAP_11}}}Body/*")
    if request is None:
        return push
    operation = etree.QName(request).localname
    stream = next((stream for stream in manifest.streams if stream.operation == operation), None)
    if stream is None:
        return push
    types = schemas[stream.name]["properties"]
    records = [_record(item, types) for item in request.iterfind(f"{{{HUB}}}item")]
    named = {"content-type": "application/json", "idempotency-key": request.findtext(f"{{{HUB}}}messageId") or ""}
    return replace(push, stream=stream.name, headers={**push.headers, **named}, body=orjson.dumps(records))


def _record(item: etree._Element, types: Mapping[str, Any]) -> dict[str, Any]:
    """One item in the hub's words: snake_case, ``extension`` pairs as an object, numbers and truths as such."""
    record: dict[str, Any] = {}
    for element in item:
        name = _CAPITAL.sub("_", etree.QName(element).localname).lower()
        if name == "extension":
            key, value = (child.text or "" for child in element)
            record.setdefault("extensions", {})[key] = value
        else:
            record[name] = _value(element.text or "", types.get(name, {}).get("type"))
    return record


def _value(text: str, kind: Any) -> Any:
    if kind == "integer":
        return int(text)
    if kind == "boolean":
        return text in ("true", "1")
    return text
