from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.context import ConvertError, MapContext
from mappings.giftco import convert

CONTEXT = MapContext("yunshang", "yunshang", "giftco", "Asia/Shanghai", "m-1", datetime.now(UTC))


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)),  # noqa: DTZ001 - the offset comes beside
    st.integers(-14 * 60, 14 * 60),
)
def test_a_moment_is_the_same_in_milliseconds_whatever_its_offset(moment: datetime, offset_min: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    found = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=convert.epoch_milliseconds(str(aware), CONTEXT))
    assert timedelta(0) <= aware - found < timedelta(milliseconds=1)


@pytest.mark.parametrize("moment", ["2026-11-03T09:30:00", "2026-11-03", "soon", 1793669400])
def test_a_moment_without_an_offset_is_refused(moment: object) -> None:
    with pytest.raises(ValueError, match="offset|isoformat"):
        convert.epoch_milliseconds(moment, CONTEXT)


@pytest.mark.parametrize("count", [1, 9_999, "12"])
def test_some_pieces_are_ordered(count: object) -> None:
    assert convert.pieces(count, CONTEXT) == int(str(count))


@pytest.mark.parametrize("count", [0, -1, 10_000, "1.5"])
def test_no_pieces_or_too_many_are_refused(count: object) -> None:
    with pytest.raises(ConvertError):
        convert.pieces(count, CONTEXT)
