"""Warnings and suggestions from figures: nobody is advised by old ones, and no unit is made or lost."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.one_stock.supply import (
    Limits,
    Shelf,
    WarningKind,
    allocate,
    is_stale,
    suggest_transfers,
    velocity_is_stale,
    warn,
)

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
LIMITS = Limits()


def shelf(
    atp: int, weekly: float, *, place: str = "S1", hours: float | None = 1, on_hand: int | None = None, lon: float = 0
) -> Shelf:
    spoken_at = None if hours is None else NOW - timedelta(hours=hours)
    return Shelf(1, "A", place, atp if on_hand is None else on_hand, atp, weekly, spoken_at, 30.0, lon)


@pytest.mark.parametrize(
    ("found", "kind", "units"),
    [
        (shelf(0, 2), WarningKind.SOLD_OUT, 8),
        (shelf(0, 2, on_hand=5), WarningKind.SOLD_OUT, 8),
        (shelf(-3, 2, on_hand=1), WarningKind.SOLD_OUT, 8),
        (shelf(1, 2), WarningKind.SHORTAGE, 7),
        (shelf(2, 2), None, 0),
        (shelf(24, 2), None, 0),
        (shelf(25, 2), WarningKind.OVERSTOCK, 17),
        (shelf(11, 0), WarningKind.IDLE, 11),
        (shelf(10, 0), None, 0),
        (shelf(0, 0), None, 0),
        (shelf(0, 0, hours=None), None, 0),
        (shelf(25, 2, hours=48), WarningKind.OVERSTOCK, 17),
        (shelf(25, 2, hours=49), WarningKind.STALE, 0),
        (shelf(0, 2, hours=None), WarningKind.STALE, 0),
        (shelf(11, 0, hours=49), WarningKind.STALE, 0),
    ],
)
def test_a_shelf_is_judged_by_how_long_it_lasts_if_its_figure_is_fresh(
    found: Shelf, kind: WarningKind | None, units: int
) -> None:
    warning = warn(found, LIMITS, NOW)
    assert (warning.kind if warning else None, warning.units if warning else 0) == (kind, units)


def test_sales_live_a_day() -> None:
    assert velocity_is_stale(None, NOW)
    assert velocity_is_stale(NOW - timedelta(hours=25), NOW)
    assert not velocity_is_stale(NOW - timedelta(hours=23), NOW)


def test_goods_go_where_they_run_out_first() -> None:
    shelves = [shelf(10, 5, place="S1"), shelf(0, 5, place="S2"), shelf(0, 0, place="S3"), shelf(90, 1, place="S4")]
    assert [(each.location, units) for each, units in allocate(20, shelves)] == [("S1", 5), ("S2", 15)]
    assert [(each.location, units) for each, units in allocate(5, shelves)] == [("S2", 5)]
    assert allocate(0, shelves) == []
    assert allocate(7, []) == []


def test_where_nothing_sells_everybody_gets_the_same() -> None:
    shelves = [shelf(3, 0, place="S1"), shelf(0, 0, place="S2"), shelf(0, 0, place="S3")]
    assert [(each.location, units) for each, units in allocate(6, shelves)] == [("S2", 3), ("S3", 3)]


def test_the_nearest_place_with_too_much_gives() -> None:
    shelves = [
        shelf(100, 1, place="FAR", lon=9),
        shelf(30, 2, place="NEAR", lon=1),
        shelf(0, 10, place="SHORT"),
        shelf(500, 0, place="OLD", hours=99),
    ]
    moves = [
        (move.source.location, move.target.location, move.units) for move in suggest_transfers(shelves, LIMITS, NOW)
    ]
    assert moves == [("NEAR", "SHORT", 22), ("FAR", "SHORT", 18)]


def test_a_transfer_is_worth_a_parcel() -> None:
    shelves = [shelf(13, 1, place="S1"), shelf(0, 1, place="S2")]
    assert [move.units for move in suggest_transfers(shelves, Limits(min_units=4), NOW)] == [4]
    assert suggest_transfers(shelves, Limits(min_units=5), NOW) == []


shelves_ = st.lists(
    st.builds(
        shelf,
        st.integers(-5, 10**6),
        st.one_of(st.just(0.0), st.floats(0.25, 10**5)),
        hours=st.sampled_from([1.0, 100.0, None]),
        lon=st.floats(-180, 180),
    ),
    max_size=12,
).map(
    lambda found: [
        Shelf(n, "A", f"S{n}", s.on_hand, s.atp, s.weekly, s.spoken_at, s.lat, s.lon) for n, s in enumerate(found)
    ]
)


@given(st.integers(0, 10**7), shelves_)
def test_what_is_given_adds_up_exactly(quantity: int, shelves: list[Shelf]) -> None:
    given_ = allocate(quantity, shelves)
    assert sum(units for _, units in given_) == (quantity if shelves else 0)
    assert all(units > 0 for _, units in given_)
    assert allocate(quantity, shelves) == given_


@given(st.integers(1, 300), shelves_)
def test_no_other_spread_lets_the_emptiest_shelf_last_longer(quantity: int, shelves: list[Shelf]) -> None:
    selling = [each for each in shelves if each.weekly > 0]
    given_ = {each.location: units for each, units in allocate(quantity, shelves)}
    if not selling:
        return
    lasts = [(max(0, each.atp) + given_.get(each.location, 0)) / each.weekly for each in selling]
    emptiest = min(lasts)
    for each in selling:
        got = given_.get(each.location, 0)
        if got:
            without = (max(0, each.atp) + got - 1) / each.weekly
            assert without <= emptiest * (1 + 1e-9), "a unit of it would have served the emptiest better"


@given(shelves_, st.integers(1, 50))
def test_transfers_conserve_units_and_leave_givers_what_they_need(shelves: list[Shelf], min_units: int) -> None:
    limits = Limits(min_units=min_units)
    moves = suggest_transfers(shelves, limits, NOW)
    after = {each.location: each.atp for each in shelves}
    for move in moves:
        assert move.units >= min_units
        after[move.source.location] -= move.units
        after[move.target.location] += move.units
    assert sum(after.values()) == sum(each.atp for each in shelves)
    givers, takers = {m.source.location for m in moves}, {m.target.location for m in moves}
    assert not givers & takers
    for each in shelves:
        target = each.weekly * limits.target_weeks
        if each.location in givers:
            assert after[each.location] >= target
            assert not is_stale(each, limits, NOW)
        if each.location in takers:
            assert after[each.location] < target + 1
            assert not is_stale(each, limits, NOW)
