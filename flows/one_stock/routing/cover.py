"""Choosing the places: the best set of them that holds what is wanted, tier after tier.

This is weighted set multi-cover. Prune what cannot help; try whether one or two places are enough; else let the
relaxation price the needs, take greedily by those prices, and search what is left (``tree``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.one_stock.routing import greedy
from flows.one_stock.routing.holders import offer_pairs
from flows.one_stock.routing.task import NEAR, Best, Effort, Pool, Task
from flows.one_stock.routing.tree import Tree


@dataclass(frozen=True, slots=True)
class Aim:
    """One tier: what each column adds to it, and how far from its best the next tier may go."""

    weights: Sequence[float]
    tolerance: float = 0.0
    slack: float = 0.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """The columns chosen, ascending; ``proved``: by aim, what no choice undercuts within the limits of the earlier
    aims; ``missing``: units that they do not hold."""

    columns: tuple[int, ...]
    proved: tuple[float, ...]
    missing: int


def choose(pool: Pool, aims: Sequence[Aim], effort: Effort) -> Chosen:
    """Fills as many units as possible, then brings the aims down one after another within the earlier ones' limits."""
    keep = _undominated(pool, aims)
    small = Pool(pool.wanted, pool.units, [pool.caps[column] for column in keep], pool.most)
    weights = [[aim.weights[column] for column in keep] for aim in aims]
    spare, best = 0, _search(Task(small, weights[0]), Best(), effort)
    if best.value == float("inf"):
        everything = sum(units * sets for units, sets in zip(small.units, small.wanted, strict=True))
        filled = _search(Task(small, [0.0] * len(keep), spare=everything, penalty=1.0), Best(), effort)
        spare = filled.missing
        best = _search(Task(small, weights[0], spare=spare), Best(columns=filled.columns), effort)
    proved = [best.proved]
    sides: list[tuple[Sequence[float], float]] = []
    for aim, own, following in zip(aims, weights, weights[1:], strict=False):
        limit = best.value * (1 + aim.tolerance) + aim.slack
        sides.append((own, limit + NEAR * max(1.0, limit)))
        best = _search(Task(small, following, tuple(sides), spare), Best(columns=best.columns), effort)
        proved.append(best.proved)
    columns = sorted(greedy.lean(Task(small, weights[-1]), best.columns))
    return Chosen(tuple(keep[column] for column in columns), tuple(proved), best.missing)


def _undominated(pool: Pool, aims: Sequence[Aim]) -> list[int]:
    """Columns that no other makes useless: one that holds all that is wanted of everything they have, and is nowhere
    heavier. Beside it they add nothing; without it, it can take their place."""
    has = [sum([1 << need for need, cap in enumerate(column) if cap]) for column in pool.caps]
    weights = list(zip(*(aim.weights for aim in aims), strict=True))
    order = sorted((column for column in range(len(has)) if has[column]), key=lambda column: (weights[column], column))
    kept: list[int] = []
    strong: list[tuple[int, tuple[float, ...]]] = []
    single = len(aims) == 1
    for column in order:
        own, mine = has[column], weights[column]
        for mask, weight in strong:
            if not own & ~mask and (single or all(a <= b for a, b in zip(weight, mine, strict=True))):
                break
        else:
            kept.append(column)
            caps = pool.caps[column]
            full = sum([1 << need for need, sets in enumerate(pool.wanted) if caps[need] >= sets])
            if full:
                strong.append((full, mine))
    return sorted(kept)


def _search(task: Task, best: Best, effort: Effort) -> Best:
    """The best columns for one aim. Those in ``best`` are a start that is known to be allowed."""
    start, best = best.columns, Best()
    best.offer(task, start)
    if not task.pool.caps or not any(task.pool.wanted):
        return best
    if not task.short and _few_are_enough(task, best):
        return best
    tree = Tree(task, best, effort, range(len(task.cost)))
    proved = tree.rounded(tree.run())
    best.proved = min(best.value, proved)
    return best


def _few_are_enough(task: Task, best: Best) -> bool:
    """Offers the best single column and the best two; True when no more columns together can be cheaper."""
    wanted = list(task.pool.wanted)
    full = [column for column, caps in enumerate(task.pool.caps) if list(caps) == wanted and task.allows((column,))]
    if full:
        best.offer(task, (min(full, key=lambda column: (task.cost[column], column)),))
    cheapest = [*sorted(task.cost)[:3], *[float("inf")] * 3]
    for count in (2, 3):
        if task.pool.most < count or best.ends(sum(cheapest[:count])):
            best.proved = best.value
            return True
        if count == 2:
            offer_pairs(task, best)
    return False
