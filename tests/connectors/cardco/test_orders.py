"""The voucher supplier: a lost answer is asked for by the call's own number, and a doubled call is seen."""

from datetime import datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import httpx
import pytest
from lxml import etree

from canonical_model.errors import HubError, NotFoundError, RejectedError, TransientError, UncertainError
from canonical_model.ports import SystemConfig
from connectors.cardco.books import CardcoBooks
from connectors.cardco.client import SERVICE, CardcoClient
from connectors.cardco.writers import CardcoWriter
from flows.testing import hostile
from tests.connectors.suppliers import (
    HOLD_S,
    STOCK,
    Supplier,
    SupplierBehaviour,
    SupplierBooks,
    any_life,
    live_through,
    order,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
PASSWORD = "keep-this-to-yourself"
SPACE = "http://service.cardco.example.cn/card"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"


def envelope(operation: str, inner: str, password: str = PASSWORD) -> bytes:
    return f"""<s:Envelope xmlns:s="{SOAP}"><s:Header><w:Security xmlns:w="{WSSE}"><w:UsernameToken>
        <w:Username>YIPAN</w:Username><w:Password>{password}</w:Password></w:UsernameToken></w:Security></s:Header>
        <s:Body><m:{operation} xmlns:m="{SPACE}">{inner}</m:{operation}></s:Body></s:Envelope>""".encode()


def texts(**values: str) -> str:
    return "".join(f"<m:{name}>{value}</m:{name}>" for name, value in values.items())


class TestCardcoOrders(SupplierBehaviour):
    connector = "cardco"
    settings: ClassVar = {"user": "YIPAN"}
    secrets: ClassVar = {"password": PASSWORD}
    simulator_settings: ClassVar = {"page_rows": "3", "deliver_s": "inf"}

    @staticmethod
    def books(config: SystemConfig) -> SupplierBooks:
        return CardcoBooks(config)

    @any_life
    def test_their_books_say_what_our_writers_were_told(self, supplier: Supplier, life: list[Any]) -> None:
        live_through(supplier, life)

    def test_a_second_call_keeps_the_goods_twice_and_is_found(self, supplier: Supplier) -> None:
        sku, key, number = supplier.sell(), supplier.new("key"), supplier.new("PM")
        first = supplier.do("reserve", order(number, sku), key)
        second = supplier.do("reserve", order(number, sku), key)
        assert supplier.free(sku) == STOCK - 4
        found = supplier.live.connector.writers["reserve"].find(key)
        assert found is not None
        assert (found.outside_id, found.detail["duplicates"]) == (first.outside_id, [second.outside_id])

    def test_a_doubled_pre_order_lapses_by_itself(self, supplier: Supplier) -> None:
        sku, key, number = supplier.sell(), supplier.new("key"), supplier.new("PM")
        first = supplier.do("reserve", order(number, sku), key)
        supplier.do("reserve", order(number, sku), key)
        supplier.do("confirm", {"order_no": number, "document": first.outside_id})
        supplier.pass_time(HOLD_S + 1)
        assert sorted(row["state"] for row in supplier.rows(number)) == ["lapsed", "ordered"]
        assert supplier.free(sku) == STOCK - 2

    @pytest.mark.parametrize("writer", ["confirm", "cancel"])
    def test_each_deed_is_found_under_its_own_key(self, supplier: Supplier, writer: str) -> None:
        held, key = supplier.reserve(supplier.sell()), supplier.new("key")
        assert supplier.live.connector.writers[writer].find(key) is None
        done = supplier.do(writer, held, key)
        assert supplier.live.connector.writers[writer].find(key) == done

    def test_what_was_refused_is_not_found(self, supplier: Supplier) -> None:
        held, key = supplier.reserve(supplier.sell()), supplier.new("key")
        supplier.pass_time(HOLD_S + 1)
        with pytest.raises(RejectedError):
            supplier.do("confirm", held, key)
        assert supplier.live.connector.writers["confirm"].find(key) is None

    def test_a_pre_order_lapses_by_their_clock_in_their_zone(self, supplier: Supplier) -> None:
        before = supplier.now() + timedelta(seconds=HOLD_S - 1)
        held = supplier.do("reserve", order(supplier.new("PM"), supplier.sell()))
        after = supplier.now() + timedelta(seconds=HOLD_S)
        expires_at = datetime.fromisoformat(held.detail["expires_at"])
        assert expires_at.utcoffset() == timedelta(hours=8)
        assert before <= expires_at <= after

    def test_books_are_read_over_their_pages(self, supplier: Supplier) -> None:
        sku = supplier.sell(stock={"33": 7})
        for number in range(7):
            supplier.do("reserve", order(f"paged-{number}", sku, 1))
        assert [row["order_no"] for row in supplier.rows("paged-")] == [f"paged-{number}" for number in range(7)]
        assert supplier.free(sku) == 0

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (b"<not", "soap:Client"),
            (envelope("QueryOrders", texts(pageSize="3"), "wrong"), "wsse:FailedAuthentication"),
            (f'<s:Envelope xmlns:s="{SOAP}"><s:Body/></s:Envelope>'.encode(), "wsse:FailedAuthentication"),
            (envelope("DeleteEverything", ""), "soap:Client"),
            (envelope("QueryOrders", texts(pageSize="many")), "soap:Client"),
            (envelope("QueryOrders", texts(pageToken="!", pageSize="3")), "soap:Client"),
            (envelope("QueryOrders", texts(pageToken="9" * 40, pageSize="3")), "soap:Client"),
            (envelope("QueryGoods", texts(areaCode="ZJ", pageSize="3")), "soap:Client"),
            (envelope("PreOrder", texts(traceNo="t", orderNo="o", memberRef="m", areaCode="33")), "soap:Client"),
        ],
    )
    def test_a_wrong_request_is_answered_with_a_fault(self, supplier: Supplier, content: bytes, code: str) -> None:
        answer = soap(supplier, content)
        assert answer.status_code == 500
        assert etree.fromstring(answer.content).findtext(".//faultcode") == code

    def test_hostile_bodies_are_answered_with_a_fault(self, supplier: Supplier) -> None:
        for name, (_, body) in hostile.BODIES.items():
            answer = soap(supplier, body)
            assert (answer.status_code, b"Fault" in answer.content) == (500, True), name

    def test_orders_can_be_asked_for_by_our_number(self, supplier: Supplier) -> None:
        held = supplier.reserve(supplier.sell())
        answer = soap(supplier, envelope("QueryOrders", texts(orderNo=held["order_no"], pageSize="3")))
        numbers = [element.text for element in etree.fromstring(answer.content).iter(f"{{{SPACE}}}cardOrderNo")]
        assert numbers == [held["document"]]

    def test_its_wsdl_can_be_had(self, supplier: Supplier) -> None:
        url = f"{supplier.live.simulator.url}{SERVICE}?wsdl"
        assert b"ConfirmOrder" in httpx.get(url, trust_env=False).content


def soap(supplier: Supplier, content: bytes) -> httpx.Response:
    url = f"{supplier.live.simulator.url}{SERVICE}"
    return httpx.post(url, content=content, headers={"Content-Type": "text/xml"}, trust_env=False)


class Saying:
    """A SOAP client whose every call is answered with the same."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer

    def send(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        return self.answer

    read = send


ORDER = {
    "cardOrderNo": "C1",
    "orderNo": "1",
    "status": "10",
    "points": 1,
    "cashFen": 1,
    "holdUntil": "2026-11-03 09:30:00",
}


def client(answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> CardcoClient:
    settings = {"base_url": "http://127.0.0.1:9", "user": "YIPAN"}
    config = SystemConfig("cardco", "cardco", "o", "b", settings=settings, secrets={"password": PASSWORD})
    made = CardcoClient(config, timeout_s=5)
    monkeypatch.setattr(made, "_soap", Saying(answer))
    return made


@pytest.mark.parametrize(
    ("code", "kind", "ours"),
    [
        ("2001", RejectedError, "supplier.unknown_goods"),
        ("2002", RejectedError, "supplier.out_of_stock"),
        ("2003", RejectedError, "supplier.price_changed"),
        ("3001", NotFoundError, "supplier.unknown_order"),
        ("3002", RejectedError, "supplier.lapsed"),
        ("3003", RejectedError, "supplier.shipped"),
        ("3004", RejectedError, "supplier.cancelled"),
        ("7777", RejectedError, "supplier.refused"),
        (None, RejectedError, "supplier.refused"),
        ("9001", TransientError, "supplier.busy"),
    ],
)
def test_a_result_code_says_what_to_do(
    code: str | None, kind: type[HubError], ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HubError) as caught:
        client({"resultCode": code}, monkeypatch).send("PreOrder")
    assert (type(caught.value), caught.value.code) == (kind, ours)


@pytest.mark.parametrize("change", [{"status": "99"}, {"points": None}, {"holdUntil": "noon"}, None])
def test_an_answer_that_lacks_what_was_agreed_is_a_question(
    change: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"resultCode": "0000", "order": None if change is None else {**ORDER, **change}}
    with pytest.raises(UncertainError) as caught:
        CardcoWriter(client(answer, monkeypatch), "PreOrder", SHANGHAI).write("k", {})
    assert caught.value.context["over"]


@pytest.mark.parametrize("change", [{"status": "99"}, {"points": None}, {"holdUntil": "noon"}])
def test_an_order_that_cannot_be_read_is_looked_for_again(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"resultCode": "0000", "order": [{**ORDER, **change}]}
    with pytest.raises(TransientError):
        CardcoWriter(client(answer, monkeypatch), "PreOrder", SHANGHAI).find("k")
