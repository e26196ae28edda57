"""The envelopes that the CRM sends to the hub's SOAP door, and what the door's answers mean."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from lxml import etree

from connectors.kit.outgoing import Answer, Dress, Push, unavailable_by_status
from connectors.kit.xml import safe_parser

HUB: Final = "urn:yipan:soap:v1"
DOOR: Final = "/soap/v1"
SOAP_11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
OPERATIONS: Final = {"members": "PushMembers", "points": "PushPoints"}

_LEVELS: Final = {
    "01": "regular",
    "02": "silver",
    "03": "gold",
    "04": "black",
    "99": "test",
    "A": "regular",
    "B": "silver",
    "C": "gold",
}
_TEST_GRADE: Final = "99"
_EXTRA: Final = ("gender", "birthday", "remark")
_YES: Final = frozenset({"1", "Y"})

Item = Mapping[str, Any]


def member_push(member: Mapping[str, str], zone: ZoneInfo) -> dict[str, Any]:
    """A member in the words of the hub's WSDL, in its order; what the CRM does not know is left out."""
    grade = member.get("gradeCode")
    closed = member.get("delFlag") in _YES or member.get("testFlag") in _YES or grade == _TEST_GRADE
    return {
        "id": member["memberId"],
        "code": member["cardNo"],
        "name": member.get("memberName"),
        "mobile": member.get("mobilePhone"),
        "level": _LEVELS.get(grade, grade) if grade else None,
        "homeStore": member.get("shopCode") or None,
        "active": "false" if closed else "true",
        "occurredAt": _instant(member["modifyTime"], zone),
        "extension": [{"key": name, "value": member[name]} for name in _EXTRA if member.get(name)],
    }


def points_push(flow: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """A movement of points in the words of the hub's WSDL, in its order."""
    return {
        "id": flow["flowNo"],
        "member": flow["cardNo"],
        "programme": flow["accountType"],
        "points": str(flow["points"]),
        "happenedAt": _instant(flow["happenTime"], zone),
        "expiresAt": _instant(flow["expireTime"], zone) if flow.get("expireTime") else None,
        "orderNo": flow.get("billNo"),
    }


def envelope(stream: str, key: str, items: Sequence[Item], *, system: str) -> bytes:
    """A SOAP 1.1 message of those items under the message id ``key``."""
    root = etree.Element(f"{{{SOAP_11}}}Envelope", nsmap={"soap": SOAP_11, "hub": HUB})
    body = etree.SubElement(root, f"{{{SOAP_11}}}Body")
    push = etree.SubElement(body, f"{{{HUB}}}{OPERATIONS[stream]}")
    _add(push, {"messageId": key, "system": system, "item": list(items)})
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def soap_dress(api_key: str) -> Callable[[Push], Dress]:
    """For pushes to the SOAP door under an API key; the message id inside names each."""

    def dress(push: Push) -> Dress:
        action = f'"{HUB}:{OPERATIONS.get(push.stream, push.stream)}"'
        return Dress({"Authorization": f"Bearer {api_key}", "SOAPAction": action}, path=DOOR)

    return dress


def unavailable(answer: Answer) -> bool:
    """Whether to send again: SOAP 1.1 answers every fault with a 500, also the one that is our own doing."""
    return unavailable_by_status(answer) and not _is_our_fault(answer.content)


def _is_our_fault(content: bytes) -> bool:
    try:
        root = etree.fromstring(content, safe_parser())
    except etree.XMLSyntaxError:
        return False
    code = (root.findtext(f".//{{{SOAP_11}}}Fault/faultcode") or "").rpartition(":")[2]
    return bool(code) and not code.startswith("Server")


def _add(parent: etree._Element, values: Item) -> None:
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                element = etree.SubElement(parent, f"{{{HUB}}}{name}")
                if isinstance(one, Mapping):
                    _add(element, one)
                else:
                    element.text = one


def _instant(local: str, zone: ZoneInfo) -> str:
    return datetime.fromisoformat(local).replace(tzinfo=zone).isoformat()
