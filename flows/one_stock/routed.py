"""What became of orders, in codes and sums: one order, all of them, and the load of every place."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, quantiles
from typing import Any

from flows.one_stock.routing.problem import Action, Decision, PlannedLine
from flows.one_stock.routing.rulebook import Rules


@dataclass(frozen=True, slots=True)
class Sent:
    """A parcel: the code of its place, units by SKU code, and how far it goes (None: not known)."""

    node: str
    lines: tuple[tuple[str, int], ...]
    distance_km: float | None


@dataclass(frozen=True, slots=True)
class Routed:
    """The decision about one order, in codes. ``unfilled``: units by SKU code; ``ms``: how long it took to decide."""

    order_no: str
    action: Action
    parcels: tuple[Sent, ...]
    unfilled: tuple[tuple[str, int], ...]
    cost: float
    gap: float
    ms: float = 0.0

    @property
    def distance_km(self) -> float:
        """What all parcels go together, as far as it is known."""
        return sum(parcel.distance_km or 0.0 for parcel in self.parcels)

    @property
    def unfilled_units(self) -> int:
        """Units that no parcel carries."""
        return sum(units for _, units in self.unfilled)

    def priced_by(self, rules: Rules) -> "Routed":
        """The same parcels at the prices of ``rules``."""
        unknown = rules.unknown_km
        kms = (unknown if parcel.distance_km is None else parcel.distance_km for parcel in self.parcels)
        return replace(self, cost=sum(rules.parcel_cost + rules.per_km * km for km in kms))

    def document(self) -> dict[str, Any]:
        """As ``yipan simulate routing --json`` prints it."""
        return {
            "order_no": self.order_no,
            "parcels": [
                {"node": parcel.node, "lines": _lines(parcel.lines), "distance_km": parcel.distance_km}
                for parcel in self.parcels
            ],
            "cost": self.cost,
            "gap": self.gap,
            "ms": self.ms,
            "unfilled": _lines(self.unfilled),
        }


def routed(
    order_no: str,
    decision: Decision,
    places: Mapping[int, str],
    skus: Mapping[int, str] | Sequence[str],
    ms: float = 0.0,
) -> Routed:
    """A decision in codes. ``places``, ``skus``: the codes by id."""
    plan = decision.plan

    def named(lines: Sequence[PlannedLine]) -> tuple[tuple[str, int], ...]:
        units: dict[str, int] = {}
        for line in lines:
            units[skus[line.sku_id]] = units.get(skus[line.sku_id], 0) + line.quantity
        return tuple(units.items())

    return Routed(
        order_no=order_no,
        action=decision.action,
        parcels=tuple(Sent(places[parcel.place_id], named(parcel.lines), parcel.km) for parcel in plan.parcels),
        unfilled=named(plan.unfilled),
        cost=plan.cost,
        gap=plan.gap,
        ms=ms,
    )


@dataclass(slots=True)
class Totals:
    """Sums over orders, as they are added."""

    orders: int = 0
    complete: int = 0
    partial: int = 0
    split: int = 0
    units: int = 0
    unfilled_units: int = 0
    parcels: int = 0
    distance_km: float = 0.0
    cost: float = 0.0
    gaps: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    parcels_of: Counter[str] = field(default_factory=Counter)
    units_of: Counter[str] = field(default_factory=Counter)

    def add(self, order: Routed) -> None:
        """Count one more order in."""
        self.orders += 1
        self.complete += not order.unfilled
        self.partial += bool(order.unfilled and order.parcels)
        self.split += len(order.parcels) > 1
        self.unfilled_units += order.unfilled_units
        self.units += order.unfilled_units
        self.parcels += len(order.parcels)
        self.distance_km += order.distance_km
        self.cost += order.cost
        self.ms.append(order.ms)
        if order.parcels:
            self.gaps.append(order.gap)
        for parcel in order.parcels:
            units = sum(quantity for _, quantity in parcel.lines)
            self.parcels_of[parcel.node] += 1
            self.units_of[parcel.node] += units
            self.units += units

    def document(self) -> dict[str, Any]:
        """The sums. ``unserved``: orders that get nothing; ``gap`` over those that get something."""
        return {
            "orders": self.orders,
            "complete": self.complete,
            "partial": self.partial,
            "unserved": self.orders - self.complete - self.partial,
            "split": self.split,
            "units": self.units,
            "unfilled_units": self.unfilled_units,
            "parcels": self.parcels,
            "distance_km": self.distance_km,
            "cost": self.cost,
            "gap_mean": fmean(self.gaps) if self.gaps else 0.0,
            "gap_max": max(self.gaps, default=0.0),
            "ms_p50": _percentile(self.ms, 50),
            "ms_p99": _percentile(self.ms, 99),
        }

    def load(self) -> list[dict[str, Any]]:
        """Parcels and units of each place that sends any, the busiest first."""
        busiest = sorted(self.parcels_of.items(), key=lambda entry: (-entry[1], entry[0]))
        return [{"node": node, "parcels": parcels, "units": self.units_of[node]} for node, parcels in busiest]


def _lines(lines: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"sku": sku, "qty": quantity} for sku, quantity in lines]


def _percentile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return values[0] if values else 0.0
    return quantiles(values, n=100, method="inclusive")[percent - 1]
