"""XML in and out: what is kept, what is refused."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import LimitError, RecordError
from canonical_model.ports import Limits
from connectors.kit.xml import parse_xml, render_xml

LIMITS = Limits()


def parse(body: str | bytes, *lists: str) -> dict[str, Any]:
    return parse_xml(body.encode() if isinstance(body, str) else body, limits=LIMITS, lists=lists)


def code_of(body: str | bytes, *lists: str) -> str:
    with pytest.raises(RecordError) as caught:
        parse(body, *lists)
    assert caught.value.issues[0].code == caught.value.code
    return caught.value.code


def test_text_attributes_and_children() -> None:
    document = parse('<a x="1"><b>1</b><c/><d y="2">t</d><e><![CDATA[<&>]]></e></a>')
    assert document == {"@x": "1", "b": "1", "c": "", "d": {"@y": "2", "#text": "t"}, "e": "<&>"}


def test_namespaces_comments_and_instructions_fall_away() -> None:
    assert parse('<n:a xmlns:n="u"><!-- c --><n:b n:k="1">2</n:b><?pi x?></n:a>') == {"b": {"@k": "1", "#text": "2"}}


def test_a_root_with_only_text_or_nothing() -> None:
    assert parse("<a>x</a>") == {"#text": "x"}
    assert parse("<a/>") == {}


def test_a_declared_list_is_a_list_for_none_one_and_many() -> None:
    assert parse("<a><ls/></a>", "ls.l") == {"ls": {"l": []}}
    assert parse("<a><ls><l>1</l></ls></a>", "ls.l") == {"ls": {"l": ["1"]}}
    assert parse("<a><ls><l>1</l><l>2</l></ls></a>", "ls.l") == {"ls": {"l": ["1", "2"]}}
    assert parse("<a><l><m/></l></a>", "l", "l.m") == {"l": [{"m": [""]}]}
    assert parse("<a/>", "l") == {"l": []}


def test_an_undeclared_repetition_is_refused_and_named() -> None:
    with pytest.raises(RecordError) as caught:
        parse("<a><b><c>1</c><c>2</c></b></a>")
    assert caught.value.issues[0].field == "b.c"
    assert caught.value.code == "document.repeated"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_declared_encodings_are_read(encoding: str) -> None:
    assert parse(f'<?xml version="1.0" encoding="{encoding}"?><a>中文</a>'.encode(encoding)) == {"#text": "中文"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "document.empty"),
        ("<a><b>1</b>", "document.truncated"),
        ("<a><b", "document.truncated"),
        ("<a></b>", "document.syntax"),
        ("<a/><b/>", "document.syntax"),
        ('{"a": 1}', "document.syntax"),
        ("<a>&nothing;</a>", "document.syntax"),
        (b"<a>\xff</a>", "document.encoding"),
        ("<a>\x01</a>", "document.encoding"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "document.encoding"),
        ("<a>\x00</a>", "document.nul"),
        ("<!DOCTYPE a><a/>", "document.dtd"),
        ("<a>" * 41 + "</a>" * 41, "document.depth"),
        ("<a>" * 1_000_000, "document.depth"),
    ],
)
def test_each_kind_of_damage_has_its_code(body: str | bytes, code: str) -> None:
    assert code_of(body) == code


def test_entities_are_refused_before_they_are_declared(tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    assert code_of(f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{secret}">]><a>&x;</a>') == "document.dtd"
    assert code_of('<!DOCTYPE a [<!ENTITY l "lol"><!ENTITY m "&l;&l;">]><a b="&m;"/>') == "document.dtd"
    utf_16 = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY l "x">]><a>&l;</a>'.encode("utf-16")
    assert code_of(utf_16) == "document.dtd"


def test_a_document_over_the_limit_is_not_read() -> None:
    with pytest.raises(LimitError):
        parse_xml(b"<a/>", limits=Limits(body_bytes=3))


def test_rendering_leaves_none_out_and_knows_booleans() -> None:
    assert render_xml("a", {"b": None, "c": True, "@d": 5}).endswith(b'<a d="5"><c>true</c></a>')


@pytest.mark.parametrize("value", [1.5, object(), "\x00", "\x1b", "\ud800"])
def test_what_xml_cannot_carry_is_refused_with_its_path(value: Any) -> None:
    with pytest.raises(RecordError) as caught:
        render_xml("a", {"b": {"c": [value]}})
    assert caught.value.issues[0].field == "a.b.c"


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), min_size=1).filter(
    lambda text: text.strip() != ""
)
DOCUMENTS = st.recursive(
    TEXTS, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4), max_leaves=20
).filter(lambda value: isinstance(value, dict))


@given(DOCUMENTS)
def test_what_is_rendered_is_read_back(document: dict[str, Any]) -> None:
    assert parse(render_xml("root", document)) == document


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(body: bytes) -> None:
    with contextlib.suppress(RecordError):
        parse(body)


@given(st.text(alphabet="<>/ab&;![]?-'\"= ", max_size=60))
def test_no_markup_crashes_the_reader(body: str) -> None:
    with contextlib.suppress(RecordError):
        parse(body)
