"""Rules of a product: check digits, bundles, prices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from stdnum import ean

from canonical_model.product import Identifier
from tests.canonical_model.examples import product

BUNDLE = {"kind": "bundle", "components": [{"sku": "A001-RED-M", "quantity": 2}]}
PRICE = {"kind": "retail", "amount_minor": 9_900, "currency": "CNY"}


@pytest.mark.parametrize("gtin", ["6901234567892", "96385074", "036000291452", "06901234567892"])
def test_a_gtin_of_any_length_with_its_check_digit_is_taken(gtin: str) -> None:
    assert Identifier(scheme="gtin", value=gtin).value == gtin


@pytest.mark.parametrize("scheme", ["gtin", "ean", "upc"])
@pytest.mark.parametrize("wrong", ["6901234567890", "690123456789", "69012345678XX", "1"])
def test_a_wrong_gtin_is_refused_and_the_remedy_named(scheme: str, wrong: str) -> None:
    with pytest.raises(ValidationError, match="is not a valid GTIN .* correct it at the source"):
        Identifier(scheme=scheme, value=wrong)


@given(st.integers(0, 10**12 - 1), st.integers(1, 9))
def test_one_wrong_digit_never_passes(number: int, shift: int) -> None:
    body = f"{number:012d}"
    check = int(ean.calc_check_digit(body))
    assert Identifier(scheme="gtin", value=f"{body}{check}")
    with pytest.raises(ValidationError):
        Identifier(scheme="gtin", value=f"{body}{(check + shift) % 10}")


def test_a_systems_own_code_needs_no_check_digit() -> None:
    assert Identifier(scheme="pos", value="0012").value == "0012"


def test_a_bundle_names_its_components() -> None:
    assert product(**BUNDLE).components[0].quantity == 2
    with pytest.raises(ValidationError, match="a bundle names its components"):
        product(kind="bundle")


def test_only_a_bundle_has_components() -> None:
    with pytest.raises(ValidationError, match="only a bundle does"):
        product(**{**BUNDLE, "kind": "normal"})


@pytest.mark.parametrize("quantity", [0, -1, 10**6 + 1])
def test_a_component_counts_at_least_one_and_stays_in_reason(quantity: int) -> None:
    with pytest.raises(ValidationError, match="components"):
        product(kind="bundle", components=[{"sku": "A001-RED-M", "quantity": quantity}])


def test_prices_are_whole_minor_units() -> None:
    assert product(prices=[PRICE]).prices[0].amount_minor == 9_900
    for amount in (99.0, "9900", -1, True):
        with pytest.raises(ValidationError, match="amount_minor"):
            product(prices=[{**PRICE, "amount_minor": amount}])


def test_a_price_in_an_unknown_currency_is_refused() -> None:
    with pytest.raises(ValidationError, match="unknown currency 'RMB'"):
        product(prices=[{**PRICE, "currency": "RMB"}])


@pytest.mark.parametrize(("numerator", "denominator"), [(0, 1), (12, 0), (-12, 1)])
def test_a_unit_converts_by_positive_whole_numbers(numerator: int, denominator: int) -> None:
    with pytest.raises(ValidationError, match="units"):
        product(units=[{"unit": "BOX", "numerator": numerator, "denominator": denominator}])


@pytest.mark.parametrize("rate", ["-0.01", "1.01", "NaN"])
def test_a_tax_rate_lies_between_nothing_and_all(rate: str) -> None:
    with pytest.raises(ValidationError, match="tax_rate"):
        product(tax_rate=rate)


def test_a_shelf_life_is_a_number_of_days_up_to_a_century() -> None:
    assert product(shelf_life_days=36_500).shelf_life_days == 36_500
    with pytest.raises(ValidationError, match="shelf_life_days"):
        product(shelf_life_days=36_501)
