"""Sets of columns as whole numbers, a bit a column: who holds enough is then one step a need."""

from bisect import bisect_right
from collections.abc import Sequence

from flows.one_stock.routing.task import Best, Task, minus


class Holders:
    """The columns that hold at least so many sets of one need."""

    def __init__(self, caps: Sequence[int]) -> None:
        by_caps = sorted(((cap, column) for column, cap in enumerate(caps) if cap), reverse=True)
        self.caps = [-cap for cap, _ in by_caps]
        self.masks = [0]
        for _, column in by_caps:
            self.masks.append(self.masks[-1] | 1 << column)
        self.any = self.masks[-1]
        self.known: dict[int, int] = {}

    def of(self, sets: int) -> int:
        """Those with ``sets`` or more."""
        found = self.known.get(sets)
        if found is None:
            found = self.known[sets] = self.masks[bisect_right(self.caps, -sets)]
        return found


def bits(mask: int) -> list[int]:
    """The positions of the ones, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def offer_pairs(task: Task, best: Best) -> None:
    """Offers the best two columns that together hold everything, if there are such."""
    order = sorted(range(len(task.cost)), key=lambda column: (task.cost[column], column))
    cost = [task.cost[column] for column in order]
    caps = [task.pool.caps[column] for column in order]
    holders = [Holders(held) for held in zip(*caps, strict=True)]
    wanted = list(task.pool.wanted)
    scarcest = min([each.any for each, sets in zip(holders, wanted, strict=True) if sets], key=int.bit_count)
    for one in bits(scarcest):
        if cost[one] + cost[0] >= best.value:
            break
        fit = ~(1 << one)
        for each, sets in zip(holders, minus(wanted, caps[one]), strict=True):
            if sets:
                fit &= each.of(sets)
                if not fit:
                    break
        while fit > 0:
            other = (fit & -fit).bit_length() - 1
            fit &= fit - 1
            if cost[one] + cost[other] >= best.value:
                break
            before = best.value
            best.offer(task, (order[one], order[other]))
            if best.value < before:
                break
