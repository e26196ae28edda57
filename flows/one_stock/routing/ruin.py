"""Ruin and recreate: take some places out of a plan, fill what is then missing anew, and keep what is not worse.

Which places go, and what the goods count for when places are taken again, differs from round to round by chance that
is the same in every run.
"""

from collections.abc import Sequence
from operator import add, sub, truediv
from random import Random
from typing import Final

from flows.one_stock.routing.task import Best, Rings, Task, never

SEED: Final = 20_111
FAIR: Final = 0.2
WORSE: Final = 0.05


class Ruin:
    """A plan that is changed round after round. It keeps holding what the best plan of the start holds."""

    def __init__(self, task: Task, best: Best, prices: Sequence[float]) -> None:
        """``prices``: of a set of each need."""
        pool = task.pool
        self.task, self.best, self.caps, self.cost = task, best, pool.caps, task.cost
        self.divisor = [max(own, 1e-9) for own in task.cost]
        self.chance = Random(SEED)
        self.columns = list(best.columns)
        self.held = self._held(self.columns)
        self.wanted = [min(sets, have) for sets, have in zip(pool.wanted, self.held, strict=True)]
        fair = FAIR * best.value / max(1, len(pool.wanted))
        self.prices = [own + fair / max(1, sets) for own, sets in zip(prices, pool.wanted, strict=True)]
        self.by_need = [
            [(column, cap) for column, cap in enumerate(held) if cap] for held in zip(*pool.caps, strict=True)
        ]

    def run(self, rounds: int, rings: Rings = never) -> None:
        """Offers every better plan it comes by, until the clock rings."""
        value = sum([self.cost[column] for column in self.columns])
        for _ in range(rounds):
            if rings():
                return
            columns, held = self._ruined()
            if not self._recreate(columns, held):
                continue
            self._lean(columns, held)
            own = sum([self.cost[column] for column in columns])
            if own <= max(value, self.best.value * (1 + WORSE)) and self.task.allows(columns):
                self.columns, self.held, value = columns, held, own
                self.best.offer(self.task, columns)

    def _held(self, columns: Sequence[int]) -> list[int]:
        held = [0] * len(self.task.pool.wanted)
        for column in columns:
            held = list(map(add, held, self.caps[column]))
        return held

    def _ruined(self) -> tuple[list[int], list[int]]:
        gone = self.chance.sample(self.columns, self.chance.randint(1, len(self.columns)))
        held = self.held
        for column in gone:
            held = list(map(sub, held, self.caps[column]))
        return [column for column in self.columns if column not in gone], held

    def _recreate(self, columns: list[int], held: list[int]) -> bool:
        """Takes again and again what is cheapest for what it adds; False when that does not end well."""
        chance = self.chance.random
        value: dict[int, float] = {}
        while True:
            short = map(sub, self.wanted, held)
            left = [(need, sets) for need, sets in enumerate(short) if sets > 0]
            if not left:
                return True
            if len(columns) >= self.task.pool.most:
                return False
            value = value or {need: self.prices[need] * (1 - chance()) for need, _ in left}
            gain = [0.0] * len(self.cost)
            for need, sets in left:
                each = value[need]
                whole = each * sets
                for column, cap in self.by_need[need]:
                    gain[column] += each * cap if cap < sets else whole
            for column in columns:
                gain[column] = 0.0
            rates = list(map(truediv, gain, self.divisor))
            found = rates.index(max(rates))
            if not gain[found]:
                return False
            columns.append(found)
            held[:] = map(add, held, self.caps[found])

    def _lean(self, columns: list[int], held: list[int]) -> None:
        for column in sorted(columns, reverse=True):
            caps = self.caps[column]
            for have, cap, sets in zip(held, caps, self.wanted, strict=True):
                if have - cap < sets:
                    break
            else:
                columns.remove(column)
                held[:] = map(sub, held, caps)
