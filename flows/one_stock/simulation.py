"""Routing on paper: the decisions that live orders get, over stock and capacities that nobody holds.

A ``World`` says what there is, ``simulate`` decides its orders in their order. Each takes from the stock what its plan
takes, and one of each place's slots of its day; with ``independent`` each finds everything as it was.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from time import perf_counter
from typing import Final, NamedTuple

from flows.one_stock.bundles import OpenLine, items_of
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Decision, Place, Plan, Problem
from flows.one_stock.routing.rulebook import Rulebook, Rules
from flows.one_stock.snapshot import distances_km

MAX_REMEMBERED: Final = 500_000


class Line(NamedTuple):
    """Units of one SKU in an order; ``value_minor`` is what all of them are sold for."""

    sku_id: int
    quantity: int
    value_minor: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """A place. ``capacity``: parcels a day; None knows no limit."""

    id: int
    code: str
    lat: float
    lon: float
    rating: float | None = None
    capacity: int | None = None
    kind: str = "store"


@dataclass(frozen=True, slots=True)
class Order:
    """An order and where it goes. ``member``: the buyer's own store, by its code. Orders without ``day`` share one.
    ``promised_days``: from then on."""

    order_no: str
    lat: float
    lon: float
    lines: tuple[Line, ...]
    channel: str = ""
    member: str = ""
    day: date | None = None
    promised_days: int | None = None


@dataclass(frozen=True, slots=True)
class World:
    """Everything a simulation starts from. ``skus``: codes by SKU id; ``stock``: units by place id, by SKU id."""

    skus: Sequence[str]
    nodes: Sequence[Node]
    stock: Mapping[int, Mapping[int, int]]
    orders: Sequence[Order]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided about an order, from what, and how long that took."""

    order: Order
    problem: Problem
    rules: Rules
    decision: Decision
    ms: float


class Pool:
    """The stock and the places' slots as the orders so far left them."""

    def __init__(self, world: World) -> None:
        self._nodes = {node.id: node for node in world.nodes}
        self._points = [(node.lat, node.lon) for node in world.nodes]
        self._stock: dict[int, dict[int, int]] = {node.id: {} for node in world.nodes}
        for sku_id, held in world.stock.items():
            for node_id, units in held.items():
                self._stock[node_id][sku_id] = units
        self._holders = {sku_id: frozenset(held) for sku_id, held in world.stock.items()}
        self._parcels: dict[tuple[int, date | None], int] = {}
        self._near: dict[tuple[float, float], _Near] = {}

    def problem(self, order: Order, *, everywhere: bool = False) -> Problem:
        """The order's problem over the places that had any of its SKUs, or with ``everywhere`` over all of them.

        Its places' stock is live: look at it before the next order takes.
        """
        near = self._near_to(order)
        asked = [self._holders.get(line.sku_id, frozenset()) for line in order.lines]
        ids = self._nodes if everywhere else frozenset().union(*asked)
        places = [near.place(self._nodes[node_id], self._left(node_id, order.day)) for node_id in sorted(ids)]
        if order.member:
            places = [replace(place, is_members=True) if place.code == order.member else place for place in places]
        return Problem(items_of(_open_lines(order)), tuple(places), order.channel, promised_days=order.promised_days)

    def take(self, order: Order, plan: Plan) -> None:
        """Let the parcels of ``plan`` leave the stock, each with a slot of its place."""
        for parcel in plan.parcels:
            day = (parcel.place_id, order.day)
            self._parcels[day] = self._parcels.get(day, 0) + 1
            for line in parcel.lines:
                self._stock[parcel.place_id][line.sku_id] -= line.quantity

    def _left(self, node_id: int, day: date | None) -> int | None:
        capacity = self._nodes[node_id].capacity
        return None if capacity is None else capacity - self._parcels.get((node_id, day), 0)

    def _near_to(self, order: Order) -> "_Near":
        point = (order.lat, order.lon)
        found = self._near.get(point)
        if found is None:
            if len(self._near) * len(self._nodes) >= MAX_REMEMBERED:
                self._near.clear()
            ways = dict(zip(self._nodes, distances_km(order.lat, order.lon, self._points), strict=True))
            found = self._near[point] = _Near(ways, self._stock)
        return found


class _Near:
    """The places as seen from one destination, made when they are first needed."""

    def __init__(self, ways: Mapping[int, float | None], stock: Mapping[int, Mapping[int, int]]) -> None:
        self._ways = ways
        self._stock = stock
        self._places: dict[int, Place] = {}

    def place(self, node: Node, capacity_left: int | None) -> Place:
        known = self._places.get(node.id)
        if known is None or known.capacity_left != capacity_left:
            known = self._places[node.id] = Place(
                id=node.id,
                stock=self._stock[node.id],
                code=node.code,
                km=self._ways[node.id],
                kind=node.kind,
                rating=node.rating,
                capacity_left=capacity_left,
            )
        return known


def _open_lines(order: Order) -> list[OpenLine]:
    return [
        OpenLine(line_no, line.sku_id, line.quantity, line.value_minor, wanted=line.quantity)
        for line_no, line in enumerate(order.lines, 1)
    ]


def simulate(world: World, book: Rulebook, *, independent: bool = False) -> Iterator[Outcome]:
    """Decide every order of ``world`` under ``book``, in their order; what comes out depends on nothing else.

    The stock in an outcome's problem is live until the next outcome is asked for.
    """
    pool = Pool(world)
    for order in world.orders:
        outcome = _decided(pool, order, book)
        yield outcome
        if not independent:
            pool.take(order, outcome.decision.plan)


def simulate_one(world: World, book: Rulebook, order_no: str, *, independent: bool = False) -> Outcome | None:
    """The decision about one order after all before it, with every place in its problem; None without such an order."""
    pool = Pool(world)
    for order in world.orders:
        if order.order_no == order_no:
            return _decided(pool, order, book, everywhere=True)
        if not independent:
            pool.take(order, _decided(pool, order, book).decision.plan)
    return None


def _decided(pool: Pool, order: Order, book: Rulebook, *, everywhere: bool = False) -> Outcome:
    began = perf_counter()
    rules = book.rules(order.channel)
    problem = pool.problem(order, everywhere=everywhere)
    decision = decide(problem, rules)
    return Outcome(order, problem, rules, decision, (perf_counter() - began) * 1_000)
