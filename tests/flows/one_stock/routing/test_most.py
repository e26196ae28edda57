"""Where few places may send, they hold as many units as can be, and cost the least of those that do."""

from itertools import combinations
from random import Random
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.one_stock.routing import cover
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Item, Part, Place, Problem, Stopped
from flows.one_stock.routing.rulebook import Budget, Rules
from flows.one_stock.routing.task import Effort, Pool, left_by


def _pool(seed: int, columns: int, needs: int, most: int) -> tuple[Pool, list[float]]:
    chance = Random(seed)
    wanted = [chance.randint(1, 9) for _ in range(needs)]
    caps = [[min(sets, chance.choice((0, 0, 2, 5))) for sets in wanted] for _ in range(columns)]
    held = [min(sets, sum(column)) for sets, column in zip(wanted, zip(*caps, strict=True), strict=True)]
    units = [chance.randint(1, 3) for _ in range(needs)]
    cost = [chance.uniform(0.1, 900) for _ in range(columns)]
    return Pool(held, units, [list(map(min, column, held)) for column in caps], most), cost


def _missing(pool: Pool, columns: tuple[int, ...]) -> int:
    return sum(units * sets for units, sets in zip(pool.units, left_by(pool, columns), strict=True))


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_few_places_hold_the_most_at_the_least_cost(seed: int, most: int) -> None:
    pool, cost = _pool(seed, 10, 7, most)
    chosen = cover.choose(pool, [cover.Aim(cost)], Effort(10**6, 100, monotonic() + 60))
    ways = [way for size in range(most + 1) for way in combinations(range(10), size)]
    least, value = min((_missing(pool, way), sum(cost[column] for column in way)) for way in ways)
    assert chosen.missing == _missing(pool, chosen.columns) == least
    assert sum(cost[column] for column in chosen.columns) == pytest.approx(value)
    assert chosen.proved[0] == pytest.approx(value)


@given(st.integers(0, 10**6))
def test_a_search_cut_short_says_so_unless_it_has_the_most(seed: int) -> None:
    pool, cost = _pool(seed, 24, 14, 4)
    hasty, whole = Effort(1, 0, monotonic() + 60), Effort(10**6, 100, monotonic() + 60)
    soon = cover.choose(pool, [cover.Aim(cost)], hasty)
    late = cover.choose(pool, [cover.Aim(cost)], whole)
    assert whole.stopped is Stopped.PROVED
    assert soon.missing >= late.missing
    assert hasty.stopped is Stopped.BUDGET or soon.missing == late.missing


def test_four_of_thirty_places_are_found_within_the_usual_budget() -> None:
    chance = Random(7)
    for _ in range(5):
        places = tuple(
            Place(
                number,
                {sku: chance.randint(1, 6) for sku in range(15) if chance.random() < 0.2},
                km=chance.uniform(1, 2_000),
            )
            for number in range(1, 31)
        )
        items = tuple(Item((Part(sku, sku),), chance.randint(1, 7)) for sku in range(12))
        rules = Rules(parcel_cost=8, per_km=0.006, max_parcels=4, budget=Budget(emergency_ms=60_000))
        assert decide(Problem(items, places), rules).plan.stopped is Stopped.PROVED
