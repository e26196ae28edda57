"""Rules of a stock fact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from canonical_model.common import MAX_QUANTITY
from tests.canonical_model.examples import stock_fact


@given(st.integers(0, MAX_QUANTITY))
def test_a_snapshot_counts_what_is_there(quantity: int) -> None:
    assert stock_fact(quantity=quantity).quantity == quantity


@given(st.integers(-MAX_QUANTITY, -1))
def test_a_snapshot_cannot_be_negative_but_a_delta_can(quantity: int) -> None:
    with pytest.raises(ValidationError, match="a snapshot cannot count"):
        stock_fact(quantity=quantity)
    assert stock_fact(kind="delta", quantity=quantity).quantity == quantity


@pytest.mark.parametrize("quantity", [int("9" * 30), int("-" + "9" * 30), 1.5, 5.0, "5", True, None, float("nan")])
def test_a_quantity_is_a_whole_number_of_sane_size(quantity: object) -> None:
    with pytest.raises(ValidationError, match="quantity"):
        stock_fact(kind="delta", quantity=quantity)


def test_a_thirty_digit_quantity_in_json_is_refused_not_rounded() -> None:
    text = stock_fact().model_dump_json().replace('"quantity":5', f'"quantity":{"9" * 30}')
    with pytest.raises(ValidationError, match="quantity"):
        type(stock_fact()).model_validate_json(text)


def test_a_sequence_never_falls_below_nothing() -> None:
    assert stock_fact(sequence=0).sequence == 0
    with pytest.raises(ValidationError, match="sequence"):
        stock_fact(sequence=-1)


@pytest.mark.parametrize("quality", ["ZP", "SELLABLE", ""])
def test_a_quality_is_one_of_ours(quality: str) -> None:
    with pytest.raises(ValidationError, match="quality"):
        stock_fact(quality=quality)
