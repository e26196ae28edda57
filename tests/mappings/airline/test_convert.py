"""Miles and days as an airline wants them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.common import MAX_QUANTITY
from canonical_model.errors import RecordError
from mappings.airline import convert
from mappings.context import ConvertError
from mappings.engine import load_mapping
from mappings.examples import EXAMPLE_CONTEXT

WHOLE = {
    "reference": "X-1",
    "account": "8600",
    "points": 5,
    "happened_at": "2026-11-03T00:00:00+08:00",
    "programme": "skymiles",
}


@given(st.integers(1, MAX_QUANTITY))
def test_a_number_above_zero_is_that_many_miles(miles: int) -> None:
    assert convert.whole_miles(miles, EXAMPLE_CONTEXT) == miles


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, "points.none"),
        (-1, "quantity.negative"),
        (0.5, "quantity.fractional"),
        (True, "number.format"),
        (MAX_QUANTITY + 1, "quantity.range"),
    ],
)
def test_anything_else_is_refused(value: Any, code: str) -> None:
    with pytest.raises(ConvertError) as refused:
        convert.whole_miles(value, EXAMPLE_CONTEXT)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-11-02T15:59:59+00:00", "2026-11-02"),
        ("2026-11-02T16:00:00Z", "2026-11-03"),
        ("2026-12-31T23:59:59.999999+08:00", "2026-12-31"),
    ],
)
def test_the_day_is_that_of_the_systems_zone(moment: str, day: str) -> None:
    assert convert.day(moment, EXAMPLE_CONTEXT) == day


@pytest.mark.parametrize(
    ("moment", "code"), [("2026-11-03T09:30:00", "time.offset"), ("noon", "time.format"), (7, "time.format")]
)
def test_a_time_without_an_offset_is_not_guessed(moment: Any, code: str) -> None:
    with pytest.raises(ConvertError) as refused:
        convert.day(moment, EXAMPLE_CONTEXT)
    assert refused.value.code == code


@pytest.mark.parametrize("field", sorted(WHOLE))
def test_every_field_but_the_surname_is_needed(field: str) -> None:
    with pytest.raises(RecordError) as refused:
        load_mapping("airline", "movement_out").map({**WHOLE, field: None}, EXAMPLE_CONTEXT)
    assert [issue.code for issue in refused.value.issues] == ["value.missing"]
