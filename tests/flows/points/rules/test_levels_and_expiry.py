"""Levels by growth; when points end, at midnight in the programme's zone."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import RejectedError
from flows.points.dates import day_bounds, month_bounds
from flows.points.expiry import expires_at, grace_until
from flows.points.levels import NextLevel, growth_since, level_of, next_level
from tests.flows.points.rules.books import GROWTH, SHANGHAI, stars

LEVELS = stars(
    'growth = "yunshang/growth"\nlevels = [{ name = "silver", at_least = 100 }, { name = "gold", at_least = 500 }]\n',
    GROWTH,
)


def between(first_year: int, last_year: int) -> st.SearchStrategy[datetime]:
    seconds = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (first_year, last_year))
    return st.integers(*seconds).map(lambda second: datetime.fromtimestamp(second, UTC))


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=SHANGHAI)  # type: ignore[misc, arg-type]


def test_a_level_begins_with_its_least_growth() -> None:
    assert [level_of(LEVELS, growth) for growth in (0, 99, 100, 499, 500, 10**12)] == [
        None,
        None,
        "silver",
        "silver",
        "gold",
        "gold",
    ]
    assert level_of(stars(""), 10**6) is None


def test_the_next_level_says_what_is_missing() -> None:
    assert next_level(LEVELS, 0) == NextLevel("silver", 100)
    assert next_level(LEVELS, 100) == NextLevel("gold", 400)
    assert next_level(LEVELS, 500) is None


@pytest.mark.parametrize("growth", [-1, 1.5, True, 10**12 + 1])
def test_growth_is_a_whole_number(growth: int) -> None:
    with pytest.raises(RejectedError):
        level_of(LEVELS, growth)


@given(st.integers(0, 1_000))
def test_what_is_missing_leads_to_exactly_the_next_level(growth: int) -> None:
    above = next_level(LEVELS, growth)
    if above:
        assert level_of(LEVELS, growth + above.missing) == above.name != level_of(LEVELS, growth + above.missing - 1)


def test_growth_counts_from_midnight_of_the_same_day_so_many_months_ago() -> None:
    assert growth_since(LEVELS, at(2026, 11, 23, 15, 30)) == at(2025, 11, 23)
    assert growth_since(LEVELS, at(2028, 2, 29, 0, 0)) == at(2027, 2, 28)


@pytest.mark.parametrize(
    ("expiry", "earned", "ends"),
    [
        ("kind = 'never'", (2026, 1, 1), None),
        ("kind = 'months', months = 12", (2026, 1, 15, 23, 59), (2027, 1, 16)),
        ("kind = 'months', months = 1", (2026, 1, 31, 12), (2026, 3, 1)),
        ("kind = 'months', months = 12, end_of = 'month'", (2026, 1, 15), (2027, 2, 1)),
        ("kind = 'months', months = 12, end_of = 'month'", (2026, 12, 31, 23, 59), (2028, 1, 1)),
        ("kind = 'date', month = 12, day = 31, years = 1", (2026, 2, 1), (2028, 1, 1)),
        ("kind = 'date', month = 3, day = 31", (2026, 3, 31, 23, 59), (2026, 4, 1)),
        ("kind = 'date', month = 3, day = 31", (2026, 4, 1), (2027, 4, 1)),
        ("kind = 'date', month = 2, day = 29", (2026, 2, 1), (2026, 3, 1)),
    ],
)
def test_points_end_with_the_last_instant_of_their_last_day(
    expiry: str, earned: tuple[int, ...], ends: tuple[int, ...] | None
) -> None:
    assert expires_at(stars(f"expiry = {{ {expiry} }}\n"), at(*earned)) == (at(*ends) if ends else None)


def test_the_day_is_that_of_the_zone_and_not_of_the_offset_sent() -> None:
    programme = stars("expiry = { kind = 'months', months = 1 }\n")
    assert expires_at(programme, datetime(2026, 1, 14, 16, 0, tzinfo=UTC)) == at(2026, 2, 16)
    assert expires_at(programme, datetime(2026, 1, 14, 15, 59, tzinfo=UTC)) == at(2026, 2, 15)


@given(
    between(2000, 2150),
    st.sampled_from(
        [
            "kind = 'months', months = 1",
            "kind = 'months', months = 7, end_of = 'month'",
            "kind = 'date', month = 2, day = 31",
            "kind = 'date', month = 1, day = 1, years = 2",
        ]
    ),
)
def test_points_live_at_least_until_the_end_of_the_day_they_were_earned_on(earned: datetime, expiry: str) -> None:
    ends = expires_at(stars(f"expiry = {{ {expiry} }}\n"), earned)
    assert ends is not None
    assert day_bounds(SHANGHAI, earned)[1] <= ends
    assert (ends.hour, ends.minute, ends.second, ends.microsecond) == (0, 0, 0, 0)


def test_days_of_grace_are_whole_days() -> None:
    grace = stars("refund_grace_days = 30\n")
    assert grace_until(grace, at(2026, 6, 1)) == grace_until(grace, at(2026, 6, 1, 12)) == at(2026, 7, 2)
    assert grace_until(stars(""), at(2026, 6, 1)) is None


@given(between(1990, 2150))
def test_every_instant_lies_in_its_day_and_its_day_in_its_month(instant: datetime) -> None:
    day, month = day_bounds(SHANGHAI, instant), month_bounds(SHANGHAI, instant)
    assert month[0] <= day[0] <= instant < day[1] <= month[1]
    assert instant.astimezone(SHANGHAI).date() == day[0].date() == day[1].date() - timedelta(days=1)
    assert (month[0].day, month[1].day) == (1, 1)


def test_dates_are_the_zones_own() -> None:
    assert day_bounds(SHANGHAI, datetime(2026, 5, 31, 16, tzinfo=UTC))[0].date() == date(2026, 6, 1)
    assert month_bounds(SHANGHAI, datetime(2026, 12, 31, 16, tzinfo=UTC)) == (at(2027, 1, 1), at(2027, 2, 1))
