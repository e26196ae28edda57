"""A mistake in a table is found when it is loaded, and named with its file and key; a hostile table runs nothing."""

import json
import tomllib
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import ConfigurationError
from mappings.bounds import MAX_DOTS, MAX_LEVELS
from mappings.context import Converter, MapContext
from mappings.engine import load_mapping, parse_mapping
from mappings.table import MAX_DEPTH, MAX_TABLE_BYTES
from tests.mappings.tables import CONTEXT

OUT = 'version = "1"\ndirection = "out"\nentity = "order"\n'
IN = 'version = "1"\ndirection = "in"\nentity = "order"\n'
SOURCE = '[source]\nid = "No"\n'


def three_arguments(value: Any, context: MapContext, more: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("version = ", "is not TOML"),
        (OUT, "fields is wrong: Field required"),
        (f"{OUT}[fields]", "fields is wrong"),
        (f'{OUT}[field]\na = "A"', "fields is wrong"),
        (OUT.replace("order", "oder") + '[fields]\na = "A"', "entity is wrong"),
        (OUT.replace('"out"', '"outward"') + '[fields]\na = "A"', "direction is wrong"),
        (OUT.replace('"1"', '"one two"') + '[fields]\na = "A"', "version is wrong"),
        (f"{OUT}[fields]\na = 5", "fields.a must be a path in quotes"),
        (f'{OUT}[fields]\na.b = "A"', "fields.a has no from, const or each; write a nested target in quotes"),
        (f'{OUT}[fields]\na = {{ from = "A", defualt = 1 }}', "fields.a.defualt is wrong"),
        (f'{OUT}[fields]\na = {{ from = "A", required = "yes" }}', "fields.a.required is wrong"),
        (
            f'{OUT}[fields]\na = {{ from = "A", required = true, default = 1 }}',
            "fields.a is required and has a default",
        ),
        (f'{OUT}[fields]\na = {{ const = 1, from = "A" }}', "fields.a.from is wrong"),
        (f"{OUT}[fields]\na = {{ const = 2026-11-03 }}", "fields.a.const"),
        (f"{OUT}[fields]\na = {{ const = nan }}", "fields.a.const"),
        (f'{OUT}[fields]\na = {{ from = "A", with = "tranform" }}', "fields.a.with names no converter; there are"),
        (f'{OUT}[fields]\na = {{ from = "A", with = "three_arguments" }}', "must take (value, context)"),
        (f'{OUT}[fields]\na = {{ from = "A", codes = "size" }}', "fields.a.codes names no [codes.size]"),
        (f'{OUT}[codes.size]\nX = [1]\n[fields]\na = "A"', "codes.size.X"),
        (f'{OUT}[fields]\na = "A-B"', "fields.a 'A-B' is not a JMESPath"),
        (f'{OUT}[fields]\na = ""', "fields.a '' is not a JMESPath"),
        (f'{OUT}[fields]\na = "joyn(A, B)"', "JMESPath has no function 'joyn'"),
        (f'{OUT}[fields]\na = "join(A)"', "JMESPath function 'join' takes 2 arguments, not 1"),
        (f'{OUT}[fields]\na = "#"', 'fields.a "#" is a position in a list'),
        (f'{OUT}[fields]\na = "A"\n"a.b" = "B"', "fields.a.b needs 'a' to be an object"),
        (f'{OUT}[fields]\n"a.b" = "B"\na = "A"', "fields.a is filled by two rules"),
        (f'{OUT}[fields]\n"a..b" = "A"', "fields.a..b is not a target"),
        (f'{OUT}[fields.a]\neach = "A"', "fields.a.fields is wrong"),
        (f'{OUT}[fields.a]\neach = "A"\n[fields.a.fields]\nb = "B-"', "fields.a.fields.b 'B-' is not a JMESPath"),
        (f'{OUT}{SOURCE}[fields]\na = "A"', "source belongs to direction in only"),
        (f'{IN}[fields]\na = "A"', "source.id is missing"),
        (f'{IN}{SOURCE}key = "A"\n[fields]\na = "A"', "source.key is unknown"),
        (f'{IN}[source]\nid = {{ const = "1" }}\n[fields]\na = "A"', "source.id must be read from the record"),
        (f'{IN}{SOURCE}[fields]\n"source.id" = "A"', "fields.source is filled by the engine"),
        (f"{IN}{SOURCE}[fields]\nextensions = {{ const = 1 }}", "fields.extensions is an object"),
        (f'{OUT}[fields]\na = "A"\n[[examples]]\nname = "x"\nin = "{{}}"', "examples[0] needs either out or issues"),
        (f'{OUT}[fields]\na = "A"\n[[examples]]\nname = "x"\nin = "{{"\nissues = ["y"]', "examples[0].in is not JSON"),
        ("#" * (MAX_TABLE_BYTES + 1), "is over 262144 characters"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(text: str, names: str) -> None:
    outside = cast(Converter, three_arguments)
    with pytest.raises(ConfigurationError) as caught:
        parse_mapping(text, where="mappings/shop/order_out.toml", converters={"three_arguments": outside})
    assert caught.value.detail.startswith("mappings/shop/order_out.toml")
    assert names in caught.value.detail


def nested_lists(depth: int) -> str:
    path, text = "fields.a", ""
    for _ in range(depth):
        text += f'[{path}]\neach = "A"\n'
        path += ".fields.a"
    return f'{OUT}{text}[{path.removesuffix(".a")}]\na = "A"'


def test_lists_nest_only_so_deep() -> None:
    record: Any = 1
    for _ in range(MAX_DEPTH):
        record = [{"A": record}]
    assert parse_mapping(nested_lists(MAX_DEPTH)).map({"A": record}, CONTEXT) != {}
    with pytest.raises(ConfigurationError, match="nests lists deeper than 8"):
        parse_mapping(nested_lists(MAX_DEPTH + 1))


@pytest.mark.parametrize("text", ["a = " + "[" * 5_000, "[fields]\na = '" + "(" * 5_000 + "'", f"[{'a.' * 5_000}b]"])
def test_deep_nesting_is_a_mistake_not_a_crash(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_mapping(OUT + text)


DOTTED = "a." * 29_990 + "a"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"{DOTTED} = 1", "a key of over 20 dots in line 4"),
        (f"[{DOTTED}]", "a key of over 20 dots in line 4"),
        (f"[[{DOTTED}]]", "a key of over 20 dots in line 4"),
        (f"a = {{ b = 1, {DOTTED} = 1 }}", "a key of over 20 dots in line 4"),
        ("\"a\" . 'b' . " * 20 + "a = 1", "a key of over 20 dots in line 4"),
        (f"a = '''\n\"\"\"'''\n{DOTTED} = 1", "a key of over 20 dots in line 6"),
        (f'a = """\\"""\n"""""\n{DOTTED} = 1', "a key of over 20 dots in line 6"),
        (f'a = "\\"" # "\n{DOTTED} = 1', "a key of over 20 dots in line 5"),
        (f"# '''\n{DOTTED} = 1", "a key of over 20 dots in line 5"),
        (f'a = "b\n{DOTTED} = 1', "a key of over 20 dots in line 5"),
        ("[a.b]\n" * 5_000 + f"[{DOTTED}]", "a key of over 20 dots in line 5004"),
        ("[[a.b]]\n" * 5_000 + f"[[{DOTTED}]]", "a key of over 20 dots in line 5004"),
        ("a = " + "{ a = " * 9_000, "nests brackets deeper than 40 in line 4"),
        ("a = " + "[\n" * 9_000, "nests brackets deeper than 40 in line 44"),
    ],
    ids=lambda text: text[:24].strip() + "…",
)
def test_what_costs_more_than_its_size_is_refused_before_it_is_read(
    text: str, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("the table was read"))
    with pytest.raises(ConfigurationError) as caught:
        parse_mapping(OUT + text)
    assert names in caught.value.detail


def test_dots_and_brackets_within_quotes_cost_nothing() -> None:
    quoted_text = "a." * 60 + "[{" * 60
    rules = 'a = "A.B.C.D"\nb = { const = [1.5, 2.5, ' + "0.5, " * 40 + "] }\n"
    texts = f'c = {{ const = "{quoted_text}" }}\nd = {{ const = """x"\n{quoted_text}""" }} # {quoted_text}\n'
    mapping = parse_mapping(f"{OUT}# {quoted_text}\n[fields]\n{rules}{texts}e = {{ const = '{quoted_text}' }}")
    assert mapping.map({"A": {"B": {"C": {"D": 1}}}}, CONTEXT)["e"] == quoted_text


def test_the_bounds_leave_room_for_the_deepest_table_there_may_be() -> None:
    assert min(MAX_DOTS, MAX_LEVELS) > 2 * MAX_DEPTH + 2


@pytest.mark.parametrize(("connector", "name"), [("wms", "no_such"), ("../wms", "stock_in"), ("wms", "../pos/sale_in")])
def test_a_mapping_that_is_not_there_says_so(connector: str, name: str) -> None:
    with pytest.raises(ConfigurationError):
        load_mapping(connector, name)


words = st.text(st.characters(exclude_characters=".", exclude_categories=["Cs"]), min_size=1).filter(
    lambda word: word not in {"b", "code"}
)
HOSTILE = [
    "x'] = __import__('os')  #",
    '"); raise SystemExit("owned") #',
    "\\",
    "a\\'b",
    "{__import__('os')}",
    "line\nbreak\u2028\u0085\r",
    "record",
    "'''",
]


@given(st.sampled_from(HOSTILE) | words)
def test_whatever_a_table_says_is_data_and_never_code(word: str) -> None:
    escaped = toml(word)
    table = f"""{OUT}
[codes.{escaped}]
{escaped} = {escaped}
[fields]
{escaped} = {{ from = {toml(quoted(word))}, default = {escaped} }}
"b.c" = {{ const = [{escaped}] }}
"b.d" = {toml(f"[{quoted(word)}]")}
code = {{ from = {toml(quoted(word))}, codes = {escaped} }}
{toml(word + "!")} = {{ from = "A", default = {escaped} }}
"""
    expected = {word: word, "b": {"c": [word], "d": [word]}, "code": word, f"{word}!": word}
    assert parse_mapping(table).map({word: word}, CONTEXT) == expected


def toml(word: str) -> str:
    return '"' + "".join(f"\\U{ord(character):08x}" for character in word) + '"'


def quoted(word: str) -> str:
    """The word as a quoted JMESPath key, which is a JSON string."""
    return json.dumps(word)
