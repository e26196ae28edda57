"""What an order earns under rules, levels, campaigns and caps, and what returns take back."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.common import MAX_MINOR, MAX_QUANTITY
from canonical_model.errors import LimitError, RejectedError
from flows.points.earning import (
    EarnedLine,
    EarnedPart,
    EarnLine,
    EarnOrder,
    Returned,
    Standing,
    earn,
    take_back,
)
from flows.points.programme import Programme
from tests.flows.points.rules.books import GROWTH, NOON, SHANGHAI, stars

BASE = 'EARN\nname = "base"\npoints = 1\nper_minor = 100\n'
LEVELS = 'growth = "yunshang/growth"\nlevels = [{ name = "silver", at_least = 0 }, { name = "gold", at_least = 100 }]\n'


def order(*amounts: int, at: datetime = NOON, channel: str = "shop", sku: str = "A") -> EarnOrder:
    lines = tuple(EarnLine(number, sku, 1, amount) for number, amount in enumerate(amounts, 1))
    return EarnOrder("Y1", channel, at, lines)


def points(programme: Programme, bought: EarnOrder, standing: Standing | None = None) -> int:
    return earn(programme, bought, standing or Standing()).points


@pytest.mark.parametrize(
    ("rounding", "by", "expected"),
    [
        ("down", "line", [1, 2, 0]),
        ("up", "line", [2, 3, 1]),
        ("half_up", "line", [2, 3, 0]),
        ("half_even", "line", [2, 2, 0]),
        ("down", "order", [2, 2, 0]),
        ("up", "order", [2, 3, 0]),
        ("half_up", "order", [2, 2, 0]),
        ("half_even", "order", [2, 2, 0]),
    ],
)
def test_points_are_rounded_as_the_rule_says_where_it_says(rounding: str, by: str, expected: list[int]) -> None:
    programme = stars(BASE + f'rounding = "{rounding}"\nby = "{by}"\n')
    assert [line.points for line in earn(programme, order(150, 250, 40), Standing()).lines] == expected


@pytest.mark.parametrize("rounding", ["down", "up", "half_up", "half_even"])
def test_whole_points_are_not_rounded(rounding: str) -> None:
    assert points(stars(BASE + f'rounding = "{rounding}"\n'), order(300)) == 3


def test_every_point_names_its_rule_its_campaign_and_who_bears_it() -> None:
    programme = stars(
        BASE + 'EARN\nname = "treble"\nmultiply = 3\ncampaign = "spring"\nissuer = "linmu"\nskus = ["A"]\n'
    )
    bought = EarnOrder("Y1", "shop", NOON, (EarnLine(1, "A", 2, 1_000), EarnLine(2, "B", 1, 550)))
    earned = earn(programme, bought, Standing())
    assert earned.lines == (
        EarnedLine(1, 2, 30, (EarnedPart("base", 10, "yunshang", ""), EarnedPart("treble", 20, "linmu", "spring"))),
        EarnedLine(2, 1, 5, (EarnedPart("base", 5, "yunshang", ""),)),
    )
    assert (earned.points, earned.growth, earned.expires_at) == (35, 0, None)
    assert earned.issuers == (("linmu", 20), ("yunshang", 15))
    assert earned.campaigns == (("spring", 20),)


def test_growth_is_earned_one_to_one_beside() -> None:
    assert earn(stars(BASE.replace("EARN", LEVELS + "EARN", 1), GROWTH), order(5_000), Standing()).growth == 50


def test_multipliers_add_what_they_make_of_the_base_and_do_not_compound() -> None:
    rules = (
        LEVELS
        + BASE
        + 'EARN\nname = "gold"\nmultiply = "1.5"\nlevels = ["gold"]\nEARN\nname = "twice"\nmultiply = "2"\n'
    )
    programme = stars(rules, GROWTH)
    assert [points(programme, order(1_000), Standing(level)) for level in (None, "silver", "gold")] == [20, 20, 25]


def test_what_a_campaign_gives_is_not_multiplied() -> None:
    campaign = 'EARN\nname = "more"\npoints = 3\nper_minor = 100\ncampaign = "spring"\n'
    programme = stars(BASE + campaign + 'EARN\nname = "twice"\nmultiply = "2"\n')
    assert points(programme, order(1_000)) == 10 + 30 + 10


def test_a_rule_counts_only_in_its_channels() -> None:
    programme = stars(BASE + 'channels = ["live"]\n')
    assert [points(programme, order(1_000, channel=channel)) for channel in ("live", "shop")] == [10, 0]


def test_fixed_points_come_once_an_order_and_lie_on_the_lines_that_match() -> None:
    programme = stars('EARN\nname = "coat"\nadd = 100\nskus = ["A"]\n')
    bought = EarnOrder(
        "Y1", "shop", NOON, (EarnLine(1, "A", 1, 200), EarnLine(2, "B", 1, 900), EarnLine(3, "A", 1, 100))
    )
    assert [line.points for line in earn(programme, bought, Standing()).lines] == [67, 0, 33]
    assert [line.points for line in earn(programme, order(0, 0, 0), Standing()).lines] == [34, 33, 33]
    assert points(programme, order(500, sku="B")) == 0


def test_of_campaigns_that_compete_only_the_one_that_gives_most_counts_beside_those_that_add() -> None:
    programme = stars(
        BASE
        + 'EARN\nname = "a"\nadd = 30\ncampaign = "a"\nstack = "best"\n'
        + 'EARN\nname = "b"\nmultiply = "2"\ncampaign = "b"\nstack = "best"\n'
        + 'EARN\nname = "c"\nadd = 5\ncampaign = "c"\n'
    )
    assert earn(programme, order(1_000), Standing()).campaigns == (("a", 30), ("c", 5))
    assert earn(programme, order(4_000), Standing()).campaigns == (("b", 40), ("c", 5))


def test_a_campaign_whose_cap_is_used_up_leaves_the_place_to_another() -> None:
    programme = stars(
        'EARN\nname = "a"\nadd = 30\ncampaign = "a"\nstack = "best"\n'
        'EARN\nname = "b"\nadd = 20\ncampaign = "b"\nstack = "best"\n'
        'CAP\nper = "month"\npoints = 40\ncampaign = "a"\n'
    )
    assert earn(programme, order(0), Standing(earned_this_month={"a": 15, "": 500})).campaigns == (("a", 25),)
    assert earn(programme, order(0), Standing(earned_this_month={"a": 30, "": 500})).campaigns == (("b", 20),)


def test_points_over_a_cap_are_cut_by_share() -> None:
    programme = stars(BASE + 'CAP\nper = "order"\npoints = 30\n')
    assert [line.points for line in earn(programme, order(4_000, 2_000), Standing()).lines] == [20, 10]


def test_who_earned_more_than_a_cap_that_was_lowered_earns_nothing() -> None:
    programme = stars(BASE + 'CAP\nper = "day"\npoints = 30\n')
    assert points(programme, order(4_000), Standing(earned_today={"": 50})) == 0


@given(
    st.lists(st.integers(0, 20_000), min_size=1, max_size=8),
    st.integers(0, 400),
    st.sampled_from(["day", "month"]),
    st.sampled_from(["", "spring"]),
)
def test_a_cap_gives_the_same_sum_however_the_purchase_is_split_into_orders(
    amounts: list[int], cap: int, per: str, campaign: str
) -> None:
    of = f'campaign = "{campaign}"\n' if campaign else ""
    programme = stars(BASE + of + f'CAP\nper = "{per}"\npoints = {cap}\n' + of)
    whole = points(programme, order(*amounts))
    earned = 0
    for amount in amounts:
        standing = Standing(None, {"": earned, "spring": earned}, {"": earned, "spring": earned})
        earned += points(programme, order(amount), standing)
    assert earned == whole == min(cap, sum(amount // 100 for amount in amounts))


@given(
    st.lists(st.integers(0, 50_000), min_size=1, max_size=6),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_no_cap_is_ever_exceeded(amounts: list[int], an_order: int, a_day: int, spring: int) -> None:
    programme = stars(
        BASE
        + 'EARN\nname = "spring"\nmultiply = "2.5"\ncampaign = "spring"\nrounding = "up"\n'
        + f'CAP\nper = "order"\npoints = {an_order}\nCAP\nper = "day"\npoints = {a_day}\n'
        + f'CAP\nper = "month"\npoints = {spring}\ncampaign = "spring"\n'
    )
    total = campaign = 0
    for amount in amounts:
        earned = earn(programme, order(amount, amount), Standing(None, {"": total}, {"": total, "spring": campaign}))
        assert earned.points == sum(part.points for line in earned.lines for part in line.parts) <= an_order
        total += earned.points
        campaign += dict(earned.campaigns).get("spring", 0)
    assert total <= a_day
    assert campaign <= spring


@given(
    st.dates(date(2026, 1, 2), date(2027, 12, 31)),
    st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours))),
)
def test_exactly_one_rate_holds_on_each_side_of_midnight_in_shanghai(day: date, zone: timezone) -> None:
    rule = 'EARN\nname = "base"\nper_minor = 100\n'
    programme = stars(f"{rule}points = 1\nuntil = {day}\n{rule}points = 10\nfrom = {day}\n")
    at = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI).astimezone(zone)
    assert [points(programme, order(100, at=at + timedelta(microseconds=step))) for step in (-1, 0, 1)] == [1, 10, 10]


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 9)), min_size=1, max_size=4),
    st.data(),
)
def test_all_units_returned_in_any_order_and_split_take_back_all_that_was_earned(
    bought: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    lines = [
        EarnedLine(
            number, units, base + bonus, (EarnedPart("base", base, "a", ""), EarnedPart("bonus", bonus, "b", "c"))
        )
        for number, (base, bonus, units) in enumerate(bought, 1)
    ]
    left = {line.line_no: line.quantity for line in lines}
    taken = {(line.line_no, part.rule): 0 for line in lines for part in line.parts}
    by_number = {line.line_no: line for line in lines}
    while any(left.values()):
        number = data.draw(st.sampled_from([number for number, units in left.items() if units]))
        now = data.draw(st.integers(1, left[number]))
        line = by_number[number]
        (back,) = take_back(lines, {number: Returned(line.quantity - left[number], now)})
        left[number] -= now
        for part in back.parts:
            taken[number, part.rule] += part.points
        returned = Fraction(line.quantity - left[number], line.quantity)
        so_far = sum(amount for (line_no, _), amount in taken.items() if line_no == number)
        assert back.points == sum(part.points for part in back.parts)
        assert 0 <= so_far - line.points * returned < 1
    assert taken == {(line.line_no, part.rule): part.points for line in lines for part in line.parts}


def test_99_points_over_five_units_come_back_as_four_twenties_and_a_nineteen() -> None:
    line = EarnedLine(1, 5, 99, (EarnedPart("base", 66, "yunshang", ""), EarnedPart("gold", 33, "linmu", "")))
    back = [take_back([line], {1: Returned(before, 1)})[0] for before in range(5)]
    assert [each.points for each in back] == [20, 20, 20, 20, 19]
    assert sum(part.points for each in back for part in each.parts if part.rule == "gold") == 33


@pytest.mark.parametrize(
    "returned", [{2: Returned(0, 1)}, {1: Returned(4, 2)}, {1: Returned(-1, 1)}, {1: Returned(0, -1)}]
)
def test_what_was_not_bought_does_not_come_back(returned: dict[int, Returned]) -> None:
    with pytest.raises(RejectedError):
        take_back([EarnedLine(1, 5, 99, (EarnedPart("base", 99, "a", ""),))], returned)


def test_a_return_of_nothing_and_of_what_earned_nothing_takes_nothing() -> None:
    nothing = EarnedLine(1, 5, 0, ())
    assert take_back([nothing], {1: Returned(2, 0)}) == ()
    assert [back.points for back in take_back([nothing], {1: Returned(0, 5)})] == [0]


@pytest.mark.parametrize(
    "lines",
    [
        [EarnLine(1, "A", 1, -1)],
        [EarnLine(1, "A", 0, 100)],
        [EarnLine(1, "A", 1, 1.5)],  # type: ignore[arg-type]
        [EarnLine(1, "A", True, 100)],
        [EarnLine(1, "A", 1, 100), EarnLine(1, "B", 1, 100)],
        [EarnLine(1, "A", 1, MAX_MINOR + 1)],
    ],
)
def test_numbers_that_are_not_whole_or_negative_and_lines_named_twice_are_refused(lines: Sequence[EarnLine]) -> None:
    with pytest.raises(RejectedError, match="line 1"):
        earn(stars(BASE), EarnOrder("Y1", "shop", NOON, tuple(lines)), Standing())


def test_more_than_a_ledger_holds_is_refused_and_the_limit_itself_is_not() -> None:
    assert points(stars(BASE), order(MAX_QUANTITY * 100)) == MAX_QUANTITY
    with pytest.raises(LimitError, match="1,000,000,000,000"):
        points(stars(BASE), order(MAX_QUANTITY * 100, 100))


def test_a_time_without_its_offset_is_refused() -> None:
    with pytest.raises(RejectedError, match="offset"):
        points(stars(BASE), order(100, at=datetime(2026, 1, 1)))  # noqa: DTZ001


def test_an_order_without_lines_earns_nothing() -> None:
    assert points(stars(BASE), order()) == 0
