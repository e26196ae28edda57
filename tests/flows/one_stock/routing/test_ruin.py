"""Plans are bettered by taking places out and filling anew, or by exchanging some: never worse, always whole."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from flows.one_stock.routing import greedy
from flows.one_stock.routing.holders import exchange, holders_of
from flows.one_stock.routing.ruin import Ruin
from flows.one_stock.routing.task import Best, Pool, Task, left_by


def _task(seed: int, needs: int = 8, columns: int = 30, most: int = 30) -> Task:
    chance = Random(seed)
    wanted = [chance.randint(1, 9) for _ in range(needs)]
    caps = [[min(sets, chance.choice((0, 0, 2, 5, 9))) for sets in wanted] for _ in range(columns)]
    cost = sorted(chance.uniform(8, 30) for _ in range(columns))
    held = [min(sets, sum(column)) for sets, column in zip(wanted, zip(*caps, strict=True), strict=True)]
    return Task(Pool(held, [1] * needs, [list(map(min, column, held)) for column in caps], most), cost)


def _greedy(task: Task) -> Best:
    best = Best()
    best.offer(task, greedy.take(task, [1.0 / max(1, sets) for sets in task.pool.wanted]))
    return best


@given(st.integers(0, 10**6))
def test_a_ruined_plan_holds_everything_and_costs_no_more(seed: int) -> None:
    task = _task(seed)
    best = _greedy(task)
    before = best.value
    Ruin(task, best, [1.0] * len(task.pool.wanted)).run(20)
    assert best.value <= before
    assert not any(left_by(task.pool, best.columns))
    assert best.value == sum(task.cost[column] for column in best.columns)


@given(st.integers(0, 10**6))
def test_an_exchanged_plan_holds_everything_and_costs_no_more(seed: int) -> None:
    task = _task(seed, needs=4)
    best = _greedy(task)
    before = best.value
    exchange(task, best, holders_of(task.pool))
    assert best.value <= before
    assert not any(left_by(task.pool, best.columns))


def test_chance_is_the_same_in_every_run() -> None:
    found = set()
    for _ in range(3):
        task = _task(7, needs=20, columns=60)
        best = _greedy(task)
        Ruin(task, best, [1.0] * 20).run(30)
        found.add(best.columns)
    assert len(found) == 1


def test_more_rounds_find_what_greed_missed() -> None:
    better = 0
    for seed in range(20):
        task = _task(seed, needs=20, columns=60)
        best = _greedy(task)
        before = best.value
        Ruin(task, best, [1.0] * 20).run(60)
        better += best.value < before - 1e-9
    assert better >= 10


def test_a_plan_that_may_have_no_more_columns_gets_none() -> None:
    task = _task(3, needs=20, columns=60)
    best = _greedy(task)
    tight = _task(3, needs=20, columns=60, most=len(best.columns))
    Ruin(tight, best, [1.0] * 20).run(60)
    assert len(best.columns) <= tight.pool.most
