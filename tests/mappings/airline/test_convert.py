"""Miles and days as an airline wants them."""

import pytest

from canonical_model.errors import RecordError
from mappings.airline import convert
from mappings.engine import load_mapping
from mappings.examples import EXAMPLE_CONTEXT

WHOLE = {
    "reference": "X-1",
    "account": "8600",
    "points": 5,
    "happened_at": "2026-11-03T00:00:00+08:00",
    "programme": "skymiles",
}


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


@pytest.mark.parametrize("field", sorted(WHOLE))
def test_every_field_but_the_surname_is_needed(field: str) -> None:
    with pytest.raises(RecordError) as refused:
        load_mapping("airline", "movement_out").map({**WHOLE, field: None}, EXAMPLE_CONTEXT)
    assert [issue.code for issue in refused.value.issues] == ["value.missing"]
