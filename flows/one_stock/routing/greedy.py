"""Good plans at once: take what pays most, drop what is needless."""

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace

from flows.one_stock.routing.task import Task, left_by, minus


def take(
    task: Task, value: Sequence[float], start: Sequence[int] = (), among: Sequence[int] | None = None
) -> list[int]:
    """Columns taken one after another, each the cheapest for the ``value`` (by set of each need) of what it adds.

    What a column adds only gets less, so that one which was not the cheapest is looked at again when it may be.
    """
    pool, taken = task.pool, list(start)
    left = left_by(pool, taken)
    worth = [(need, sets, value[need]) for need, sets in enumerate(left) if sets]
    heap = []
    for rank, column in enumerate(range(len(task.cost)) if among is None else among):
        if column not in taken and (gain := _gain(pool.caps[column], worth)) > 0:
            heap.append((task.cost[column] / gain, -gain, rank, column))
    heapify(heap)
    while heap and len(taken) < pool.most and task.misses(left) > task.spare * (not task.penalty):
        _, known, rank, column = heap[0]
        gain = _gain(pool.caps[column], worth)
        if gain < -known:
            if gain > 0:
                heapreplace(heap, (task.cost[column] / gain, -gain, rank, column))
            else:
                heappop(heap)
            continue
        heappop(heap)
        if not task.sides or task.allows((*taken, column)):
            taken.append(column)
            left = minus(left, pool.caps[column])
            worth = [(need, sets, value[need]) for need, sets in enumerate(left) if sets]
    return lean(task, taken)


def _gain(caps: Sequence[int], worth: Sequence[tuple[int, int, float]]) -> float:
    return sum([each * (cap if cap < sets else sets) for need, sets, each in worth if (cap := caps[need])])


def lean(task: Task, columns: Sequence[int]) -> list[int]:
    """The columns without those that the others make needless, the heaviest first."""
    pool = task.pool
    held = [0] * len(pool.wanted)
    for column in columns:
        held = [have + cap for have, cap in zip(held, pool.caps[column], strict=True)]
    needed = [sets if sets < have else have for sets, have in zip(pool.wanted, held, strict=True)]
    kept = list(columns)
    for column in sorted(columns, key=lambda column: (-task.cost[column], column)):
        without = [have - cap for have, cap in zip(held, pool.caps[column], strict=True)]
        if all(have >= sets for have, sets in zip(without, needed, strict=True)):
            held = without
            kept.remove(column)
    return kept
