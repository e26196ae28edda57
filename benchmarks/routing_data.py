"""Real baskets over real places, for every benchmark that routes orders.

Baskets: UCI Online Retail (Chen 2012, CC BY 4.0). Places and destinations: Olist (CC BY-NC-SA 4.0). Neither is part of
the project: give their folder with ``--data``. What a place has in stock is synthesised with a fixed seed: each (place,
SKU) with the probability ``density``, half of what a line usually asks for up to eight times as much, evenly on a
logarithmic scale, so that one place often has too little.
"""

import csv
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp, log
from pathlib import Path
from typing import Final

from flows.one_stock.geography import distance_km
from flows.one_stock.routing.problem import Item, Part, Place, Problem
from flows.one_stock.routing.rulebook import Rulebook, Rules

DATA: Final = Path("../shared/data/routing")
SEED: Final = 20_111

FREIGHT: Final = "parcel_cost = 8.63\nper_km = 0.01019\nmax_parcels = 100\n"
"""The straight line through 8,320 real freights, by parcel and kilometre."""


@dataclass(frozen=True, slots=True)
class Basket:
    """One order: units by SKU id, its value in minor units, when it was placed, and where it goes."""

    order_no: str
    wanted: Mapping[int, int]
    value_minor: int
    placed_at: datetime
    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Node:
    """A place: where it is and how it was rated."""

    id: int
    lat: float
    lon: float
    rating: float


@dataclass(frozen=True, slots=True)
class Data:
    """All baskets in the order they were placed, all places, and the units a line of each SKU usually asks for."""

    baskets: Sequence[Basket]
    nodes: Sequence[Node]
    usual: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Pool:
    """Some of the places, and the units of each SKU that they have in stock, by place id."""

    nodes: Sequence[Node]
    stock: Mapping[int, Mapping[int, int]]


def load(folder: Path) -> Data:
    """Reads the three files. SystemExit, saying what to do, when they are not there."""
    if not (folder / "uci_orders.parquet").is_file():
        raise SystemExit(f"no routing data in {folder}; name the folder that has uci_orders.parquet with --data")
    rng = random.Random(SEED)
    places = [(float(row["lat"]), float(row["lon"])) for row in _rows(folder / "destinations.csv")]
    nodes = [
        Node(number, float(row["lat"]), float(row["lon"]), float(row["rating"]))
        for number, row in enumerate(_rows(folder / "nodes.csv"), 1)
    ]
    baskets, usual = _baskets(folder / "uci_orders.parquet", places, rng)
    return Data(baskets, nodes, usual)


def pool(data: Data, places: int, density: float, seed: int = SEED) -> Pool:
    """A pool of that many places, each SKU at a ``density`` share of them."""
    rng = random.Random(f"{seed} {places} {density}")
    nodes = sorted(rng.sample(list(data.nodes), places), key=lambda node: node.id)
    stock = {
        node.id: {
            sku_id: max(1, round(usual * exp(rng.uniform(log(0.5), log(8)))))
            for sku_id, usual in data.usual.items()
            if rng.random() < density
        }
        for node in nodes
    }
    return Pool(nodes, stock)


def sample(data: Data, count: int, lines: tuple[int, int], seed: int = SEED) -> list[Basket]:
    """``count`` baskets with ``lines`` (at least, at most) lines, in the order they were placed."""
    fitting = [basket for basket in data.baskets if lines[0] <= len(basket.wanted) <= lines[1]]
    rng = random.Random(f"{seed} {lines}")
    kept = sorted(rng.sample(range(len(fitting)), min(count, len(fitting))))
    return [fitting[index] for index in kept]


def within(basket: Basket, stock: Mapping[int, Mapping[int, int]]) -> Basket | None:
    """The basket cut down to what all places together have; None when that is nothing."""
    total = {sku_id: sum(held.get(sku_id, 0) for held in stock.values()) for sku_id in basket.wanted}
    wanted = {sku_id: min(units, total[sku_id]) for sku_id, units in basket.wanted.items() if total[sku_id]}
    if not wanted:
        return None
    return Basket(basket.order_no, wanted, basket.value_minor, basket.placed_at, basket.lat, basket.lon)


def problem(basket: Basket, nodes: Iterable[Node], stock: Mapping[int, Mapping[int, int]]) -> Problem:
    """The basket as one order over ``nodes`` and what they have in stock, one line a SKU."""
    worth = basket.value_minor // len(basket.wanted)
    items = tuple(
        Item((Part(line_no, sku_id),), units, worth) for line_no, (sku_id, units) in enumerate(basket.wanted.items(), 1)
    )
    places = tuple(
        Place(
            node.id,
            {sku_id: stock[node.id][sku_id] for sku_id in basket.wanted if sku_id in stock[node.id]},
            km=distance_km(node.lat, node.lon, basket.lat, basket.lon),
            rating=node.rating,
        )
        for node in nodes
    )
    return Problem(items, places)


def rules(text: str = FREIGHT) -> Rules:
    """The rules of a rulebook's base."""
    return Rulebook(text).rules()


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def _baskets(
    file: Path, places: Sequence[tuple[float, float]], rng: random.Random
) -> tuple[list[Basket], dict[int, float]]:
    from pyarrow import parquet

    names = ("order_no", "sku", "qty", "placed_at", "unit_price_gbp")
    table = parquet.read_table(file, columns=list(names))
    lines = list(zip(*(table.column(name).to_pylist() for name in names), strict=True))
    ids = {sku: number for number, sku in enumerate(sorted({line[1] for line in lines}), 1)}
    wanted: dict[str, dict[int, int]] = {}
    value: dict[str, float] = {}
    placed: dict[str, datetime] = {}
    for order_no, sku, units, placed_at, price in lines:
        basket = wanted.setdefault(order_no, {})
        basket[ids[sku]] = basket.get(ids[sku], 0) + max(1, round(units))
        value[order_no] = value.get(order_no, 0.0) + max(0.0, price) * units
        placed.setdefault(order_no, placed_at)
    asked: dict[int, list[int]] = {}
    for basket in wanted.values():
        for sku_id, units in basket.items():
            asked.setdefault(sku_id, []).append(units)
    ordered = sorted(wanted, key=lambda order_no: (placed[order_no], order_no))
    baskets = [
        Basket(number, wanted[number], round(value[number] * 100), placed[number], *rng.choice(places))
        for number in ordered
    ]
    return baskets, {sku_id: statistics.mean(units) for sku_id, units in sorted(asked.items())}
