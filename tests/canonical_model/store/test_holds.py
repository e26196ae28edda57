"""A hold takes all or nothing, blocks no one twice, and ends once."""

from datetime import timedelta

import pytest

from canonical_model.errors import ConflictError
from canonical_model.store import stock
from canonical_model.store.stock import Full, Held, HoldLine, Short
from tests.canonical_model.store.shelf import NOON, OWNER, Shelf, snapshot

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def a(shelf: Shelf) -> int:
    """The level of A at W1: five pieces."""
    shelf.apply(snapshot(5), snapshot(2, sku="B"))
    return shelf.level().level_id


@pytest.fixture
def b(shelf: Shelf, a: int) -> int:
    """The level of B at W1: two pieces."""
    return shelf.level("B").level_id


def test_a_hold_lowers_what_may_be_promised(shelf: Shelf, a: int) -> None:
    assert shelf.hold("P1", (a, 3)) == Held()
    level = shelf.level()
    assert (level.on_hand, level.held, level.atp) == (5, 3, 2)


def test_a_refused_hold_changes_nothing(shelf: Shelf, a: int, b: int) -> None:
    assert shelf.hold("P1", (a, 3), (b, 3)) == Short((b,))
    assert (shelf.level().held, shelf.level("B").held) == (0, 0)
    assert stock.list_holds(shelf.connection, order_id=1) == []


def test_safety_stock_is_never_promised(shelf: Shelf, a: int) -> None:
    assert stock.set_safety(shelf.connection, a, 4) == []
    assert shelf.hold("P1", (a, 2)) == Short((a,))
    assert shelf.hold("P2", (a, 1)) == Held()
    assert shelf.level().atp == 0


def test_two_lines_on_one_level_count_together(shelf: Shelf, a: int) -> None:
    assert shelf.hold("P1", (a, 3), (a, 3)) == Short((a,))
    assert shelf.hold("P2", (a, 3), (a, 2)) == Held()


def test_an_unknown_level_has_nothing_to_promise(shelf: Shelf, a: int) -> None:
    assert shelf.hold("P1", (a, 1), (a + 1000, 1)) == Short((a + 1000,))


def test_another_brand_s_level_cannot_be_held(shelf: Shelf, a: int) -> None:
    other = Shelf(shelf.connection, brand="other")
    assert other.hold("P1", (a, 1)) == Short((a,))


def test_asking_again_is_the_same_hold_even_when_nothing_is_left(shelf: Shelf, a: int) -> None:
    assert shelf.hold("P1", (a, 5)) == Held()
    assert shelf.hold("P1", (a, 5)) == Held()
    assert shelf.level().held == 5


def test_a_short_answer_is_not_remembered(shelf: Shelf, a: int) -> None:
    assert shelf.hold("P1", (a, 6)) == Short((a,))
    shelf.apply(snapshot(6, seconds=1))
    assert shelf.hold("P1", (a, 6)) == Held()


@pytest.mark.parametrize("lines", [((0, 2),), ((0, 3), (0, 1)), ((1, 1),)])
def test_a_reference_means_one_hold(shelf: Shelf, a: int, b: int, lines: tuple[tuple[int, int], ...]) -> None:
    shelf.hold("P1", (a, 1))
    with pytest.raises(ConflictError, match="P1"):
        shelf.hold("P1", *(((a, b)[which], quantity) for which, quantity in lines))
    assert (shelf.level().held, shelf.level("B").held) == (1, 0)


def test_a_reference_whose_hold_was_given_back_is_spent(shelf: Shelf, a: int) -> None:
    shelf.hold("P1", (a, 1))
    shelf.release("P1")
    with pytest.raises(ConflictError, match="new parcel number"):
        shelf.hold("P1", (a, 1))


def test_parcels_of_an_order_are_held_together_or_not_at_all(shelf: Shelf, a: int, b: int) -> None:
    def ask(of_b: int) -> Held | Short | Full:
        parcels = {"P1": [HoldLine(1, a, 5)], "P2": [HoldLine(2, b, of_b)]}
        [answer] = stock.hold_many(shelf.connection, [stock.HoldAsked(OWNER, shelf.brand, 1, parcels)])
        return answer

    assert ask(3) == Short((b,))
    assert shelf.level().held == 0
    assert ask(2) == Held() == ask(2)
    assert (shelf.level().held, shelf.level("B").held) == (5, 2)


def test_a_release_gives_back_once(shelf: Shelf, a: int) -> None:
    shelf.hold("P1", (a, 3))
    assert shelf.release("P1").lines == (1,)
    assert not shelf.release("P1")
    assert (shelf.level().held, shelf.level().atp) == (0, 5)


def test_what_shipped_deducts_and_what_lacks_is_free(shelf: Shelf, a: int) -> None:
    shelf.hold("P1", (a, 4))
    assert shelf.ship("P1", 3, lacking=1).lines == (1,)
    assert (shelf.level().held, shelf.level().atp) == (3, 2)


def test_shipping_twice_changes_nothing(shelf: Shelf, a: int) -> None:
    shelf.hold("P1", (a, 4))
    shelf.ship("P1", 4, seconds=10)
    assert not shelf.ship("P1", 4, seconds=99)
    assert not shelf.release("P1")
    shelf.apply(snapshot(1, seconds=80))
    assert (shelf.level().held, shelf.level().atp) == (0, 1)


def test_a_line_that_lacks_everything_is_released(shelf: Shelf, a: int) -> None:
    shelf.hold("P1", (a, 4))
    assert shelf.ship("P1", 0, lacking=4).lines == (1,)
    [row] = stock.list_holds(shelf.connection, order_id=1)
    assert (row["state"], row["reason"], shelf.level().held) == ("released", "lacking", 0)


def test_lines_that_a_confirmation_does_not_name_stay_held(shelf: Shelf, a: int, b: int) -> None:
    shelf.hold("P1", (a, 1), (b, 1))
    assert shelf.ship("P1", 1).lines == (1,)
    assert shelf.release("P1").lines == (2,)


def test_shipping_beats_expiry_even_when_it_is_due(shelf: Shelf, a: int) -> None:
    shelf.hold("P1", (a, 4), expires_at=NOON)
    assert shelf.ship("P1", 4, seconds=10)
    assert stock.expire_due(shelf.connection, NOON + timedelta(days=1)) == []
    assert shelf.level().held == 4


def test_an_accepted_hold_does_not_expire(shelf: Shelf, a: int) -> None:
    shelf.hold("P1", (a, 4), expires_at=NOON)
    assert shelf.accept("P1").lines == (1,)
    assert not shelf.accept("P1")
    assert stock.expire_due(shelf.connection, NOON + timedelta(days=1)) == []


def test_a_due_hold_expires_once(shelf: Shelf, a: int) -> None:
    shelf.hold("P1", (a, 4), expires_at=NOON)
    shelf.hold("P2", (a, 1), expires_at=NOON + timedelta(hours=1))
    assert [row["reference"] for row in stock.expire_due(shelf.connection, NOON)] == ["P1"]
    assert stock.expire_due(shelf.connection, NOON) == []
    assert not shelf.release("P1")
    assert shelf.level().held == 1


@pytest.mark.parametrize("how", ["released", "expired"])
def test_goods_that_left_after_their_hold_ended_deduct_until_the_figure_shows_it(
    shelf: Shelf, a: int, how: str
) -> None:
    shelf.hold("P1", (a, 4), expires_at=NOON)
    if how == "released":
        shelf.release("P1")
    else:
        stock.expire_due(shelf.connection, NOON)
    assert shelf.level().atp == 5
    assert shelf.ship("P1", 4, seconds=10).lines == (1,)
    assert shelf.level().atp == 1
    shelf.apply(snapshot(1, seconds=70))
    assert (shelf.level().held, shelf.level().atp) == (0, 1)


def test_a_picked_parcel_is_noted_once(shelf: Shelf, a: int) -> None:
    shelf.hold("P1", (a, 1))
    assert stock.pick(shelf.connection, owner=OWNER, brand=shelf.brand, reference="P1")
    assert not stock.pick(shelf.connection, owner=OWNER, brand=shelf.brand, reference="P1")


def test_an_unknown_reference_ends_nothing(shelf: Shelf) -> None:
    assert not shelf.release("nobody")
    assert not shelf.ship("nobody", 1)
    assert not shelf.accept("nobody")
