"""An outside fact takes away what was promised: nothing more is promised, one shortfall says how much is missing."""

import pytest

from canonical_model.ports import StockMeaning
from canonical_model.stock import Figure
from canonical_model.store import stock
from canonical_model.store.stock import Held
from tests.canonical_model.store.shelf import NOON, OWNER, Shelf, delta, snapshot

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def a(shelf: Shelf) -> int:
    """The level of A at W1: ten pieces, of which P1, P2, P3 hold 2, 3 and 4, in that order."""
    shelf.apply(snapshot(10))
    level = shelf.level().level_id
    for number, quantity in enumerate((2, 3, 4), 1):
        assert shelf.hold(f"P{number}", (level, quantity), order_id=number) == Held()
    return level


def _recallable(shelf: Shelf, level_id: int) -> list[str]:
    return [row["reference"] for row in stock.recallable_holds(shelf.connection, level_id)]


def _missing(shelf: Shelf, level_id: int) -> list[tuple[int, str]]:
    rows = shelf.connection.execute(
        "SELECT quantity, state FROM stock_shortfall WHERE level_id = %s ORDER BY id", [level_id]
    )
    return [(row["quantity"], row["state"]) for row in rows]


def test_enough_is_no_shortfall(shelf: Shelf, a: int) -> None:
    assert not shelf.apply(snapshot(9, seconds=1)).shortfalls
    assert stock.find_open_shortfall(shelf.connection, a) is None


def test_a_figure_below_what_is_held_opens_one(shelf: Shelf, a: int) -> None:
    [shortfall] = shelf.apply(snapshot(7, seconds=1)).shortfalls
    assert (shortfall.level_id, shortfall.quantity, shortfall.state) == (a, 2, "open")
    assert shelf.level().atp == 0
    assert shelf.hold("P9", (a, 1)) == stock.Short((a,))


def test_a_delta_opens_one_too(shelf: Shelf, a: int) -> None:
    [shortfall] = shelf.apply(delta(-3, seconds=1)).shortfalls
    assert shortfall.quantity == 2


def test_a_parcel_that_is_leaving_leaves_nobody_short(shelf: Shelf, a: int) -> None:
    assert shelf.apply(delta(-1, seconds=1), delta(-3, seconds=2, order_refs=["P2"])).shortfalls == []
    assert (shelf.level().on_hand, shelf.level().held, shelf.level().atp) == (6, 9, 0)
    assert not shelf.ship("P2", 3, seconds=3).shortfalls
    assert shelf.level().held == 6


def test_goods_lost_while_a_parcel_is_leaving_are_missed_and_it_is_not_recalled(shelf: Shelf, a: int) -> None:
    [shortfall] = shelf.apply(delta(-4, seconds=1, order_refs=["P3"]), delta(-3, seconds=2)).shortfalls
    assert shortfall.quantity == 2
    assert _recallable(shelf, a) == ["P2"]


def test_the_next_fact_updates_it_and_never_opens_a_second(shelf: Shelf, a: int) -> None:
    [first] = shelf.apply(snapshot(7, seconds=1)).shortfalls
    [second] = shelf.apply(snapshot(4, seconds=2)).shortfalls
    assert (first.id, second.quantity) == (second.id, 5)
    assert _missing(shelf, a) == [(5, "open")]


def test_goods_that_come_back_close_it(shelf: Shelf, a: int) -> None:
    shelf.apply(snapshot(7, seconds=1))
    assert not shelf.apply(snapshot(9, seconds=2)).shortfalls
    assert _missing(shelf, a) == [(2, "resolved")]


def test_a_released_hold_makes_it_smaller_then_closes_it(shelf: Shelf, a: int) -> None:
    shelf.apply(snapshot(4, seconds=1))
    shelf.release("P3")
    assert _missing(shelf, a) == [(1, "open")]
    shelf.release("P2")
    assert _missing(shelf, a) == [(1, "resolved")]


def test_nothing_held_is_nothing_missing_whatever_the_figure(shelf: Shelf, a: int) -> None:
    assert shelf.apply(snapshot(0, seconds=1)).shortfalls[0].quantity == 9
    assert shelf.apply(delta(-5, seconds=2)).shortfalls[0].quantity == 9


def test_safety_stock_that_is_gone_is_short_as_well(shelf: Shelf, a: int) -> None:
    [shortfall] = stock.set_safety(shelf.connection, a, 3)
    assert shortfall.quantity == 2
    assert stock.set_safety(shelf.connection, a, 0) == []
    assert _missing(shelf, a) == [(2, "resolved")]


@pytest.mark.parametrize(
    ("figure", "newest"),
    [(8, ["P3"]), (5, ["P3"]), (4, ["P3", "P2"]), (2, ["P3", "P2"]), (1, ["P3", "P2", "P1"]), (0, ["P3", "P2", "P1"])],
)
def test_the_newest_holds_that_cover_it_are_recallable(shelf: Shelf, a: int, figure: int, newest: list[str]) -> None:
    shelf.apply(snapshot(figure, seconds=1))
    assert _recallable(shelf, a) == newest


def test_picked_goods_are_not_recalled(shelf: Shelf, a: int) -> None:
    stock.pick(shelf.connection, owner=OWNER, brand=shelf.brand, reference="P3")
    shelf.apply(snapshot(6, seconds=1))
    assert _recallable(shelf, a) == ["P2"]


def test_goods_that_left_leave_nobody_short_while_the_figure_may_contain_it(shelf: Shelf, a: int) -> None:
    shelf.ship("P2", 3, seconds=5)
    assert not shelf.apply(snapshot(6, seconds=6)).shortfalls
    assert shelf.level().atp == 0
    [shortfall] = shelf.apply(snapshot(4, seconds=7)).shortfalls
    assert (shortfall.quantity, _recallable(shelf, a)) == (2, ["P3"])
    [shortfall] = shelf.apply(snapshot(3, seconds=65)).shortfalls
    assert (shortfall.quantity, shelf.level().held) == (3, 6)


def test_a_parcel_that_a_figure_names_leaves_nobody_short(shelf: Shelf, a: int) -> None:
    assert not shelf.apply(snapshot(6, seconds=6, order_refs=["P2"])).shortfalls
    [shortfall] = shelf.apply(snapshot(5, seconds=7)).shortfalls
    assert (shortfall.quantity, _recallable(shelf, a)) == (1, ["P3"])


def test_accepted_goods_leave_nobody_short_of_an_available_figure(shelf: Shelf, a: int) -> None:
    available = StockMeaning(figure=Figure.AVAILABLE)
    shelf.accept("P3", accepted_at=NOON)
    assert not shelf.apply(snapshot(5, seconds=6), meaning=available).shortfalls
    [shortfall] = shelf.apply(snapshot(4, seconds=7), meaning=available).shortfalls
    assert (shortfall.quantity, _recallable(shelf, a)) == (1, ["P2"])


def test_without_a_shortfall_nothing_is_recallable(shelf: Shelf, a: int) -> None:
    assert _recallable(shelf, a) == []


def test_a_closed_shortfall_stays_closed_until_the_next_fact(shelf: Shelf, a: int) -> None:
    [shortfall] = shelf.apply(snapshot(4, seconds=1)).shortfalls
    assert stock.resolve_shortfall(shelf.connection, shortfall.id)
    assert not stock.resolve_shortfall(shelf.connection, shortfall.id)
    shelf.release("P1")
    assert _missing(shelf, a) == [(5, "resolved")]
    [again] = shelf.apply(snapshot(4, seconds=2)).shortfalls
    assert (again.quantity, _missing(shelf, a)) == (3, [(5, "resolved"), (3, "open")])


def test_goods_that_left_without_a_hold_leave_others_short_once_the_figure_shows_it(shelf: Shelf, a: int) -> None:
    shelf.release("P3")
    shelf.hold("P4", (a, 5))
    shelf.ship("P3", 4, seconds=5)
    assert shelf.level().atp == 0
    [shortfall] = shelf.apply(snapshot(6, seconds=6)).shortfalls
    assert (shortfall.quantity, _recallable(shelf, a)) == (4, ["P4"])
