"""What one pool of stock completes that stock kept apart for each channel does not, on real orders.

Orders: the UCI baskets of 1 to 12 lines placed in June to September 2011, in that order; an order is completed as a
whole or lost, and worth its price in pounds. What was placed from December to May tells what each channel sells.

All policies start with the same units at the same places, and nothing is replenished. Of every SKU there is ``stock`` ×
what the orders of the period ask for altogether (so its total is forecast perfectly), at least one unit: half of it in
a central warehouse, the rest in 3 in 10 of 19 stores; so from twice the demand on, the warehouse alone has everything.
Places and buyers are Olist's, and so are the freight rates.

- *silos*: each channel sells its own units alone. Of every SKU a channel gets its share of what was sold of it in the
  months before, weighed with its share of everything as if of 300 units (of 3 to 10,000, what serves silos best). It
  splits orders over all places, up to 4 parcels, by our router: it lacks nothing but the units of the others.
- *silos_one_parcel*: the same without splitting.
- *silos_foreseen*: as silos, but the shares are those of the period itself, which nobody knows beforehand.
- *one_pool*: all units are everybody's; an order ships from one place.
- *one_pool_split*: and in up to 4 parcels, by our router.

A buyer always buys at the same one of ``channels`` channels; the largest has ``channels`` times as many buyers as the
smallest. Ratios are value completed ÷ that of silos. *partial* figures tell of buyers who take what there is of their
basket: the value of what ships, and the orders that lack something. ``--picture PATH`` draws the levels of stock.
"""

import argparse
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from benchmarks import harness, routing_data
from benchmarks.routing_data import Basket, Data, Node
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.rulebook import Rules

MAX_LINES: Final = 12
STARTS: Final = datetime(2011, 6, 1)  # noqa: DTZ001 - the data has no zone
PLACES: Final = 20
CENTRAL: Final = 0.5
DENSITY: Final = 0.3
PRIOR_UNITS: Final = 300.0
CHANNELS: Final = 4
MAX_PARCELS: Final = 4
LEVELS: Final = (0.75, 1.0, 1.5, 2.0, 3.0)
OTHER_CHANNELS: Final = (2, 8)
DRAWN: Final = {
    "silos": f"{CHANNELS} separate stocks",
    "one_pool": "one pool, whole orders",
    "one_pool_split": "one pool, orders split",
}

Stock = dict[int, dict[int, int]]
"""Units by SKU id, by place id."""


@dataclass(frozen=True)
class Sales:
    """Who bought, by order number, and what a unit cost, by order number and SKU id."""

    buyers: Mapping[str, str]
    prices: Mapping[tuple[str, int], float]


@dataclass(frozen=True)
class World:
    """The orders before and in the period, each with its channel, what a unit of them costs, and the places."""

    before: Sequence[tuple[Basket, int]]
    orders: Sequence[tuple[Basket, int]]
    prices: Mapping[tuple[str, int], float]
    nodes: Sequence[Node]

    @property
    def worth(self) -> float:
        """What all orders of the period are worth."""
        return sum(
            units * self.prices[basket.order_no, sku_id]
            for basket, _ in self.orders
            for sku_id, units in basket.wanted.items()
        )


@dataclass(frozen=True)
class Outcome:
    """What a policy came to: the value shipped, the orders that lack something, parcels by order placed."""

    value: float
    lost: int
    parcels_per_order: float


def make_world(data: Data, sales: Sales, channels: int) -> World:
    """Buyers come to ``channels`` channels."""
    weights = range(channels, 0, -1)
    of_buyer: dict[str, int] = {}
    known: list[tuple[Basket, int]] = []
    for basket in data.baskets:
        if len(basket.wanted) <= MAX_LINES:
            buyer = sales.buyers.get(basket.order_no, basket.order_no)
            if buyer not in of_buyer:
                of_buyer[buyer] = random.Random(f"{channels} {buyer}").choices(range(channels), weights)[0]
            known.append((basket, of_buyer[buyer]))
    rng = random.Random(routing_data.SEED)
    nodes = sorted(rng.sample(list(data.nodes), PLACES), key=lambda node: node.id)
    orders = [each for each in known if each[0].placed_at >= STARTS]
    return World([each for each in known if each[0].placed_at < STARTS], orders, sales.prices, nodes)


def make_stock(world: World, level: float) -> Stock:
    """The units of every SKU, spread over the places."""
    rng = random.Random(f"{routing_data.SEED} stock")
    central, *stores = [node.id for node in world.nodes]
    stock: Stock = {node.id: {} for node in world.nodes}
    for sku_id, wanted in sorted(_sold(world.orders).items()):
        some = [store for store in stores if rng.random() < DENSITY] or [rng.choice(stores)]
        shares = {central: CENTRAL, **dict.fromkeys(some, (1 - CENTRAL) / len(some))}
        for place_id, units in apportioned(max(1, round(level * wanted)), shares).items():
            if units:
                stock[place_id][sku_id] = units
    return stock


def divided(
    stock: Stock, sold: Mapping[int, Mapping[int, int]], channels: int, prior: float = PRIOR_UNITS
) -> list[Stock]:
    """The stock of each channel: of every SKU its share of ``sold`` (units by channel, by SKU), place by place.

    ``prior``: so many units more, sold in the shares of everything.
    """
    total = Counter[int]()
    for by_channel in sold.values():
        total.update(by_channel)
    everything = max(1, total.total())
    parts: list[Stock] = [{place_id: {} for place_id in stock} for _ in range(channels)]
    for sku_id in sorted({sku_id for units in stock.values() for sku_id in units}):
        of_sku = sold.get(sku_id, {})
        shares = {channel: of_sku.get(channel, 0) + prior * total[channel] / everything for channel in range(channels)}
        here = {place_id: units[sku_id] for place_id, units in stock.items() if sku_id in units}
        due = apportioned(sum(here.values()), shares)
        for place_id, units in here.items():
            for channel, given in apportioned(units, due).items():
                due[channel] -= given
                parts[channel][place_id][sku_id] = given
    return parts


def apportioned(units: int, shares: Mapping[int, float]) -> dict[int, int]:
    """Whole units in proportion to ``shares``: the largest remainders get what rounding leaves."""
    total = sum(shares.values())
    exact = {key: units * share / total for key, share in shares.items()} if total else dict.fromkeys(shares, 0.0)
    given = {key: int(share) for key, share in exact.items()}
    neediest = sorted(exact, key=lambda key: (given[key] - exact[key], key))
    for key in neediest[: units - sum(given.values())]:
        given[key] += 1
    return given


def complete(world: World, stocks: Sequence[Stock], parcels: int, *, whole: bool = True) -> Outcome:
    """Every order in turn out of its channel's stock, or of the only one; ``whole``: as a whole or not at all."""
    rules = _rules(parcels, whole=whole)
    left = [{place_id: dict(units) for place_id, units in stock.items()} for stock in stocks]
    value, lost, sent = 0.0, 0, 0
    for basket, channel in world.orders:
        mine = left[channel % len(left)]
        plan = decide(routing_data.problem(basket, world.nodes, mine), rules).plan
        lost += bool(plan.unfilled)
        sent += len(plan.parcels)
        for parcel in plan.parcels:
            for line in parcel.lines:
                mine[parcel.place_id][line.sku_id] -= line.quantity
                value += line.quantity * world.prices[basket.order_no, line.sku_id]
    return Outcome(value, lost, sent / len(world.orders))


def _rules(parcels: int, *, whole: bool) -> Rules:
    text = routing_data.FREIGHT.replace("max_parcels = 100", f"max_parcels = {parcels}")
    return routing_data.rules(text + ("on_short = 'cancel'\n" if whole else "on_short = 'partial'\n"))


def policies(world: World, channels: int, level: float, *, whole: bool = True) -> dict[str, Outcome]:
    """What each policy came to at this level of stock."""
    stock = make_stock(world, level)
    apart = divided(stock, _sold_by_channel(world.before), channels)
    foreseen = divided(stock, _sold_by_channel(world.orders), channels, prior=0.0)
    return {
        "silos": complete(world, apart, MAX_PARCELS, whole=whole),
        "silos_one_parcel": complete(world, apart, 1, whole=whole),
        "silos_foreseen": complete(world, foreseen, MAX_PARCELS, whole=whole),
        "one_pool": complete(world, [stock], 1, whole=whole),
        "one_pool_split": complete(world, [stock], MAX_PARCELS, whole=whole),
    }


def _sold(orders: Iterable[tuple[Basket, int]]) -> Counter[int]:
    sold = Counter[int]()
    for basket, _ in orders:
        sold.update(basket.wanted)
    return sold


def _sold_by_channel(orders: Iterable[tuple[Basket, int]]) -> dict[int, Counter[int]]:
    sold: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for basket, channel in orders:
        for sku_id, units in basket.wanted.items():
            sold[sku_id][channel] += units
    return sold


def read_sales(folder: Path) -> Sales:
    """Buyers and prices, with the SKU ids of ``routing_data``."""
    from pyarrow import parquet

    names = ("order_no", "sku", "qty", "unit_price_gbp", "customer")
    table = parquet.read_table(folder / "uci_orders.parquet", columns=list(names))
    lines = list(zip(*(table.column(name).to_pylist() for name in names), strict=True))
    ids = {sku: number for number, sku in enumerate(sorted({line[1] for line in lines}), 1)}
    buyers: dict[str, str] = {}
    units, worth = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for order_no, sku, quantity, price, customer in lines:
        units[order_no, ids[sku]] += max(1, round(quantity))
        worth[order_no, ids[sku]] += max(0.0, price) * quantity
        if customer is not None:
            buyers[order_no] = str(int(customer))
    return Sales(buyers, {key: worth[key] / quantity for key, quantity in units.items()})


def draw(by_level: Mapping[float, Mapping[str, Outcome]], worth: float, file: Path) -> None:
    """The share of the value that each policy completes, by level of stock."""
    from pygal import Bar
    from pygal.style import Style

    style = Style(
        background="#ffffff",
        plot_background="#ffffff",
        foreground="#333333",
        foreground_strong="#111111",
        foreground_subtle="#888888",
        opacity=1,
        opacity_hover=1,
        guide_stroke_color="#dddddd",
        major_guide_stroke_color="#dddddd",
        guide_stroke_dasharray="0",
        major_guide_stroke_dasharray="0",
        value_colors=("#111111",) * 3,
        colors=("#9aa5b1", "#e0a458", "#2f7d5b"),
        font_family="sans-serif",
        title_font_size=20,
        label_font_size=15,
        major_label_font_size=15,
        value_font_size=13,
        legend_font_size=15,
    )
    chart = Bar(
        style=style,
        width=900,
        height=520,
        title="Value of orders completed: separate stocks or one pool",
        x_title="stock at the start, as a share of what will be ordered",
        y_title="% of the value ordered",
        range=(0, 108),
        y_labels=range(0, 101, 20),
        print_values=True,
        print_values_position="top",
        truncate_legend=-1,
        value_formatter=lambda value: f"{value:.0f}",
        legend_at_bottom=True,
        legend_at_bottom_columns=3,
        js=[],
        disable_xml_declaration=True,
        show_y_guides=True,
        margin=24,
    )
    chart.x_labels = [f"{level:.0%}" for level in by_level]
    for policy, name in DRAWN.items():
        chart.add(name, [100 * each[policy].value / worth for each in by_level.values()])
    file.write_text(chart.render(is_unicode=True) + "\n", encoding="utf-8")


def measure(folder: Path, picture: Path | None, *, quick: bool) -> harness.Report:
    """All policies at every level of stock, and with other numbers of channels; ``quick``: at one level only."""
    data, sales = routing_data.load(folder), read_sales(folder)
    report = harness.Report(packages=("pyarrow",))
    world = make_world(data, sales, CHANNELS)
    report.figures |= {"orders_placed": len(world.orders), "value_ordered_gbp": world.worth}
    by_level = {1.0: policies(world, CHANNELS, 1.0)}
    for name, outcome in by_level[1.0].items():
        report.figures[f"{name}_value_gbp"] = outcome.value
        report.figures[f"{name}_parcels_per_order"] = outcome.parcels_per_order
    _note(report, "", by_level[1.0], world)
    if not quick:
        _note(report, "partial_", policies(world, CHANNELS, 1.0, whole=False), world)
        for level in LEVELS:
            if level not in by_level:
                by_level[level] = policies(world, CHANNELS, level)
                _note(report, f"stock_{100 * level:.0f}_", by_level[level], world)
        for channels in OTHER_CHANNELS:
            other = make_world(data, sales, channels)
            _note(report, f"channels_{channels}_", policies(other, channels, 1.0), other)
    if picture is not None:
        draw({level: by_level[level] for level in sorted(by_level)}, world.worth, picture)
    return report


def _note(report: harness.Report, prefix: str, outcomes: Mapping[str, Outcome], world: World) -> None:
    for name, outcome in outcomes.items():
        report.figures[f"{prefix}{name}_percent"] = 100 * outcome.value / world.worth
        report.figures[f"{prefix}{name}_orders_lost"] = outcome.lost
        if name != "silos":
            report.ratios[f"{prefix}{name}"] = outcome.value / outcomes["silos"].value


def main() -> None:
    """The command line: what harness takes, and where the data is and the picture goes."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=routing_data.DATA)
    parser.add_argument("--picture", type=Path)
    options, others = parser.parse_known_args(sys.argv[1:])
    harness.main(__doc__, lambda quick: measure(options.data, options.picture, quick=quick), others)


if __name__ == "__main__":
    main()
