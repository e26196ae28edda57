"""What points pay, within the share, the least and the multiples that the rules allow."""

from datetime import date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import RejectedError
from flows.points.programme import Programme
from flows.points.spending import SpendQuote, quote_spend
from tests.flows.points.rules.books import NOON, SHANGHAI, stars

HALF = stars('spend = { points_per_100_minor = 100, max_share = "0.5", min_points = 100, multiple_of = 10 }\n')


def refused(programme: Programme, amount: int, wanted: int | None, available: int) -> str:
    with pytest.raises(RejectedError) as error:
        quote_spend(programme, amount, wanted, available, NOON)
    return error.value.code


def test_points_pay_their_worth_and_cash_the_rest() -> None:
    assert quote_spend(HALF, 9_999, 3_000, 3_000, NOON) == SpendQuote(3_000, 3_000, 6_999)


def test_without_a_wish_the_most_that_is_allowed_is_spent() -> None:
    assert quote_spend(HALF, 9_999, None, 100_000, NOON) == SpendQuote(4_990, 4_990, 5_009)
    assert quote_spend(HALF, 9_999, None, 1_234, NOON) == SpendQuote(1_230, 1_230, 8_769)


def test_no_more_points_are_offered_than_the_same_worth_needs() -> None:
    dear = stars("spend = { points_per_100_minor = 700 }\n")
    assert quote_spend(dear, 100, None, 699, NOON) == SpendQuote(693, 99, 1)


@pytest.mark.parametrize(
    ("amount", "wanted", "available", "code"),
    [
        (10_000, 500, 499, "spend.insufficient"),
        (10_000, 90, 500, "spend.min_points"),
        (10_000, 0, 500, "spend.min_points"),
        (10_000, None, 99, "spend.min_points"),
        (10_000, 105, 500, "spend.multiple_of"),
        (10_000, 5_010, 9_999, "spend.max_share"),
        (199, None, 9_999, "spend.max_share"),
        (0, None, 9_999, "spend.max_share"),
        (10_000, -10, 500, "points.number"),
        (10_000, 110.0, 500, "points.number"),
        (10_000, True, 500, "points.number"),
        (-1, 100, 500, "points.number"),
        (10_000, 100, -1, "points.number"),
        (10_000, 10**12 + 10, 10**12, "points.number"),
    ],
)
def test_a_refusal_names_its_limit(amount: int, wanted: int | None, available: int, code: str) -> None:
    assert refused(HALF, amount, wanted, available) == code


def test_a_programme_without_a_spend_rule_cannot_be_spent() -> None:
    assert refused(stars(""), 10_000, 100, 100) == "spend.no_rule"


@given(st.dates(date(2026, 1, 2), date(2027, 12, 31)))
def test_the_day_in_the_programmes_zone_picks_the_rule(day: date) -> None:
    programme = stars(
        f"SPEND\npoints_per_100_minor = 100\nuntil = {day}\nSPEND\npoints_per_100_minor = 200\nfrom = {day}\n"
    )
    at = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
    before = quote_spend(programme, 1_000, 200, 200, at - timedelta(microseconds=1))
    assert (before.worth_minor, quote_spend(programme, 1_000, 200, 200, at).worth_minor) == (200, 100)


@given(
    st.integers(1, 500),
    st.integers(0, 100),
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(0, 60),
    st.integers(0, 400),
)
def test_the_most_is_what_trying_every_number_finds_and_every_other_one_is_refused(
    rate: int, percent: int, least: int, step: int, amount: int, available: int
) -> None:
    rule = (
        f'points_per_100_minor = {rate}, max_share = "{percent / 100:.2f}", min_points = {least}, multiple_of = {step}'
    )
    programme = stars(f"spend = {{ {rule} }}\n")
    worth = {points: points * 100 // rate for points in range(least, available + 1) if points % step == 0}
    fit = {points: minor for points, minor in worth.items() if 0 < minor <= amount * Fraction(percent, 100)}
    for wanted in range(0, available + 2, 7):
        if wanted in fit:
            assert quote_spend(programme, amount, wanted, available, NOON).worth_minor == fit[wanted]
        else:
            assert refused(programme, amount, wanted, available).startswith("spend.")
    if fit:
        best = min(fit, key=lambda points: (-fit[points], points))
        assert quote_spend(programme, amount, None, available, NOON) == SpendQuote(best, fit[best], amount - fit[best])
    else:
        assert refused(programme, amount, None, available) in ("spend.min_points", "spend.max_share")
