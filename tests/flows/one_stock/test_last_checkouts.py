"""Processes that keep and order the last units are killed at random: nothing is oversold, leaked or ended twice."""

import pytest
from psycopg import IsolationLevel

from canonical_model.store import stock
from flows.runtime.database import Database
from tests.canonical_model.store.crew import Crew
from tests.flows.desk import Desk
from tests.flows.one_stock import shopper
from tests.flows.one_stock.test_checkouts import Shop

PROCESSES = 4
SKUS = 12
WRONG = """
    SELECT 'oversold' AS what, id::text AS which FROM stock_level WHERE held > on_hand - safety
    UNION ALL
    SELECT 'over capacity', location_id::text FROM place_day JOIN location ON location.id = location_id
    WHERE parcels > capacity
    UNION ALL
    SELECT 'an active checkout lacks goods', checkout.id::text FROM checkout
    CROSS JOIN jsonb_array_elements(parcels) AS parcel CROSS JOIN jsonb_array_elements(parcel -> 'lines') AS line
    WHERE checkout.state = 'active' AND NOT EXISTS (
        SELECT FROM stock_hold AS hold WHERE hold.owner = checkout.owner AND hold.brand = checkout.brand
            AND hold.reference = parcel ->> 'reference' AND hold.line_no = (line ->> 'line_no')::int
            AND hold.quantity = (line ->> 'quantity')::bigint AND hold.state = 'active')
    UNION ALL
    SELECT 'goods held for no active checkout', hold.reference FROM stock_hold AS hold
    WHERE hold.state = 'active' AND hold.order_id IS NULL AND NOT EXISTS (
        SELECT FROM checkout CROSS JOIN jsonb_array_elements(parcels) AS parcel
        WHERE checkout.state = 'active' AND parcel ->> 'reference' = hold.reference)
    UNION ALL
    SELECT 'a confirmed checkout without an order', id::text FROM checkout
    WHERE state = 'confirmed' AND NOT EXISTS (SELECT FROM stock_hold WHERE order_id = checkout.id)
    UNION ALL
    SELECT 'an order without a confirmed checkout', reference FROM stock_hold
    WHERE order_id IS NOT NULL AND NOT EXISTS (SELECT FROM checkout WHERE id = order_id AND state = 'confirmed')
"""


def _look(database: Database) -> list[object]:
    """What is wrong, in one snapshot."""
    with database.unit() as uow:
        uow.connection.isolation_level = IsolationLevel.REPEATABLE_READ
        try:
            return [*stock.verify(uow.connection), *uow.execute(WRONG).fetchall()]
        finally:
            uow.connection.rollback()
            uow.connection.isolation_level = None


def _every_end_was_met(database: Database) -> bool:
    states = {row["state"] for row in database.run("SELECT DISTINCT state FROM checkout")}
    return states >= {"active", "confirmed", "released", "expired"}


def _fight(desk: Desk, seconds: float) -> None:
    database = desk.hub.database
    shop = Shop(database, places=3, skus=SKUS)
    for place in range(3):
        shop.town.change_place(place, capacity=400)
        for sku in range(SKUS):
            shop.town.put(place, sku, 20, safety=1)
    crew = Crew(database.url, shopper.work, PROCESSES, lives_s=1.5, brand=shop.town.brand, skus=SKUS)
    try:
        for seen in crew.watched(database, seconds, lambda: _every_end_was_met(database)):
            assert _look(seen) == []
    finally:
        crew.kill_all()
    assert _look(database) == []


def test_what_is_kept_is_kept_once_whoever_dies(desk: Desk) -> None:
    _fight(desk, 5)


@pytest.mark.soak
def test_what_is_kept_is_kept_once_whoever_dies_in_half_a_minute(desk: Desk) -> None:
    _fight(desk, 30)
