from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.context import ConvertError, MapContext
from mappings.sap import convert

CONTEXT = MapContext("yunshang", "yunshang", "sap", "Asia/Shanghai", "m-1", datetime.now(UTC))
NUMERIC = st.integers(min_value=1, max_value=10**18 - 1).map(lambda number: f"{number:018}")
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=40)


@given(NUMERIC)
def test_a_numeric_material_is_the_same_with_and_without_its_zeros(matnr: str) -> None:
    code = convert.sku_code(matnr, CONTEXT)
    assert not code.startswith("0")
    assert convert.material_number(code, CONTEXT) == matnr
    assert convert.material_number(matnr, CONTEXT) == matnr


@given(WORDS)
def test_any_other_material_keeps_every_character(matnr: str) -> None:
    if not matnr.isdigit():
        assert convert.sku_code(matnr, CONTEXT) == convert.material_number(matnr, CONTEXT) == matnr


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_lines_and_their_sum_agree_in_decimals(one: int, other: int) -> None:
    line = {"sku": "1", "sku_ref": "1", "quantity": 1, "unit": "EA"}
    lines = [{**line, "line_no": 1, "amount_minor": one}, {**line, "line_no": 2, "amount_minor": other}]
    items = convert.order_items({"location_ref": "1010", "currency": "CNY", "lines": lines}, CONTEXT)
    (total,) = convert.order_sums([one + other, "CNY"], CONTEXT)
    assert sum(Decimal(item["NETWR"]) for item in items) == Decimal(total["SUMME"])


@pytest.mark.parametrize(
    ("value", "days"),
    [
        (["0", ""], None),
        (["0.0", None], None),
        ([None, "2"], None),
        (["540", ""], 540),
        (["540", None], 540),
        (["2", "1"], 14),
        (["9", "2"], 270),
        (["3", "3"], 1095),
    ],
)
def test_shelf_life_is_told_in_days(value: list[Any], days: int | None) -> None:
    assert convert.shelf_days(value, CONTEXT) == days


@pytest.mark.parametrize(
    ("weight", "grams"),
    [(["0.210", "KGM"], 210), (["0.0005", "KG"], 1), (["12", "G"], 12), (["0.000", "KGM"], None), (["3", "LB"], None)],
)
def test_weight_is_told_in_whole_grams(weight: list[str], grams: int | None) -> None:
    assert convert.grams(weight, CONTEXT) == grams


def test_a_yen_has_no_parts() -> None:
    price = {"ZZTAGPR": "1990", "ZZWAERS": "JPY"}
    assert convert.material_prices(price, CONTEXT)[0]["amount_minor"] == 1990
    line = {"line_no": 1, "sku": "1", "sku_ref": "1", "quantity": 1, "unit": "EA", "amount_minor": 1990}
    (item,) = convert.order_items({"location_ref": "1010", "currency": "JPY", "lines": [line]}, CONTEXT)
    assert item["NETWR"] == "1990"


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ([None, None, None], "active"),
        (["", "", ""], "active"),
        (["X", "01", None], "discontinued"),
        ([None, "01", None], "blocked"),
        ([None, None, "Y"], "blocked"),
    ],
)
def test_the_strongest_word_decides_the_status(value: list[Any], status: str) -> None:
    assert convert.material_status(value, CONTEXT) == status


def test_fourteen_digits_with_a_zero_are_the_thirteen_that_tills_scan() -> None:
    assert convert.trade_item_number("06901234567892", CONTEXT) == "6901234567892"
    assert convert.trade_item_number("16901234567899", CONTEXT) == "16901234567899"


@pytest.mark.parametrize(
    ("converter", "value", "code"),
    [
        (convert.sap_moment, ["20261332", "000000"], "time.format"),
        (convert.sap_moment, [None, None], "time.format"),
        (convert.shelf_days, ["9", "7"], "unit.unknown"),
        (convert.shelf_days, ["1.5", ""], "quantity.fractional"),
        (convert.grams, ["NaN", "KG"], "quantity.format"),
        (convert.material_prices, {"ZZTAGPR": "19.905"}, "amount.precision"),
        (convert.material_prices, {"ZZTAGPR": "-1"}, "amount.negative"),
        (convert.material_prices, {"ZZTAGPR": "1", "ZZWAERS": "XXX"}, "currency.unknown"),
        (convert.material_number, "M" * 41, "sku.length"),
        (convert.trade_item_number, "6901234567890", "gtin.invalid"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_code(converter: Any, value: Any, code: str) -> None:
    with pytest.raises(ConvertError) as refused:
        converter(value, CONTEXT)
    assert refused.value.code == code
