"""Rules of an order: it adds up, and says what its kind needs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.canonical_model.examples import confirmation, line, order

amounts = st.integers(-(10**9), 10**9)


@given(st.lists(amounts, min_size=1, max_size=20), amounts, amounts)
def test_an_order_whose_amounts_add_up_is_taken(line_amounts: list[int], freight: int, discount: int) -> None:
    goods = sum(line_amounts)
    taken = order(
        lines=[line(line_no=number, amount_minor=amount) for number, amount in enumerate(line_amounts, 1)],
        goods_minor=goods,
        freight_minor=freight,
        discount_minor=discount,
        total_minor=goods + freight - discount,
    )
    assert sum(each.amount_minor for each in taken.lines) + freight - discount == taken.total_minor


@given(st.integers(-1_000, 1_000).filter(bool))
def test_lines_that_do_not_add_up_to_the_goods_are_refused(off: int) -> None:
    with pytest.raises(ValidationError, match=f"lines add up to {19_800 + off}, goods_minor says 19800"):
        order(lines=[line(amount_minor=19_800 + off)])


@given(st.integers(-1_000, 1_000).filter(bool))
def test_a_total_that_is_off_is_refused(off: int) -> None:
    with pytest.raises(ValidationError, match="total_minor is not"):
        order(total_minor=20_000 + off)


def test_line_numbers_do_not_repeat() -> None:
    with pytest.raises(ValidationError, match="line numbers repeat"):
        order(lines=[line(amount_minor=9_900), line(amount_minor=9_900)])


@pytest.mark.parametrize("lines", [[], [line(line_no=n, amount_minor=0) for n in range(1, 502)]])
def test_an_order_has_one_to_five_hundred_lines(lines: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError, match="lines"):
        order(lines=lines)


@pytest.mark.parametrize("quantity", [0, -1, 1.5, "2", 10**6 + 1, int("9" * 30)])
def test_a_line_orders_a_positive_whole_quantity(quantity: object) -> None:
    with pytest.raises(ValidationError, match="quantity"):
        order(lines=[line(quantity=quantity)])


def test_a_delivery_needs_a_receiver_and_a_carry_out_does_not() -> None:
    with pytest.raises(ValidationError, match="needs a receiver"):
        order(receiver=None)
    assert order(kind="carry_out", receiver=None).receiver is None


def test_a_return_names_the_order_it_reverses() -> None:
    with pytest.raises(ValidationError, match="returns_order_no"):
        order(kind="return")
    assert order(kind="return", returns_order_no="T20260307-9").returns_order_no == "T20260307-9"


def test_an_order_in_an_unknown_currency_is_refused() -> None:
    with pytest.raises(ValidationError, match="unknown currency"):
        order(currency="RMB")


def test_a_confirmation_says_what_was_shipped_and_what_was_lacking() -> None:
    short = confirmation(lines=[{"line_no": 1, "sku": "A001-RED-M", "shipped": 1, "lacking": 1}])
    assert (short.lines[0].shipped, short.lines[0].lacking) == (1, 1)


@pytest.mark.parametrize("figures", [{"shipped": -1}, {"shipped": 1.5}, {"shipped": 1, "lacking": -1}])
def test_a_confirmation_never_counts_below_nothing(figures: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="lines"):
        confirmation(lines=[{"line_no": 1, "sku": "A001-RED-M", **figures}])
