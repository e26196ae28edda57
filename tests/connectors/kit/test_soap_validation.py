"""What a schema forbids is named by place and rule, by many threads at once, and never by the value."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from lxml import etree

from connectors.kit.soap_schema import load_schema
from connectors.kit.soap_validation import Validator, Violation, words

SCHEMA: Final = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:t" targetNamespace="urn:t"
    elementFormDefault="qualified">
  <xs:simpleType name="Count"><xs:restriction base="t:Whole">
    <xs:maxInclusive value="9"/>
  </xs:restriction></xs:simpleType>
  <xs:simpleType name="Whole"><xs:restriction base="xs:int">
    <xs:minInclusive value="0"/>
  </xs:restriction></xs:simpleType>
  <xs:simpleType name="Code"><xs:restriction base="xs:string">
    <xs:pattern value="[A-Z]{3}"/>
  </xs:restriction></xs:simpleType>
  <xs:simpleType name="Kind"><xs:restriction base="xs:string">
    <xs:enumeration value="new"/><xs:enumeration value="old"/>
  </xs:restriction></xs:simpleType>
  <xs:element name="list"><xs:complexType><xs:sequence>
    <xs:element name="item" maxOccurs="3"><xs:complexType><xs:sequence>
      <xs:element name="code" type="t:Code"/>
      <xs:element name="kind" type="t:Kind" minOccurs="0"/>
      <xs:element name="note" type="xs:string" minOccurs="0"/>
      <xs:element name="count" type="t:Count"/>
      <xs:element name="rate" minOccurs="0"><xs:simpleType><xs:restriction base="xs:decimal">
        <xs:fractionDigits value="2"/>
      </xs:restriction></xs:simpleType></xs:element>
    </xs:sequence></xs:complexType></xs:element>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
GOOD: Final = "<item><code>ABC</code><count>1</count></item>"


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Validator:
    path: Path = tmp_path_factory.mktemp("schema") / "list.xsd"
    path.write_text(SCHEMA)
    return Validator(load_schema(path))


def element(inside: str) -> etree._Element:
    return etree.fromstring(f'<list xmlns="urn:t" xmlns:p="urn:t">{inside}</list>')


@pytest.mark.parametrize(
    ("inside", "field", "code", "limit"),
    [
        ("<item><code>it's 'secret'</code><count>1</count></item>", "item.code", "pattern", "[A-Z]{3}"),
        ("<item><code>ABC</code><count>secret</count></item>", "item.count", "type", "int"),
        ("<item><code>ABC</code><count>-1</count></item>", "item.count", "too_small", "0"),
        ("<item><code>ABC</code><count>10</count></item>", "item.count", "too_large", "9"),
        ("<item><code>ABC</code><kind>secret</kind><count>1</count></item>", "item.kind", "choice", "new, old"),
        ("<item><code>ABC</code><count>1</count><rate>1.234</rate></item>", "item.rate", "digits", "2"),
        ("<item><code>ABC</code></item>", "item.count", "missing", ""),
        ("<item><count>1</count></item>", "item.code", "missing", ""),
        ("<item/>", "item.code", "missing", ""),
        ("", "item", "missing", ""),
        ("<item><code>ABC</code><other/><count>1</count></item>", "item.other", "unexpected", "kind, note, count"),
        ("<item><count>1</count><code>ABC</code></item>", "item.count", "unexpected", "code"),
        (GOOD * 4, "item[4]", "too_many", "3"),
        (f"{GOOD}<p:item><p:code>x</p:code><p:count>1</p:count></p:item>", "item[2].code", "pattern", "[A-Z]{3}"),
        ('<item><code a="1">ABC</code><count>1</count></item>', "item.code", "attribute", ""),
        ("<item>secret<code>ABC</code><count>1</count></item>", "item", "text", ""),
    ],
)
def test_a_violation_is_named(validator: Validator, inside: str, field: str, code: str, limit: str) -> None:
    (violation,) = validator.violations(element(inside))
    assert violation == Violation(field, code, limit)
    assert words(violation)
    assert "secret" not in repr(violation)


def test_threads_share_a_schema(validator: Validator) -> None:
    good = GOOD * 3
    bad = {number: f"<item><code>ABC</code><count>{number}</count></item>" for number in range(10, 20)}

    def judge(number: int) -> bool:
        if number % 2:
            return validator.violations(element(good)) == []
        return validator.violations(element(bad[10 + number % 10])) == [Violation("item.count", "too_large", "9")]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(judge, range(400)))
