"""Choosing the places: the best set of them that holds what is wanted, tier after tier.

This is weighted set multi-cover. Prune what cannot help; try whether one or two places are enough; else let the
relaxation price the needs, take greedily by those prices, better that plan, and search what is left (``tree``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flows.one_stock.routing import greedy
from flows.one_stock.routing.holders import Holders, few_are_enough, holders_of
from flows.one_stock.routing.most import Most
from flows.one_stock.routing.problem import Stopped
from flows.one_stock.routing.task import NEAR, Best, Effort, Pool, Task
from flows.one_stock.routing.tree import Ground, Tree

FILL_NODES: Final = 8
"""So many times the nodes where few places cannot have all: the most units come before any cost."""
_WORSE: Final = [Stopped.PROVED, Stopped.BUDGET, Stopped.CLOCK]


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
    small = Task(pool, aims[0].weights).of(keep).pool
    weights = [[aim.weights[column] for column in keep] for aim in aims]
    spare, best = 0, _search(Task(small, weights[0]), Best(), effort)
    if best.value == float("inf"):
        everything = sum(units * sets for units, sets in zip(small.units, small.wanted, strict=True))
        effort.again(FILL_NODES)
        filled = _search(Task(small, [0.0] * len(keep), spare=everything, penalty=1.0), Best(), effort)
        filled_most, spare = effort.stopped, filled.missing
        effort.again(FILL_NODES)
        best = _search(Task(small, weights[0], spare=spare), Best(columns=filled.columns), effort)
        effort.stopped = max(filled_most, effort.stopped, key=_WORSE.index)
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
    has, full = _masks(pool)
    if len(aims) == 1:
        return _lightest(has, full, aims[0].weights)
    weights = list(zip(*(aim.weights for aim in aims), strict=True))
    order = sorted((column for column in range(len(has)) if has[column]), key=lambda column: (weights[column], column))
    kept: list[int] = []
    strong: list[tuple[int, tuple[float, ...]]] = []
    for column in order:
        own, mine = has[column], weights[column]
        for mask, weight in strong:
            if not own & ~mask and all(a <= b for a, b in zip(weight, mine, strict=True)):
                break
        else:
            kept.append(column)
            if full[column]:
                strong.append((full[column], mine))
    return sorted(kept)


def _lightest(has: Sequence[int], full: Sequence[int], weights: Sequence[float]) -> list[int]:
    kept: list[int] = []
    strong: list[int] = []
    useless = {0}
    for column in sorted(range(len(has)), key=weights.__getitem__):
        own = has[column]
        if own in useless:
            continue
        for mask in strong:
            if not own & ~mask:
                useless.add(own)
                break
        else:
            kept.append(column)
            if full[column]:
                strong.append(full[column])
    return sorted(kept)


def _masks(pool: Pool) -> tuple[list[int], list[int]]:
    """The needs that each column has anything of, and those that it has all of, a bit a need."""
    has, full = [0] * len(pool.caps), [0] * len(pool.caps)
    for need, (sets, held) in enumerate(zip(pool.wanted, zip(*pool.caps, strict=True), strict=False)):
        bit = 1 << need
        for column, cap in enumerate(held):
            if cap:
                has[column] |= bit
                if cap >= sets:
                    full[column] |= bit
    return has, full


def _search(task: Task, best: Best, effort: Effort) -> Best:
    """The best columns for one aim. Those in ``best`` are a start that is known to be allowed."""
    order = sorted(range(len(task.cost)), key=task.cost.__getitem__)
    place = {column: rank for rank, column in enumerate(order)}
    ranked = task.of(order)
    found = Best()
    found.offer(ranked, [place[column] for column in best.columns])
    _search_ranked(ranked, found, effort)
    found.columns = tuple(sorted([order[rank] for rank in found.columns]))
    return found


def _search_ranked(task: Task, best: Best, effort: Effort) -> None:
    """Betters ``best`` and says what is proved of it; the columns of the task are those that cost least first."""
    if not task.pool.caps or not any(task.pool.wanted):
        return
    if best.columns and effort.rings():
        best.proved = min(best.value, task.cost[0])
        return
    holders = holders_of(task.pool)
    if task.short:
        _search_short(task, holders, best, effort)
        return
    if few_are_enough(task, best, holders, effort.rings):
        best.proved = best.value
        return
    tree = Tree(Ground(task, holders, best, effort), range(len(task.cost)))
    proved = tree.rounded(tree.run())
    if effort.stopped is Stopped.BUDGET:
        tree.ruin()
    best.proved = min(best.value, max(proved, task.cost[0]))


def _search_short(task: Task, holders: Sequence[Holders], best: Best, effort: Effort) -> None:
    tree = Tree(Ground(task, holders, best, effort), range(len(task.cost)))
    bound, prices = (0.0, ()) if effort.rings() else tree.relaxed()
    most = Most(task, best, effort, prices)
    bound = max(bound, most.least())
    best.proved = best.value if most.run() else min(best.value, bound)
