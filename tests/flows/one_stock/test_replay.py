"""A record is decided again as it was; under other rules the replayed orders share what there was."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings

from flows.one_stock.replay import replay
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.record import Record, pack, unpack
from flows.one_stock.routing.rulebook import Rulebook
from flows.one_stock.simulation import Line, Node, Order, World, simulate
from tests.flows.one_stock.worlds import OTHER_RULES, RULES, worlds

NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
NEAREST = Rulebook("parcel_cost = 1\nper_km = 1\nmax_parcels = 1\n")


def recorded(world: World, book: Rulebook) -> list[tuple[Record, datetime]]:
    """The records that the orders of a world leave behind, a minute apart."""
    records = []
    for minutes, outcome in enumerate(simulate(world, book)):
        order = outcome.order
        packed = pack(outcome.problem, outcome.rules, book.version, order.channel, outcome.decision)
        records.append((unpack(packed), NOON + timedelta(minutes=minutes)))
    return records


@given(worlds())
def test_a_recorded_problem_is_decided_as_it_was_under_the_recorded_rules(world: World) -> None:
    for record, _ in recorded(world, RULES):
        again = decide(record.problem, record.rules)
        assert (again.action, again.plan, again.best_partial) == (
            record.decision.action,
            record.decision.plan,
            record.decision.best_partial,
        )
        assert again.considered == record.decision.considered


@given(worlds())
def test_nothing_differs_under_the_rules_of_the_day(world: World) -> None:
    assert_replayed_as_it_was(world)


@pytest.mark.soak
@settings(max_examples=3_000)
@given(worlds())
def test_nothing_differs_in_many_more_worlds(world: World) -> None:
    assert_replayed_as_it_was(world)


def assert_replayed_as_it_was(world: World) -> None:
    records = recorded(world, RULES)
    for independent in (False, True):
        for (record, _), again in zip(records, replay(records, RULES.rules, independent=independent), strict=True):
            assert (again.decision.action, again.decision.plan) == (record.decision.action, record.decision.plan)


@given(worlds())
def test_under_other_rules_no_unit_is_sent_twice_either(world: World) -> None:
    sent: Counter[tuple[int, int]] = Counter()
    for again in replay(recorded(world, RULES), OTHER_RULES.rules):
        for parcel in again.decision.plan.parcels:
            for line in parcel.lines:
                sent[parcel.place_id, line.sku_id] += line.quantity
    assert all(units <= world.stock[sku_id].get(node_id, 0) for (node_id, sku_id), units in sent.items())


def test_what_the_other_rules_leave_is_there_for_the_next() -> None:
    """The old rules asked far stores only; the new ones the near one, until its one unit and one slot are used."""
    far_only = Rulebook("parcel_cost = 1\nper_km = 1\nmax_parcels = 1\n[filters]\nplaces = ['far']\n")
    world = World(
        ("A", "B"),
        [Node(1, "near", 31.0, 121.0, capacity=1), Node(2, "far", 39.9, 116.4)],
        {0: {1: 2, 2: 2}, 1: {2: 2}},
        [Order(f"{n}", 31.0, 121.0, (Line(0, 1),)) for n in range(3)],
    )
    records = recorded(world, far_only)
    assert [len(record.decision.plan.parcels) for record, _ in records] == [1, 1, 0]
    places = [[parcel.place_id for parcel in again.decision.plan.parcels] for again in replay(records, NEAREST.rules)]
    assert places == [[1], [2], [2]], "the third gets what the old rules gave to the first"
    alone = [
        [parcel.place_id for parcel in again.decision.plan.parcels]
        for again in replay(records, NEAREST.rules, independent=True)
    ]
    assert alone == [[1], [1], [1]]
