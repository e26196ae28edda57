"""Lower bounds: what no choice of places can undercut, and the prices of the goods that prove it.

The relaxation lets a share of a place be chosen. Its dual prices every wanted set; whatever the prices are, the
Lagrangian value of ``price`` is a true bound, so that rounding can make a bound weaker but never wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from flows.one_stock.routing.task import Rings, never

EPS: Final = 1e-9
MAX_CELLS: Final = 13_000
"""Relaxations with more rows × columns are priced step by step instead of by the simplex method."""
CORE: Final = 60
CORE_A_ROW: Final = 4
CORE_A_ROUND: Final = 10
CORE_ROUNDS: Final = 6
STEP_WORK: Final = 500_000

Matrix = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Prices:
    """A price for one more unit of every row; ``reduced``: what is left of each column's cost after its goods are
    paid; ``bound``: what those prices prove; ``shares``: of the columns, in the relaxation; ``solved``: how, unless it
    was too large for that and took ``steps``."""

    rows: list[float]
    reduced: list[float]
    bound: float
    shares: list[float]
    solved: "Solved | None"
    steps: int = 0


@dataclass(slots=True)
class Solved:
    """A tableau, the columns that it knows, and the pivots it took."""

    tableau: "Tableau"
    core: list[int] = field(default_factory=list)


def price(
    rows: Sequence[float], wanted: Sequence[float], cost: Sequence[float], caps: Matrix
) -> tuple[list[float], float]:
    """Reduced costs and the bound that ``rows`` as prices prove: min cost·x over 0 ≤ x ≤ 1 with caps·x ≥ wanted.

    ``caps``: by column, then row.
    """
    priced = [(row, each) for row, each in enumerate(rows) if each]
    reduced = [own - sum([each * column[row] for row, each in priced]) for own, column in zip(cost, caps, strict=True)]
    paid = sum([each * wanted[row] for row, each in priced])
    return reduced, paid + sum([each for each in reduced if each < 0])


def solve(
    wanted: Sequence[float], cost: Sequence[float], caps: Matrix, rounds: int, best: float, rings: Rings = never
) -> Prices | None:
    """The best prices found; None when even shares of all columns cannot reach what is wanted.

    ``best``: the cost of a plan already known, ``rounds``: how many steps a large relaxation may take. When the
    clock ``rings``, the prices so far have to do; they prove less.
    """
    if not is_large(len(wanted), len(cost)):
        core = _first_core(wanted, cost, caps)
        tableau = Tableau(wanted, [cost[index] for index in core], [caps[index] for index in core], rings)
        return _by_core(Solved(tableau, core), wanted, cost, caps)
    nonzero = sum(1 for column in caps for cap in column if cap)
    steps = max(1, min(rounds, STEP_WORK // max(1, nonzero)))
    rows, shares = _ascend(wanted, cost, caps, steps, best, rings)
    reduced, bound = price(rows, wanted, cost, caps)
    return Prices(rows, reduced, max(0.0, bound), shares, None, steps)


def narrowed(solved: Solved, wanted: Sequence[float], cost: Sequence[float], caps: Matrix) -> Prices | None:
    """The prices of a relaxation that has one more row, the last, than the one that was solved."""
    tableau = solved.tableau.copy()
    tableau.add_row([caps[index][-1] for index in solved.core], wanted[-1])
    return _by_core(Solved(tableau, list(solved.core)), wanted, cost, caps)


def is_large(rows: int, columns: int) -> bool:
    """Whether a relaxation of this size is priced step by step: those steps need a plan to step towards."""
    return rows * min(columns, CORE_A_ROW * rows) > MAX_CELLS


def _first_core(wanted: Sequence[float], cost: Sequence[float], caps: Matrix) -> list[int]:
    """The cheapest columns, and for every row those that fill it at the least cost."""
    if len(cost) <= CORE:
        return list(range(len(cost)))
    core = set(sorted(range(len(cost)), key=cost.__getitem__)[: CORE // 4])
    for row, units in enumerate(wanted):
        rates = [(cost[index] / min(column[row], units), index) for index, column in enumerate(caps) if column[row] > 0]
        rates.sort()
        core.update([index for _, index in rates[:CORE_A_ROW]])
    return sorted(core)


def _by_core(solved: Solved, wanted: Sequence[float], cost: Sequence[float], caps: Matrix) -> Prices | None:
    """Solves for the core, then goes on with the columns that its prices would rather have."""
    tableau, core = solved.tableau, solved.core
    known = set(core)
    for number in range(CORE_ROUNDS + 1):
        while not tableau.run():
            added = [index for index in range(len(cost)) if index not in known]
            if not added:
                return None
            _enlarge(solved, known, added, cost, caps)
        rows, part = tableau.prices(), tableau.shares()
        reduced, bound = price(rows, wanted, cost, caps)
        better = sorted([(each, index) for index, each in enumerate(reduced) if each < -1e-7 and index not in known])
        if not better or number == CORE_ROUNDS or tableau.rings():
            break
        _enlarge(solved, known, [index for _, index in better[:CORE_A_ROUND]], cost, caps)
    shares = [0.0] * len(cost)
    for index, share in zip(core, part, strict=True):
        shares[index] = share
    return Prices(rows, reduced, max(0.0, bound), shares, solved)


def _enlarge(solved: Solved, known: set[int], added: Sequence[int], cost: Sequence[float], caps: Matrix) -> None:
    known.update(added)
    solved.core += added
    for index in added:
        solved.tableau.add_column(cost[index], caps[index])


class Tableau:
    """The dual simplex method for variables with limits, on a condensed tableau.

    It starts where no column is chosen and every row falls short; costs are not negative, so that start is priced
    correctly. ``values[i]`` of the basic variable ``basic[i]`` moves by ``cells[i][j]`` with the other variable
    ``other[j]``. Variables from 0 on are columns, shares up to 1; ``~row`` is what a row has too much.
    """

    def __init__(self, wanted: Sequence[float], cost: Sequence[float], caps: Matrix, rings: Rings = never) -> None:
        self.rings = rings
        self.columns = len(cost)
        self.rows = len(wanted)
        self.cells = [list(map(float, row)) for row in zip(*caps, strict=True)] if caps else [[] for _ in wanted]
        self.values = [-float(each) for each in wanted]
        self.reduced = list(map(float, cost))
        self.basic = [~row for row in range(self.rows)]
        self.other = list(range(self.columns))
        self.full = [False] * self.columns

    def copy(self) -> "Tableau":
        """Another that starts from here."""
        twin = Tableau.__new__(Tableau)
        twin.rings, twin.columns, twin.rows = self.rings, self.columns, self.rows
        twin.cells = list(map(list, self.cells))
        twin.values, twin.reduced, twin.full = list(self.values), list(self.reduced), list(self.full)
        twin.basic, twin.other = list(self.basic), list(self.other)
        return twin

    def add_row(self, caps: Sequence[float], wanted: float) -> None:
        """One more row over the columns it knows."""
        value = -float(wanted)
        cells = [float(caps[variable]) if variable >= 0 else 0.0 for variable in self.other]
        for index, variable in enumerate(self.other):
            if variable >= 0 and self.full[index]:
                value += caps[variable]
        for variable, own, line in zip(self.basic, self.values, self.cells, strict=True):
            if variable >= 0 and (cap := caps[variable]):
                value += cap * own
                cells = [cell + cap * each for cell, each in zip(cells, line, strict=True)]
        self.cells.append(cells)
        self.values.append(value)
        self.basic.append(~self.rows)
        self.rows += 1

    def add_column(self, cost: float, caps: Sequence[float]) -> None:
        """One more column. It is chosen if that pays, which keeps every price right."""
        reduced = float(cost)
        fresh = [float(caps[~variable]) if variable < 0 else 0.0 for variable in self.basic]
        for index, variable in enumerate(self.other):
            if variable < 0 and (cap := caps[~variable]):
                reduced -= cap * self.reduced[index]
                for row, line in enumerate(self.cells):
                    fresh[row] -= cap * line[index]
        chosen = reduced < 0
        for row, (line, cell) in enumerate(zip(self.cells, fresh, strict=True)):
            line.append(cell)
            if chosen:
                self.values[row] += cell
        self.reduced.append(reduced)
        self.full.append(chosen)
        self.other.append(self.columns)
        self.columns += 1

    def run(self) -> bool:
        """Goes on until everything is within its limits; False when that cannot be."""
        for _ in range(50 * (self.rows + 2)):
            row = self._worst()
            if row is None or self.rings():
                return True
            column = self._entering(row)
            if column is None:
                return False
            self._pivot(row, column)
        return True

    def _worst(self) -> int | None:
        """The basic variable that is furthest outside its limits."""
        furthest, found = 1e-7, None
        for row, value in enumerate(self.values):
            outside = -value if value < 0 else value - 1.0 if self.basic[row] >= 0 else 0.0
            if outside > furthest:
                furthest, found = outside, row
        return found

    def _entering(self, row: int) -> int | None:
        """The variable that repairs the row at the least price."""
        sign = 1.0 if self.values[row] < 0 else -1.0
        least, size, found = float("inf"), 0.0, None
        for column, (cell, full) in enumerate(zip(self.cells[row], self.full, strict=True)):
            pull = -sign * cell if full else sign * cell
            if pull > EPS:
                ratio = abs(self.reduced[column]) / pull
                if ratio < least - EPS or (ratio <= least + EPS and pull > size):
                    least, size, found = min(ratio, least), pull, column
        return found

    def _pivot(self, row: int, column: int) -> None:
        """Swaps the two variables; the one that leaves stops at the limit it broke."""
        cells, values = self.cells, self.values
        above = values[row] > 0
        pivot = cells[row][column]
        moved = ((1.0 if above else 0.0) - values[row]) / pivot
        fresh = [-cell / pivot for cell in cells[row]]
        fresh[column] = 1.0 / pivot
        for index, line in enumerate(cells):
            factor = line[column]
            if index != row and factor:
                values[index] += factor * moved
                line[column] = 0.0
                cells[index] = [cell + factor * other for cell, other in zip(line, fresh, strict=True)]
        factor = self.reduced[column]
        self.reduced[column] = 0.0
        self.reduced = [cell + factor * other for cell, other in zip(self.reduced, fresh, strict=True)]
        cells[row] = fresh
        values[row] = (1.0 if self.full[column] else 0.0) + moved
        self.basic[row], self.other[column] = self.other[column], self.basic[row]
        self.full[column] = above

    def prices(self) -> list[float]:
        """Of the rows; never negative."""
        found = [0.0] * self.rows
        for column, variable in enumerate(self.other):
            if variable < 0:
                found[~variable] = max(0.0, self.reduced[column])
        return found

    def shares(self) -> list[float]:
        """Of the columns, between 0 and 1."""
        found = [0.0] * self.columns
        for column, variable in enumerate(self.other):
            if variable >= 0 and self.full[column]:
                found[variable] = 1.0
        for row, variable in enumerate(self.basic):
            if variable >= 0:
                found[variable] = min(1.0, max(0.0, self.values[row]))
        return found


def _ascend(
    wanted: Sequence[float], cost: Sequence[float], caps: Matrix, rounds: int, best: float, rings: Rings
) -> tuple[list[float], list[float]]:
    """Prices by subgradient steps towards the plan known, and how often each column was chosen on the way."""
    sparse = [[(row, cap) for row, cap in enumerate(column) if cap] for column in caps]
    rows = _fair(wanted, cost, sparse)
    top, kept, stuck, stride = 0.0, [0.0] * len(wanted), 0, 1.0
    shares = [0.0] * len(cost)
    for _ in range(rounds):
        short = list(map(float, wanted))
        bound = sum([each * units for each, units in zip(rows, wanted, strict=True)])
        for column, pairs in enumerate(sparse):
            reduced = cost[column] - sum([rows[row] * cap for row, cap in pairs])
            if reduced < 0:
                bound += reduced
                shares[column] += 1.0
                for row, cap in pairs:
                    short[row] -= cap
        if bound > top * (1 + EPS):
            top, kept, stuck = bound, rows, 0
        else:
            stuck += 1
            if stuck >= 10:
                stride, stuck = stride / 2, 0
        weight = [each / max(1.0, units) for each, units in zip(short, wanted, strict=True)]
        norm = sum([each * each for each in weight])
        if norm < EPS or best - bound < EPS or rings():
            break
        step = stride * (best - bound) / norm
        rows = [
            max(0.0, own + step * each / max(1.0, units)) for own, each, units in zip(rows, weight, wanted, strict=True)
        ]
    return kept, [share / rounds for share in shares]


def _fair(wanted: Sequence[float], cost: Sequence[float], sparse: Sequence[Sequence[tuple[int, float]]]) -> list[float]:
    """Prices that no column undercuts: every column's cost shared out over the parts of rows that it fills."""
    least = [float("inf")] * len(wanted)
    for own, pairs in zip(cost, sparse, strict=True):
        fills = sum([cap / wanted[row] for row, cap in pairs if cap > 0])
        for row, cap in pairs:
            if cap > 0:
                least[row] = min(least[row], own / fills)
    return [
        each / units if units > 0 and each < float("inf") else 0.0 for each, units in zip(least, wanted, strict=True)
    ]
