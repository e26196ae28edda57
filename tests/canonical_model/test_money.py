"""Decimal amounts and minor units."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.common import MAX_MINOR, MINOR_UNITS, from_minor, to_minor

currencies = st.sampled_from(sorted(MINOR_UNITS))
minors = st.integers(-MAX_MINOR, MAX_MINOR)


@given(minors, currencies)
def test_minor_units_survive_the_way_there_and_back(minor: int, currency: str) -> None:
    assert to_minor(from_minor(minor, currency), currency) == minor


@given(minors, minors, currencies)
def test_adding_amounts_and_adding_minor_units_agree(one: int, other: int, currency: str) -> None:
    assert to_minor(from_minor(one, currency) + from_minor(other, currency), currency) == one + other


@given(minors, currencies)
def test_an_amount_shows_the_decimals_of_its_currency(minor: int, currency: str) -> None:
    assert from_minor(minor, currency).as_tuple().exponent == -MINOR_UNITS[currency]


@given(minors, currencies, st.integers(1, 9))
def test_a_finer_amount_than_the_currency_has_is_refused_not_rounded(minor: int, currency: str, digit: int) -> None:
    finer = from_minor(minor, currency) + Decimal(digit).scaleb(-MINOR_UNITS[currency] - 1)
    with pytest.raises(ValueError, match="decimals"):
        to_minor(finer, currency)


@pytest.mark.parametrize(
    ("text", "minor"), [("99.00", 9_900), ("99", 9_900), ("0.1", 10), ("1E+2", 10_000), ("-5.50", -550)]
)
def test_yuan_become_fen(text: str, minor: int) -> None:
    assert to_minor(Decimal(text), "CNY") == minor


def test_yen_have_no_minor_unit() -> None:
    assert to_minor(Decimal("1200"), "JPY") == 1_200
    with pytest.raises(ValueError, match="0 decimals for JPY"):
        to_minor(Decimal("1200.5"), "JPY")


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+999999", "1" * 30])
def test_what_is_no_amount_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of CNY"):
        to_minor(Decimal(text), "CNY")


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_an_amount_is_exact_or_refused_never_rounded(amount: Decimal) -> None:
    try:
        minor = to_minor(amount, "CNY")
    except ValueError:
        return
    assert Fraction(minor, 100) == Fraction(amount)


@pytest.mark.parametrize("currency", ["XXX", "cny", ""])
def test_an_unknown_currency_is_named(currency: str) -> None:
    with pytest.raises(ValueError, match="unknown currency"):
        to_minor(Decimal(1), currency)
    with pytest.raises(ValueError, match="unknown currency"):
        from_minor(1, currency)
