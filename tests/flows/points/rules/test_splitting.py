"""Nothing is lost or made when points are divided."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.errors import RejectedError
from flows.points.splitting import apportion, split

Divide = Callable[[int, Sequence[int]], tuple[int, ...]]
WEIGHTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=12).filter(any)


@pytest.mark.parametrize("divide", [split, apportion])
def test_99_over_five_is_four_twenties_and_a_nineteen(divide: Divide) -> None:
    assert divide(99, [1] * 5) == (20, 20, 20, 20, 19)


def test_the_remainder_goes_from_the_top_to_what_weighs_something() -> None:
    assert split(5, [0, 1, 1, 8]) == (0, 1, 0, 4)
    assert split(2, [0, 3, 3, 3]) == (0, 1, 1, 0)


@given(st.integers(0, 10**12), WEIGHTS)
def test_shares_sum_to_the_total_and_are_within_one_of_their_due(total: int, weights: list[int]) -> None:
    shares = split(total, weights)
    whole = sum(weights)
    assert sum(shares) == total
    assert all(
        0 <= share * whole - total * weight + whole <= 2 * whole for share, weight in zip(shares, weights, strict=True)
    )


@given(WEIGHTS, st.data())
def test_a_larger_total_takes_from_nobody_and_all_is_what_each_weighs(weights: list[int], data: st.DataObject) -> None:
    whole = sum(weights)
    less = data.draw(st.integers(0, whole))
    more = data.draw(st.integers(less, whole))
    smaller, larger = apportion(less, weights), apportion(more, weights)
    assert (sum(smaller), sum(larger)) == (less, more)
    assert all(0 <= a <= b <= weight for a, b, weight in zip(smaller, larger, weights, strict=True))
    assert apportion(whole, weights) == tuple(weights)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any), st.integers(0, 300))
def test_apportioned_points_go_one_by_one_to_whom_most_is_due(weights: list[int], total: int) -> None:
    shares = [0] * len(weights)
    for _ in range(total):
        due = {index: Fraction(weight, 2 * shares[index] + 1) for index, weight in enumerate(weights)}
        shares[max(due, key=lambda index: (due[index], -index))] += 1
    assert apportion(total, weights) == tuple(shares)


@pytest.mark.parametrize("divide", [split, apportion])
@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, [2, -1]), (1, [0, 0]), (1, []), (1.5, [1])])
def test_what_cannot_be_divided_is_refused(divide: Divide, total: int, weights: list[int]) -> None:
    with pytest.raises(RejectedError):
        divide(total, weights)
