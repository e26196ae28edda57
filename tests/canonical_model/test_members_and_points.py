"""A mobile number however it is written; points that move something and end after they begin."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from canonical_model.member import plain_mobile
from canonical_model.points import PointsEntry
from tests.canonical_model.examples import SOURCED, WHEN

mobiles = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)


@given(
    mobiles, st.sampled_from(["", "+86", "86", "0086", "+86 ", "86-"]), st.sampled_from(["", " ", "-", ".", "\u3000"])
)
def test_a_mobile_number_is_the_same_however_it_is_written(number: str, country: str, between: str) -> None:
    written = f" {country}{number[:3]}{between}{number[3:7]}{between}{number[7:]}\n"
    assert plain_mobile(written) == number


@given(st.text())
def test_a_plain_mobile_stays_one(text: str) -> None:
    assert plain_mobile(plain_mobile(text)) == plain_mobile(text)


@pytest.mark.parametrize(
    "text", ["陈一", "12345678901", "8613800138", "+85261234567", "13800138000 ext 1", "１３８００１３８０００"]
)
def test_what_is_no_mainland_mobile_stays_as_it_is(text: str) -> None:
    assert plain_mobile(text) == text


def entry(**changes: Any) -> PointsEntry:
    return PointsEntry.model_validate(
        {**SOURCED, "member": "M1", "programme": "stars", "points": 1, "happened_at": WHEN, **changes}
    )


def test_an_entry_moves_something() -> None:
    with pytest.raises(ValidationError, match="points is 0"):
        entry(points=0)


@pytest.mark.parametrize("expires_at", [WHEN, "2000-01-01T00:00:00Z"])
def test_points_expire_after_they_were_earned(expires_at: Any) -> None:
    with pytest.raises(ValidationError, match="expires_at is not after happened_at"):
        entry(expires_at=expires_at)
