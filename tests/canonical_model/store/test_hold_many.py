"""Many requests are decided one after another, each all or nothing; slots, lots and what is replaced count at once."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from canonical_model.errors import ConflictError
from canonical_model.store import stock
from canonical_model.store.stock import Full, Held, HoldAsked, HoldLine, Short
from tests.canonical_model.store.shelf import NOON, OWNER, Shelf, snapshot

pytestmark = pytest.mark.every_postgres

TODAY = NOON.date()
SOON, LATE = TODAY + timedelta(days=10), TODAY + timedelta(days=90)


@pytest.fixture
def a(shelf: Shelf) -> int:
    """The level of A at W1: five pieces."""
    shelf.apply(snapshot(5), snapshot(2, sku="B"), snapshot(3, place="W2"))
    return shelf.level().level_id


@pytest.fixture
def b(shelf: Shelf, a: int) -> int:
    """The level of B at W1: two pieces."""
    return shelf.level("B").level_id


def asked(shelf: Shelf, reference: str, *lines: tuple[int, int] | tuple[int, int, date], **more: Any) -> HoldAsked:
    """One parcel of (level id, quantity, minimum expiry) lines, numbered from 1."""
    numbered = [HoldLine(number, *line) for number, line in enumerate(lines, 1)]
    return HoldAsked(OWNER, shelf.brand, 1, {reference: numbered}, **{"day": TODAY, **more})


def ask(shelf: Shelf, *requests: HoldAsked) -> Sequence[Held | Short | Full]:
    return stock.hold_many(shelf.connection, requests)


def limit(shelf: Shelf, place: str, capacity: int) -> int:
    row = shelf.connection.execute(
        "UPDATE location SET capacity = %s WHERE brand = %s AND code = %s RETURNING id", [capacity, shelf.brand, place]
    ).fetchone()
    assert row is not None
    return int(row["id"])


def parcels(shelf: Shelf) -> int:
    """Of all places and days."""
    row = shelf.connection.execute("SELECT coalesce(sum(parcels), 0) AS n FROM place_day").fetchone()
    assert row is not None
    return int(row["n"])


def test_nothing_asked_is_nothing_answered(shelf: Shelf) -> None:
    assert ask(shelf) == []


def test_whoever_came_first_is_served_first(shelf: Shelf, a: int) -> None:
    answers = ask(shelf, *(asked(shelf, f"P{number}", (a, 2)) for number in range(4)))
    assert answers == [Held(), Held(), Short((a,)), Short((a,))]
    assert shelf.level().held == 4


def test_a_refused_large_request_does_not_block_a_small_one_behind_it(shelf: Shelf, a: int) -> None:
    requests = [asked(shelf, f"P{number}", (a, units)) for number, units in enumerate([3, 4, 1, 2, 1])]
    assert ask(shelf, *requests) == [Held(), Short((a,)), Held(), Short((a,)), Held()]
    assert shelf.level().atp == 0


def test_a_refused_request_takes_none_of_its_other_lines(shelf: Shelf, a: int, b: int) -> None:
    answers = ask(shelf, asked(shelf, "P1", (a, 5), (b, 3)), asked(shelf, "P2", (a, 5)), asked(shelf, "P3", (b, 2)))
    assert answers == [Short((b,)), Held(), Held()]
    assert (shelf.level().held, shelf.level("B").held) == (5, 2)


def test_the_same_request_twice_in_one_call_is_held_once(shelf: Shelf, a: int) -> None:
    request = asked(shelf, "P1", (a, 3))
    assert ask(shelf, request, request, request) == [Held()] * 3
    assert shelf.level().held == 3


def test_a_used_reference_is_an_answer_to_its_own_request_only(shelf: Shelf, a: int) -> None:
    ask(shelf, asked(shelf, "P1", (a, 1)))
    answers = stock.hold_each(shelf.connection, [asked(shelf, "P1", (a, 2)), asked(shelf, "P2", (a, 2))])
    assert isinstance(answers[0], ConflictError)
    assert answers[1] == Held()
    assert shelf.level().held == 3
    with pytest.raises(ConflictError, match="P1"):
        ask(shelf, asked(shelf, "P1", (a, 2)))


def test_requests_of_two_brands_do_not_touch_each_other(shelf: Shelf, a: int) -> None:
    other = Shelf(shelf.connection, brand="other")
    other.apply(snapshot(1))
    level = other.level().level_id
    answers = ask(shelf, asked(shelf, "P1", (a, 5)), asked(other, "P1", (level, 1)), asked(other, "P2", (a, 1)))
    assert answers == [Held(), Held(), Short((a,))]


def test_what_is_replaced_serves_the_request_that_replaces_it(shelf: Shelf, a: int) -> None:
    ask(shelf, asked(shelf, "P1", (a, 4)))
    assert ask(shelf, asked(shelf, "P2", (a, 5), replaces=("P1",))) == [Held()]
    assert shelf.level().held == 5
    assert ask(shelf, asked(shelf, "P2", (a, 5), replaces=("P1",))) == [Held()]
    states = {row["reference"]: row["reason"] for row in stock.list_holds(shelf.connection, order_id=1)}
    assert states == {"P1": "replaced", "P2": None}


def test_a_refused_request_replaces_nothing(shelf: Shelf, a: int) -> None:
    ask(shelf, asked(shelf, "P1", (a, 4)))
    assert ask(shelf, asked(shelf, "P2", (a, 6), replaces=("P1",))) == [Short((a,))]
    assert shelf.level().held == 4
    assert shelf.release("P1")


def test_what_one_request_frees_is_there_for_the_next(shelf: Shelf, a: int, b: int) -> None:
    ask(shelf, asked(shelf, "P1", (a, 5)))
    behind = asked(shelf, "P3", (a, 5))
    assert ask(shelf, asked(shelf, "P2", (b, 1), replaces=("P1",)), behind) == [Held(), Held()]
    assert ask(shelf, asked(shelf, "P4", (a, 5)), asked(shelf, "P5", (b, 1), replaces=("P3",))) == [
        Short((a,)),
        Held(),
    ]
    assert shelf.level().held == 0


def test_a_place_takes_as_many_parcels_a_day_as_it_can(shelf: Shelf, a: int, b: int) -> None:
    place = limit(shelf, "W1", 2)
    requests = [asked(shelf, f"P{number}", (a, 1), (b, 1)) for number in range(2)]
    assert ask(shelf, *requests) == [Held(), Held()]
    assert ask(shelf, asked(shelf, "P3", (a, 1))) == [Full((place,))]
    tomorrow = asked(shelf, "P4", (a, 1), day=TODAY + timedelta(days=1))
    elsewhere = asked(shelf, "P5", (shelf.level(place="W2").level_id, 1))
    assert ask(shelf, tomorrow, elsewhere) == [Held(), Held()]
    assert parcels(shelf) == 3


@pytest.mark.parametrize("how", ["released", "expired", "lacking", "replaced"])
def test_a_slot_is_given_back_with_the_last_of_its_parcel(shelf: Shelf, a: int, how: str) -> None:
    limit(shelf, "W1", 1)
    ask(shelf, asked(shelf, "P1", (a, 1), expires_at=NOON))
    if how == "released":
        shelf.release("P1")
    elif how == "expired":
        stock.expire_due(shelf.connection, NOON)
    elif how == "lacking":
        shelf.ship("P1", 0, lacking=1)
    else:
        assert ask(shelf, asked(shelf, "P2", (a, 1), replaces=("P1",))) == [Held()]
        shelf.release("P2")
    assert parcels(shelf) == 0
    assert ask(shelf, asked(shelf, "P3", (a, 1))) == [Held()]


def test_a_parcel_that_left_keeps_its_slot(shelf: Shelf, a: int, b: int) -> None:
    place = limit(shelf, "W1", 1)
    ask(shelf, asked(shelf, "P1", (a, 1), (b, 1)))
    shelf.ship("P1", 1)
    shelf.release("P1")
    assert ask(shelf, asked(shelf, "P2", (a, 1))) == [Full((place,))]


def lots(shelf: Shelf, **units: int) -> int:
    """A at W1 counted by batch: the level."""
    days = {"soon": SOON, "late": LATE}
    shelf.apply(*(snapshot(n, batch=name, expires_on=days[name].isoformat()) for name, n in units.items()))
    return shelf.level().level_id


def test_goods_that_last_are_promised_once(shelf: Shelf) -> None:
    a = lots(shelf, soon=3, late=2)
    assert ask(shelf, asked(shelf, "P1", (a, 3, LATE))) == [Short((a,))]
    assert ask(shelf, asked(shelf, "P2", (a, 2, LATE)), asked(shelf, "P3", (a, 1, LATE))) == [Held(), Short((a,))]
    assert ask(shelf, asked(shelf, "P4", (a, 3, SOON)), asked(shelf, "P5", (a, 1))) == [Held(), Short((a,))]


def test_a_short_life_may_be_served_from_a_long_one_but_only_once(shelf: Shelf) -> None:
    a = lots(shelf, soon=1, late=4)
    assert ask(shelf, asked(shelf, "P1", (a, 3, SOON)), asked(shelf, "P2", (a, 2, LATE))) == [Held(), Held()]
    row = shelf.connection.execute("SELECT stock_lasting(%s, %s) AS units", [a, LATE]).fetchone()
    assert row == {"units": 0}


def test_goods_that_left_may_have_been_those_that_last(shelf: Shelf) -> None:
    a = lots(shelf, soon=3, late=2)
    ask(shelf, asked(shelf, "P1", (a, 1)))
    shelf.ship("P1", 1, seconds=10)
    assert ask(shelf, asked(shelf, "P2", (a, 2, LATE))) == [Short((a,))]
    assert ask(shelf, asked(shelf, "P3", (a, 1, LATE))) == [Held()]


def test_goods_of_which_no_batch_is_known_do_not_last(shelf: Shelf, a: int) -> None:
    assert ask(shelf, asked(shelf, "P1", (a, 1, TODAY))) == [Short((a,))]


def test_every_change_of_what_is_held_or_kept_back_is_in_the_feed(shelf: Shelf, a: int) -> None:
    def changes() -> int:
        row = shelf.connection.execute(
            "WITH seen AS (DELETE FROM stock_change WHERE level_id = %s RETURNING id) SELECT count(*) AS n FROM seen",
            [a],
        ).fetchone()
        assert row is not None
        return int(row["n"])

    ask(shelf, *(asked(shelf, f"P{number}", (a, 1), expires_at=NOON) for number in range(3)))
    assert changes() == 1
    shelf.release("P0")
    assert changes() == 1
    stock.expire_due(shelf.connection, NOON)
    assert changes() == 1
    ask(shelf, asked(shelf, "P4", (a, 2)))
    shelf.ship("P4", 1, lacking=1, seconds=10)
    assert changes() == 2
    shelf.ship("P4", 1, lacking=1, seconds=10)
    shelf.release("P4")
    assert changes() == 0
    shelf.apply(snapshot(4, seconds=100))
    assert (shelf.level().held, changes()) == (0, 1)
    stock.set_safety(shelf.connection, a, 1)
    assert changes() == 1


def test_a_late_count_takes_the_lots_that_it_no_longer_has(shelf: Shelf) -> None:
    a = lots(shelf, soon=3, late=2)
    shelf.apply(snapshot(4, 20, batch="soon", expires_on=SOON.isoformat()))
    assert shelf.level().on_hand == 4
    assert ask(shelf, asked(shelf, "P1", (a, 1, LATE))) == [Short((a,))]
