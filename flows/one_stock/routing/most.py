"""Plans that cannot have all: few places may send, and those are to hold as many units as can be.

Depth first. What the best of the places still free add, each for itself, is never less than what they add together;
so a branch ends where even that is too little, or costs too much.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

from flows.one_stock.routing import greedy
from flows.one_stock.routing.problem import Stopped
from flows.one_stock.routing.task import NEAR, Best, Effort, Task, left_by

CELLS_A_NODE: Final = 200
EXCHANGED: Final = 2


class Most:
    """The search for one aim of a task whose plans may leave something unfilled."""

    def __init__(self, task: Task, best: Best, effort: Effort, prices: Sequence[float] = ()) -> None:
        """``prices``: of a set of each need, from a relaxation; none are needed for what is found to be right."""
        pool = task.pool
        self.task, self.best, self.effort = task, best, effort
        self.caps, self.cost, self.units = pool.caps, task.cost, pool.units
        self.prices = [min(float(units), price) for units, price in zip(pool.units, prices, strict=False)]

    def run(self) -> bool:
        """Offers better and better plans; True when the best is proved to be that."""
        columns = list(range(len(self.cost)))
        self.best.offer(self.task, greedy.take(self.task, [float(units) for units in self.units]))
        self._exchange(columns)
        self._visit((), columns)
        return self.effort.stopped is Stopped.PROVED

    def least(self) -> float:
        """What the cheapest shares of columns that hold enough would cost; no plan undercuts it."""
        if self.task.penalty:
            return 0.0
        worth = [(need, sets, self.units[need]) for need, sets in enumerate(self.task.pool.wanted) if sets]
        gains = self._gains(range(len(self.cost)), worth)
        return self._least(gains, self.task.misses(self.task.pool.wanted) - self.task.spare)

    def _exchange(self, columns: Sequence[int]) -> None:
        """Takes some of the best columns away, and the best others for them, while that is better."""
        while True:
            before = self.best.columns
            for gone in combinations(before, min(EXCHANGED, len(before))):
                kept = tuple([column for column in before if column not in gone])
                self._visit(kept, [column for column in columns if column not in before])
                if self.effort.stopped is not Stopped.PROVED:
                    return
            if self.best.columns == before:
                return

    def _goal(self, missing: int) -> int:
        """Units that must be added to a plan that misses so many, or it is no better than the best."""
        if self.task.penalty:
            return missing - int(self.best.value) + 1 if self.best.value < float("inf") else 0
        return missing - self.task.spare

    def _visit(self, taken: tuple[int, ...], free: Sequence[int]) -> None:
        """Tries every column in turn, the one that adds most first; each later branch is without the earlier."""
        left = left_by(self.task.pool, taken)
        worth = [(need, sets, self.units[need]) for need, sets in enumerate(left) if sets]
        if self.effort.spent(1 + len(free) * len(worth) // CELLS_A_NODE):
            return
        missing, room = self.task.misses(left), self.task.pool.most - len(taken)
        if self._goal(missing) <= 0:
            self.best.offer(self.task, taken)
            if not missing or not self.task.penalty:
                return
        gains = self._gains(free, worth)
        value = sum([self.cost[column] for column in taken])
        if room <= 0 or not self.task.allows(taken) or self._is_hopeless(gains, left, missing, room, value):
            return
        for index, (_, column) in enumerate(gains):
            if sum([each for each, _ in gains[index : index + room]]) < self._goal(missing):
                return
            if room > 1:
                self._visit((*taken, column), [each for _, each in gains[index + 1 :]])
                if self.effort.stopped is not Stopped.PROVED:
                    return
            elif self.task.penalty or value + self.cost[column] <= self.best.value * (1 + NEAR):
                self.best.offer(self.task, (*taken, column))

    def _gains(self, free: Sequence[int], worth: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
        """The units that each column adds, the most first."""
        gains = []
        for column in free:
            caps = self.caps[column]
            gain = sum([units * (cap if cap < sets else sets) for need, sets, units in worth if (cap := caps[need])])
            if gain:
                gains.append((gain, column))
        gains.sort(key=lambda each: -each[0])
        return gains

    def _is_hopeless(
        self, gains: Sequence[tuple[int, int]], left: Sequence[int], missing: int, room: int, value: float
    ) -> bool:
        """Whether nothing better can lie here: too little may be added, or not for so little."""
        goal = self._goal(missing)
        if sum([gain for gain, _ in gains[:room]]) < goal:
            return True
        if not self.task.penalty and self.best.ends(value + self._least(gains, goal)):
            return True
        if not self.prices:
            return False
        worth = [(need, sets, price) for need, (sets, price) in enumerate(zip(left, self.prices, strict=True)) if sets]
        paid = []
        for _, column in gains:
            caps = self.caps[column]
            paid.append(
                sum([price * (cap if cap < sets else sets) for need, sets, price in worth if (cap := caps[need])])
            )
        paid.sort(reverse=True)
        least = sum([price * sets for _, sets, price in worth]) - sum(paid[:room])
        return least > missing - goal + 1e-6

    def _least(self, gains: Sequence[tuple[int, int]], goal: int) -> float:
        """What so many units cost where a share of a column may be taken."""
        least = 0.0
        for rate, gain in sorted([(self.cost[column] / gain, gain) for gain, column in gains]):
            if gain >= goal:
                return least + rate * goal
            goal, least = goal - gain, least + rate * gain
        return float("inf")
