"""What a search works on: needs and columns, one aim at a time, what may be spent, and the best plan so far.

Every need wants so many sets; every column, which is a place, holds so many of each; choosing it adds its weight.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from flows.one_stock.routing.problem import Stopped

NEAR: Final = 1e-9

Rings = Callable[[], bool]
"""Says whether the emergency clock has rung."""


def never() -> bool:
    """No clock."""
    return False


@dataclass(frozen=True, slots=True)
class Pool:
    """``wanted`` sets of each need, of ``units`` units each; ``caps``: sets held, by column, then need, never more
    than wanted; ``most``: how many columns may be chosen."""

    wanted: Sequence[int]
    units: Sequence[int]
    caps: Sequence[Sequence[int]]
    most: int


@dataclass(slots=True)
class Effort:
    """What the search may still use, and what it used. ``until``: when the emergency clock rings (monotonic)."""

    nodes_left: int
    iterations_left: int
    until: float
    nodes: int = 0
    iterations: int = 0
    stopped: Stopped = Stopped.PROVED
    nodes_given: int = field(init=False)

    def __post_init__(self) -> None:
        self.nodes_given = self.nodes_left

    def again(self, times: int) -> None:
        """Gives as many nodes as there were at first, so many times, for another search."""
        self.nodes_left = max(0, self.nodes_left) + times * self.nodes_given
        if self.stopped is Stopped.BUDGET:
            self.stopped = Stopped.PROVED

    def take_iterations(self, most: int) -> int:
        """How many of ``most`` iterations there still are; they count as used."""
        taken = 0 if self.stopped is Stopped.CLOCK else min(most, self.iterations_left)
        self.iterations_left -= taken
        self.iterations += taken
        return taken

    def spent(self, nodes: int = 1) -> bool:
        """Counts ``nodes``; True when the search has to end."""
        if self.rings():
            return True
        if self.nodes_left <= 0:
            self.stopped = Stopped.BUDGET
            return True
        self.nodes_left -= nodes
        self.nodes += nodes
        return False

    def rings(self) -> bool:
        """Whether the emergency clock has rung: then what there is has to do."""
        if self.stopped is not Stopped.CLOCK and monotonic() > self.until:
            self.stopped = Stopped.CLOCK
        return self.stopped is Stopped.CLOCK


@dataclass(frozen=True, slots=True)
class Task:
    """One aim over a pool. ``cost``: what each column adds to it; ``sides``: other sums, which may not pass a limit;
    ``spare``: units that may be missing; ``penalty``: what a missing unit adds."""

    pool: Pool
    cost: Sequence[float]
    sides: Sequence[tuple[Sequence[float], float]] = ()
    spare: int = 0
    penalty: float = 0.0

    def of(self, columns: Sequence[int]) -> "Task":
        """The same with these columns alone, in this order."""
        pool = self.pool
        return Task(
            Pool(pool.wanted, pool.units, [pool.caps[column] for column in columns], pool.most),
            [self.cost[column] for column in columns],
            tuple([([vector[column] for column in columns], limit) for vector, limit in self.sides]),
            self.spare,
            self.penalty,
        )

    @property
    def short(self) -> bool:
        """Whether a plan may leave something unfilled."""
        return bool(self.spare or self.penalty)

    @property
    def whole(self) -> bool:
        """Whether every plan's value is a whole number."""
        return all(float(each).is_integer() for each in self.cost) and float(self.penalty).is_integer()

    def misses(self, left: Sequence[int]) -> int:
        """Units in so many sets of each need."""
        return sum([units * sets for units, sets in zip(self.pool.units, left, strict=True)])

    def allows(self, columns: Sequence[int]) -> bool:
        """Whether the columns are few enough and within the sides' limits."""
        return len(columns) <= self.pool.most and all(
            sum([vector[column] for column in columns]) <= limit for vector, limit in self.sides
        )


@dataclass(slots=True)
class Best:
    """The best columns so far, ascending; ``proved``: what none can undercut; ``missing``: units they do not hold."""

    value: float = float("inf")
    columns: tuple[int, ...] = ()
    missing: int = 0
    proved: float = 0.0

    def offer(self, task: Task, columns: Sequence[int]) -> None:
        """Keeps the columns if they are allowed and better; at a tie the fewer, then the lower."""
        kept = tuple(sorted(columns))
        missing = task.misses(left_by(task.pool, kept))
        if not task.allows(kept) or (missing > task.spare and not task.penalty):
            return
        value = sum([task.cost[column] for column in kept]) + task.penalty * missing
        edge = NEAR * max(1.0, value)
        if value < self.value - edge or (
            value <= self.value + edge and (len(kept), kept) < (len(self.columns), self.columns)
        ):
            self.value, self.columns, self.missing = value, kept, missing

    def ends(self, bound: float) -> bool:
        """Whether nothing better can lie where ``bound`` holds."""
        return bound * (1 + NEAR) + NEAR >= self.value


def left_by(pool: Pool, columns: Sequence[int]) -> list[int]:
    """Sets of each need that the columns do not hold."""
    left = list(pool.wanted)
    for column in columns:
        left = minus(left, pool.caps[column])
    return left


def minus(left: Sequence[int], caps: Sequence[int]) -> list[int]:
    """What is left of each need when a column's sets are taken off."""
    return [sets - cap if sets > cap else 0 for sets, cap in zip(left, caps, strict=True)]
