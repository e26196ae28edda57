"""An element that may repeat is a list from the parser to the canonical record, also when there is one of it."""

import pytest

from canonical_model.ports import Limits
from connectors.kit.xml import parse_xml
from tests.mappings.tables import CONTEXT, issues, outward

TABLE = """[fields.lines]
each = "orderLines.orderLine"
required = true
[fields.lines.fields]
sku = { from = "itemCode", required = true }
quantity = { from = "qty", with = "whole_quantity" }
"""
LISTS = ("orderLines.orderLine",)


def document(count: int) -> bytes:
    line = "<orderLine><itemCode>0012</itemCode><qty>2</qty></orderLine>"
    return f"<request><orderLines>{line * count}</orderLines></request>".encode()


@pytest.mark.parametrize("count", [1, 2, 6])
def test_one_line_and_six_lines_are_mapped_alike(count: int) -> None:
    record = parse_xml(document(count), limits=Limits(), lists=LISTS)
    assert outward(TABLE).map(record, CONTEXT) == {"lines": [{"sku": "0012", "quantity": 2}] * count}


def test_an_order_without_lines_is_an_issue() -> None:
    assert issues(outward(TABLE), parse_xml(document(0), limits=Limits(), lists=LISTS)) == [
        ("orderLines.orderLine", "value.missing")
    ]


def test_an_element_that_nobody_declared_as_repeating_is_an_issue_not_a_guess() -> None:
    assert issues(outward(TABLE), parse_xml(document(1), limits=Limits())) == [("orderLines.orderLine", "type.list")]
