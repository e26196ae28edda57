"""JMESPath written out as Python says what the library says."""

from itertools import count
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.inline import inline

WRITTEN_OUT = [
    "A",
    "@",
    "A.B.C",
    "@.A",
    "A[0]",
    "A.B[-1].C",
    "A[0].B",
    "'word'",
    "`7`",
    "`true`",
    "[A, B.C, 'x']",
    "{a: A, b: B.C}",
    "A || B.C",
    "A || B || 'none'",
    "(A || B).C",
    "join('/', [A, B, C])",
    "join('/', [A || B, 'x', C[0]])",
]
LEFT_TO_THE_LIBRARY = ["A[*].B", "A[?B=='x']", "length(A)", "join('/', A)", "A[1]", "A | B", "!A", "A && B", "`[1]`"]

keys = st.sampled_from("ABC")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 1) | st.floats(allow_nan=False) | st.sampled_from(["", "x", "0"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
)


def written_out(expression: str) -> str | None:
    serial = count()
    return inline(jmespath.compile(expression).parsed, "record", lambda kind: f"{kind}_{next(serial)}")


@pytest.mark.parametrize("expression", WRITTEN_OUT)
@settings(max_examples=50)
@given(st.dictionaries(keys, json_values))
def test_what_is_written_out_finds_what_jmespath_finds(expression: str, record: dict[str, Any]) -> None:
    source = written_out(expression)
    assert source is not None
    try:
        found = eval(source, {"record": record})
    except (AttributeError, TypeError):
        return
    assert repr(found) == repr(jmespath.search(expression, record))


@pytest.mark.parametrize("expression", LEFT_TO_THE_LIBRARY)
def test_what_is_not_simple_is_left_to_the_library(expression: str) -> None:
    assert written_out(expression) is None
