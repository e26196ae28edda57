"""Routing one order at a time: cost against the exact optimum and milliseconds, beside the usual ways and a MILP.

Every contender gets the same orders over the same places and stock (``routing_data``: real baskets, real places,
synthesised stock), cut down to what all places together have; lines may split; a plan costs what its parcels cost. The
optimum is HiGHS's, by scipy.optimize.milp, on every fifth order; our own bound covers all of them.
Baskets of 13 to 200 lines are compared with what HiGHS proves within a time limit.

    python -m benchmarks.routing [--quick] [--json] [--data FOLDER]
"""

import argparse
import gc
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from benchmarks import harness, routing_batch, routing_data
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Place, Problem
from flows.one_stock.routing.rulebook import Rules
from flows.one_stock.routing.tiers import parcel_cost

NODES: Final = (20, 50, 200)
DENSITIES: Final = (0.1, 0.2, 0.35, 0.5)
ORDERS: Final = 1_500
EVERY: Final = 5
LARGE_LIMIT_S: Final = 10.0

Wanted = dict[int, int]
Way = Callable[[Wanted, Sequence[Place], Rules], set[int]]


@dataclass
class Tally:
    """What one configuration cost and took; ``best``, ``solved_ms`` and ``others`` of the orders solved exactly."""

    ours: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    ours_of_best: list[float] = field(default_factory=list)
    ms_of_best: list[float] = field(default_factory=list)
    solved_ms: list[float] = field(default_factory=list)
    others: dict[str, list[float]] = field(default_factory=dict)


def nearest(wanted: Wanted, places: Sequence[Place], rules: Rules) -> set[int]:
    """Each line from the nearest place that has it, the rest of it from the next."""
    used = set()
    near_first = sorted(places, key=_km)
    for sku_id, units in wanted.items():
        left = units
        for place in near_first:
            taken = min(left, place.stock.get(sku_id, 0))
            if taken:
                used.add(place.id)
                left -= taken
            if not left:
                break
    return used


def coverage_rank(wanted: Wanted, places: Sequence[Place], rules: Rules) -> set[int]:
    """Places ranked once by how many lines they can fill, nearer ones first; each gives what it has."""
    rank = sorted(
        places,
        key=lambda place: (-sum(place.stock.get(sku_id, 0) >= units for sku_id, units in wanted.items()), _km(place)),
    )
    used, left = set(), dict(wanted)
    for place in rank:
        if not any(left.values()):
            break
        if _take(place, left):
            used.add(place.id)
    return used


def greedy(wanted: Wanted, places: Sequence[Place], rules: Rules) -> set[int]:
    """Again and again the place that is cheapest for the shares of lines it still adds."""
    used: set[int] = set()
    left = dict(wanted)
    while any(left.values()):
        best = None
        for place in places:
            if place.id in used:
                continue
            gain = sum(
                min(units, place.stock.get(sku_id, 0)) / wanted[sku_id] for sku_id, units in left.items() if units
            )
            if gain and (best is None or parcel_cost(place, rules) / gain < best[0]):
                best = (parcel_cost(place, rules) / gain, place)
        if best is None:
            raise ValueError("the places do not have what is wanted; cut the basket down first")
        _take(best[1], left)
        used.add(best[1].id)
    return used


WAYS: Final[Mapping[str, Way]] = {"nearest": nearest, "coverage_rank": coverage_rank, "greedy": greedy}


def optimum(problem: Problem, rules: Rules, limit_s: float = 300.0) -> tuple[float, float]:
    """The plain MILP: the least cost found, and what HiGHS proved of it."""
    wanted = _wanted(problem)
    cost = np.array([parcel_cost(place, rules) for place in problem.places])
    held = np.array(
        [[min(units, place.stock.get(sku_id, 0)) for place in problem.places] for sku_id, units in wanted.items()]
    )
    solved: Any = milp(
        cost,
        constraints=LinearConstraint(held, lb=np.array(list(wanted.values()))),
        integrality=np.ones(len(cost)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 1e-9, "time_limit": limit_s},
    )
    return (solved.fun if solved.x is not None else float("inf")), solved.mip_dual_bound


def measure(quick: bool, folder: Path = routing_data.DATA) -> harness.Report:
    """Baskets of 2 to 12 lines, then larger ones."""
    data = routing_data.load(folder)
    report = harness.Report(packages=("scipy",))
    tallies = []
    for nodes in NODES:
        for density in DENSITIES[:: 3 if quick else 1]:
            tally = small(data, nodes, density, 60 if quick else ORDERS, 2 if quick else EVERY)
            tallies.append(tally)
            _tell(report, f"{nodes}_places_{density}", tally)
    report.ratios["optimum"] = min(sum(each.best) / sum(each.ours_of_best) for each in tallies)
    for name in WAYS:
        report.ratios[name] = sum(sum(each.others[name]) for each in tallies) / sum(
            sum(each.ours_of_best) for each in tallies
        )
    report.ratios["milp_speed"] = statistics.median(
        theirs / ours for each in tallies for theirs, ours in zip(each.solved_ms, each.ms_of_best, strict=True)
    )
    large(report, data, 3 if quick else 25, 1.0 if quick else LARGE_LIMIT_S)
    routing_batch.measure_batch(report, data, quick=quick)
    return report


def small(data: routing_data.Data, nodes: int, density: float, orders: int, every: int) -> Tally:
    """One configuration: ours on all orders, everybody on every ``every``-th.

    The orders of the benchmark itself are kept out of the garbage collector's way: a hub does not hold thousands.
    """
    rules, tally = routing_data.rules(), Tally(others={name: [] for name in WAYS})
    problems = _problems(data, nodes, density, orders, (2, 12))
    gc.collect()
    gc.freeze()
    for number, problem in enumerate(problems):
        started = perf_counter()
        plan = decide(problem, rules).plan
        took = 1e3 * (perf_counter() - started)
        if plan.unfilled:
            continue
        tally.ours.append(plan.cost)
        tally.gaps.append(plan.gap)
        tally.ms.append(took)
        if number % every == 0:
            _compare(tally, problem, rules, plan.cost, took)
    return tally


def _compare(tally: Tally, problem: Problem, rules: Rules, cost: float, took: float) -> None:
    started = perf_counter()
    best, _ = optimum(problem, rules)
    tally.solved_ms.append(1e3 * (perf_counter() - started))
    tally.best.append(best)
    tally.ours_of_best.append(cost)
    tally.ms_of_best.append(took)
    costs = {place.id: parcel_cost(place, rules) for place in problem.places}
    for name, way in WAYS.items():
        tally.others[name].append(sum(costs[place_id] for place_id in way(_wanted(problem), problem.places, rules)))


def large(report: harness.Report, data: routing_data.Data, orders: int, limit_s: float) -> None:
    """Baskets of 13 to 200 lines: cost above what HiGHS proves within the time limit, or our own bound if higher."""
    gaps, own, took = [], [], []
    rules = routing_data.rules()
    for nodes in NODES:
        for density in DENSITIES[::3]:
            for problem in _problems(data, nodes, density, orders, (13, 200)):
                started = perf_counter()
                plan = decide(problem, rules).plan
                took.append(1e3 * (perf_counter() - started))
                _, proved = optimum(problem, rules, limit_s)
                if not plan.unfilled:
                    gaps.append(plan.cost / max(proved, plan.bound) - 1)
                    own.append(plan.gap)
    report.figures["large_above_bound"] = statistics.mean(gaps)
    report.figures["large_gap_kept"] = statistics.mean(own)
    report.figures["large_p50_ms"] = statistics.median(took)
    report.figures["large_p99_ms"] = _at(took, 0.99)


def _tell(report: harness.Report, name: str, tally: Tally) -> None:
    least = sum(tally.best)
    report.figures[f"{name}_orders"] = len(tally.ours)
    report.figures[f"{name}_ours_p50_ms"] = statistics.median(tally.ms)
    report.figures[f"{name}_ours_p99_ms"] = _at(tally.ms, 0.99)
    report.figures[f"{name}_milp_p50_ms"] = statistics.median(tally.solved_ms)
    report.figures[f"{name}_gap_kept"] = statistics.mean(tally.gaps)
    report.figures[f"{name}_above_optimum"] = statistics.mean(
        ours / best - 1 for ours, best in zip(tally.ours_of_best, tally.best, strict=True)
    )
    for way, costs in tally.others.items():
        report.figures[f"{name}_{way}_above_optimum"] = sum(costs) / least - 1


def _problems(
    data: routing_data.Data, nodes: int, density: float, orders: int, lines: tuple[int, int]
) -> Sequence[Problem]:
    pool = routing_data.pool(data, nodes, density)
    baskets = (routing_data.within(basket, pool.stock) for basket in routing_data.sample(data, orders, lines))
    return [routing_data.problem(basket, pool.nodes, pool.stock) for basket in baskets if basket is not None]


def _wanted(problem: Problem) -> Wanted:
    return {item.parts[0].sku_id: item.quantity for item in problem.items}


def _take(place: Place, left: Wanted) -> int:
    taken = 0
    for sku_id, units in left.items():
        here = min(units, place.stock.get(sku_id, 0))
        left[sku_id] = units - here
        taken += here
    return taken


def _km(place: Place) -> float:
    return place.km or 0.0


def _at(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main(arguments: Sequence[str]) -> None:
    """The command line: the harness's own options, and where the data lies."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=routing_data.DATA)
    options, rest = parser.parse_known_args(arguments)
    harness.main(__doc__, lambda quick: measure(quick, options.data), rest)


if __name__ == "__main__":
    main(sys.argv[1:])
