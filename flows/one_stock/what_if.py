"""What other rules would have done with the same orders, beside what these did."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flows.one_stock.routed import Routed, Totals


@dataclass(slots=True)
class WhatIf:
    """Orders routed twice, and the sums of both ways.

    ``left_out``: orders that there was no time for. ``unreadable``: those whose record of the decision cannot be read.
    """

    before: Totals = field(default_factory=Totals)
    after: Totals = field(default_factory=Totals)
    orders: list[dict[str, Any]] = field(default_factory=list)
    changed: int = 0
    left_out: int = 0
    unreadable: int = 0

    def add(self, before: Routed, after: Routed) -> None:
        """One more order as it was, and as it would have been."""
        self.before.add(before)
        self.after.add(after)
        changed = _what(before) != _what(after)
        self.changed += changed
        self.orders.append(
            {"order_no": before.order_no, "changed": changed, "before": _side(before), "after": _side(after)}
        )

    def document(self) -> dict[str, Any]:
        """Everything, as ``--json`` prints it; docs/routing.md describes it."""
        return {
            "orders": self.orders,
            "changed": self.changed,
            "left_out": self.left_out,
            "unreadable": self.unreadable,
            "totals": {"before": self.before.document(), "after": self.after.document()},
            "load": self.load(),
        }

    def load(self) -> list[dict[str, Any]]:
        """Parcels and units of each place, before and after; the busiest of both first."""
        before, after = self.before, self.after
        nodes = sorted(
            before.parcels_of.keys() | after.parcels_of.keys(),
            key=lambda node: (-max(before.parcels_of[node], after.parcels_of[node]), node),
        )
        return [
            {
                "node": node,
                "before": {"parcels": before.parcels_of[node], "units": before.units_of[node]},
                "after": {"parcels": after.parcels_of[node], "units": after.units_of[node]},
            }
            for node in nodes
        ]


def compare(before: Iterable[Routed], after: Iterable[Routed]) -> WhatIf:
    """Both ways of the same orders, in the same order."""
    found = WhatIf()
    for one, other in zip(before, after, strict=True):
        found.add(one, other)
    return found


def _side(order: Routed) -> dict[str, Any]:
    return {
        "action": order.action.value,
        "parcels": len(order.parcels),
        "nodes": [parcel.node for parcel in order.parcels],
        "distance_km": order.distance_km,
        "cost": order.cost,
        "unfilled": order.unfilled_units,
    }


def _what(order: Routed) -> tuple[Any, ...]:
    return order.action, order.unfilled, [(parcel.node, parcel.lines) for parcel in order.parcels]
