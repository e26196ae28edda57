"""The WSDL, the hub's own JSON contracts and the manifests say the same."""

from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree

from connectors.kit.manifest import load_manifest, load_schemas
from connectors.kit.registry import available
from connectors.kit.soap_schema import XS
from hub_api.soap.records import NAMESPACE, OPERATIONS, PLURALS, VALIDATOR, WSDL, Shape
from tests.hub_api.soap.messages import operation, product

HUB = load_manifest("hub")
STREAMS = {stream.operation: stream.name for stream in HUB.streams if stream.operation}


def resolved(schema: Any, root: Any) -> Any:
    """The schema behind references and ``or null``."""
    if "$ref" in schema:
        return resolved(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return resolved(next(s for s in schema["anyOf"] if s.get("type") != "null"), root)
    return schema


def compared(shape: Shape, schema: Any, root: Any, path: str) -> Iterator[tuple[str, set[str], set[str]]]:
    """Place, JSON names of the shape and of the contract, at every level."""
    properties = schema["properties"]
    yield path, {field.name for field in shape.fields.values()}, set(properties)
    for field in shape.fields.values():
        if field.inside is None:
            continue
        inner = resolved(properties[field.name], root)
        inner = resolved(inner["items"], root) if inner.get("type") == "array" else inner
        yield from compared(field.inside, inner, root, f"{path}.{field.name}")


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_item_has_the_fields_of_its_contract(name: str) -> None:
    schema = load_schemas("hub")[STREAMS[name]]
    for path, ours, theirs in compared(OPERATIONS[name].item, schema, schema, name):
        assert ours == theirs, path


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_item_must_have_what_its_contract_requires(name: str) -> None:
    required = set(load_schemas("hub")[STREAMS[name]]["required"])
    root = etree.parse(str(WSDL)).getroot()
    (item,) = root.iterfind(f".//{XS}element[@name='{name}']//{XS}element[@name='item']")
    type_ = str(item.get("type")).rpartition(":")[2]
    fields = OPERATIONS[name].item.fields
    declared = {
        fields[f"{{{NAMESPACE}}}{element.get('name')}"].name
        for element in root.iterfind(f".//{XS}complexType[@name='{type_}']/{XS}sequence/{XS}element")
        if element.get("minOccurs") != "0"
    }
    assert declared == required


def test_every_plural_is_of_a_field() -> None:
    known = {field.element for field in OPERATIONS["PushProducts"].item.fields.values()}
    assert known >= PLURALS.keys()


@pytest.mark.parametrize("connector", available())
def test_an_operation_feeds_one_stream_of_a_system(connector: str) -> None:
    named = [stream.operation for stream in load_manifest(connector).streams if stream.operation]
    assert len(set(named)) == len(named)
    assert set(named) <= OPERATIONS.keys()


def test_everything_repeated_has_a_bound() -> None:
    root = etree.parse(str(WSDL)).getroot()
    assert not root.xpath("//*[@maxOccurs='unbounded']")


def test_an_issues_place_is_worded_as_the_sender_wrote_it() -> None:
    orders, products = OPERATIONS["PushOrders"], OPERATIONS["PushProducts"]
    assert orders.place_of("lines[0].amount_minor") == "line[1].amountMinor"
    assert orders.place_of("lines.1.sku") == "line[2].sku"
    assert orders.place_of("receiver.region_code") == "receiver.regionCode"
    assert products.place_of("names") == "localName"
    assert products.place_of("") == ""


def test_a_good_item_breaks_nothing() -> None:
    assert VALIDATOR.violations(etree.fromstring(operation("PushProducts", product()))) == []
