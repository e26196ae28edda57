"""Planted damage in the books is found."""

from typing import LiteralString

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.store import stock
from tests.canonical_model.store.shelf import Shelf, snapshot


@pytest.mark.parametrize(
    ("damage", "rule", "found", "expected"),
    [
        ("UPDATE stock_level SET on_hand = on_hand + 1", "on_hand is the sum of its movements", 6, 5),
        ("UPDATE stock_movement SET delta = delta + 1", "on_hand is the sum of its movements", 5, 6),
        ("DELETE FROM stock_movement", "on_hand is the sum of its movements", 5, 0),
        ("UPDATE stock_level SET held = held + 1", "held is the sum of its deducting holds", 4, 3),
        ("UPDATE stock_hold SET deducting = 1", "held is the sum of its deducting holds", 3, 1),
        ("DELETE FROM stock_hold", "held is the sum of its deducting holds", 3, 0),
        ("UPDATE stock_hold SET state = 'released'", "a hold that was given back deducts nothing", 3, 0),
    ],
)
def test_damage_is_found(
    transaction: Connection[DictRow], damage: LiteralString, rule: str, found: int, expected: int
) -> None:
    shelf = Shelf(transaction)
    shelf.apply(snapshot(5))
    level_id = shelf.level().level_id
    shelf.hold("P1", (level_id, 3))
    assert stock.verify(transaction) == []
    transaction.execute(damage)
    assert stock.verify(transaction) == [stock.Difference(level_id, rule, found, expected)]


@pytest.mark.parametrize(
    ("damage", "rule", "found", "expected"),
    [
        ("UPDATE place_day SET parcels = 2", "parcels of a day are its slots", 2, 1),
        ("DELETE FROM place_slot", "parcels of a day are its slots", 1, 0),
        ("DELETE FROM place_day", "parcels of a day are its slots", 0, 1),
        ("UPDATE place_slot SET reference = 'nobody'", "a slot has a parcel that is held or left", 1, 0),
    ],
)
def test_damage_to_the_loads_of_places_is_found(
    transaction: Connection[DictRow], damage: LiteralString, rule: str, found: int, expected: int
) -> None:
    shelf = Shelf(transaction)
    shelf.apply(snapshot(5))
    transaction.execute("UPDATE location SET capacity = 5")
    shelf.hold("P1", (shelf.level().level_id, 3))
    assert stock.verify(transaction) == []
    transaction.execute(damage)
    [difference] = stock.verify(transaction)
    assert (difference.rule, difference.found, difference.expected) == (rule, found, expected)
    assert difference.location_id is not None
