"""All open orders planned together, against our own one by one and, where it can be had, the joint optimum.

Real baskets come in the order they were placed, each cut down to what is left; each is planned by our router and takes
its goods. None is released: then all of them are planned together out of the goods they hold and what is left. The
joint MILP chooses the parcels of all orders at once; HiGHS may take minutes for 30 orders, so it gets a time limit, and
what it has proved by then is the bound. Part of ``python -m benchmarks.routing``.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix

from benchmarks import harness, routing_data
from flows.one_stock.routing.batch import reoptimise
from flows.one_stock.routing.board import OpenOrder
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.tiers import parcel_cost

LOADS: Final = ((20, 0.3, 200), (20, 0.3, 500), (50, 0.1, 500), (50, 0.1, 1_000), (200, 0.1, 200))
QUICK_LOADS: Final = ((20, 0.3, 60), (50, 0.1, 60))
JOINT: Final = (20, 0.3, 30)
JOINT_LIMIT_S: Final = 60.0

Unit = tuple[int, int]
"""(place id, SKU id)."""


@dataclass(frozen=True)
class Load:
    """Open orders as they were planned one by one, and what they left of the stock."""

    orders: Sequence[OpenOrder]
    left: Mapping[Unit, int]

    @property
    def cost(self) -> float:
        """What their plans cost."""
        return sum(order.plan.cost for order in self.orders)


def one_by_one(data: routing_data.Data, places: int, density: float, count: int, seed: int) -> Load:
    """``count`` orders, each planned out of what those before it left."""
    pool, rules = routing_data.pool(data, places, density, seed), routing_data.rules()
    left = {place_id: dict(units) for place_id, units in pool.stock.items()}
    orders = []
    for key, basket in enumerate(routing_data.sample(data, count, (2, 12), seed)):
        cut = routing_data.within(basket, left)
        if cut is None:
            continue
        problem = routing_data.problem(cut, pool.nodes, left)
        plan = decide(problem, rules).plan
        for parcel in plan.parcels:
            for line in parcel.lines:
                left[parcel.place_id][line.sku_id] -= line.quantity
        orders.append(OpenOrder(key, problem, rules, plan))
    return Load(orders, {(place_id, sku): n for place_id, units in left.items() for sku, n in units.items() if n})


def measure_batch(report: harness.Report, data: routing_data.Data, *, quick: bool) -> None:
    """Adds ``batch_saving_percent`` over all loads, the ratio ``one_by_one`` (its cost ÷ the batch's), each load's own
    figures, and how far both are above the joint bound."""
    before = after = 0.0
    for places, density, count in QUICK_LOADS if quick else LOADS:
        load = one_by_one(data, places, density, count, routing_data.SEED)
        started = perf_counter()
        outcome = reoptimise(load.orders, load.left, {})
        name = f"batch_{count}_orders_{places}_places"
        report.figures[f"{name}_s"] = perf_counter() - started
        report.figures[f"{name}_changed"] = len(outcome.changes)
        report.figures[f"{name}_saving_percent"] = 100 * outcome.saving
        assert outcome.after.unfilled <= outcome.before.unfilled
        before += outcome.before.cost
        after += outcome.after.cost
    report.figures["batch_saving_percent"] = 100 * (1 - after / before)
    report.ratios["one_by_one"] = before / after
    _measure_joint(report, data, 1 if quick else 6, 5.0 if quick else JOINT_LIMIT_S)


def _measure_joint(report: harness.Report, data: routing_data.Data, instances: int, limit_s: float) -> None:
    singly, together, best, proved = [], [], [], []
    took, solving = [], []
    for seed in range(instances):
        load = one_by_one(data, *JOINT, seed)
        started = perf_counter()
        outcome = reoptimise(load.orders, load.left, {})
        took.append(perf_counter() - started)
        started = perf_counter()
        found, bound = joint_optimum(load, limit_s)
        solving.append(perf_counter() - started)
        singly.append(load.cost)
        together.append(outcome.after.cost)
        best.append(found)
        proved.append(bound)
    for name, costs in (("one_by_one", singly), ("batch", together), ("joint_milp", best)):
        report.figures[f"{name}_above_joint_bound"] = sum(costs) / sum(proved) - 1
    report.figures["batch_joint_s"] = statistics.median(took)
    report.figures["joint_milp_s"] = statistics.median(solving)


@dataclass
class _Model:
    """Columns (cost, limit) and rows (columns with coefficients, least, most) of the joint MILP."""

    costs: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    entries: list[tuple[int, int, float]] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)

    def column(self, cost: float, limit: float) -> int:
        self.costs.append(cost)
        self.limits.append(limit)
        return len(self.costs) - 1

    def row(self, coefficients: Mapping[int, float], least: float, most: float) -> None:
        self.entries += [(len(self.least), column, value) for column, value in coefficients.items()]
        self.least.append(least)
        self.most.append(most)

    def solve(self, limit_s: float) -> tuple[float, float]:
        rows, columns, values = zip(*self.entries, strict=True)
        matrix = coo_matrix((values, (rows, columns)), shape=(len(self.least), len(self.costs)))
        solved: Any = milp(
            np.array(self.costs),
            constraints=LinearConstraint(matrix.tocsr(), self.least, self.most),
            bounds=Bounds(0, np.array(self.limits)),
            integrality=np.ones(len(self.costs)),
            options={"time_limit": limit_s, "mip_rel_gap": 1e-6},
        )
        return (solved.fun if solved.x is not None else float("inf")), solved.mip_dual_bound


def joint_optimum(load: Load, limit_s: float) -> tuple[float, float]:
    """The least cost that HiGHS found for all orders together, as complete as they are, and what it proved."""
    stock = dict(load.left)
    for order in load.orders:
        for parcel in order.plan.parcels:
            for line in parcel.lines:
                unit = parcel.place_id, line.sku_id
                stock[unit] = stock.get(unit, 0) + line.quantity
    model = _Model()
    takers: dict[Unit, dict[int, float]] = {}
    for order in load.orders:
        _add(model, order, stock, takers)
    for unit, taken_by in takers.items():
        if len(taken_by) > 1:
            model.row(taken_by, 0, stock[unit])
    return model.solve(limit_s)


def _add(model: _Model, order: OpenOrder, stock: Mapping[Unit, int], takers: dict[Unit, dict[int, float]]) -> None:
    """The order's parcels and what they carry; ``takers``: columns that take of a unit."""
    wanted = {item.parts[0].sku_id: item.quantity for item in order.problem.items}
    for line in order.plan.unfilled:
        wanted[line.sku_id] -= line.quantity
    sources: dict[int, dict[int, float]] = {sku_id: {} for sku_id, units in wanted.items() if units}
    for place in order.problem.places:
        most = {sku_id: min(wanted[sku_id], stock.get((place.id, sku_id), 0)) for sku_id in sources}
        offered = {sku_id: units for sku_id, units in most.items() if units}
        if not offered:
            continue
        sent = model.column(parcel_cost(place, order.rules), 1)
        for sku_id, units in offered.items():
            taken = model.column(0.0, units)
            model.row({taken: 1, sent: -units}, -np.inf, 0)
            sources[sku_id][taken] = 1
            takers.setdefault((place.id, sku_id), {})[taken] = 1
    for sku_id, columns in sources.items():
        model.row(columns, wanted[sku_id], wanted[sku_id])
