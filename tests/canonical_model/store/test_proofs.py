"""Shipments, counts and confirmations arrive in every order and twice, told by clocks that disagree.

A small truth model plays a shelf: parcels leave, goods come and go, the authority counts. What the hub promises is
never more than what the facts it has heard imply, and exactly that once every parcel's leaving is proven.
"""

from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.ports import Proof, StockMeaning
from canonical_model.stock import Figure
from canonical_model.store import stock
from tests.canonical_model.store.shelf import NOON, Shelf, at, delta, snapshot

STOCK: Final = 20
SKEW_S: Final = 30
_brands = count()


@dataclass(frozen=True)
class Event:
    """What happened on the shelf at ``seconds``, as the ``sequence``-th thing. ``parcel`` left, or none did.

    ``change`` is how the authority's figure moved; ``counted`` is the figure, if the authority counted just then.
    """

    sequence: int
    seconds: int
    change: int
    parcel: str | None = None
    counted: int | None = None
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    """What happened, how it is told, and in which order the tellings arrive."""

    figure: Figure
    proof: Proof
    tells_deltas: bool
    authority_is_ahead_s: int
    parcels: dict[str, int]
    events: list[Event]
    arrivals: list[list[tuple[str, Event]]] = field(default_factory=list)


def _happenings(draw: st.DrawFn, parcels: dict[str, int]) -> list[Event]:
    deeds: list[tuple[str, int]] = [(parcel, -quantity) for parcel, quantity in parcels.items()]
    deeds += [("", change) for change in draw(st.lists(st.integers(-3, 6).filter(bool), max_size=4))]
    deeds += [("count", 0)] * draw(st.integers(0, 3))
    events: list[Event] = [Event(0, 0, STOCK, counted=STOCK)]
    figure, seconds, gone = STOCK, 0, tuple[str, ...]()
    for deed, change in [*draw(st.permutations(deeds)), ("last count", 0)]:
        last = deed == "last count"
        seconds += 2 * SKEW_S + 1 if last else draw(st.integers(1, 90))
        figure += change
        if deed in parcels:
            gone = (*gone, deed)
        counts = last or deed == "count"
        events.append(
            Event(
                len(events),
                seconds,
                change,
                parcel=deed if deed in parcels else None,
                counted=max(0, figure) if counts else None,
                named=gone if counts else (deed,) if deed in parcels else (),
            )
        )
    return events


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Up to four parcels of a shelf of twenty, and a random life of both."""
    parcels = {f"P{number}": draw(st.integers(1, 4)) for number in range(draw(st.integers(1, 4)))}
    world = World(
        figure=draw(st.sampled_from(Figure)),
        proof=draw(st.sampled_from(Proof)),
        tells_deltas=draw(st.booleans()),
        authority_is_ahead_s=draw(st.integers(-SKEW_S, SKEW_S)),
        parcels=parcels,
        events=_happenings(draw, parcels),
    )
    told = [("word", event) for event in world.events if event.parcel]
    told += [("fact", event) for event in world.events[1:] if event.counted is not None or world.tells_deltas]
    told += draw(st.lists(st.sampled_from(told), max_size=4))
    for telling in draw(st.permutations(told)):
        if telling[0] == "fact" and draw(st.booleans()) and world.arrivals and world.arrivals[-1][0][0] == "fact":
            world.arrivals[-1].append(telling)
        else:
            world.arrivals.append([telling])
    return world


class Told:
    """What the facts heard so far imply: the figure, and which parcels it contains."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = world.events[0]
        self.changes: dict[int, Event] = {}

    def hear(self, event: Event) -> None:
        if event.counted is None:
            self.changes[event.sequence] = event
        elif event.sequence > self.count.sequence:
            self.count = event

    @property
    def _later(self) -> list[Event]:
        return [event for number, event in self.changes.items() if number > self.count.sequence]

    @property
    def figure(self) -> int:
        return (self.count.counted or 0) + sum(event.change for event in self._later)

    @property
    def promisable(self) -> int:
        """The figure less the goods of parcels that it still contains."""
        inside = {event.parcel for event in self.world.events[: self.count.sequence + 1]}
        inside |= {event.parcel for event in self._later}
        return self.figure - sum(quantity for parcel, quantity in self.world.parcels.items() if parcel not in inside)


def _fact(world: World, event: Event) -> dict[str, Any]:
    seconds = event.seconds + world.authority_is_ahead_s
    more: dict[str, Any] = {}
    if world.proof is Proof.SEQUENCE:
        more["sequence"] = event.sequence
    if world.proof is Proof.ORDER_REFS:
        more["order_refs"] = list(event.named)
    if event.counted is not None:
        return snapshot(event.counted, seconds, **more)
    return delta(event.change, seconds, source_id=f"d{event.sequence}", **more)


def _hear_word(shelf: Shelf, world: World, event: Event) -> None:
    assert event.parcel is not None
    sequence = event.sequence if world.proof is Proof.SEQUENCE else None
    if world.figure is Figure.AVAILABLE:
        shelf.accept(event.parcel, accepted_at=at(event.seconds), sequence=sequence)
    else:
        shelf.ship(event.parcel, world.parcels[event.parcel], seconds=event.seconds, sequence=sequence)


def _play(connection: Connection[DictRow], world: World) -> None:
    meaning = StockMeaning(figure=world.figure, proof=world.proof, clock_skew_s=SKEW_S)
    shelf = Shelf(connection, brand=f"brand-{next(_brands)}", skus=["A"], places=["W1"], meaning=meaning)
    shelf.apply(_fact(world, world.events[0]))
    level_id = shelf.level().level_id
    for parcel, quantity in world.parcels.items():
        assert shelf.hold(parcel, (level_id, quantity)) == stock.Held()
    told = Told(world)
    for arrival in world.arrivals:
        if arrival[0][0] == "word":
            _hear_word(shelf, world, arrival[0][1])
        else:
            shelf.apply(*(_fact(world, event) for _, event in arrival))
            for _, event in arrival:
                told.hear(event)
        level = shelf.level()
        assert level.on_hand == told.figure
        assert level.atp <= max(0, told.promisable)
    assert shelf.level().held == 0
    assert shelf.level().atp == max(0, told.promisable)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(world=worlds())
def test_no_order_of_arrival_promises_more_than_there_is(connection: Connection[DictRow], world: World) -> None:
    _play(connection, world)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@settings(max_examples=3000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(world=worlds())
def test_no_order_of_arrival_promises_more_than_there_is_at_length(
    connection: Connection[DictRow], world: World
) -> None:
    _play(connection, world)


@pytest.fixture
def a(shelf: Shelf) -> int:
    """The level of A at W1: five pieces, of which P1 holds two."""
    shelf.apply(snapshot(5, sequence=10))
    level = shelf.level().level_id
    shelf.hold("P1", (level, 2))
    return level


def _proof(proof: Proof, figure: Figure = Figure.ON_HAND) -> StockMeaning:
    return StockMeaning(proof=proof, figure=figure, clock_skew_s=SKEW_S)


@pytest.mark.every_postgres
@pytest.mark.parametrize(("counted_after_s", "held"), [(SKEW_S - 1, 2), (SKEW_S, 0)])
def test_a_count_proves_what_left_the_clock_skew_before_it(
    shelf: Shelf, a: int, counted_after_s: int, held: int
) -> None:
    shelf.ship("P1", 2, seconds=100)
    shelf.apply(snapshot(3, 100 + counted_after_s, sequence=11), meaning=_proof(Proof.AS_OF))
    assert (shelf.level().held, shelf.level().atp) == (held, 3 - held)


@pytest.mark.every_postgres
@pytest.mark.parametrize(("sequence", "held"), [(11, 2), (12, 0)])
def test_a_sequence_proves_what_left_at_or_before_it(shelf: Shelf, a: int, sequence: int, held: int) -> None:
    shelf.ship("P1", 2, seconds=10, sequence=12)
    shelf.apply(snapshot(3, 999, sequence=sequence), meaning=_proof(Proof.SEQUENCE))
    assert shelf.level().held == held


@pytest.mark.every_postgres
def test_a_shipment_without_a_sequence_is_proven_by_time(shelf: Shelf, a: int) -> None:
    shelf.ship("P1", 2, seconds=10)
    shelf.apply(snapshot(3, 10 + SKEW_S, sequence=11), meaning=_proof(Proof.SEQUENCE))
    assert shelf.level().held == 0


@pytest.mark.every_postgres
def test_where_names_prove_time_does_not(shelf: Shelf, a: int) -> None:
    shelf.ship("P1", 2, seconds=10)
    shelf.apply(snapshot(3, 999, sequence=11), meaning=_proof(Proof.ORDER_REFS))
    assert shelf.level().held == 2
    shelf.apply(snapshot(3, 1000, sequence=12, order_refs=["P0", "P1"]), meaning=_proof(Proof.ORDER_REFS))
    assert shelf.level().held == 0


@pytest.mark.every_postgres
def test_a_count_that_came_first_proves_the_shipment_at_once(shelf: Shelf, a: int) -> None:
    shelf.apply(snapshot(3, 10 + SKEW_S, sequence=11), meaning=_proof(Proof.AS_OF))
    assert shelf.level().atp == 1
    shelf.ship("P1", 2, seconds=10)
    assert (shelf.level().held, shelf.level().atp) == (0, 3)


@pytest.mark.every_postgres
def test_a_parcel_named_before_it_was_confirmed_deducts_until_it_is(shelf: Shelf, a: int) -> None:
    shelf.apply(snapshot(3, 10, sequence=11, order_refs=["P1"]), meaning=_proof(Proof.ORDER_REFS))
    assert shelf.level().held == 2
    shelf.ship("P1", 2, seconds=10)
    assert shelf.level().held == 0


@pytest.mark.every_postgres
def test_a_stale_figure_still_tells_which_parcels_it_contains(shelf: Shelf, a: int) -> None:
    shelf.ship("P1", 2, seconds=10)
    assert shelf.apply(snapshot(3, -5, sequence=9, order_refs=["P1"])).ignored == [0]
    assert (shelf.level().on_hand, shelf.level().held) == (5, 0)


@pytest.mark.every_postgres
def test_a_named_hold_does_not_expire(shelf: Shelf, a: int) -> None:
    shelf.hold("P2", (a, 1), expires_at=NOON)
    shelf.apply(snapshot(5, 1, sequence=11, order_refs=["P2"]))
    assert stock.expire_due(shelf.connection, NOON) == []


@pytest.mark.every_postgres
def test_a_delta_proves_only_what_it_names(shelf: Shelf, a: int) -> None:
    shelf.hold("P2", (a, 1))
    shelf.ship("P1", 2, seconds=10)
    shelf.ship("P2", 1, seconds=10)
    shelf.apply(delta(-1, 9999, sequence=99, order_refs=["P2"]))
    assert shelf.level().held == 2


@pytest.mark.every_postgres
def test_an_available_figure_is_proven_by_the_acceptance(shelf: Shelf, a: int) -> None:
    available = _proof(Proof.AS_OF, Figure.AVAILABLE)
    shelf.accept("P1", accepted_at=NOON)
    shelf.apply(snapshot(3, SKEW_S, sequence=11), meaning=available)
    assert (shelf.level().held, shelf.level().atp) == (0, 3)
    shelf.ship("P1", 2, seconds=50)
    shelf.apply(snapshot(3, 60, sequence=12), meaning=available)
    assert (shelf.level().held, shelf.level().atp) == (0, 3)


@pytest.mark.every_postgres
def test_a_shipment_of_unknown_acceptance_was_accepted_before_it_left(shelf: Shelf, a: int) -> None:
    available = _proof(Proof.AS_OF, Figure.AVAILABLE)
    shelf.ship("P1", 2, seconds=50)
    shelf.apply(snapshot(3, 50 + SKEW_S, sequence=11), meaning=available)
    assert shelf.level().held == 0
