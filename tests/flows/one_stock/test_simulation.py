"""A simulation decides as live orders are decided, and its orders never get more than there is."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings

from flows.one_stock.geography import distance_km
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Item, Part, Place, Problem
from flows.one_stock.routing.rulebook import Rulebook
from flows.one_stock.simulation import Line, Node, Order, World, simulate, simulate_one
from flows.one_stock.snapshot import distances_km
from tests.flows.one_stock.worlds import OTHER_RULES, RULES, worlds

FREE = Rulebook("parcel_cost = 1\nper_km = 1\nmax_parcels = 9\n")


def km(order: Order, node: Node) -> float | None:
    (found,) = distances_km(order.lat, order.lon, [(node.lat, node.lon)])
    return found


def by_hand(
    world: World, order: Order, taken: Counter[tuple[int, int]], parcels: Counter[tuple[int, object]]
) -> Problem:
    """The problem of an order over all places, from the world's own figures."""
    return Problem(
        items=tuple(
            Item((Part(number, line.sku_id),), line.quantity, line.value_minor)
            for number, line in enumerate(order.lines, 1)
        ),
        places=tuple(
            Place(
                id=node.id,
                stock={
                    sku_id: held[node.id] - taken[node.id, sku_id]
                    for sku_id, held in world.stock.items()
                    if node.id in held
                },
                code=node.code,
                km=km(order, node),
                kind=node.kind,
                rating=node.rating,
                capacity_left=None if node.capacity is None else node.capacity - parcels[node.id, order.day],
                is_members=node.code == order.member,
            )
            for node in world.nodes
        ),
        channel=order.channel,
    )


@given(worlds())
def test_it_decides_what_the_live_code_decides_on_the_same_values(world: World) -> None:
    taken: Counter[tuple[int, int]] = Counter()
    parcels: Counter[tuple[int, object]] = Counter()
    for outcome in simulate(world, RULES):
        order = outcome.order
        problem = by_hand(world, order, taken, parcels)
        expected = decide(problem, RULES.rules(order.channel))
        assert (outcome.decision.action, outcome.decision.plan) == (expected.action, expected.plan)
        thought = {each.place_id: each for each in expected.considered}
        assert all(thought[each.place_id] == each for each in outcome.decision.considered)
        for parcel in expected.plan.parcels:
            parcels[parcel.place_id, order.day] += 1
            for line in parcel.lines:
                taken[parcel.place_id, line.sku_id] += line.quantity


@given(worlds())
def test_no_unit_is_sent_twice_and_no_place_sends_more_than_it_can(world: World) -> None:
    sent: Counter[tuple[int, int]] = Counter()
    parcels: Counter[tuple[int, object]] = Counter()
    for outcome in simulate(world, RULES):
        plan = outcome.decision.plan
        of_order = Counter({line.sku_id: line.quantity for line in outcome.order.lines})
        for parcel in plan.parcels:
            parcels[parcel.place_id, outcome.order.day] += 1
            for line in parcel.lines:
                sent[parcel.place_id, line.sku_id] += line.quantity
                of_order[line.sku_id] -= line.quantity
        of_order.subtract({line.sku_id: line.quantity for line in plan.unfilled})
        assert not any(of_order.values())
    assert all(units <= world.stock[sku_id][node_id] for (node_id, sku_id), units in sent.items())
    limits = {node.id: node.capacity for node in world.nodes if node.capacity is not None}
    assert all(count <= limits.get(node_id, count) for (node_id, _), count in parcels.items())


@given(worlds())
def test_independent_orders_do_not_notice_each_other(world: World) -> None:
    found = {outcome.order.order_no: outcome.decision for outcome in simulate(world, RULES, independent=True)}
    for order in world.orders:
        (alone,) = simulate(replace(world, orders=[order]), RULES)
        assert alone.decision == found[order.order_no]


@given(worlds())
def test_why_an_order_is_decided_so_is_told_about_what_was_decided(world: World) -> None:
    for independent in (False, True):
        for outcome in simulate(world, OTHER_RULES, independent=independent):
            told = simulate_one(world, OTHER_RULES, outcome.order.order_no, independent=independent)
            assert told is not None
            assert (told.decision.action, told.decision.plan) == (outcome.decision.action, outcome.decision.plan)
            assert {*outcome.decision.considered} <= {*told.decision.considered}
            assert [each.place_id for each in told.decision.considered] == [node.id for node in world.nodes]
    assert simulate_one(world, OTHER_RULES, "nobody's") is None


@settings(max_examples=20)
@given(worlds())
def test_the_same_again_is_the_same(world: World) -> None:
    first = [outcome.decision for outcome in simulate(world, RULES)]
    assert [outcome.decision for outcome in simulate(world, RULES)] == first


def test_capacities_are_of_a_day() -> None:
    near, far = Node(1, "near", 31.0, 121.0, capacity=1), Node(2, "far", 39.9, 116.4)
    orders = [Order(f"{n}", 31.0, 121.0, (Line(0, 1),), day=day) for n, day in enumerate(("a", "a", "b"))]  # type: ignore[arg-type]
    world = World(("A",), [near, far], {0: {1: 9, 2: 9}}, orders)
    assert [outcome.decision.plan.parcels[0].place_id for outcome in simulate(world, FREE)] == [1, 2, 1]


def test_distances_are_on_a_sphere_of_6371_km() -> None:
    order = Order("1", 31.2304, 121.4737, (Line(0, 1),))
    node = Node(1, "BJ", 39.9042, 116.4074)
    (outcome,) = simulate(World(("A",), [node], {0: {1: 1}}, [order]), FREE)
    (parcel,) = outcome.decision.plan.parcels
    assert parcel.km is not None
    assert abs(parcel.km - distance_km(31.2304, 121.4737, 39.9042, 116.4074)) < 0.001
    assert abs(outcome.decision.plan.cost - (1 + parcel.km)) < 1e-6
