"""Exchanges round in favour of the clearing house; rates are dated; no ring of rates gains."""

from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise, permutations
from math import prod

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from canonical_model.errors import RecordError, RejectedError
from flows.points.exchanging import ExchangeQuote, quote_exchange
from flows.points.programme import ExchangeRule
from flows.points.rulebook import PointsRulebook
from tests.flows.points.rules.books import NOON, SHANGHAI

NAMES = ("a/p", "b/p", "c/p", "d/p")
PROGRAMMES = "".join(f'[programmes."{name}"]\ntitle = "P"\nissuer = "x"\n' for name in NAMES)


def rate(from_: str, to: str, give: int, get: int, spread: str = "0", more: str = "") -> str:
    return f'[[exchange]]\nfrom = "{from_}"\nto = "{to}"\ngive = {give}\nget = {get}\nspread = "{spread}"\n{more}\n'


def rule(give: int, get: int, spread: str = "0", more: str = "") -> ExchangeRule:
    return PointsRulebook(PROGRAMMES + rate("a/p", "b/p", give, get, spread, more)).exchange("a/p", "b/p", NOON)


def quoted(rule: ExchangeRule, points: int) -> ExchangeQuote | None:
    """The quote; None where the points are too few to become one."""
    try:
        return quote_exchange(rule, points)
    except RejectedError as error:
        if error.code != "exchange.nothing":
            raise
        return None


def test_the_spread_is_rounded_up_and_what_is_received_down() -> None:
    assert quote_exchange(rule(3, 2, "0.02"), 100) == ExchangeQuote(100, 2, 98, 65)
    assert quote_exchange(rule(3, 2, "0.02"), 101) == ExchangeQuote(101, 3, 98, 65)
    assert quote_exchange(rule(1, 5), 7) == ExchangeQuote(7, 0, 7, 35)


@pytest.mark.parametrize(
    ("points", "code"),
    [
        (90, "exchange.min_points"),
        (210, "exchange.max_points"),
        (105, "exchange.multiple_of"),
        (-10, "points.number"),
        (110.0, "points.number"),
        (True, "points.number"),
        (10**12 + 10, "points.number"),
    ],
)
def test_a_refusal_names_its_limit(points: int, code: str) -> None:
    with pytest.raises(RejectedError) as error:
        quote_exchange(rule(3, 2, "0.02", "min_points = 100\nmax_points = 200\nmultiple_of = 10"), points)
    assert error.value.code == code


@pytest.mark.parametrize(("points", "spread"), [(19, "0"), (20, "0.01"), (1, "0.5")])
def test_nobody_gives_points_for_nothing(points: int, spread: str) -> None:
    with pytest.raises(RejectedError) as error:
        quote_exchange(rule(20, 1, spread), points)
    assert error.value.code == "exchange.nothing"


def test_more_than_a_ledger_holds_is_not_received() -> None:
    with pytest.raises(RejectedError, match="received"):
        quote_exchange(rule(1, 2), 10**12)


@given(
    st.integers(1, 1_000),
    st.integers(1, 1_000),
    st.integers(0, 999),
    st.integers(0, 999),
    st.integers(1, 10**9),
)
def test_there_and_back_never_gains(give: int, get: int, there: int, back: int, points: int) -> None:
    book = PointsRulebook(
        PROGRAMMES + rate("a/p", "b/p", give, get, f"0.{there:03}") + rate("b/p", "a/p", get, give, f"0.{back:03}")
    )
    first = quoted(book.exchange("a/p", "b/p", NOON), points)
    second = quoted(book.exchange("b/p", "a/p", NOON), first.get) if first else None
    assert first is None or first.spread + first.cleared == first.give == points
    assert second is None or second.get <= points


@given(st.dates(date(2026, 1, 2), date(2027, 12, 31)))
def test_exactly_one_rate_holds_on_each_side_of_midnight_in_shanghai(day: date) -> None:
    book = PointsRulebook(
        PROGRAMMES
        + rate("a/p", "b/p", 3, 2, more=f"until = {day}")
        + rate("a/p", "b/p", 2, 1, more=f"from_date = {day}")
    )
    at = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
    found = [book.exchange("a/p", "b/p", at + timedelta(microseconds=step)).give for step in (-1, 0)]
    assert found == [3, 2]


def test_a_day_without_a_rate_is_told_which_days_have_one() -> None:
    dated = rate("a/p", "b/p", 1, 1, more="from_date = 2026-01-01\nuntil = 2026-06-01")
    book = PointsRulebook(PROGRAMMES + dated + rate("a/p", "b/p", 1, 1, more="from_date = 2026-09-01"))
    with pytest.raises(RejectedError, match="from 2026-01-01 until 2026-06-01, from 2026-09-01") as error:
        book.exchange("a/p", "b/p", NOON)
    assert error.value.code == "exchange.no_rate"
    with pytest.raises(RejectedError, match="none at all") as error:
        book.exchange("b/p", "a/p", NOON)
    assert error.value.code == "exchange.no_rate"


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda pair: pair[0] != pair[1]),
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 50)),
        min_size=1,
        max_size=8,
    )
)
def test_a_rulebook_is_refused_exactly_if_some_ring_of_its_rates_gains(
    rates: dict[tuple[str, str], tuple[int, int, int]],
) -> None:
    worth = {pair: Fraction(get, give) * Fraction(100 - spread, 100) for pair, (give, get, spread) in rates.items()}
    rings = [
        prod((worth.get(step, Fraction(0)) for step in pairwise((*ring, ring[0]))), start=Fraction(1))
        for length in (2, 3, 4)
        for ring in permutations(NAMES, length)
    ]
    text = PROGRAMMES + "".join(rate(*pair, give, get, f"0.{spread:02}") for pair, (give, get, spread) in rates.items())
    if max(rings) > 1:
        with pytest.raises(RecordError) as error:
            PointsRulebook(text)
        assert [issue.code for issue in error.value.issues] == ["rules.gain"]
        named = error.value.issues[0].detail.split(" gains")[0].split(" into ")
        assert named[0] == named[-1]
        assert prod((worth[step] for step in pairwise(named)), start=Fraction(1)) > 1
    else:
        assert len(PointsRulebook(text).exchanges) == len(rates)


@given(st.integers(1, 6), st.integers(1, 6))
def test_rates_of_different_days_make_no_ring(give: int, get: int) -> None:
    assume(get > give)
    there, back = rate("a/p", "b/p", 1, 1, more="until = 2026-06-01"), rate("b/p", "a/p", give, get)
    with pytest.raises(RecordError, match="gains"):
        PointsRulebook(PROGRAMMES + there + back)
    later = rate("b/p", "a/p", give, get, more="from_date = 2026-06-01")
    assert len(PointsRulebook(PROGRAMMES + there + later).exchanges) == 2
