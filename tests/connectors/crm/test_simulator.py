"""The simulated CRM: a strict service, controls that say no, and pushes in the words of the hub's WSDL."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from lxml import etree

import hub_api
from connectors.crm.envelopes import envelope, member_push, points_push, unavailable
from connectors.kit.soap_schema import load_schema
from connectors.kit.soap_validation import Validator
from mappings.engine import load_mapping
from mappings.examples import EXAMPLE_CONTEXT
from tests.connectors.crm.conftest import PASSWORD, Crm

SHANGHAI = ZoneInfo("Asia/Shanghai")
HUB_WSDL = Path(next(iter(hub_api.__path__))) / "soap" / "wsdl" / "hub.wsdl"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
MEMBER = {
    "memberId": "M00000001",
    "cardNo": "860000000001",
    "memberName": "欧阳 <小一> & 😀",
    "mobilePhone": "+86 138 0013 8000",
    "gradeCode": "03",
    "shopCode": "S001",
    "birthday": "1990-05-20",
    "modifyTime": "2026-03-01 12:00:00",
}
FLOW = {"flowNo": "F1", "cardNo": "8", "accountType": "stars", "points": -5, "happenTime": "2026-03-01 12:00:00"}


def request(operation: str, inner: str, password: str = PASSWORD) -> bytes:
    wsse = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
    return f"""<s:Envelope xmlns:s="{SOAP}"><s:Header><w:Security xmlns:w="{wsse}"><w:UsernameToken>
        <w:Username>YIPAN</w:Username><w:Password>{password}</w:Password></w:UsernameToken></w:Security></s:Header>
        <s:Body><m:{operation} xmlns:m="http://service.crm.example.cn/member">{inner}</m:{operation}></s:Body>
        </s:Envelope>""".encode()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<not", "soap:Client"),
        (request("QueryMembers", "<m:pageSize>3</m:pageSize>", "wrong"), "wsse:FailedAuthentication"),
        (f'<s:Envelope xmlns:s="{SOAP}"><s:Body/></s:Envelope>'.encode(), "wsse:FailedAuthentication"),
        (request("DeleteEverything", ""), "soap:Client"),
        (request("QueryMembers", "<m:pageSize>many</m:pageSize>"), "soap:Client"),
        (request("QueryMembers", "<m:modifiedSince>today</m:modifiedSince><m:pageSize>3</m:pageSize>"), "soap:Client"),
        (request("QueryMembers", "<m:pageToken>!</m:pageToken><m:pageSize>3</m:pageSize>"), "soap:Client"),
    ],
)
def test_a_wrong_request_is_answered_with_a_fault(crm: Crm, content: bytes, code: str) -> None:
    answer = crm.soap(content)
    assert answer.status_code == 500
    assert etree.fromstring(answer.content).findtext(".//faultcode") == code


def test_its_wsdl_can_be_had(crm: Crm) -> None:
    assert b"QueryMembers" in httpx.get(f"{crm.url}/services/MemberService?wsdl", trust_env=False).content


def test_controls_say_no_in_the_crms_words(crm: Crm) -> None:
    crm.enter({"cardNo": "C1"})
    assert crm.post("/_members", [{"cardNo": "C1"}]).status_code == 409
    assert crm.post("/_points", [{"cardNo": "C2", "points": 1}]).status_code == 404
    assert crm.post("/_points", [{"points": 1}]).status_code == 422
    assert crm.post("/_members", [{"modifyTime": "noon"}]).status_code == 422


def item(stream: str, push: dict[str, Any]) -> etree._Element:
    root = etree.fromstring(envelope(stream, "crm-1", [push], system="crm"))
    found = root.find(f"{{{SOAP}}}Body/*")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("stream", "push"),
    [
        ("members", member_push(MEMBER, SHANGHAI)),
        ("members", member_push({name: MEMBER[name] for name in ("memberId", "cardNo", "modifyTime")}, SHANGHAI)),
        ("points", points_push(FLOW, SHANGHAI)),
        ("points", points_push({**FLOW, "expireTime": "2028-01-01 00:00:00", "billNo": "S1"}, SHANGHAI)),
    ],
)
def test_pushes_follow_the_hubs_wsdl(stream: str, push: dict[str, Any]) -> None:
    assert Validator(load_schema(HUB_WSDL)).violations(item(stream, push)) == []


def test_a_member_is_pushed_in_our_words_with_an_offset() -> None:
    found = {
        etree.QName(element).localname: element.text for element in item("members", member_push(MEMBER, SHANGHAI))[2]
    }
    assert found["level"] == "gold"
    assert found["name"] == MEMBER["memberName"]
    assert found["occurredAt"] == "2026-03-01T12:00:00+08:00"
    assert found["active"] == "true"


@pytest.mark.parametrize("change", [{"delFlag": "1"}, {"testFlag": "Y"}, {"gradeCode": "99"}])
def test_a_closed_or_test_member_is_pushed_as_not_active(change: dict[str, str]) -> None:
    assert member_push(MEMBER | change, SHANGHAI)["active"] == "false"


def fault(code: str) -> bytes:
    inner = f"<s:Fault><faultcode>{code}</faultcode><faultstring>no</faultstring></s:Fault>"
    return f'<s:Envelope xmlns:s="{SOAP}"><s:Body>{inner}</s:Body></s:Envelope>'.encode()


@pytest.mark.parametrize(
    ("status", "content", "again"),
    [
        (200, b"<ok/>", False),
        (500, fault("s:Server"), True),
        (500, fault("s:Server.Busy"), True),
        (500, fault("s:Client"), False),
        (500, fault("s:Client.Schema"), False),
        (500, fault("wsse:FailedAuthentication"), False),
        (500, b"injected fault", True),
        (503, b"", True),
        (429, b"", True),
        (401, b"", False),
    ],
)
def test_a_fault_of_our_own_doing_is_not_sent_for_ever(status: int, content: bytes, again: bool) -> None:
    assert unavailable(httpx.Response(status, content=content)) is again


def test_the_words_it_pushes_are_those_that_a_pull_gives() -> None:
    """A grade that means one level when pulled and another when pushed would flip with every message."""
    pulled, pushed = load_mapping("crm", "member_in"), load_mapping("crm", "member_push_in")
    for grade in ("01", "02", "03", "04", "99", "A", "B", "C"):
        row = MEMBER | {"gradeCode": grade, "mobilePhone": "无", "shopCode": "0000", "delFlag": "1"}
        push = {name: value for name, value in member_push(row, SHANGHAI).items() if value is not None}
        said = {
            "home_store": push.pop("homeStore"),
            "occurred_at": push.pop("occurredAt"),
            "active": push.pop("active") == "true",
            "extensions": {entry["key"]: entry["value"] for entry in push.pop("extension")},
        }
        assert pushed.map({**push, **said}, EXAMPLE_CONTEXT) == pulled.map(row, EXAMPLE_CONTEXT)
