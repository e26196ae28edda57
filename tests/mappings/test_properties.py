"""What holds for any JSON at all, tried on every table there is."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.codegen import compile_table
from mappings.engine import Mapping, Quarantined, available, load_mapping
from mappings.examples import EXAMPLE_CONTEXT
from mappings.explain import explain
from tests.mappings.tables import CONTEXT, inward, outward

TABLES = [load_mapping(*names) for names in available()]
FAST = {mapping.where: compile_table(mapping.table)(EXAMPLE_CONTEXT) for mapping in TABLES}
each_table = pytest.mark.parametrize("mapping", TABLES, ids=[mapping.where for mapping in TABLES])

ODD: list[Any] = [10**30, -(10**400), 1e308, "0", "-1", "1e5", "X", "20261103", "00000000", "/Date(9e9)/", "\ud800"]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        [10**30, -(10**400), 1e308, "0", "-1", "1e5", "X", "20261103", "00000000", "/Date(9e9)/", "\ud800"]
    )
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@st.composite
def damaged(draw: st.DrawFn, mapping: Mapping) -> Any:
    """A record of one of the table's examples, in which some values were replaced by anything."""
    record = orjson.loads(draw(st.sampled_from(mapping.examples)).given)
    for _ in range(draw(st.integers(0, 4))):
        holder, keys = record, list(members(record))
        while keys:
            key = draw(st.sampled_from(keys))
            keys = list(members(holder[key]))
            if not keys or draw(st.booleans()):
                holder[key] = draw(values)
                break
            holder = holder[key]
    return record


def members(value: Any) -> Any:
    if isinstance(value, dict):
        return list(value)
    return range(len(value)) if isinstance(value, list) else ()


@each_table
@settings(max_examples=40)
@given(st.data())
def test_any_record_is_mapped_or_quarantined_with_its_issues(mapping: Mapping, data: st.DataObject) -> None:
    records = data.draw(st.lists(damaged(mapping) | values, max_size=5))
    results = mapping.map_many(records, EXAMPLE_CONTEXT)
    assert len(results) == len(records)
    for position, (record, result) in enumerate(zip(records, results, strict=True)):
        if isinstance(result, Quarantined):
            assert result.position == position
            assert result.record is record
            assert all(issue.code and issue.detail for issue in result.issues)
            assert result.issues


@each_table
@settings(max_examples=40)
@given(st.data())
def test_the_fast_way_gives_what_the_slow_way_gives(mapping: Mapping, data: st.DataObject) -> None:
    record = data.draw(damaged(mapping))
    try:
        fast = FAST[mapping.where](record)
    except Exception:  # noqa: BLE001 - whatever it raises, the slow way decides
        return
    slow, issues = explain(mapping.table, record, EXAMPLE_CONTEXT)
    assert issues == ()
    assert repr(sorted_keys(fast)) == repr(sorted_keys(slow))


@each_table
def test_a_good_record_takes_the_fast_way(mapping: Mapping) -> None:
    for example in mapping.examples:
        if example.out is not None:
            FAST[mapping.where](orjson.loads(example.given))


@given(st.lists(st.integers(-3, 3)))
def test_the_order_of_a_batch_is_kept(quantities: list[int]) -> None:
    mapping = outward('[fields]\nq = { from = "Q", with = "whole_quantity" }')
    results = mapping.map_many([{"Q": quantity} for quantity in quantities], CONTEXT)
    kept = [result.record["Q"] if isinstance(result, Quarantined) else result["q"] for result in results]
    assert kept == quantities
    assert [isinstance(result, Quarantined) for result in results] == [quantity < 0 for quantity in quantities]


@given(st.dictionaries(st.text(), values))
def test_nothing_a_source_says_is_lost(record: dict[str, Any]) -> None:
    record["No"] = "7"
    result = inward('[fields]\norder_no = "No"').map(record, CONTEXT)
    assert {"No": result["order_no"]} | result.get("extensions", {}) == record or has_nan(record)


IN = """[codes.kind]
D = "delivery"
C = "carry_out"
[fields]
order_no = "No"
kind = { from = "Kind", codes = "kind", default = "delivery" }
"receiver.city" = "To.City"
total_minor = { from = "Total", with = "yuan_to_minor", required = true }
[fields.lines]
each = "Lines"
[fields.lines.fields]
line_no = "#"
sku = "Item.Code"
amount_minor = { from = "Amount", with = "yuan_to_minor" }
"""
OUT = """[codes.kind]
delivery = "D"
carry_out = "C"
[fields]
No = "order_no"
Kind = { from = "kind", codes = "kind" }
"To.City" = "receiver.city"
Total = { from = "total_minor", with = "minor_to_yuan" }
[fields.Lines]
each = "lines"
[fields.Lines.fields]
"Item.Code" = "sku"
Amount = { from = "amount_minor", with = "minor_to_yuan" }
"""
amounts = st.integers(-(10**9), 10**9).map(lambda fen: f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02}")
words = st.text(min_size=1).filter(lambda word: word == word.strip())
outside_orders = st.fixed_dictionaries(
    {"No": words, "Kind": st.sampled_from("DC"), "Total": amounts},
    optional={
        "To": st.fixed_dictionaries({"City": words}),
        "Lines": st.lists(
            st.fixed_dictionaries({"Item": st.fixed_dictionaries({"Code": words}), "Amount": amounts}), min_size=1
        ),
    },
)


@given(outside_orders)
def test_in_and_out_again_is_where_we_began(order: dict[str, Any]) -> None:
    canonical = inward(IN).map(order, CONTEXT)
    assert outward(OUT).map(canonical, CONTEXT) == order


def sorted_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    return [sorted_keys(element) for element in value] if isinstance(value, list) else value


def has_nan(value: Any) -> bool:
    return "nan" in repr(value)
