"""What is no plain SOAP message is refused with a fault, before anything grows and before anything is stored."""

from typing import Final

import httpx
import pytest
from lxml import etree

from canonical_model.errors import LimitError, RecordError
from flows.runtime.bootstrap import Hub
from hub_api.soap import envelope as reading
from tests.hub_api.conftest import Client
from tests.hub_api.soap.messages import MEDIA_TYPES, SOAP_11, SOAP_12, envelope, operation, product, read, text

GOOD: Final = envelope(operation("PushProducts", product()))
BOMB: Final = b"".join(
    b'<!ENTITY l%d "%s">' % (level, b"&l%d;" % (level - 1) * 10 if level else b"lol") for level in range(10)
)
QUADRATIC: Final = b'<!DOCTYPE a [<!ENTITY x "' + b"x" * 100_000 + b'">]>'


def within(inner: bytes) -> bytes:
    """The good message with something else for a name."""
    return GOOD.replace("速干短袖👕".encode(), inner)


HOSTILE: Final = {
    "an external entity": (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + within(b"&x;"), "document.dtd"),
    "an external parameter entity": (
        b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x">%x;]>' + GOOD,
        "document.dtd",
    ),
    "a billion laughs": (b"<!DOCTYPE a [" + BOMB + b"]>" + within(b"&l9;"), "document.dtd"),
    "a quadratic blow-up": (QUADRATIC + within(b"&x;" * 10_000), "document.dtd"),
    "a DTD": (b"<!DOCTYPE a>" + GOOD, "document.dtd"),
    "an external DTD": (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">' + GOOD, "document.dtd"),
    "a DTD behind comments": (b"<?xml version='1.0'?><!-- <a> --><?p i?> <!DOCTYPE a>" + GOOD, "document.dtd"),
    "a DTD in UTF-16": (('\ufeff<!DOCTYPE a [<!ENTITY x "y">]>' + GOOD.decode()).encode("utf-16-le"), "document.dtd"),
    "an entity of no DTD": (within(b"&nbsp;"), "document.entity"),
    "10,000 levels": (within(b"<a>" * 10_000 + b"</a>" * 10_000), "document.depth"),
    "10,000 levels outside of the body": (b"<a>" * 10_000 + b"</a>" * 10_000, "document.depth"),
    "a NUL byte": (within(b"a\x00b"), "document.nul"),
    "a NUL reference": (within(b"&#0;"), "document.encoding"),
    "a control character": (within(b"\x01"), "document.encoding"),
    "wrong bytes": (within(b"\xff\xfe\xfa"), "document.encoding"),
    "an unknown encoding": (b'<?xml version="1.0" encoding="EBCDIC-CP-US"?>' + GOOD, "document.encoding"),
    "a truncated document": (GOOD[: len(GOOD) // 2], "document.truncated"),
    "nothing": (b" ", "document.empty"),
    "no XML": (b'{"messageId": 1}', "document.syntax"),
    "two bodies": (GOOD.replace(b"</s:Envelope>", b"<s:Body/></s:Envelope>"), "soap.envelope"),
    "no body": (f'<s:Envelope xmlns:s="{SOAP_11}"/>'.encode(), "soap.envelope"),
    "an empty body": (envelope(""), "soap.body"),
    "two operations": (envelope(operation("PushProducts", product()) * 2), "soap.body"),
    "a header after the body": (GOOD.replace(b"</s:Envelope>", b"<s:Header/></s:Envelope>"), "soap.envelope"),
    "no envelope": (b"<a/>", "soap.envelope"),
    "a wrong namespace": (GOOD.replace(b"urn:yipan:soap:v1", b"urn:yipan:soap:v2"), "soap.namespace"),
    "no namespace": (GOOD.replace(b' xmlns="urn:yipan:soap:v1"', b""), "soap.namespace"),
    "an unknown operation": (GOOD.replace(b"PushProducts", b"PullProducts"), "soap.operation"),
    "an unknown SOAP version": (
        GOOD.replace(SOAP_11.encode(), b"http://www.w3.org/2001/06/soap-envelope"),
        "soap.version",
    ),
}


def post(client: Client, body: bytes, content_type: str = MEDIA_TYPES[SOAP_11]) -> httpx.Response:
    return client("ingest:hub").post("/soap/v1", content=body, headers={"Content-Type": content_type})


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_refused_and_nothing_of_it_is_kept(hub: Hub, client: Client, name: str) -> None:
    body, code = HOSTILE[name]
    content_type = "text/xml" if name == "a DTD in UTF-16" or "encoding" in name else MEDIA_TYPES[SOAP_11]
    response = post(client, body, content_type)
    fault = read(response.content)
    assert (response.status_code, text(fault, "detail/Problem/code")) == (500, code)
    assert text(fault, "faultcode") == ("s:VersionMismatch" if code == "soap.version" else "s:Client")
    assert "root:" not in response.text
    assert hub.database.run("SELECT id FROM message") == []


def test_a_bomb_is_refused_before_the_parser_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def untouched(*_: object, **__: object) -> None:
        raise AssertionError("the parser was called")

    monkeypatch.setattr("lxml.etree.fromstring", untouched)
    for name in ("a billion laughs", "a quadratic blow-up", "an external entity", "a DTD behind comments"):
        with pytest.raises(RecordError) as refused:
            reading.read_envelope(HOSTILE[name][0], "text/xml")
        assert refused.value.code == "document.dtd"


def test_a_document_of_too_many_tags_is_refused_before_a_tree_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_MARKS", 1_000)
    with pytest.raises(LimitError):
        reading.read_envelope(within(b"<a/>" * 1_000), "text/xml")


class TestOpening:
    """Who sends is read from what comes before the Body, and from no more than that."""

    HEADED = envelope("<a/>" * 2_000, header="<x>速干</x>")

    @pytest.mark.parametrize("charset", ["utf-8", "gbk", "utf-16"])
    def test_it_is_there_as_soon_as_the_header_has_ended(self, charset: str) -> None:
        sent = self.HEADED.decode().encode(charset)
        end = self.HEADED.decode().index("</s:Header>") + len("</s:Header>")
        looks = [
            reading.read_opening(sent[:length], f"text/xml; charset={charset}") for length in range(2, len(sent), 7)
        ]
        assert None in looks
        found = [opening for opening in looks if opening is not None]
        assert len(found) + looks.index(found[0]) == len(looks) > len(found)
        assert {(opening.version, opening.headers[0].text) for opening in found} == {(SOAP_11, "速干")}
        assert looks.index(found[0]) * 7 <= 2 * end + 30

    def test_a_message_without_a_header_opens_with_its_body(self) -> None:
        opening = reading.read_opening(GOOD[: GOOD.index(b"<PushProducts")], "text/xml")
        assert opening == reading.Opening(SOAP_11, ())

    def test_a_doctype_is_refused_before_anything_is_read(self) -> None:
        for name in ("a billion laughs", "a quadratic blow-up", "an external entity", "a DTD behind comments"):
            with pytest.raises(RecordError) as refused:
                reading.read_opening(HOSTILE[name][0][:1_024], "text/xml")
            assert refused.value.code == "document.dtd"

    @pytest.mark.parametrize("header", ["<a/>" * 1_001, f"<a>{'x' * 70_000}</a>"], ids=["elements", "bytes"])
    def test_a_header_that_is_too_large_is_refused(self, client: Client, header: str) -> None:
        response = post(client, envelope(operation("PushProducts", product()), header=header))
        assert text(read(response.content), "detail/Problem/code") == "limit.header"


@pytest.mark.parametrize("charset", ["gbk", "GB18030", "utf-16"])
def test_chinese_encodings_are_read(client: Client, charset: str) -> None:
    body = f'<?xml version="1.0" encoding="{charset}"?>{GOOD.decode().replace("👕", "")}'.encode(charset)
    assert post(client, body, "text/xml").status_code == 200


@pytest.mark.parametrize("content_type", ["application/json", "multipart/related; type=text/xml", "image/png"])
def test_what_is_not_announced_as_soap_is_refused(client: Client, content_type: str) -> None:
    fault = read(post(client, GOOD, content_type).content)
    assert text(fault, "detail/Problem/code") == "document.media_type"


@pytest.mark.parametrize("version", [SOAP_11, SOAP_12], ids=["1.1", "1.2"])
def test_a_body_that_is_too_long_is_refused_in_soap(hub: Hub, client: Client, version: str) -> None:
    response = post(client, b" " * (hub.settings.max_body_bytes + 1), MEDIA_TYPES[version])
    assert response.headers["content-type"] == MEDIA_TYPES[version]
    fault = read(response.content)
    assert text(fault, "detail/Problem/code" if version == SOAP_11 else "Detail/Problem/code") == "body.limit"


def test_10_001_items_are_too_many(client: Client) -> None:
    body = envelope(operation("PushProducts", *[product()] * 10_001))
    fault = read(post(client, body).content)
    assert text(fault, "detail/Problem/issue/code") == "soap.too_many"
    assert "10000" in (text(fault, "detail/Problem/issue/en") or "")


def test_a_number_of_5000_digits_is_refused_whatever_its_value(client: Client) -> None:
    item = {"id": "1", "member": "C1", "programme": "home", "points": "0" * 5_000 + "1"}
    item["happenedAt"] = "2026-03-01T00:00:00Z"
    fault = read(post(client, envelope(operation("PushPoints", item))).content)
    assert (text(fault, "faultcode"), text(fault, "detail/Problem/code")) == ("s:Client", "value.invalid")


class TestMustUnderstand:
    """A header that must be understood and is not ends the message; one that need not be is passed over."""

    HEADER = '<x:Coupon xmlns:x="urn:x" s:mustUnderstand="{value}"{more}>1</x:Coupon>'

    @pytest.mark.parametrize("version", [SOAP_11, SOAP_12], ids=["1.1", "1.2"])
    def test_it_is_named(self, hub: Hub, client: Client, version: str) -> None:
        header = self.HEADER.format(value="1", more="")
        body = envelope(operation("PushProducts", product()), header=header, version=version)
        response = post(client, body, MEDIA_TYPES[version])
        fault = read(response.content)
        assert response.status_code == 500
        code = text(fault, "faultcode" if version == SOAP_11 else "Code/Value")
        assert code == "s:MustUnderstand"
        assert "Coupon" in response.text
        assert hub.database.run("SELECT id FROM message") == []

    @pytest.mark.parametrize(
        ("value", "more"), [("0", ""), ("1", ' s:actor="urn:somebody-else"')], ids=["optional", "for somebody else"]
    )
    def test_others_are_passed_over(self, client: Client, value: str, more: str) -> None:
        header = self.HEADER.format(value=value, more=more)
        assert post(client, envelope(operation("PushProducts", product()), header=header)).status_code == 200

    def test_one_without_a_namespace_is_named_without_one(self, client: Client) -> None:
        header = '<Coupon s:mustUnderstand="1"/>'
        body = envelope(operation("PushProducts", product()), header=header, version=SOAP_12)
        answer = etree.fromstring(post(client, body, MEDIA_TYPES[SOAP_12]).content)
        assert [block.get("qname") for block in answer.iterfind("{*}Header/{*}NotUnderstood")] == ["Coupon"]

    @pytest.mark.parametrize("version", [SOAP_11, SOAP_12], ids=["1.1", "1.2"])
    def test_100_of_them_are_named(self, client: Client, version: str) -> None:
        header = self.HEADER.format(value="1", more="") * 200
        body = envelope(operation("PushProducts", product()), header=header, version=version)
        answer = etree.fromstring(post(client, body, MEDIA_TYPES[version]).content)
        named = list(answer.iterfind("{*}Header/{*}NotUnderstood"))
        assert len(named) == (0 if version == SOAP_11 else 100)
