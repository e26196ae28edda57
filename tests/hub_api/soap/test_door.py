"""Pushing by SOAP: the same inbox, the same answers, in the SOAP version of the question."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from lxml import etree

from flows.runtime.bootstrap import Hub
from tests.hub_api.conftest import Client
from tests.hub_api.soap.messages import (
    MEDIA_TYPES,
    NAMESPACE,
    SOAP_11,
    SOAP_12,
    envelope,
    operation,
    product,
    read,
    text,
    texts,
)

PATH = "/soap/v1"

Push = Callable[..., httpx.Response]


def post(caller: httpx.Client, body: bytes, version: str = SOAP_11, **headers: str) -> httpx.Response:
    return caller.post(PATH, content=body, headers={"Content-Type": MEDIA_TYPES[version], **headers})


@pytest.fixture
def push(client: Client) -> Push:
    """Pushes an operation as the system ``hub``."""
    caller = client("ingest:hub")

    def send(name: str, *items: dict[str, Any], version: str = SOAP_11, **more: Any) -> httpx.Response:
        return post(caller, envelope(operation(name, *items, **more), version=version), version)

    return send


@pytest.mark.parametrize("version", [SOAP_11, SOAP_12], ids=["1.1", "1.2"])
def test_items_are_taken_and_each_gets_its_result(hub: Hub, push: Push, version: str) -> None:
    response = push("PushProducts", product("A"), product("B", baseUnit="parsec"), version=version)
    assert (response.status_code, response.headers["content-type"]) == (200, MEDIA_TYPES[version])
    answer = read(response.content)
    assert answer.tag == f"{{{NAMESPACE}}}PushProductsResponse"
    assert (text(answer, "messageId"), text(answer, "state"), text(answer, "records")) == ("m1", "applied", "2")
    assert texts(answer, "result/position") == ["1", "2"]
    assert texts(answer, "result/status") == ["accepted", "quarantined"]
    assert texts(answer, "result/sourceId") == ["A", "B"]
    assert (text(answer, "result/issue/field"), text(answer, "result/issue/code")) == ("baseUnit", "unit.unknown")
    assert "计量单位" in (text(answer, "result/issue/zh") or "")
    assert text(answer, "result/issue/en")
    (row,) = hub.database.run("SELECT name FROM sku WHERE code = 'A'")
    assert row["name"] == "速干短袖👕"


def test_the_same_message_gets_the_same_answer_and_is_taken_once(hub: Hub, push: Push) -> None:
    items = [product("A"), product("B", baseUnit="parsec")]
    first, again = (push("PushProducts", *items, version=version) for version in (SOAP_11, SOAP_12))
    assert etree.tostring(read(first.content), method="c14n2") == etree.tostring(read(again.content), method="c14n2")
    assert len(hub.database.run("SELECT id FROM message")) == 1


def test_the_same_id_with_other_content_is_a_fault(push: Push) -> None:
    push("PushProducts", product("A"))
    fault = push("PushProducts", product("B"))
    assert fault.status_code == 500
    assert text(read(fault.content), "detail/Problem/code") == "message.key_reused"
    assert "messageId" in (text(read(fault.content), "faultstring") or "")


def test_every_part_of_a_product_arrives(hub: Hub, push: Push) -> None:
    rich = product(
        "NUT-500",
        localName=[{"key": "en", "value": "Nuts & <raisins>"}],
        kind="normal",
        status="active",
        identifier=[{"scheme": "gtin", "value": "6901234567892"}],
        category=[{"key": "shop", "value": ["食品", "坚果"]}],
        specification=[{"key": "净含量", "value": "500g"}],
        attribute=[{"key": "产地", "value": "新疆"}],
        baseUnit="包",
        unit=[{"unit": "箱", "numerator": 24}],
        price=[{"kind": "retail", "amountMinor": 2990, "currency": "CNY", "taxInclusive": "true"}],
        shelfLifeDays=" 180 ",
        batchManaged=1,
        taxRate="0.13",
        availableFrom="2026-03-01",
        extension=[{"key": "campaign", "value": "3.8"}],
    )
    answer = read(push("PushProducts", rich).content)
    assert texts(answer, "result/status") == ["accepted"], etree.tostring(answer)
    (message,) = hub.database.run("SELECT id FROM message")
    assert message["id"] == text(answer, "hubMessageId")


def test_stock_and_orders_come_in_and_wait_for_what_they_name(push: Push) -> None:
    push("PushProducts", product("A"), message_id="p")
    line = {"lineNo": 1, "sku": "A", "quantity": 1, "amountMinor": 9900}
    sold = {
        "channel": "hub",
        "orderNo": "M1",
        "seller": "hub",
        "placedAt": "2026-03-01T09:30:00+08:00",
        "line": [line, line | {"lineNo": 2, "sku": "UNKNOWN"}],
        "goodsMinor": 19800,
        "totalMinor": 19800,
        "receiver": {"name": "陈小一", "mobile": "13812345678", "point": {"lat": "30.25", "lon": "120.16"}},
    }
    ordered = read(push("PushOrders", sold).content)
    assert texts(ordered, "result/status") == ["quarantined"]
    counted = {"id": "1", "sku": "A", "location": "W1", "kind": "snapshot", "quantity": 3}
    stock = read(push("PushStock", counted | {"asOf": "2026-03-01T09:30:00Z"}).content)
    assert texts(stock, "result/status") == ["quarantined"]
    assert "13812345678" not in etree.tostring(ordered, encoding="unicode")


def test_members_and_points_come_in(hub: Hub, push: Push) -> None:
    member = {"id": "C1", "code": "C1", "name": "王小云", "mobile": "13800000000", "occurredAt": "2026-03-01T01:30:00Z"}
    assert texts(read(push("PushMembers", member).content), "result/status") == ["accepted"]
    earned = {"id": "P1", "member": "C1", "programme": "home", "points": 20, "happenedAt": "2026-03-01T02:30:00Z"}
    assert texts(read(push("PushPoints", earned).content), "result/status") == ["accepted"]
    kept = hub.database.run("SELECT body FROM message WHERE stream = 'members'")
    assert [row["body"] for row in kept] == [None]


class TestWhichSystem:
    """The credentials' only system, or the one that the request names."""

    def test_a_key_for_several_systems_names_one_in_the_request(self, hub: Hub, client: Client) -> None:
        caller = client("ingest:hub", "ingest:shop")
        unnamed = post(caller, envelope(operation("PushProducts", product())))
        assert text(read(unnamed.content), "detail/Problem/code") == "system.ambiguous"
        named = post(caller, envelope(operation("PushProducts", product(), system="shop")))
        assert named.status_code == 200
        assert [row["system"] for row in hub.database.run("SELECT system FROM message")] == ["shop"]

    @pytest.mark.parametrize(
        ("scopes", "system", "code"),
        [
            (["ingest:*"], None, "system.ambiguous"),
            (["orders:read"], None, "system.ambiguous"),
            (["ingest:*"], "nowhere", "system.unknown"),
            (["ingest:*"], "sister", "access.brand"),
            (["ingest:shop"], "hub", "access.scope"),
            (["ingest:wms"], None, "operation.unsupported"),
        ],
    )
    def test_another_system_is_refused(self, client: Client, scopes: list[str], system: str | None, code: str) -> None:
        refused = post(client(*scopes), envelope(operation("PushProducts", product(), system=system)))
        assert text(read(refused.content), "detail/Problem/code") == code
        assert text(read(refused.content), "faultcode") == "s:Client"


class TestFaults:
    """A fault names the field and what to do, in Chinese and English, in the version of the question."""

    def test_wrong_missing_and_over_long_fields_are_all_named(self, hub: Hub, push: Push) -> None:
        bad = product("B" * 121, kind="unheard-of", shelfLifeDays="long")
        lacking = product("C")
        del lacking["spu"]
        fault = read(push("PushProducts", product("A"), bad, lacking).content)
        found = dict(
            zip(texts(fault, "detail/Problem/issue/field"), texts(fault, "detail/Problem/issue/code"), strict=True)
        )
        assert found == {
            "item[2].code": "soap.too_long",
            "item[2].kind": "soap.choice",
            "item[2].shelfLifeDays": "soap.type",
            "item[3].spu": "soap.missing",
        }
        zh, en = (texts(fault, f"detail/Problem/issue/{language}") for language in ("zh", "en"))
        assert "超过 120 个字符" in zh[0]
        assert "longer than 120 characters" in en[0]
        assert "item[2].code" in (text(fault, "faultstring") or "")
        assert hub.database.run("SELECT id FROM message") == []

    def test_soap_12_words_them_in_both_languages(self, push: Push) -> None:
        response = push("PushProducts", product("A" * 121), version=SOAP_12)
        fault = read(response.content)
        assert (response.status_code, text(fault, "Code/Value")) == (400, "s:Sender")
        languages = [
            reason.get("{http://www.w3.org/XML/1998/namespace}lang") for reason in fault.iterfind("{*}Reason/{*}Text")
        ]
        assert languages == ["zh-CN", "en"]
        assert text(fault, "Detail/Problem/issue/field") == "item.code"

    def test_values_are_never_repeated(self, push: Push) -> None:
        fault = push("PushMembers", {"id": "1", "code": "C1", "mobile": "138-secret" * 300})
        assert "secret" not in fault.text

    def test_an_unforeseen_error_tells_nothing_but_its_number(
        self, push: Push, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any) -> None:
            raise RuntimeError("password=hunter2")

        monkeypatch.setattr("hub_api.soap.door.render_answer", broken)
        for version, status in ((SOAP_11, 500), (SOAP_12, 500)):
            response = push("PushProducts", product(), version=version)
            assert response.status_code == status
            assert "hunter2" not in response.text
            assert "errorId" in response.text


class TestWsdl:
    """The contract is one file, with the address that it was asked at."""

    def test_its_ports_answer_where_it_was_asked(self, url: str, client: Client) -> None:
        response = client().get(f"{PATH}?wsdl")
        assert response.headers["content-type"] == "text/xml; charset=utf-8"
        addresses = {
            address.get("location")
            for address in etree.fromstring(response.content).iterfind("{*}service/{*}port/{*}address")
        }
        assert addresses == {f"{url}{PATH}"}

    def test_a_proxy_that_speaks_tls_says_so(self, client: Client) -> None:
        response = client().get(f"{PATH}?WSDL", headers={"X-Forwarded-Proto": "https", "Host": "hub.example"})
        assert 'location="https://hub.example/soap/v1"' in response.text

    def test_without_a_question_it_says_where_the_contract_is(self, client: Client) -> None:
        response = client().get(PATH)
        assert (response.status_code, "?wsdl" in response.text) == (200, True)

    def test_nothing_may_be_both_absent_and_nil(self) -> None:
        from hub_api.soap.records import WSDL

        assert "nillable" not in WSDL.read_text("utf-8")


@pytest.mark.usefixtures("traced")
def test_the_trace_of_the_sender_is_continued(hub: Hub, client: Client) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    header = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    post(client("ingest:hub"), envelope(operation("PushProducts", product())), SOAP_11, **header)
    (row,) = hub.database.run("SELECT traceparent FROM message")
    assert row["traceparent"].split("-")[1] == trace_id
