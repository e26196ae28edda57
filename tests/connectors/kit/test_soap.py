"""SOAP to outside systems: local schemas only, bodies checked before they leave, every fault a decision."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from lxml import etree

from canonical_model.errors import (
    ConfigurationError,
    HubError,
    RecordError,
    RejectedError,
    TransientError,
    UncertainError,
)
from connectors.kit.soap import SOAP_11, SOAP_12, SoapClient
from connectors.kit.soap_schema import SHIPPED, load_schema

WSDL: Final = """<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:t="urn:shop" xmlns:i="urn:item"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:soap12="http://schemas.xmlsoap.org/wsdl/soap12/" targetNamespace="urn:shop">
  <wsdl:types>
    <xs:schema targetNamespace="urn:shop" elementFormDefault="qualified">
      <xs:import namespace="urn:item"/>
      <xs:element name="Sell"><xs:complexType><xs:sequence>
        <xs:element name="code" type="i:Code"/>
        <xs:element name="count" type="xs:int" minOccurs="0"/>
      </xs:sequence></xs:complexType></xs:element>
      <xs:element name="SellResponse"><xs:complexType><xs:sequence>
        <xs:element name="receipt" type="xs:string" maxOccurs="unbounded"/>
      </xs:sequence></xs:complexType></xs:element>
    </xs:schema>
    <xs:schema targetNamespace="urn:item">
      <xs:include schemaLocation="code.xsd"/>
    </xs:schema>
  </wsdl:types>
  <wsdl:message name="Sell"><wsdl:part name="parameters" element="t:Sell"/></wsdl:message>
  <wsdl:message name="SellResponse"><wsdl:part name="parameters" element="t:SellResponse"/></wsdl:message>
  <wsdl:portType name="Shop"><wsdl:operation name="Sell">
    <wsdl:input message="t:Sell"/><wsdl:output message="t:SellResponse"/>
  </wsdl:operation></wsdl:portType>
  <wsdl:binding name="Old" type="t:Shop">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <wsdl:operation name="Sell"><soap:operation soapAction="sell"/>
      <wsdl:input><soap:body use="literal"/></wsdl:input><wsdl:output><soap:body use="literal"/></wsdl:output>
    </wsdl:operation>
  </wsdl:binding>
  <wsdl:binding name="New" type="t:Shop">
    <soap12:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <wsdl:operation name="Sell"><soap12:operation soapAction="sell"/>
      <wsdl:input><soap12:body use="literal"/></wsdl:input><wsdl:output><soap12:body use="literal"/></wsdl:output>
    </wsdl:operation>
  </wsdl:binding>
  <wsdl:service name="ShopService">
    <wsdl:port name="Old" binding="t:Old"><soap:address location="http://127.0.0.1:1/nowhere"/></wsdl:port>
    <wsdl:port name="New" binding="t:New"><soap12:address location="http://127.0.0.1:1/nowhere"/></wsdl:port>
  </wsdl:service>
</wsdl:definitions>"""
CODE_XSD: Final = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:item">
  <xs:simpleType name="Code"><xs:restriction base="xs:string">
    <xs:minLength value="1"/><xs:maxLength value="4"/>
  </xs:restriction></xs:simpleType>
</xs:schema>"""
SOLD: Final = '<SellResponse xmlns="urn:shop"><receipt>收据 1</receipt><receipt>2</receipt></SellResponse>'


def in_envelope(body: str, version: str = SOAP_11) -> bytes:
    return f'<s:Envelope xmlns:s="{version}"><s:Body>{body}</s:Body></s:Envelope>'.encode()


def fault_11(code: str) -> bytes:
    return in_envelope(f"<s:Fault><faultcode>{code}</faultcode><faultstring>不行\n no</faultstring></s:Fault>")


def fault_12(code: str, subcode: str = "") -> bytes:
    inner = f"<s:Subcode><s:Value>x:{subcode}</s:Value></s:Subcode>" if subcode else ""
    reason = '<s:Reason><s:Text xml:lang="en">no</s:Text></s:Reason>'
    return in_envelope(f"<s:Fault><s:Code><s:Value>s:{code}</s:Value>{inner}</s:Code>{reason}</s:Fault>", SOAP_12)


class Shop:
    """Answers every request with the same ``status`` and ``body``."""

    def __init__(self) -> None:
        self.status, self.body = 200, in_envelope(SOLD)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["content-length"]))
                shop.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, sent))
                self.send_response(shop.status)
                self.send_header("content-length", str(len(shop.body)))
                self.end_headers()
                self.wfile.write(shop.body)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/ws/shop?v=1"

    def answers(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.close()


@pytest.fixture
def wsdl(tmp_path: Path) -> Path:
    (tmp_path / "code.xsd").write_text(CODE_XSD)
    (tmp_path / "shop.wsdl").write_text(WSDL)
    return tmp_path / "shop.wsdl"


@pytest.mark.parametrize(("port", "version"), [("Old", SOAP_11), ("New", SOAP_12)])
def test_an_operation_is_called_and_its_answer_is_plain(shop: Shop, wsdl: Path, port: str, version: str) -> None:
    shop.answers(200, in_envelope(SOLD, version))
    with SoapClient(wsdl, address=shop.address, timeout_s=5, port=port) as client:
        assert client.send("Sell", code="帽子😀", count=2) == ["收据 1", "2"]
    ((path, headers, sent),) = shop.requests
    assert path == "/ws/shop?v=1"
    assert headers["content-type"].startswith("text/xml" if version == SOAP_11 else "application/soap+xml")
    root = etree.fromstring(sent)
    assert etree.QName(root).namespace == version
    assert root.findtext(".//{urn:shop}code") == "帽子😀"


@pytest.mark.parametrize("digest", [False, True])
def test_a_username_token_is_sent(shop: Shop, wsdl: Path, digest: bool) -> None:
    with SoapClient(wsdl, address=shop.address, timeout_s=5, token=("me", "secret"), digest=digest) as client:
        client.read("Sell", code="A")
    sent = shop.requests[0][2]
    assert (b"#PasswordDigest" in sent, b"secret" in sent) == (digest, not digest)


@pytest.mark.parametrize(
    ("arguments", "field", "code"),
    [
        ({"code": "FIVES"}, "code", "soap.too_long"),
        ({"code": ""}, "code", "soap.too_short"),
        ({"code": "A", "count": "many"}, "count", "soap.type"),
        ({"count": 1}, "", "soap.request"),
        ({"code": "A", "colour": "red"}, "", "soap.request"),
    ],
)
def test_a_body_that_breaks_the_schema_is_not_sent(
    shop: Shop, wsdl: Path, arguments: dict[str, Any], field: str, code: str
) -> None:
    with SoapClient(wsdl, address=shop.address, timeout_s=5) as client, pytest.raises(RecordError) as refused:
        client.send("Sell", **arguments)
    assert [(issue.field, issue.code) for issue in refused.value.issues] == [(field, code)]
    assert shop.requests == []


@pytest.mark.parametrize(
    ("status", "body", "when_read", "when_sent"),
    [
        (500, fault_11("s:Client"), RejectedError, RejectedError),
        (500, fault_11("s:Client.Stock"), RejectedError, RejectedError),
        (200, fault_11("s:Client"), RejectedError, RejectedError),
        (400, fault_12("Sender"), RejectedError, RejectedError),
        (500, fault_11("s:Server"), TransientError, UncertainError),
        (500, fault_12("Receiver"), TransientError, UncertainError),
        (500, fault_11("own:Code"), TransientError, UncertainError),
        (500, fault_11("w:FailedAuthentication"), ConfigurationError, ConfigurationError),
        (400, fault_12("Sender", "FailedAuthentication"), ConfigurationError, ConfigurationError),
        (500, fault_11("s:MustUnderstand"), ConfigurationError, ConfigurationError),
        (401, b"", ConfigurationError, ConfigurationError),
        (503, b"busy", TransientError, TransientError),
        (500, b"<html>", TransientError, UncertainError),
        (200, b"<html>", TransientError, UncertainError),
        (200, b"", TransientError, UncertainError),
        (200, b"<!DOCTYPE a>" + in_envelope(SOLD), TransientError, UncertainError),
        (200, in_envelope("<x/>" * 2), TransientError, UncertainError),
        (200, in_envelope("<a>" * 300 + "</a>" * 300), TransientError, UncertainError),
    ],
)
def test_every_answer_means_one_thing(
    monkeypatch: pytest.MonkeyPatch,
    shop: Shop,
    wsdl: Path,
    status: int,
    body: bytes,
    when_read: type[HubError],
    when_sent: type[HubError],
) -> None:
    monkeypatch.setattr("connectors.kit.http.READ_ATTEMPTS", 1)
    shop.answers(status, body)
    with SoapClient(wsdl, address=shop.address, timeout_s=5) as client:
        with pytest.raises(when_sent) as sent:
            client.send("Sell", code="A")
        with pytest.raises(when_read):
            client.read("Sell", code="A")
    assert "\n" not in sent.value.detail


def test_a_service_that_is_away_was_sent_nothing(wsdl: Path) -> None:
    with SoapClient(wsdl, address="http://127.0.0.1:9/", timeout_s=5) as client, pytest.raises(TransientError):
        client.send("Sell", code="A")


def test_an_unknown_operation_or_port_is_a_setting_to_correct(shop: Shop, wsdl: Path) -> None:
    with SoapClient(wsdl, address=shop.address, timeout_s=5) as client, pytest.raises(ConfigurationError):
        client.read("Buy")
    with pytest.raises(ConfigurationError, match="Newest"):
        SoapClient(wsdl, address=shop.address, timeout_s=5, port="Newest")


class TestNothingIsFetched:
    """Whatever a WSDL imports is beside it or shipped; the rest is a setting to correct."""

    def test_an_import_from_elsewhere_is_refused(self, wsdl: Path) -> None:
        far = 'schemaLocation="http://127.0.0.1:9/code.xsd"'
        wsdl.write_text(WSDL.replace('schemaLocation="code.xsd"', far))
        with pytest.raises(ConfigurationError, match="fetched"):
            SoapClient(wsdl, address="http://127.0.0.1:9/", timeout_s=5)

    def test_a_missing_file_is_named(self, wsdl: Path) -> None:
        (wsdl.parent / "code.xsd").unlink()
        with pytest.raises(ConfigurationError, match="shop.wsdl"):
            SoapClient(wsdl, address="http://127.0.0.1:9/", timeout_s=5)

    def test_a_file_that_is_no_wsdl_is_named(self, wsdl: Path) -> None:
        wsdl.write_text("<a/>")
        with pytest.raises(ConfigurationError, match="shop.wsdl"):
            SoapClient(wsdl, address="http://127.0.0.1:9/", timeout_s=5)

    @pytest.mark.parametrize("url", SHIPPED)
    def test_well_known_schemas_are_shipped(self, tmp_path: Path, url: str) -> None:
        space = "http://www.w3.org/XML/1998/namespace" if url.endswith("/xml.xsd") else url
        (tmp_path / "own.xsd").write_text(
            '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">'
            f'<xs:import namespace="{space}" schemaLocation="{url}"/></xs:schema>'
        )
        assert load_schema(tmp_path / "own.xsd")
