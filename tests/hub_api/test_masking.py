"""Masks keep a value recognisable to who knows it, and useless to who does not."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_api.masking import MASK, hide_undeclared, mask, mask_fields


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("13812345678", "138••••5678"),
        ("陈小一", "陈••"),
        ("陈", "•"),
        ("文三路 1 号", "文•••••号"),
        (13812345678, "138••••5678"),
        (None, None),
        (True, True),
        (["13812345678"], ["138••••5678"]),
        ({"name": "陈小一"}, {"name": "陈••"}),
        ("", ""),
    ],
)
def test_values_are_masked(value: object, masked: object) -> None:
    assert mask(value) == masked


@given(st.text(min_size=1))
def test_at_least_a_third_of_a_text_is_hidden_and_its_length_kept(text: str) -> None:
    masked = mask(text)
    assert len(masked) == len(text)
    assert masked.count(MASK) * 3 >= len(text)


def test_fields_are_masked_where_their_paths_lead() -> None:
    record: dict[str, Any] = {
        "a": {"name": "陈小一", "city": "杭州"},
        "list": [{"phone": "13812345678", "n": 1}],
        "n": 2,
    }
    assert mask_fields(record, ["a.name", "list[].phone", "not.there"]) == {
        "a": {"name": "陈••", "city": "杭州"},
        "list": [{"phone": "138••••5678", "n": 1}],
        "n": 2,
    }
    assert record["a"]["name"] == "陈小一"


def test_a_path_that_cannot_be_followed_hides_too_much_rather_than_too_little() -> None:
    assert mask_fields({"a": {"b": "13812345678"}}, ["a.[b, c]"]) == {"a": {"b": "138••••5678"}}
    assert mask_fields({"a": "13812345678"}, ["a.b"]) == {"a": "138••••5678"}


@given(
    st.recursive(
        st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_masking_never_fails_and_stays_json(record: object) -> None:
    orjson.dumps(mask_fields(record, ["a.b", "a[].b"]), default=str)


@pytest.mark.parametrize("card", ["13800138000", "V13800138000", 13800138000, ["138 0013 8000"]])
def test_a_personal_value_that_is_repeated_elsewhere_is_hidden_there_too(card: Any) -> None:
    record = {"mobile": "+86 13800138000", "card": card, "shop": "S001", "name": "陈一", "remark": "陈一 was here"}
    shown = mask_fields(record, ["mobile", "name"])
    assert "0013" not in str(shown)
    assert (shown["shop"], shown["remark"]) == ("S001", "陈一 was here")


SCHEMA = {
    "type": "object",
    "properties": {
        "code": {"type": "string"},
        "level": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "mobile": {"type": ["string", "null"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "receiver": {"anyOf": [{"$ref": "#/$defs/receiver"}, {"type": "null"}]},
        "extensions": {"type": "object"},
    },
    "$defs": {
        "line": {"type": "object", "properties": {"quantity": {"type": "integer"}, "kind": {"enum": ["a", 1]}}},
        "receiver": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"code": ["王五 13711112222 文一西路9号"]}, {"code": "•••"}),
        ({"code": 13711112222}, {"code": "•••"}),
        ({"level": {"王五 13711112222": "x"}}, {"level": "•••"}),
        ({"联系人王五13711113333": 1, "code": "c", "x": {}}, {"•••1": "•••", "code": "c", "•••2": "•••"}),
        ({"extensions": {"身份证330106199005201234": "x"}}, {"extensions": {"•••1": "•••"}}),
        ({"lines": [{"quantity": "13711112222", "kind": "王五"}]}, {"lines": [{"quantity": "•••", "kind": "•••"}]}),
        (
            {"lines": [{"quantity": 2, "kind": "a"}], "level": None},
            {"lines": [{"quantity": 2, "kind": "a"}], "level": None},
        ),
        ({"lines": "王五", "receiver": ["王五"], "code": "c"}, {"lines": "•••", "receiver": "•••", "code": "c"}),
        (["王五"], "•••"),
    ],
)
def test_what_is_of_another_shape_than_declared_is_hidden(value: Any, shown: Any) -> None:
    assert hide_undeclared(value, SCHEMA) == shown


def test_what_is_masked_already_stays_recognisable_where_text_or_numbers_are_declared() -> None:
    record = {"mobile": 13711112222, "receiver": {"name": "陈小一"}, "code": "王五•13711112222", "lines": ["x"]}
    shown = hide_undeclared(mask_fields(record, ["mobile", "receiver.name", "lines"]), SCHEMA)
    assert shown == {"mobile": "137••••2222", "receiver": {"name": "陈••"}, "code": "•••", "lines": ["•••"]}


def test_a_number_in_a_personal_field_that_cannot_be_read_is_hidden_elsewhere_too() -> None:
    record = {"receiver": ["陈小一 137 1111 0000"], "order_no": "X13711110000", "sku": "TEE"}
    assert mask_fields(record, ["receiver.name"])["order_no"] == "•••"
