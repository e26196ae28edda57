"""Bytes to records: every format, every kind of damage."""

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import ConfigurationError, LimitError, RecordError
from canonical_model.ports import Limits
from connectors.kit.documents import extract_records, parse_document
from flows.testing import hostile

LIMITS = Limits(depth=40, records=3)


def parse(body: str | bytes, media_type: str = "application/json") -> Any:
    return parse_document(body.encode() if isinstance(body, str) else body, media_type, limits=LIMITS)


def code_of(body: str | bytes, media_type: str) -> str:
    with pytest.raises(RecordError) as caught:
        parse(body, media_type)
    return caught.value.code


def test_each_format_gives_plain_records() -> None:
    rows = [{"a": "1", "b": "中"}, {"a": "2", "b": "x,y"}]
    assert parse(orjson.dumps(rows)) == rows
    assert parse(b"\n".join(map(orjson.dumps, rows)) + b"\n\n", "application/x-ndjson") == rows
    assert parse('a,b\r\n1,中\r\n2,"x,y"\r\n', "text/csv; charset=utf-8") == rows
    assert parse("<r><a>1</a></r>", "text/xml; charset=utf-8") == {"a": "1"}
    assert parse("[1]", "application/vnd.example+json") == [1]
    assert parse("<r><a>1</a></r>", "application/soap+xml") == {"a": "1"}


def test_a_byte_order_mark_is_not_data() -> None:
    assert parse(b"\xef\xbb\xbf[1]") == [1]
    assert parse(b"\xef\xbb\xbfa\n1\n", "text/csv") == [{"a": "1"}]
    assert parse(b'\xef\xbb\xbf{"a":1}', "application/x-ndjson") == [{"a": 1}]


def test_excels_chinese_csv_is_read_when_it_says_so() -> None:
    assert parse("货号,数量\n衬衫,1\n".encode("gbk"), "text/csv; charset=GBK") == [{"货号": "衬衫", "数量": "1"}]
    assert code_of("a\n1\n", "text/csv; charset=koi8-r") == "document.encoding"


@pytest.mark.parametrize(("media_type", "body"), hostile.BODIES.values(), ids=hostile.BODIES)
def test_hostile_bodies_end_in_a_refusal(media_type: str, body: bytes) -> None:
    assert code_of(body, media_type).startswith("document.")


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        (b'[{"a":1}', "application/json", "document.truncated"),
        (b"[1,]", "application/json", "document.syntax"),
        (b"[NaN]", "application/json", "document.syntax"),
        (b'["\xff"]', "application/json", "document.encoding"),
        (b"[1]\x00", "application/json", "document.nul"),
        (b"  ", "application/json", "document.empty"),
        (b"[" * 41 + b"]" * 41, "application/json", "document.depth"),
        (b"[" * 10_000 + b"]" * 10_000, "application/json", "document.depth"),
        (b"[" * 10_000, "application/x-ndjson", "document.depth"),
        (b"a,b\n1\n", "text/csv", "document.columns"),
        (b'a\n"x', "text/csv", "document.truncated"),
        (b'a\n"x"y\n', "text/csv", "document.syntax"),
        (b"a,,b\n", "text/csv", "document.header"),
        (b"a\n" + b"x" * 200_000, "text/csv", "document.syntax"),
        (b"\xef\xbb\xbf", "text/csv", "document.header"),
        (b"x", "text/html", "document.media_type"),
        (b"x", "", "document.media_type"),
    ],
)
def test_each_kind_of_damage_has_its_code(body: bytes, media_type: str, code: str) -> None:
    assert code_of(body, media_type) == code


def test_nesting_up_to_the_limit_is_read() -> None:
    assert parse(b"[" * 40 + b"]" * 40)


def test_every_broken_line_is_named() -> None:
    with pytest.raises(RecordError) as caught:
        parse(b'{"a":1}\n{"a"\n\nx\n', "application/x-ndjson")
    assert [issue.field for issue in caught.value.issues] == ["line 2", "line 4"]
    with pytest.raises(RecordError) as caught:
        parse("a,b\n1\n1,2\n1,2,3\n", "text/csv")
    assert [issue.field for issue in caught.value.issues] == ["line 2", "line 4"]


def test_too_many_records_are_refused_with_the_limits_name() -> None:
    for body, media_type in ((b"{}\n" * 4, "application/x-ndjson"), (b"a\n" + b"1\n" * 4, "text/csv")):
        with pytest.raises(LimitError, match="limits.records"):
            parse(body, media_type)
    with pytest.raises(LimitError, match="limits.records"):
        extract_records([{}] * 4, "@", limits=LIMITS)


def test_records_are_found_where_the_manifest_says() -> None:
    assert extract_records({"data": [{"a": 1}]}, "data") == [{"a": 1}]
    assert extract_records([{"a": 1}], "@") == [{"a": 1}]
    assert extract_records({"a": 1}, "@") == [{"a": 1}]
    assert extract_records({"data": []}, "data") == []


def test_each_with_gives_every_item_what_its_document_says_once() -> None:
    document = {"day": "1", "items": {"item": [{"a": 1}, {"a": 2, "day": "own"}, "odd"]}}
    found = extract_records(document, "each_with(items.item, {day: day})")
    assert found == [{"a": 1, "day": "1"}, {"a": 2, "day": "own"}, "odd"]


@pytest.mark.parametrize("document", [{}, [], None, "text", 5, {"items": "text"}, {"items": {"item": "text"}}])
def test_a_foreign_envelope_is_refused(document: Any) -> None:
    with pytest.raises(RecordError) as caught:
        extract_records(document, "each_with(items.item, {day: day})")
    assert caught.value.code == "document.records"


def test_a_path_that_is_no_jmespath_is_a_mistake_in_the_manifest() -> None:
    with pytest.raises(ConfigurationError, match="manifest"):
        extract_records({}, "items[")


@given(st.binary(max_size=300), st.sampled_from(["application/json", "application/x-ndjson", "text/csv", "text/xml"]))
def test_no_bytes_crash_the_reader(body: bytes, media_type: str) -> None:
    with contextlib.suppress(RecordError, LimitError):
        parse(body, media_type)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=15,
)


@given(JSON_VALUES)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        assert parse_document(orjson.dumps(value), "application/json", limits=Limits()) == value
