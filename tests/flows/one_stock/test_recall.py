"""Goods that we promised are not there: checkouts are given up, plans are made anew, and nothing waits for ever."""

from datetime import UTC, datetime

from canonical_model.store import safety
from flows.one_stock.shortfall import start_resolving
from flows.runtime.flow import Start
from flows.runtime.runs import start_runs
from tests.flows.desk import Desk
from tests.flows.one_stock.test_checkouts import Shop
from tests.flows.one_stock.town import OWNER, RULES, Town

LATER = "release_after_s = 3600\n"
MANY = 120


def _lack(desk: Desk, town: Town, sku: str, units: int, place: str = "W0") -> None:
    """``units`` of a SKU at a place may no longer be promised."""
    with desk.hub.database.unit() as uow:
        short = safety.set_place_safety(uow.connection, OWNER, town.brand, sku=sku, place=place, units=units)
        assert short
        start_resolving(uow, OWNER, town.brand, short, cause=datetime.now(UTC).isoformat())
        uow.commit()
    desk.hub.runner.drain()


def _order(desk: Desk, town: Town, *order_ids: int) -> None:
    with desk.hub.database.unit() as uow:
        start_runs(
            uow,
            [Start("one_stock.fulfil_order", OWNER, town.brand, str(each), {"order_id": each}) for each in order_ids],
        )
        uow.commit()
    desk.hub.runner.drain()


def _outcomes(town: Town, flow: str) -> list[str]:
    rows = town.rows("SELECT outcome FROM flow_run WHERE brand = %s AND flow = %s ORDER BY id", town.brand, flow)
    return [row["outcome"] for row in rows]


def _tried_again(town: Town) -> list[dict[str, object]]:
    return town.rows(
        "SELECT step.* FROM flow_step AS step JOIN flow_run AS run ON run.id = step.run_id"
        " WHERE run.brand = %s AND step.outcome = 'retry'",
        town.brand,
    )


def _open_shortfalls(town: Town) -> list[dict[str, object]]:
    return town.rows("SELECT * FROM stock_shortfall WHERE brand = %s AND state = 'open'", town.brand)


def test_the_newest_checkout_is_given_up_whole_and_the_older_stays(desk: Desk) -> None:
    shop = Shop(desk.hub.database)
    shop.town.put(0, 0, 5), shop.town.put(0, 1, 5)
    shop.open("OLD", ("S0", 2))
    shop.open("NEW", ("S0", 2), ("S1", 3))
    _lack(desk, shop.town, "S0", 2)
    assert (shop.state("OLD"), shop.state("NEW")) == ("active", "released")
    assert shop.held() == [2, 0]
    reasons = shop.town.rows(
        "SELECT DISTINCT reason FROM stock_hold WHERE brand = %s AND state = 'released'", shop.town.brand
    )
    assert reasons == [{"reason": "shortfall"}]
    _lack(desk, shop.town, "S0", 4)
    assert shop.state("OLD") == "released"
    assert _outcomes(shop.town, "one_stock.resolve_shortfall") == ["resolved", "resolved"]
    assert not _open_shortfalls(shop.town)
    assert not shop.town.wrong()


def test_a_shortfall_takes_checkouts_and_orders_by_their_age(desk: Desk) -> None:
    shop = Shop(desk.hub.database, rules=RULES + LATER)
    shop.town.put(0, 0, 4)
    order = shop.town.order((0, 2))
    _order(desk, shop.town, order)
    shop.open("NEW", ("S0", 2))
    _lack(desk, shop.town, "S0", 1)
    assert (shop.state("NEW"), len(shop.town.parcels(order))) == ("released", 1)
    shop.open("NEWER", ("S0", 1))
    _lack(desk, shop.town, "S0", 4)
    assert (shop.state("NEWER"), shop.town.parcels(order)) == ("released", [])
    assert _outcomes(shop.town, "one_stock.resolve_shortfall") == ["resolved", "resolved"]
    assert not _open_shortfalls(shop.town)


def test_many_plans_that_await_their_release_are_made_anew_at_once_when_their_goods_are_lost(desk: Desk) -> None:
    town = Town(desk.hub.database, places=2, skus=1, rules=RULES.replace("partial", "cancel") + LATER)
    town.put(0, 0, MANY), town.put(1, 0, MANY // 2)
    orders = [town.order((0, 1)) for _ in range(MANY)]
    _order(desk, town, *orders)
    assert all(town.parcels(order) == [(0, {1: 1})] for order in orders)
    _lack(desk, town, "S0", MANY)
    places = [[place for place, _ in town.parcels(order)] for order in orders]
    assert (places.count([1]), places.count([])) == (MANY // 2, MANY // 2)
    cancelled = town.rows("SELECT id FROM sales_order WHERE brand = %s AND status = 'cancelled'", town.brand)
    assert len(cancelled) == MANY // 2
    assert _outcomes(town, "one_stock.recall_parcel") == ["recalled"] * MANY
    assert _outcomes(town, "one_stock.resolve_shortfall") == ["resolved"]
    assert not _tried_again(town)
    assert not _open_shortfalls(town)
    assert not town.wrong()
