"""Bounds are true for any prices, and the relaxation's are the best of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.one_stock.routing import bounds

costs = st.lists(st.floats(0.5, 20), min_size=1, max_size=5)


@st.composite
def covers(draw: st.DrawFn) -> tuple[list[int], list[float], list[list[int]]]:
    cost = draw(costs)
    wanted = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    caps = [[draw(st.integers(0, sets)) for sets in wanted] for _ in cost]
    return wanted, cost, caps


def _least(wanted: list[int], cost: list[float], caps: list[list[int]]) -> float:
    least = float("inf")
    for mask in range(1 << len(cost)):
        chosen = [index for index in range(len(cost)) if mask >> index & 1]
        if all(sum(caps[index][row] for index in chosen) >= sets for row, sets in enumerate(wanted)):
            least = min(least, sum(cost[index] for index in chosen))
    return least


@given(covers(), st.lists(st.floats(0, 9), min_size=3, max_size=3))
def test_no_choice_costs_less_than_any_prices_prove(
    cover: tuple[list[int], list[float], list[list[int]]], rows: list[float]
) -> None:
    wanted, cost, caps = cover
    _, bound = bounds.price(rows[: len(wanted)], wanted, cost, caps)
    assert bound <= _least(wanted, cost, caps) + 1e-6


@given(covers())
def test_the_relaxations_bound_is_true_and_it_is_infeasible_only_where_nothing_helps(
    cover: tuple[list[int], list[float], list[list[int]]],
) -> None:
    wanted, cost, caps = cover
    solved = bounds.solve(wanted, cost, caps, 50, float("inf"))
    least = _least(wanted, cost, caps)
    assert (solved is None) is (least == float("inf"))
    if solved is not None:
        assert solved.bound <= least + 1e-6


def test_the_relaxation_takes_shares_of_the_cheapest() -> None:
    solved = bounds.solve([3], [10.0, 12.0, 90.0], [[2], [2], [3]], 0, float("inf"))
    assert solved is not None
    assert solved.bound == pytest.approx(16.0)
    assert solved.shares == pytest.approx([1.0, 0.5, 0.0])


def test_a_large_relaxation_is_bounded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_CELLS", 0)
    solved = bounds.solve([3], [10.0, 12.0, 90.0], [[2], [2], [3]], 100, 22.0)
    assert solved is not None
    assert 12.0 <= solved.bound <= 16.0 + 1e-9


@given(covers(), st.integers(1, 4))
def test_one_more_row_on_what_is_solved_proves_what_solving_it_anew_does(
    cover: tuple[list[int], list[float], list[list[int]]], most: int
) -> None:
    wanted, cost, caps = cover
    solved = bounds.solve(wanted, cost, caps, 0, float("inf"))
    if solved is None or solved.solved is None:
        return
    longer: list[list[float]] = [[*column, -1.0] for column in caps]
    more = bounds.narrowed(solved.solved, [*wanted, -most], cost, longer)
    anew = bounds.solve([*wanted, -most], cost, longer, 0, float("inf"))
    assert (more is None) is (anew is None)
    if more is not None and anew is not None:
        assert more.bound == pytest.approx(anew.bound, abs=1e-6)


def test_columns_that_come_later_are_priced_as_if_they_had_been_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = [9.0 + number % 7 for number in range(40)]
    caps = [[(number * each) % 5 for each in (3, 7, 11)] for number in range(40)]
    whole = bounds.solve([9, 9, 9], cost, caps, 0, float("inf"))
    monkeypatch.setattr(bounds, "CORE", 4)
    monkeypatch.setattr(bounds, "CORE_A_ROUND", 1)
    monkeypatch.setattr(bounds, "CORE_ROUNDS", 40)
    grown = bounds.solve([9, 9, 9], cost, caps, 0, float("inf"))
    assert whole is not None
    assert grown is not None
    assert grown.bound == pytest.approx(whole.bound)
