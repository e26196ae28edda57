"""Open order lines as goods to be planned: whole bundles leave together, so does what a channel grouped."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.one_stock.routing.problem import Item, Part


@dataclass(frozen=True, slots=True)
class OpenLine:
    """An order line and the ``wanted`` units of it that no parcel carries. ``bundle_line_no``: the bundle it is part
    of, with ``per_bundle`` units in each."""

    line_no: int
    sku_id: int
    quantity: int
    amount_minor: int
    wanted: int
    bundle_line_no: int | None = None
    per_bundle: int = 1
    ship_group: str | None = None

    @property
    def value_minor(self) -> int:
        """The price of what is wanted."""
        return self.amount_minor * self.wanted // self.quantity


def items_of(lines: Sequence[OpenLine]) -> tuple[Item, ...]:
    """What is wanted of ``lines``, all lines of one order, as items.

    Lines of a ship group are one set. Of a bundle, the sets that are whole leave whole; what is left of broken ones
    (their other parts have left already) is planned line by line.
    """
    groups: defaultdict[str, list[OpenLine]] = defaultdict(list)
    bundles: defaultdict[int, list[OpenLine]] = defaultdict(list)
    items: list[Item] = []
    for line in lines:
        if line.ship_group is not None:
            groups[line.ship_group].append(line)
        elif line.bundle_line_no is not None:
            bundles[line.bundle_line_no].append(line)
        elif line.wanted:
            items.append(_plain(line, line.wanted))
    for bundle in bundles.values():
        items += _sets(bundle)
    for group in groups.values():
        if wanted := [line for line in group if line.wanted]:
            parts = tuple(Part(line.line_no, line.sku_id, line.wanted) for line in wanted)
            items.append(Item(parts, 1, _value(wanted)))
    return tuple(items)


def channel_lines(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, int]]:
    """What was shipped and cancelled, by the channel's own lines: of a bundle the sets that left whole, and the rest.

    ``lines``: rows of an order that has ended.
    """
    told: dict[int, dict[str, int]] = {}
    for line in lines:
        per_bundle = line["per_bundle"]
        number, ordered, shipped = line["line_no"], line["quantity"] // per_bundle, line["shipped"] // per_bundle
        if line["bundle_line_no"] is not None:
            number = line["bundle_line_no"]
            shipped = min(shipped, told[number]["shipped"]) if number in told else shipped
        cancelled = line["cancelled"] if line["bundle_line_no"] is None else ordered - shipped
        told[number] = {"line_no": number, "shipped": shipped, "cancelled": cancelled}
    return [told[number] for number in sorted(told)]


def _plain(line: OpenLine, units: int) -> Item:
    return Item((Part(line.line_no, line.sku_id),), units, line.amount_minor * units // line.quantity)


def _sets(bundle: Sequence[OpenLine]) -> list[Item]:
    whole = min(line.wanted // line.per_bundle for line in bundle)
    items = [_plain(line, left) for line in bundle if (left := line.wanted - whole * line.per_bundle)]
    if whole:
        parts = tuple(Part(line.line_no, line.sku_id, line.per_bundle) for line in bundle)
        value = sum(line.amount_minor * whole * line.per_bundle // line.quantity for line in bundle)
        items.append(Item(parts, whole, value))
    return items


def _value(lines: Iterable[OpenLine]) -> int:
    return sum(line.value_minor for line in lines)
