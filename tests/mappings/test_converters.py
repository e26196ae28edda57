"""The converters that every table may use."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.common import MAX_MINOR, MAX_QUANTITY
from canonical_model.errors import ConfigurationError
from mappings import converters
from mappings.context import ConvertError, MapContext, moment_there
from tests.mappings.tables import CONTEXT


def convert(name: str, value: Any) -> Any:
    return getattr(converters, name)(value, CONTEXT)


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("text", " 杭州 ", "杭州"),
        ("text", 12, "12"),
        ("strip_zeros", "000000000010000123", "10000123"),
        ("strip_zeros", "0000", "0"),
        ("strip_zeros", "A001", "A001"),
        ("integer", "12", 12),
        ("integer", 12, 12),
        ("integer", 12.0, 12),
        ("integer", "12.000", 12),
        ("integer", "12.000-", -12),
        ("integer", "+7", 7),
        ("integer", str(MAX_QUANTITY), MAX_QUANTITY),
        ("whole_quantity", "0", 0),
        ("decimal", "0.130", "0.13"),
        ("decimal", 19.9, "19.9"),
        ("decimal", "-0.0", "0"),
        ("decimal", "1000", "1000"),
        ("yuan_to_minor", "19.90", 1990),
        ("yuan_to_minor", "19.9", 1990),
        ("yuan_to_minor", 19.9, 1990),
        ("yuan_to_minor", 20, 2000),
        ("yuan_to_minor", "-0.01", -1),
        ("yuan_to_minor", ".50", 50),
        ("yuan_to_minor", "19.900", 1990),
        ("minor_to_yuan", 1990, "19.90"),
        ("minor_to_yuan", -5, "-0.05"),
        ("local_time", "2026-11-03 09:30:00", "2026-11-03T09:30:00+08:00"),
        ("local_time", "2026-11-03T09:30:00", "2026-11-03T09:30:00+08:00"),
        ("local_time", "2026-11-03T01:30:00Z", "2026-11-03T01:30:00+00:00"),
        ("local_time", "2026-11-03", "2026-11-03T00:00:00+08:00"),
        ("sap_date", "20261103", "2026-11-03"),
        ("sap_date", 20261103, "2026-11-03"),
        ("sap_date", "00000000", None),
        ("epoch_ms", "/Date(1700000000000)/", "2023-11-14T22:13:20+00:00"),
        ("epoch_ms", "/Date(1700000000000+0480)/", "2023-11-14T22:13:20+00:00"),
        ("epoch_ms", 1700000000000, "2023-11-14T22:13:20+00:00"),
        ("epoch_ms", "/Date(-1)/", "1969-12-31T23:59:59.999000+00:00"),
        ("unit", "ST", "EA"),
        ("unit", "件", "EA"),
        ("unit", "箱", "CS"),
        ("unit", "kg", "KGM"),
        ("boolean_x", "X", True),
        ("boolean_x", " ", False),
        ("boolean_x", False, False),
        ("gtin", "6901234567892", "6901234567892"),
        ("gtin", 6901234567892, "6901234567892"),
    ],
)
def test_a_value_is_converted(name: str, value: Any, result: Any) -> None:
    assert convert(name, value) == result


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("text", ["a"], "type.text"),
        ("text", True, "type.text"),
        ("integer", "1.5", "quantity.fractional"),
        ("integer", 1.5, "quantity.fractional"),
        ("integer", MAX_QUANTITY + 1, "quantity.range"),
        ("integer", "123456789012345678901234567890", "quantity.range"),
        ("integer", 1e29, "quantity.range"),
        ("integer", 10**4000, "quantity.range"),
        ("integer", "1" * 50, "number.format"),
        ("integer", "1e5", "number.format"),
        ("integer", "٣", "number.format"),
        ("integer", float("nan"), "number.format"),
        ("integer", True, "number.format"),
        ("integer", {}, "number.format"),
        ("whole_quantity", "-1", "quantity.negative"),
        ("decimal", 10**13, "number.range"),
        ("yuan_to_minor", "19.999", "amount.precision"),
        ("yuan_to_minor", 0.1 + 0.2, "amount.precision"),
        ("yuan_to_minor", str(MAX_MINOR), "amount.range"),
        ("yuan_to_minor", float("inf"), "number.format"),
        ("yuan_to_minor", "¥19.90", "number.format"),
        ("local_time", "yesterday", "time.format"),
        ("local_time", 1700000000, "time.format"),
        ("local_time", "2026-02-30 00:00:00", "time.format"),
        ("sap_date", "20261301", "time.format"),
        ("sap_date", "2026113", "time.format"),
        ("sap_date", "2026-W01", "time.format"),
        ("epoch_ms", "/Date(999999999999999)/", "time.range"),
        ("epoch_ms", "/Time(1)/", "number.format"),
        ("unit", "parsec", "unit.unknown"),
        ("boolean_x", "Y", "flag.unknown"),
        ("gtin", "6901234567890", "gtin.invalid"),
        ("gtin", "no digits", "gtin.invalid"),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: Any, code: str) -> None:
    with pytest.raises(ConvertError) as caught:
        convert(name, value)
    assert caught.value.code == code
    assert len(caught.value.detail) < 200


@pytest.mark.parametrize(
    ("name", "value"), [("local_time", "Wang Xiaoyun"), ("sap_date", "Wang Xiaoyun"), ("text", ["Wang Xiaoyun"])]
)
def test_what_may_be_personal_is_not_repeated_in_a_refusal(name: str, value: Any) -> None:
    with pytest.raises(ConvertError) as caught:
        convert(name, value)
    assert "Wang" not in caught.value.detail


@given(st.integers(-(10**14), 10**14))
def test_money_survives_the_way_out_and_in(fen: int) -> None:
    if abs(fen) <= MAX_QUANTITY:
        assert convert("yuan_to_minor", convert("minor_to_yuan", fen)) == fen
    assert convert("yuan_to_minor", str(Decimal(fen) / 100)) == fen


@given(st.floats(-(10**13), 10**13) | st.integers(-(10**9), 10**9).map(lambda fen: fen / 100))
def test_a_float_of_yuan_is_read_as_it_is_written(yuan: float) -> None:
    written = Decimal(repr(yuan)) * 100
    if written % 1:
        with pytest.raises(ConvertError, match="parts of a fen"):
            convert("yuan_to_minor", yuan)
    else:
        assert convert("yuan_to_minor", yuan) == written


@given(st.integers(-MAX_QUANTITY, MAX_QUANTITY), st.sampled_from(["", ".", ".0", ".000"]))
def test_a_whole_number_may_have_empty_decimals(number: int, decimals: str) -> None:
    assert convert("integer", f"{number}{decimals}") == number


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - what a source sends has no zone
def test_a_naive_time_is_read_in_the_zone_of_the_system(moment: datetime) -> None:
    read = datetime.fromisoformat(convert("local_time", moment.isoformat(sep=" ")))
    assert read.replace(tzinfo=None) == moment
    assert read.utcoffset() in {timedelta(hours=8), timedelta(hours=9)}  # summer time until 1991


def test_an_unknown_zone_is_a_mistake_of_the_estate() -> None:
    with pytest.raises(ConfigurationError, match="unknown zone 'Asia/Atlantis' of system shop"):
        MapContext("o", "b", "shop", "Asia/Atlantis", "m", datetime.now(UTC))


@given(
    st.datetimes(),
    st.sampled_from(["Asia/Shanghai", "Europe/London", "Australia/Lord_Howe", "America/New_York"]),
)
def test_a_wall_time_gets_the_offset_of_its_moment(moment: datetime, zone: str) -> None:
    context = replace(CONTEXT, zone=zone)
    written = moment.replace(year=1970 + moment.year % 130, day=min(moment.day, 28), microsecond=0)
    assert converters.local_time(str(written), context) == written.replace(tzinfo=ZoneInfo(zone)).isoformat()


@pytest.mark.parametrize(("code", "province"), [("33", "33"), ("3301", "33"), ("330106", "33"), (330106, "33")])
def test_a_region_of_any_length_has_its_province(code: Any, province: str) -> None:
    assert convert("province", code) == province


@pytest.mark.parametrize("code", ["3", "ZJ", "浙江", "３３", True, ["33"]])
def test_what_is_no_region_has_no_province(code: Any) -> None:
    with pytest.raises(ConvertError):
        convert("province", code)


@given(st.integers(1, MAX_QUANTITY))
def test_a_number_above_zero_may_be_moved(number: int) -> None:
    assert convert("positive_quantity", number) == number


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, "quantity.none"),
        (-1, "quantity.negative"),
        (0.5, "quantity.fractional"),
        (True, "number.format"),
        (MAX_QUANTITY + 1, "quantity.range"),
    ],
)
def test_what_is_no_number_above_zero_cannot_be_moved(value: Any, code: str) -> None:
    with pytest.raises(ConvertError) as refused:
        convert("positive_quantity", value)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("moment", "code"), [("2026-11-03T09:30:00", "time.offset"), ("noon", "time.format"), (7, "time.format")]
)
def test_a_time_without_an_offset_is_not_guessed(moment: Any, code: str) -> None:
    with pytest.raises(ConvertError) as refused:
        moment_there(moment, CONTEXT)
    assert refused.value.code == code
