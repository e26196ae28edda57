"""Points and times as a finance company wants them."""

import pytest

from canonical_model.errors import RecordError
from mappings.engine import load_mapping
from mappings.examples import EXAMPLE_CONTEXT
from mappings.finance import convert

WHOLE = {
    "reference": "X-1",
    "account": "6225",
    "points": 5,
    "happened_at": "2026-11-03T00:00:00+08:00",
    "programme": "group",
}


@pytest.mark.parametrize(
    ("moment", "digits"),
    [
        ("2026-11-02T15:59:59+00:00", "20261102235959"),
        ("2026-11-02T16:00:00Z", "20261103000000"),
        ("2026-12-31T23:59:59.999999+08:00", "20261231235959"),
    ],
)
def test_a_time_is_written_in_the_systems_zone(moment: str, digits: str) -> None:
    assert convert.digits_of_time(moment, EXAMPLE_CONTEXT) == digits


@pytest.mark.parametrize("field", sorted(WHOLE))
def test_every_field_is_needed(field: str) -> None:
    with pytest.raises(RecordError) as refused:
        load_mapping("finance", "movement_out").map({**WHOLE, field: None}, EXAMPLE_CONTEXT)
    assert [issue.code for issue in refused.value.issues] == ["value.missing"]
