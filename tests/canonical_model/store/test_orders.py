"""Orders are stored once; the same again is recognised, another under the same number is told apart."""

import time
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import NotFoundError
from canonical_model.order import OrderStatus, ParcelStatus
from canonical_model.store import orders
from flows.runtime.database import Database
from tests.canonical_model.store.shelf import NOON, OWNER, at

pytestmark = pytest.mark.every_postgres


def _order(order_no: str = "T1", *, token: str | None = None, **changes: Any) -> orders.NewOrder:
    body = {
        "owner": OWNER,
        "brand": "yunshang",
        "source": {"system": "shop", "id": order_no, "occurred_at": at(0), "message_id": "m-1"},
        "channel": "shop",
        "order_no": order_no,
        "kind": "delivery",
        "currency": "CNY",
        "total_minor": 20_000,
        "placed_at": at(0),
        **changes,
    }
    lines = [
        {"line_no": 1, "sku_id": 11, "sku": "A", "quantity": 2, "amount_minor": 15_000, "unit": "EA"},
        {"line_no": 2, "sku_id": 12, "sku": "B", "quantity": 1, "amount_minor": 5_000, "unit": "EA"},
    ]
    return orders.NewOrder(
        body=body,
        lines=lines,
        status=OrderStatus.RECEIVED,
        lat=30.25,
        lon=120.17,
        receiver_sealed=b"\x00sealed",
        receiver_key_id=7,
        receiver_token=token,
        traceparent="00-1-2-01",
    )


def _insert(connection: Connection[DictRow], *new: orders.NewOrder) -> list[tuple[bool, bool]]:
    return [(done.new, done.same) for done in orders.insert_orders(connection, new)]


@pytest.fixture
def order_id(connection: Connection[DictRow]) -> int:
    [done] = orders.insert_orders(connection, [_order()])
    return done.order_id


def test_an_order_comes_back_as_it_was_stored(connection: Connection[DictRow], order_id: int) -> None:
    order = orders.get_order(connection, OWNER, "yunshang", order_id)
    assert (order["channel"], order["order_no"], order["status"]) == ("shop", "T1", "received")
    assert (order["placed_at"], order["lat"], order["traceparent"]) == (NOON, 30.25, "00-1-2-01")
    assert (bytes(order["receiver_sealed"]), order["receiver_key_id"]) == (b"\x00sealed", 7)
    assert order["body"] == _order().body
    assert [(line["sku_id"], line["sku_code"], line["quantity"]) for line in order["lines"]] == [
        (11, "A", 2),
        (12, "B", 1),
    ]


def test_the_same_order_in_another_message_is_the_same(connection: Connection[DictRow]) -> None:
    again = _order(source={"system": "shop", "id": "T1", "occurred_at": at(5), "message_id": "m-2"})
    assert _insert(connection, _order(), _order("T2")) == [(True, True), (True, True)]
    assert _insert(connection, again, _order("T3")) == [(False, True), (True, True)]
    assert len(orders.list_orders(connection, owner=OWNER, brand="yunshang")) == 3


def test_another_order_under_a_known_number_is_told_apart(connection: Connection[DictRow], order_id: int) -> None:
    assert _insert(connection, _order(total_minor=1)) == [(False, False)]
    assert _insert(connection, _order(token="another receiver")) == [(False, False)]
    assert orders.get_order(connection, OWNER, "yunshang", order_id)["total_minor"] == 20_000


def test_of_two_orders_with_one_number_in_a_batch_the_first_is_stored(connection: Connection[DictRow]) -> None:
    assert _insert(connection, _order(), _order(total_minor=1), _order()) == [
        (True, True),
        (False, False),
        (False, True),
    ]
    [stored] = orders.list_orders(connection, owner=OWNER, brand="yunshang")
    assert stored["total_minor"] == 20_000


def test_numbers_are_unique_within_a_channel_and_brand_only(connection: Connection[DictRow], order_id: int) -> None:
    assert _insert(connection, _order(channel="live"), _order(brand="other")) == [(True, True)] * 2


def test_no_orders_are_no_orders(connection: Connection[DictRow]) -> None:
    assert orders.insert_orders(connection, []) == []


def test_an_unknown_order_is_not_found(connection: Connection[DictRow], order_id: int) -> None:
    assert orders.find_order_id(connection, OWNER, "yunshang", "shop", "T1") == order_id
    assert orders.find_order_id(connection, OWNER, "yunshang", "shop", "T9") is None
    with pytest.raises(NotFoundError):
        orders.get_order(connection, OWNER, "other", order_id)


def test_orders_are_listed_page_by_page(connection: Connection[DictRow]) -> None:
    _insert(connection, *(_order(f"T{number}") for number in range(5)))
    first = orders.list_orders(connection, owner=OWNER, brand="yunshang", limit=2)
    rest = orders.list_orders(connection, owner=OWNER, brand="yunshang", after=first[-1]["id"])
    assert [row["order_no"] for row in first + rest] == [f"T{number}" for number in range(5)]
    found = orders.list_orders(connection, owner=OWNER, brand="yunshang", order_no="T3", status="received")
    assert [row["order_no"] for row in found] == ["T3"]


def test_what_shipped_is_counted_and_the_rest_cancelled(connection: Connection[DictRow], order_id: int) -> None:
    orders.add_shipped(connection, order_id, 1, 1)
    orders.cancel_open(connection, order_id)
    lines = orders.list_lines(connection, order_id)
    assert [(line["shipped"], line["cancelled"]) for line in lines] == [(1, 1), (0, 1)]


def _feed(database: Database, **filters: Any) -> list[tuple[int, str, str]]:
    with database.unit() as uow:
        rows = orders.list_events(uow.connection, owner=OWNER, brand="yunshang", **filters)
    return [(row["id"], row["kind"], row["order_no"]) for row in rows]


def _whole_feed(database: Database, events: int) -> list[tuple[int, str, str]]:
    """The feed once it shows ``events``: it waits for every writer on the server, and the server may have others."""
    until = time.monotonic() + 30
    while len(feed := _feed(database, channel="shop")) < events and time.monotonic() < until:
        time.sleep(0.05)
    return feed


def test_events_are_a_feed_in_sequence(database: Database) -> None:
    with database.unit() as uow:
        [done] = orders.insert_orders(uow.connection, [_order()])
        orders.add_event(uow.connection, done.order_id, "allocated", {"parcels": ["P1"]})
        orders.add_event(uow.connection, done.order_id, "shipped", {})
        uow.commit()
    feed = _whole_feed(database, 2)
    assert [event[1:] for event in feed] == [("allocated", "T1"), ("shipped", "T1")]
    assert _feed(database, after=feed[0][0], order_id=done.order_id) == feed[1:]
    assert _feed(database, channel="live") == []


def test_an_event_waits_until_those_before_it_can_no_longer_appear(database: Database) -> None:
    with database.unit() as uow:
        [done] = orders.insert_orders(uow.connection, [_order()])
        uow.commit()
    with database.unit() as slow:
        orders.add_event(slow.connection, done.order_id, "first", {})
        with database.unit() as quick:
            orders.add_event(quick.connection, done.order_id, "second", {})
            quick.commit()
        assert _feed(database) == []
        slow.commit()
    assert [event[1] for event in _whole_feed(database, 2)] == ["first", "second"]


def test_an_event_waits_for_one_before_it_of_a_transaction_that_began_later(database: Database) -> None:
    """By the ages of transactions alone nobody could tell: the one that began first draws last."""
    with database.unit() as uow:
        [done] = orders.insert_orders(uow.connection, [_order()])
        uow.commit()
    with database.unit() as early, database.unit() as late:
        early.execute("SELECT pg_current_xact_id()")
        orders.add_event(late.connection, done.order_id, "first", {})
        orders.add_event(early.connection, done.order_id, "second", {})
        early.commit()
        assert _feed(database) == []
        late.commit()
    assert [event[1] for event in _whole_feed(database, 2)] == ["first", "second"]


def test_a_parcel_changes_only_what_it_is_told(connection: Connection[DictRow], order_id: int) -> None:
    planned = {"line_no": 1, "sku_id": 11, "quantity": 2}
    lines = [{**planned, "shipped": 0, "lacking": 0}]
    orders.plan_parcels(connection, [orders.NewParcel(order_id, "P1", 3, [planned])])
    orders.set_parcel(connection, OWNER, "yunshang", "P1", status=ParcelStatus.SHIPPED, shipped_at=at(9), waybill="W")
    parcel = orders.get_parcel(connection, OWNER, "yunshang", "P1")
    assert (parcel["status"], parcel["waybill"], parcel["carrier"], parcel["lines"]) == ("shipped", "W", None, lines)
    with pytest.raises(ValueError, match="order_id"):
        orders.set_parcel(connection, OWNER, "yunshang", "P1", order_id="9")
    with pytest.raises(NotFoundError):
        orders.get_parcel(connection, OWNER, "yunshang", "P9")
