"""What sells where, and how places work, is reckoned anew from what left."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.order import OrderStatus, ParcelStatus
from canonical_model.store import orders
from canonical_model.store.velocity import WINDOW_DAYS, computed_at, place_figures, refresh_velocity
from tests.canonical_model.store.shelf import NOON, OWNER, Shelf

pytestmark = pytest.mark.every_postgres
BRAND = "yunshang"


class Sales:
    """Parcels and till sales of the shelf's goods, so many days before noon."""

    def __init__(self, connection: Connection[DictRow]) -> None:
        self.connection = connection
        self.numbers = 0

    def id_of(self, table: str, code: str) -> int:
        row = self.connection.execute(
            "SELECT inner_id FROM crosswalk WHERE kind = %s AND scheme = 'hub' AND outside_id = %s", [table, code]
        ).fetchone()
        assert row is not None
        return int(row["inner_id"])

    def parcel(self, place: str, status: ParcelStatus, days_ago: float = 1, **units: int) -> None:
        self.numbers += 1
        number, moment = f"P{self.numbers}", NOON - timedelta(days=days_ago)
        lines = [
            {"line_no": n, "sku_id": self.id_of("sku", code), "sku": code, "quantity": 9, "amount_minor": 1}
            for n, code in enumerate(units, 1)
        ]
        order_id = self.order("shop", "delivery", lines, OrderStatus.ALLOCATED)
        orders.plan_parcels(self.connection, [orders.NewParcel(order_id, number, self.id_of("location", place), lines)])
        sent = [{**line, "shipped": shipped} for line, shipped in zip(lines, units.values(), strict=True)]
        shipped_at = moment if status is ParcelStatus.SHIPPED else None
        orders.set_parcel(self.connection, OWNER, BRAND, number, status=status, shipped_at=shipped_at, lines=sent)
        self.connection.execute("UPDATE parcel SET created_at = %s WHERE parcel_no = %s", [moment, number])

    def till(self, store: str, sku: str, units: int, *, kind: str = "carry_out", system: str = "pos") -> None:
        lines = [{"line_no": 1, "sku_id": self.id_of("sku", sku), "sku": sku, "quantity": units, "amount_minor": 1}]
        self.order(system, kind, lines, OrderStatus.COMPLETED, store=store)

    def order(self, system: str, kind: str, lines: list[dict[str, Any]], status: OrderStatus, **more: str) -> int:
        self.numbers += 1
        body: dict[str, Any] = {
            "owner": OWNER,
            "brand": BRAND,
            "source": {"system": system, "id": "T", "occurred_at": NOON.isoformat(), "message_id": "m"},
            "channel": system,
            "order_no": f"T{self.numbers}",
            "kind": kind,
            "currency": "CNY",
            "total_minor": 1,
            "placed_at": (NOON - timedelta(days=2)).isoformat(),
            **more,
        }
        [done] = orders.insert_orders(self.connection, [orders.NewOrder(body, lines, status)])
        return done.order_id

    def weekly(self, now: datetime = NOON) -> dict[tuple[str, str], float]:
        refresh_velocity(self.connection, OWNER, BRAND, now)
        rows = self.connection.execute(
            "SELECT sku.code AS sku, location.code AS place, weekly FROM stock_velocity"
            " JOIN sku ON sku.id = sku_id JOIN location ON location.id = location_id"
        )
        return {(row["sku"], row["place"]): row["weekly"] for row in rows}


@pytest.fixture
def sales(shelf: Shelf) -> Sales:
    return Sales(shelf.connection)


def test_what_was_shipped_and_what_was_carried_out_is_sold(sales: Sales) -> None:
    sales.parcel("W1", ParcelStatus.SHIPPED, A=6, B=1)
    sales.parcel("W1", ParcelStatus.SHIPPED, A=2)
    sales.till("W2", "A", 4)
    sales.till("W2", "A", 4, system="other")  # whose names nobody linked: the hub's own code is taken
    assert sales.weekly() == {("A", "W1"): 2.0, ("B", "W1"): 0.25, ("A", "W2"): 2.0}


def test_what_was_not_sold_is_not_counted(sales: Sales) -> None:
    sales.parcel("W1", ParcelStatus.SHIPPED, days_ago=WINDOW_DAYS, A=6)
    sales.parcel("W1", ParcelStatus.SHIPPED, days_ago=-1, A=6)
    sales.parcel("W1", ParcelStatus.ACCEPTED, A=6)
    sales.parcel("W1", ParcelStatus.SHIPPED, A=0)
    sales.till("W2", "A", 4, kind="return")
    sales.till("nowhere", "A", 4)
    assert sales.weekly() == {}


def test_what_no_longer_sells_has_no_figure(sales: Sales) -> None:
    sales.parcel("W1", ParcelStatus.SHIPPED, A=4)
    assert sales.weekly() == {("A", "W1"): 1.0}
    assert sales.weekly(NOON + timedelta(days=WINDOW_DAYS)) == {}


def test_a_place_is_judged_by_what_it_was_asked(sales: Sales) -> None:
    for status in (ParcelStatus.SHIPPED, ParcelStatus.ACCEPTED, ParcelStatus.REFUSED, ParcelStatus.PLANNED):
        sales.parcel("W1", status, A=1)
    sales.parcel("W1", ParcelStatus.REFUSED, days_ago=WINDOW_DAYS + 1, A=1)
    assert computed_at(sales.connection, OWNER, BRAND) is None
    sales.weekly()
    figures = [(each.asked, each.accepted) for each in place_figures(sales.connection, OWNER, BRAND)]
    assert figures == [(3, 2), (0, 0)]
    assert computed_at(sales.connection, OWNER, BRAND) == NOON


def test_another_brand_keeps_its_figures(sales: Sales) -> None:
    sales.parcel("W1", ParcelStatus.SHIPPED, A=4)
    sales.weekly()
    assert refresh_velocity(sales.connection, OWNER, "sister", NOON + timedelta(days=99)) == 0
    assert sales.connection.execute("SELECT count(*) AS n FROM stock_velocity").fetchone() == {"n": 1}
