"""What tills type is not always what they mean."""

from typing import Any

import pytest

from mappings.context import ConvertError
from mappings.crm import convert
from mappings.examples import EXAMPLE_CONTEXT


@pytest.mark.parametrize(
    "written", ["13800138000", "+86 138 0013 8000", "86-13800138000", "0086 138.0013.8000", " 13800138000\t"]
)
def test_a_mobile_number_is_its_eleven_digits(written: str) -> None:
    assert convert.mobile(written, EXAMPLE_CONTEXT) == "13800138000"


@pytest.mark.parametrize(
    "written", ["0", "00000000000", "11111111111", "-1", "--", "12345678", "12345678901", "无", "NULL", ""]
)
def test_a_dummy_is_no_number(written: str) -> None:
    assert convert.mobile(written, EXAMPLE_CONTEXT) is None


@pytest.mark.parametrize("written", ["0571-88888888", "+852 6123 4567", "12800138000", "138001380001"])
def test_another_number_stays_as_it_is(written: str) -> None:
    assert convert.mobile(written, EXAMPLE_CONTEXT) == written


@pytest.mark.parametrize(
    ("written", "name"), [(" 陈一 ", "陈一"), ("Test", None), ("匿名", None), ("**", None), ("无锡", "无锡")]
)
def test_a_name_is_what_is_left_without_placeholders(written: str, name: str | None) -> None:
    assert convert.person_name(written, EXAMPLE_CONTEXT) == name


@pytest.mark.parametrize(
    ("flags", "active"),
    [
        ({}, True),
        ({"deleted": "0", "test": "N"}, True),
        ({"deleted": "1"}, False),
        ({"deleted": "y"}, False),
        ({"test": " Y "}, False),
        ({"grade": "99"}, False),
    ],
)
def test_a_member_is_active_unless_deleted_or_for_tests(flags: dict[str, Any], active: bool) -> None:
    given = {"deleted": None, "test": None, "grade": None} | flags
    assert convert.is_active(given, EXAMPLE_CONTEXT) is active


def test_a_flag_that_says_neither_is_not_guessed() -> None:
    with pytest.raises(ConvertError, match="correct it in the CRM"):
        convert.is_active({"deleted": "maybe", "test": None, "grade": None}, EXAMPLE_CONTEXT)
