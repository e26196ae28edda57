"""Where cost is all that counts, the short way finds what the whole search finds, wherever that proves its plan."""

from time import monotonic

from hypothesis import given
from hypothesis import strategies as st

from flows.one_stock.routing import cheapest, cover
from flows.one_stock.routing.problem import Stopped
from flows.one_stock.routing.task import Effort, Pool

NEEDS = 4
columns = st.lists(st.integers(0, 4), min_size=NEEDS, max_size=NEEDS)
weights = st.sampled_from((0.0, 1.0, 2.0, 3.5, 8.0, 8.01, 8.63, 12.0, 30.0))


def _effort() -> Effort:
    return Effort(10_000, 100, monotonic() + 60)


def _needed(held: list[int], sets: int) -> cheapest.Needed:
    return cheapest.Needed(held, bytes(map(bool, held)), sets, 1)


@given(
    st.lists(st.tuples(columns, weights), max_size=9),
    st.lists(st.integers(1, 6), min_size=NEEDS, max_size=NEEDS),
    st.sampled_from((1, 2, 3, 4, 100)),
)
def test_the_short_way_finds_what_the_search_finds(
    places: list[tuple[list[int], float]], quantities: list[int], most: int
) -> None:
    cost = [own for _, own in places]
    held = [[has[need] for has, _ in places] for need in range(NEEDS)]
    wanted = [min(units, sum(column)) for units, column in zip(quantities, held, strict=True)]
    needed = [_needed(column, sets) for column, sets in zip(held, wanted, strict=True)]
    order = sorted(range(len(places)), key=cost.__getitem__)
    found = cheapest.choose(needed, order, cost, most, short := _effort())
    caps = [[min(units, sets) for units, sets in zip(has, wanted, strict=True)] for has, _ in places]
    searched = cover.choose(Pool(wanted, [1] * NEEDS, caps, most), [cover.Aim(cost)], long := _effort())
    assert (short.stopped, long.stopped) == (Stopped.PROVED, Stopped.PROVED)
    assert found.missing == searched.missing
    assert abs(sum(cost[n] for n in found.columns) - sum(cost[n] for n in searched.columns)) < 1e-6
    assert abs(found.proved[0] - searched.proved[0]) < 1e-6
    assert len(found.columns) == len(searched.columns)


def test_orders_of_more_lines_than_a_byte_has_bits_are_found_whole() -> None:
    lines = 19
    held = [[int(line != 3), int(line == 3), 1] for line in range(lines)]
    needed = [_needed(column, 1) for column in held]
    assert cheapest.choose(needed, range(3), [1.0, 2.0, 4.0], 3, _effort()).columns == (0, 1)
    assert cheapest.choose(needed, range(3), [1.0, 2.0, 2.5], 3, _effort()).columns == (2,)


def test_at_a_tie_those_that_come_first_are_taken() -> None:
    needed = [_needed([1, 0, 1, 0], 1), _needed([0, 1, 0, 1], 1)]
    found = cheapest.choose(needed, range(4), [2.0, 2.0, 2.0, 2.0], 3, _effort())
    assert found.columns == (0, 1)


def test_one_parcel_is_rather_taken_than_two_that_cost_the_same() -> None:
    needed = [_needed([1, 0, 1], 1), _needed([0, 1, 1], 1)]
    found = cheapest.choose(needed, range(3), [1.0, 1.0, 2.0], 3, _effort())
    assert found.columns == (2,)
