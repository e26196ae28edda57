"""Sets of columns as whole numbers, a bit a column: who holds enough is then one step a need.

The columns are those of a task, the cheapest first, so that the lowest bit of a set is its cheapest column.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Final

from flows.one_stock.routing.task import Best, Pool, Rings, Task, left_by, never

FEW: Final = 8
FEWER: Final = 4


class Holders:
    """The columns that hold at least so many sets of one need."""

    def __init__(self, caps: Sequence[int]) -> None:
        self._held = caps
        self._caps: list[int] = []
        self._masks: list[int] = [0]
        self.any = sum([1 << column for column, cap in enumerate(caps) if cap])
        self.known: dict[int, int] = {}

    def of(self, sets: int) -> int:
        """Those with ``sets`` or more."""
        found = self.known.get(sets)
        if found is None:
            if not self._caps:
                self._rank()
            found = self.known[sets] = self._masks[bisect_right(self._caps, -sets)]
        return found

    def _rank(self) -> None:
        held, mask = self._held, 0
        for column in sorted(bits(self.any), key=held.__getitem__, reverse=True):
            mask |= 1 << column
            self._caps.append(-held[column])
            self._masks.append(mask)


def holders_of(pool: Pool) -> list[Holders]:
    """The holders of each need."""
    return [Holders(held) for held in zip(*pool.caps, strict=True)]


def bits(mask: int) -> list[int]:
    """The positions of the ones, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def offer_few(task: Task, best: Best, holders: Sequence[Holders], chosen: Sequence[int], rings: Rings = never) -> None:
    """Offers ``chosen`` with the one or two more columns that hold what is left at the least cost."""
    cost, caps = task.cost, task.pool.caps
    left = [(holders[need], need, sets) for need, sets in enumerate(left_by(task.pool, chosen)) if sets]
    if not left:
        best.offer(task, chosen)
        return
    left.sort(key=lambda each: each[0].any.bit_count())
    value = sum([cost[column] for column in chosen])
    free = ~sum([1 << column for column in chosen])
    _offer_first(task, best, chosen, _holding(left, free & _below(cost, best.value - value)))
    if len(chosen) + 2 > task.pool.most:
        return
    for one in bits(left[0][0].any & free):
        spent = value + cost[one]
        if spent + cost[0] >= best.value or rings():
            break
        held = caps[one]
        rest = [(each, need, sets - held[need]) for each, need, sets in left if sets > held[need]]
        fit = _holding(rest, free & ~(1 << one) & _below(cost, best.value - spent))
        if fit:
            _offer_first(task, best, (*chosen, one), fit)


def _below(cost: Sequence[float], value: float) -> int:
    return (1 << bisect_left(cost, value)) - 1


def _holding(left: Iterable[tuple[Holders, int, int]], fit: int) -> int:
    """Those of ``fit`` that hold all of it."""
    for each, _, sets in left:
        fit &= each.known.get(sets) or each.of(sets)
        if not fit:
            break
    return fit


def _offer_first(task: Task, best: Best, chosen: Sequence[int], fit: int) -> None:
    """Offers the cheapest of ``fit`` that the task allows."""
    for column in bits(fit & -fit if not task.sides else fit):
        before = best.value
        best.offer(task, (*chosen, column))
        if best.value < before:
            break


def exchange(task: Task, best: Best, holders: Sequence[Holders], rings: Rings = never) -> None:
    """Takes one to three of the best columns away, and one or two others for them, while that is better."""
    while True:
        before = best.columns
        if len(before) > FEW:
            return
        for size in (1, 2, 3)[: 2 if len(before) > FEWER else 3]:
            for gone in combinations(before, size):
                offer_few(task, best, holders, [column for column in before if column not in gone], rings)
        if best.columns == before or rings():
            return


def few_are_enough(task: Task, best: Best, holders: Sequence[Holders], rings: Rings = never) -> bool:
    """Offers the best single column and the best two; True when no more columns together can be cheaper."""
    cheapest = [*task.cost[:3], *[float("inf")] * 3]
    if task.pool.most < 1 or best.ends(cheapest[0]):
        return True
    single = -1
    for each, sets in zip(holders, task.pool.wanted, strict=True):
        if sets:
            single &= each.of(sets)
    _offer_first(task, best, (), single)
    for count in (2, 3):
        if task.pool.most < count or best.ends(sum(cheapest[:count])):
            return True
        if count == 2:
            offer_few(task, best, holders, (), rings)
            if rings():
                return False
    return False
