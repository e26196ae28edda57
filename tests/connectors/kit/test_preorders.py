"""What simulated suppliers share, where tests/connectors/suppliers.py does not reach."""

import math
from pathlib import Path

import pytest

from connectors.kit.books import Books
from connectors.kit.preorders import MAX_ITEMS, MAX_PIECES, Item, PreOrders, State

MUG = {"sku": "MUG", "points": 900, "cash_minor": 305, "stock": {"33": 10_000}}


@pytest.fixture
def preorders(tmp_path: Path) -> PreOrders:
    made = PreOrders(Books(tmp_path / "books.db", ""), prefix="P", hold_s=60, ship_s=600)
    made.stock_up([MUG])
    return made


def reserve(preorders: PreOrders, *items: Item) -> str:
    with preorders.open() as db:
        row = preorders.reserve(db, order_no="1", member_ref="m", area="33", items=items)
    return str(row["number"])


def state(preorders: PreOrders) -> list[State]:
    with preorders.open() as db:
        return [row["state"] for row in preorders.page(db, 0, 10)]


def mugs(quantity: int) -> Item:
    return Item("MUG", quantity, 900 * quantity, 305 * quantity)


def test_an_order_leaves_by_itself_when_its_time_has_come(preorders: PreOrders) -> None:
    number = reserve(preorders, mugs(1))
    with preorders.open() as db:
        preorders.confirm(db, number, "1")
    preorders.set_ahead(599)
    assert state(preorders) == [State.ORDERED]
    preorders.set_ahead(601)
    assert state(preorders) == [State.SHIPPED]
    assert preorders.goods("33", "", 1)[0]["free"] == 9_999


def test_a_change_of_stock_leaves_what_is_kept(preorders: PreOrders) -> None:
    reserve(preorders, mugs(3))
    preorders.stock_up([{**MUG, "stock": {"33": 2}}])
    assert preorders.goods("33", "", 1)[0]["free"] == 0
    assert state(preorders) == [State.HELD]


@pytest.mark.parametrize("items", [[], [mugs(1)] * (MAX_ITEMS + 1), [mugs(0)], [mugs(MAX_PIECES + 1)]])
def test_an_order_out_of_bounds_leaves_nothing(preorders: PreOrders, items: list[Item]) -> None:
    with pytest.raises(ValueError, match="须为"):
        reserve(preorders, *items)
    assert state(preorders) == []


@pytest.mark.parametrize("hold_s", [0, -1, math.inf, math.nan, 10**9])
def test_a_hold_has_an_end(tmp_path: Path, hold_s: float) -> None:
    with pytest.raises(ValueError, match="hold_s"):
        PreOrders(Books(tmp_path / "books.db", ""), prefix="P", hold_s=hold_s, ship_s=1)


@pytest.mark.parametrize("ahead_s", [math.inf, math.nan])
def test_a_clock_shows_a_time(preorders: PreOrders, ahead_s: float) -> None:
    with pytest.raises(ValueError, match="ahead_s"):
        preorders.set_ahead(ahead_s)
