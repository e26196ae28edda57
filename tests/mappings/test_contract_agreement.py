"""The engine that decides and the engine that explains read every schema and record alike."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mappings.contract import Contract

names = st.sampled_from(["a", "b", "c", "x_1"])
numbers = (
    st.integers(-3, 3)
    | st.sampled_from([0.0, -0.0, 1.0, 0.1, 0.3, 19.9, 1e12, 1e29, 2**53, 2**53 + 1, 2.0**53, 10**30, -(10**30)])
    | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = ["", "a", "ab", "7", "12\n", "٣", "é", "e\u0301", "😀", "2026-11-03", "2026-11-03T09:30:00+08:00", "2026-02-30",
         "2026-11-03T09:30:00", "09:30:00Z", "a@b.cn", "10.0.0.1", "::1", "https://a.cn/?b", "P1D",
         "123e4567-e89b-12d3-a456-426614174000"]  # fmt: skip
texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | texts, inner, max_size=3), max_leaves=8
)
sizes = st.integers(0, 3)
types = st.sampled_from(["null", "boolean", "object", "array", "number", "integer", "string"])
FORMATS = ["date-time", "date", "time", "duration", "email", "ipv4", "ipv6", "uri", "uuid", "regex", "no-such-format"]
PATTERNS = ["^[0-9]+$", r"^\d+$", r"\w", "^.$", "a|b", "^(?!a)", r"\s", r"^\p{L}+$"]


SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "type": types | st.lists(types, min_size=1, unique=True),
    "enum": st.lists(values, min_size=1, max_size=3),
    "const": values,
    "multipleOf": st.sampled_from([1, 2, 1.0, 0.5, 0.1, 0.01, 1e-5, 10**20]),
    "minimum": numbers,
    "maximum": numbers,
    "exclusiveMinimum": numbers,
    "exclusiveMaximum": numbers,
    "minLength": sizes,
    "maxLength": sizes,
    "pattern": st.sampled_from(PATTERNS),
    "format": st.sampled_from(FORMATS),
    "minItems": sizes,
    "maxItems": sizes,
    "uniqueItems": st.booleans(),
    "minProperties": sizes,
    "maxProperties": sizes,
    "required": st.lists(names, unique=True),
    "dependentRequired": st.dictionaries(names, st.lists(names, unique=True), max_size=2),
}


def chosen(keywords: dict[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas with some of the keywords."""
    some = st.lists(st.sampled_from(sorted(keywords)), min_size=1, max_size=most, unique=True)
    return some.flatmap(lambda picked: st.fixed_dictionaries({keyword: keywords[keyword] for keyword in picked}))


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas made of other schemas."""
    some = st.lists(inner, min_size=1, max_size=2)
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "properties": st.dictionaries(names, inner, min_size=1, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(["^x_", "^[ab]$", "c"]), inner, min_size=1, max_size=2),
        "prefixItems": some,
        "dependentSchemas": st.dictionaries(names, inner, min_size=1, max_size=2),
        "$ref": st.just("#/$defs/d"),
    }
    keywords |= dict.fromkeys(["allOf", "anyOf", "oneOf"], some)
    keywords |= dict.fromkeys(["additionalProperties", "unevaluatedProperties", "propertyNames"], inner)
    keywords |= dict.fromkeys(["items", "contains", "unevaluatedItems", "not", "if", "then", "else"], inner)
    return chosen(keywords, most=4)


simple = chosen(SIMPLE, most=2)
schemas = st.recursive(simple | st.just(False), composed, max_leaves=6)


def judge_alike(schema: dict[str, Any], records: list[Any]) -> None:
    contract = Contract(schema)
    for record in records:
        accepted = contract._judge.is_valid(record)
        assert contract._witness.is_valid(record) == accepted, record
        assert (contract.check(record) == ()) == accepted


@pytest.mark.parametrize("keyword", SIMPLE)
@settings(max_examples=60)
@given(st.data())
def test_both_engines_read_a_keyword_alike(keyword: str, data: st.DataObject) -> None:
    judge_alike({keyword: data.draw(SIMPLE[keyword])}, data.draw(st.lists(values, min_size=5, max_size=10)))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(composed(schemas), simple, st.lists(values, min_size=5, max_size=10))
def test_both_engines_accept_and_refuse_the_same_records(
    schema: dict[str, Any], definition: dict[str, Any], records: list[Any]
) -> None:
    judge_alike(schema | {"$defs": {"d": definition}}, records)
