"""The exact search: depth first, on the need that fewest columns can still fill, bounded by prices.

Its bound is the relaxation's. Where the shares add up to between k and k + 1 columns, a plan has at most k of them or
at least k + 1; each case is priced for itself, which proves far more. Where a branch grows large, its branches become
trees of their own, with prices that fit what is left there.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from flows.one_stock.routing import bounds, greedy
from flows.one_stock.routing.holders import FEW, Holders, bits, exchange
from flows.one_stock.routing.problem import Stopped
from flows.one_stock.routing.ruin import Ruin
from flows.one_stock.routing.task import NEAR, Best, Effort, Task, left_by

SPLIT_FROM: Final = 0.01
REPRICE_AFTER: Final = 300
REPRICE_COLUMNS: Final = 8
REPRICE_MORE: Final = 4
CELLS_A_NODE: Final = 100
ROUNDS_A_NEED: Final = 5
INFINITE: Final = float("inf")


@dataclass(frozen=True, slots=True)
class _Case:
    """A priced relaxation: its rows' limits and columns, and how many columns it may choose."""

    prices: bounds.Prices
    limits: Sequence[float]
    matrix: Sequence[Sequence[float]]
    cost: Sequence[float]
    most: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What all trees of a search share."""

    task: Task
    holders: Sequence[Holders]
    best: Best
    effort: Effort


class Tree:
    """Everything that starts with the columns ``chosen`` and goes on with some of ``columns``."""

    def __init__(self, ground: Ground, columns: Sequence[int], chosen: tuple[int, ...] = ()) -> None:
        task = ground.task
        self.ground, self.chosen, self.columns = ground, chosen, columns
        self.task, self.best, self.effort = task, ground.best, ground.effort
        left = left_by(task.pool, chosen)
        needs = [need for need, sets in enumerate(left) if sets]
        self.wanted = [left[need] for need in needs]
        self.units = [task.pool.units[need] for need in needs]
        self.needs = needs
        self.most = task.pool.most - len(chosen)
        self.offset = sum([task.cost[column] for column in chosen])
        self.whole = task.whole
        self.caps = [
            [cap if cap < sets else sets for cap, sets in zip([caps[need] for need in needs], self.wanted, strict=True)]
            for caps in [task.pool.caps[column] for column in columns]
        ]
        self.cost = [task.cost[column] for column in columns]
        self.value: list[float] = []

    def run(self) -> float:
        """Searches; returns what is proved: no plan of this tree, but for those offered, undercuts it."""
        if self.chosen and self.effort.spent(1 + len(self.wanted) * len(self.columns) // CELLS_A_NODE):
            return self.offset
        if not self.chosen and bounds.is_large(len(self.wanted), len(self.columns)):
            self.best.offer(self.task, greedy.take(self.task, [1 / max(1, sets) for sets in self.task.pool.wanted]))
        if self.best.columns and self.effort.rings():
            return self.offset
        first = self._priced()
        if first is None:
            return INFINITE
        bound = self.offset + first.prices.bound
        if not self.ends(bound):
            self._dive(first.prices)
        if self.ends(bound):
            return bound
        least = INFINITE
        for case in self._split(first):
            own = max(bound, self.offset + case.prices.bound)
            least = min(least, own if self.ends(own) else max(own, _Walk(self, case).run()))
        return least

    def relaxed(self) -> tuple[float, list[float]]:
        """What the relaxation alone proves, and its prices of a set of each need of the pool."""
        prices = [float(units) for units in self.task.pool.units]
        case = self._priced()
        if case is None:
            return self.offset, prices
        for need, each in zip(self.needs, case.prices.rows, strict=False):
            prices[need] = each
        return self.rounded(self.offset + case.prices.bound), prices

    def ends(self, bound: float) -> bool:
        """Whether nothing better than the best plan can lie where ``bound`` holds."""
        return self.best.ends(self.rounded(bound))

    def edge(self) -> float:
        """The bound from which on nothing better can lie."""
        value = self.best.value
        return value - 1 + 1e-6 if self.whole else (value - NEAR) / (1 + NEAR)

    def rounded(self, bound: float) -> float:
        """The bound, or the next whole number where every plan's value is one."""
        return float(ceil(bound - 1e-6)) if self.whole and bound < INFINITE else bound

    def _priced(self) -> _Case | None:
        task = self.task
        matrix: list[list[float]] = [
            [*caps, *[-vector[column] for vector, _ in task.sides]]
            for column, caps in zip(self.columns, self.caps, strict=True)
        ]
        limits: list[float] = [*self.wanted]
        for vector, limit in task.sides:
            limits.append(sum([vector[column] for column in self.chosen]) - limit)
        cost = list(self.cost)
        if task.short:
            self._may_miss(matrix, limits, cost)
        if self.most < len(self.columns):
            matrix, limits = self._counted(matrix, limits, -1.0, self.most)
        known = self.best.value - self.offset
        prices = bounds.solve(limits, cost, matrix, self.effort.iterations_left, known, self.effort.rings)
        if prices is not None:
            self.effort.iterations += prices.steps
        return None if prices is None else _Case(prices, limits, matrix, cost, self.most)

    def _may_miss(self, matrix: list[list[float]], limits: list[float], cost: list[float]) -> None:
        """One more column for every need: leaving it unfilled; and a row that limits how much may be left."""
        for column in matrix:
            column.append(0.0)
        sides = [0.0] * len(self.task.sides)
        for need, sets in enumerate(self.wanted):
            units = float(sets * self.units[need])
            own = [0.0] * len(self.wanted)
            own[need] = float(sets)
            matrix.append([*own, *sides, -units])
            cost.append(self.task.penalty * units)
        limits.append(-float(self.task.spare))

    def _counted(
        self, matrix: Sequence[Sequence[float]], limits: Sequence[float], sign: float, limit: int
    ) -> tuple[list[list[float]], list[float]]:
        """With one more row, the number of columns: at most ``limit`` where the sign is -1, at least where it is 1."""
        real = len(self.columns)
        return (
            [[*column, sign if index < real else 0.0] for index, column in enumerate(matrix)],
            [*limits, sign * limit],
        )

    def _split(self, case: _Case) -> list[_Case]:
        prices = case.prices
        number = sum(prices.shares[: len(self.columns)])
        under = int(number + SPLIT_FROM)
        if prices.solved is None or number - under < SPLIT_FROM:
            return [case]
        cases = []
        for sign, limit, most in ((-1.0, under, min(under, self.most)), (1.0, under + 1, self.most)):
            matrix, limits = self._counted(case.matrix, case.limits, sign, limit)
            narrow = bounds.narrowed(prices.solved, limits, case.cost, matrix)
            if narrow is not None:
                cases.append(_Case(narrow, limits, matrix, case.cost, most))
        return sorted(cases, key=lambda each: each.prices.bound)

    def _dive(self, prices: bounds.Prices) -> None:
        """Offers what the relaxation favours, and what its prices make the greedy way take."""
        task, shares = self.task, prices.shares
        support = [column for column, share in zip(self.columns, shares, strict=False) if share > NEAR]
        value = [1e-6 * units for units in task.pool.units]
        for need, each in zip(self.needs, prices.rows, strict=False):
            value[need] += each
        found = greedy.take(task, value, self.chosen, support)
        self.best.offer(task, found)
        if not self.chosen:
            found = greedy.take(task, value)
            self.best.offer(task, found)
        if self.chosen or not self.best.columns:
            return
        self.value = value
        if len(self.best.columns) > FEW:
            self.ruin()
        else:
            exchange(task, self.best, self.ground.holders, self.effort.rings)

    def ruin(self) -> None:
        """Betters the best plan by what is left of the iterations; a small order needs few of them. Once a tree."""
        if self.value and self.best.columns:
            rounds = self.effort.take_iterations(ROUNDS_A_NEED * len(self.wanted))
            Ruin(self.task, self.best, self.value).run(rounds, self.effort.rings)
            self.value = []


class _Walk:
    """The branches of one case. A column is a bit; sets of columns are whole numbers."""

    def __init__(self, tree: Tree, case: _Case) -> None:
        self.tree, self.task, self.best, self.effort, self.most = tree, tree.task, tree.best, tree.effort, case.most
        task, limits = tree.task, case.limits
        count = len(tree.wanted)
        rows, reduced, bound = case.prices.rows, case.prices.reduced, case.prices.bound
        edge = self.best.value - tree.offset - bound
        extra = rows[count:]
        self.rows = list(rows[:count])
        self.base = tree.offset + sum([own * limit for own, limit in zip(extra, limits[count:], strict=True)])
        self.free, self.below = 0, 0.0
        self.caps: dict[int, list[int]] = {}
        self.reduced: dict[int, float] = {}
        self.priced: dict[int, float] = {}
        for index, (column, own) in enumerate(zip(tree.columns, reduced, strict=False)):
            if own <= edge:
                self.free |= 1 << column
                self.below += min(0.0, own)
                self.caps[column], self.reduced[column] = tree.caps[index], own
                self.priced[column] = tree.cost[index] - sum(
                    [each * cap for each, cap in zip(extra, case.matrix[index][count:], strict=True)]
                )
        self.cost = task.cost
        self.holders = [tree.ground.holders[need] for need in tree.needs]
        self.edge = tree.edge()
        self.nodes = 0

    def run(self) -> float:
        """Visits every branch that may hold something better; returns what is proved of the others."""
        used = tuple([sum([vector[column] for column in self.tree.chosen]) for vector, _ in self.task.sides])
        return self._visit(_Node((), self.tree.wanted, self.free, self.tree.offset, self.base, self.below, used))

    def _visit(self, node: "_Node") -> float:
        """Fills the scarcest need by every column in turn; each later branch is without the columns of the earlier."""
        here = node.base + node.below + self._paid(node.left)
        self.nodes += 1
        need, options = self._scarcest(node.left, node.free)
        if need < 0 or len(node.taken) >= self.most:
            return INFINITE
        least, free, below, caps = INFINITE, node.free, node.below, self.caps
        columns = bits(options)
        wanted = node.left[need]
        reach = sum([caps[column][need] for column in columns])
        for column in self._promising(columns, node.value, here):
            if reach < wanted:
                break
            reach -= caps[column][need]
            reduced = self.reduced[column]
            hopeless = here + (reduced if reduced > 0 else 0.0) >= self.edge
            if hopeless and reduced >= 0:
                break
            free ^= 1 << column
            if reduced < 0:
                below -= reduced
                here -= reduced
            if hopeless:
                continue
            if self.effort.spent():
                return min(least, here + min(0.0, reduced))
            least = min(least, self._branch(node, column, free, below))
            if self.effort.stopped is not Stopped.PROVED:
                return min(least, here)
        return least

    def _promising(self, columns: list[int], value: float, here: float) -> list[int]:
        """The columns that may still lead to something better, by reduced cost."""
        best, cost, reduced = self.best.value, self.cost, self.reduced
        kept = [column for column in columns if value + cost[column] < best and here + reduced[column] < best]
        kept.sort(key=reduced.__getitem__)
        return kept

    def _paid(self, left: Sequence[int]) -> float:
        return sum([own * sets for own, sets in zip(self.rows, left, strict=True)])

    def _branch(self, node: "_Node", column: int, free: int, below: float) -> float:
        """One more column chosen."""
        left = [sets - cap if sets > cap else 0 for sets, cap in zip(node.left, self.caps[column], strict=True)]
        base, value = node.base + self.priced[column], node.value + self.cost[column]
        lower = base + below + self._paid(left)
        if lower >= self.edge:
            return lower
        used = node.used
        if self.task.sides:
            used = tuple([own + vector[column] for own, (vector, _) in zip(used, self.task.sides, strict=True)])
            if any(own > limit for own, (_, limit) in zip(used, self.task.sides, strict=True)):
                return INFINITE
        taken = (*node.taken, column)
        if self._completed(taken, left, free, value):
            return INFINITE
        cheapest = self.cost[(free & -free).bit_length() - 1] if free else INFINITE
        if value + 2 * cheapest >= self.edge:
            return INFINITE
        if (
            self.nodes >= REPRICE_AFTER
            and free.bit_count() >= REPRICE_COLUMNS
            and value + REPRICE_MORE * cheapest < self.edge
        ):
            proved = Tree(self.tree.ground, bits(free), (*self.tree.chosen, *taken)).run()
            self.edge = self.tree.edge()
            return max(lower, proved)
        return max(lower, self._visit(_Node(taken, left, free, value, base, below, used)))

    def _completed(self, taken: tuple[int, ...], left: list[int], fit: int, value: float) -> bool:
        """Offers these columns with at most one more, the cheapest that fills all; True if they need none."""
        if not any(left):
            self._offer(taken)
            return True
        fit &= (1 << bisect_left(self.cost, self.best.value - value)) - 1
        for holders, sets in zip(self.holders, left, strict=True):
            if sets:
                fit &= holders.known.get(sets) or holders.of(sets)
                if not fit:
                    return False
        for column in bits(fit):
            before = self.best.value
            self._offer((*taken, column))
            if self.best.value < before:
                break
        return False

    def _scarcest(self, left: Sequence[int], free: int) -> tuple[int, int]:
        """The unfilled need with the fewest columns left, and those columns; -1 when there is none to go on with."""
        found, options, fewest = -1, 0, 1 << 30
        for need, sets in enumerate(left):
            if sets:
                mask = self.holders[need].any & free
                count = mask.bit_count()
                if count < fewest:
                    if count:
                        found, options, fewest = need, mask, count
                    else:
                        return -1, 0
        return found, options

    def _offer(self, taken: tuple[int, ...]) -> None:
        self.best.offer(self.task, (*self.tree.chosen, *taken))
        self.edge = self.tree.edge()


@dataclass(slots=True)
class _Node:
    """Columns ``taken``, sets ``left`` to fill, columns still ``free``; ``value`` so far, the same with what the sides
    are priced at (``base``), the free columns' reduced cost below 0, and what of the sides' limits is ``used``."""

    taken: tuple[int, ...]
    left: list[int]
    free: int
    value: float
    base: float
    below: float
    used: tuple[float, ...]
