"""Good plans at once: take what pays most, drop what is needless."""

from collections.abc import Sequence

from flows.one_stock.routing.task import Task, left_by, minus


def take(
    task: Task, value: Sequence[float], start: Sequence[int] = (), among: Sequence[int] | None = None
) -> list[int]:
    """Columns taken one after another, each the cheapest for the ``value`` (by set of each need) of what it adds."""
    pool, taken = task.pool, list(start)
    left = left_by(pool, taken)
    free = [column for column in (range(len(task.cost)) if among is None else among) if column not in taken]
    while task.misses(left) > task.spare * (not task.penalty) and len(taken) < pool.most:
        worth = [(need, sets, value[need]) for need, sets in enumerate(left) if sets]
        found, best = -1, (float("inf"), 0.0)
        gainful = []
        for column in free:
            caps = pool.caps[column]
            gain = sum([each * (cap if cap < sets else sets) for need, sets, each in worth if (cap := caps[need])])
            if gain > 0:
                gainful.append(column)
                key = (task.cost[column] / gain, -gain)
                if key < best and (not task.sides or task.allows((*taken, column))):
                    found, best = column, key
        if found < 0:
            break
        taken.append(found)
        gainful.remove(found)
        free = gainful
        left = minus(left, pool.caps[found])
    return lean(task, taken)


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
