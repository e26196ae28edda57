"""Waiting orders get better plans: groups change whole or not at all, whatever happens beside them."""

import random
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, LiteralString

import pytest
from psycopg import sql

from flows.one_stock.fulfil_order import WAKE
from flows.one_stock.reoptimise import Report, reoptimise
from flows.one_stock.routing import batch
from flows.one_stock.rulebooks import publish_rulebook
from flows.runtime import runs
from tests.flows.desk import Desk, count, order, place, product

RULES = "parcel_cost = 10\nper_km = 1\nmax_parcels = 4\non_short = 'partial'\nrelease_after_s = 3600\n"
HANGZHOU = {"lat": 30.25, "lon": 120.16}
WUHAN = {"lat": 30.6, "lon": 114.3}
BETWEEN = {"lat": 30.4, "lon": 117.3}  # a little nearer to Hangzhou
OWNER = "yunshang"
KILLED = """
import os, sys
from datetime import UTC, datetime
from flows.one_stock.reoptimise import reoptimise
from flows.runtime.database import Database
with Database(sys.argv[1], on_commit=lambda: os._exit(9)) as database:
    reoptimise(database, "yunshang", "yunshang", now=datetime.now(UTC))
"""


@pytest.fixture
def pool(desk: Desk) -> Desk:
    """Two warehouses, far apart; orders wait an hour before they are released."""
    with desk.hub.database.unit() as uow:
        publish_rulebook(uow, OWNER, OWNER, RULES, "", "test")
        uow.commit()
    desk.push("products", product("TEE"), product("CUP"))
    desk.push("locations", place("HZ", point=HANGZHOU), place("WH", point=WUHAN))
    return desk


def sell(desk: Desk, number: str, point: dict[str, float], *skus: str) -> int:
    """The id of an order to that point, planned and waiting for its release."""
    receiver = {"name": "陈一", "mobile": "13800000000", "city": "杭州市", "region_code": "330106", "point": point}
    desk.push("orders", order(number, *skus, receiver=receiver))
    desk.hub.runner.drain()
    found: int = desk.one("SELECT id FROM sales_order WHERE order_no = %s", (number,))
    return found


def crossed(desk: Desk, pairs: int = 1) -> list[tuple[int, int]]:
    """Pairs of orders: the buyer in between was first and got what the buyer in Hangzhou could have had next door."""
    desk.push("products", *(product(f"SKU{n}") for n in range(pairs)))
    for place_ in ("HZ", "WH"):
        desk.push("stock", *(count(f"SKU{n}", place_, 1) for n in range(pairs)))
    return [
        (sell(desk, f"FAR{n}", BETWEEN, f"SKU{n}"), sell(desk, f"NEAR{n}", HANGZHOU, f"SKU{n}")) for n in range(pairs)
    ]


def better(desk: Desk) -> Report:
    return reoptimise(desk.hub.database, OWNER, OWNER, now=datetime.now(UTC))


def sources(desk: Desk, order_id: int) -> list[str]:
    """The places of its live parcels."""
    rows = desk.rows(
        "SELECT l.code FROM parcel p JOIN location l ON l.id = p.location_id"
        " WHERE p.order_id = %s AND p.status NOT IN ('cancelled', 'refused') ORDER BY p.id",
        (order_id,),
    )
    return [row["code"] for row in rows]


def planned(desk: Desk) -> Counter[tuple[int, int]]:
    """Units in live parcels by order and line."""
    units = Counter[tuple[int, int]]()
    for row in desk.rows("SELECT order_id, lines FROM parcel WHERE status = 'planned'"):
        for line in row["lines"]:
            units[row["order_id"], line["line_no"]] += line["quantity"]
    return units


def check(desk: Desk) -> None:
    """Nothing is promised twice, and what is held is what is planned, line by line at the same places."""
    assert not desk.rows(
        "SELECT id FROM stock_level WHERE on_hand - safety < held OR held <> coalesce("
        "(SELECT sum(deducting) FROM stock_hold WHERE level_id = stock_level.id), 0)"
    )
    held = desk.rows(
        "SELECT h.reference, h.line_no, h.quantity, l.location_id, l.sku_id FROM stock_hold h"
        " JOIN stock_level l ON l.id = h.level_id WHERE h.state = 'active' ORDER BY 1, 2"
    )
    lines = desk.rows(
        "SELECT p.parcel_no AS reference, (line ->> 'line_no')::integer AS line_no,"
        " (line ->> 'quantity')::bigint AS quantity, p.location_id, (line ->> 'sku_id')::bigint AS sku_id"
        " FROM parcel p, jsonb_array_elements(p.lines) AS line WHERE p.status = 'planned' ORDER BY 1, 2"
    )
    assert held == lines
    slots = desk.rows("SELECT location_id, count(*) AS parcels FROM place_slot GROUP BY 1 ORDER BY 1")
    assert slots == desk.rows(
        "SELECT location_id, sum(parcels)::bigint AS parcels FROM place_day WHERE parcels > 0 GROUP BY 1 ORDER BY 1"
    )


def test_two_orders_swap_their_places_when_both_together_are_nearer_then(pool: Desk) -> None:
    [(far, near)] = crossed(pool)
    assert (sources(pool, far), sources(pool, near)) == (["HZ"], ["WH"])
    report = better(pool)
    assert (sources(pool, far), sources(pool, near)) == (["WH"], ["HZ"])
    assert (report.orders, report.changed, report.skipped) == (2, 2, 0)
    assert report.cost_after < report.cost_before - 400
    check(pool)


def test_a_new_plan_is_told_in_the_feed_and_kept_with_its_reasons(pool: Desk) -> None:
    [(far, _)] = crossed(pool)
    better(pool)
    (event,) = pool.rows("SELECT detail FROM order_event WHERE order_id = %s AND kind = 'reoptimised'", (far,))
    assert event["detail"] == {"parcels": [f"P{far:08d}-2"], "instead_of": [f"P{far:08d}-1"]}
    rows = pool.rows("SELECT round, cause, action FROM order_decision WHERE order_id = %s ORDER BY round", (far,))
    assert [tuple(row.values()) for row in rows] == [(1, "placed", "allocate"), (2, "reoptimised", "allocate")]


def test_the_new_parcels_are_the_ones_that_leave(pool: Desk) -> None:
    [(far, _)] = crossed(pool)
    better(pool)
    with pool.hub.database.unit() as uow:
        flow = "one_stock.fulfil_order"
        runs.signal(uow, owner=OWNER, brand=OWNER, flow=flow, key=str(far), name=WAKE, signal_key="now", payload={})
        uow.commit()
    pool.hub.runner.work("local")
    started = pool.rows("SELECT business_key FROM flow_run WHERE flow = 'one_stock.ship_parcel'")
    assert [row["business_key"] for row in started] == [f"P{far:08d}-2"]


def test_parcels_that_stay_keep_their_numbers(pool: Desk) -> None:
    pool.push("stock", count("TEE", "HZ", 1), count("CUP", "WH", 5), count("CUP", "HZ", 0))
    split = sell(pool, "A1", HANGZHOU, "TEE", "CUP")
    kept = pool.one(
        "SELECT parcel_no FROM parcel p JOIN location l ON l.id = p.location_id WHERE l.code = 'HZ' AND order_id = %s",
        (split,),
    )
    pool.push("locations", place("NB", point={"lat": 29.87, "lon": 121.55}))
    pool.push("stock", count("CUP", "NB", 5))
    better(pool)
    assert sorted(sources(pool, split)) == ["HZ", "NB"]
    assert kept in [row["parcel_no"] for row in pool.rows("SELECT parcel_no FROM parcel WHERE status = 'planned'")]
    check(pool)


def test_what_was_short_is_filled_when_goods_have_come(pool: Desk) -> None:
    pool.push("stock", count("TEE", "HZ", 1))
    partial = sell(pool, "A1", HANGZHOU, "TEE", "CUP")
    assert planned(pool) == {(partial, 1): 1}
    pool.push("stock", count("CUP", "HZ", 1))
    better(pool)
    assert planned(pool) == {(partial, 1): 1, (partial, 2): 1}
    assert sources(pool, partial) == ["HZ"]
    check(pool)


def test_a_full_place_swaps_a_parcel_for_another(pool: Desk) -> None:
    pool.push("locations", place("HZ", point=HANGZHOU, capacity=1))
    [(far, near)] = crossed(pool)
    better(pool)
    assert (sources(pool, far), sources(pool, near)) == (["WH"], ["HZ"])
    check(pool)


@pytest.mark.parametrize("change", ["released_at = now()", "status_reason = 'cancel_requested'", "status = 'parked'"])
def test_an_order_that_was_released_or_cancelled_meanwhile_keeps_its_plan_and_so_does_its_group(
    pool: Desk, monkeypatch: pytest.MonkeyPatch, change: LiteralString
) -> None:
    [(far, near)] = crossed(pool)
    search = batch.reoptimise

    def meanwhile(*asked: Any) -> batch.Outcome:
        pool.hub.database.run(sql.SQL("UPDATE sales_order SET {} WHERE id = %s").format(sql.SQL(change)), (far,))
        return search(*asked)

    monkeypatch.setattr(batch, "reoptimise", meanwhile)
    report = better(pool)
    assert (report.changed, report.skipped) == (0, 2)
    assert (sources(pool, far), sources(pool, near)) == (["HZ"], ["WH"])
    check(pool)


def test_without_a_wait_in_the_rules_nothing_is_looked_at(pool: Desk) -> None:
    crossed(pool)
    with pool.hub.database.unit() as uow:
        publish_rulebook(uow, OWNER, OWNER, RULES.replace("3600", "0"), "", "test")
        uow.commit()
    assert better(pool) == Report()


def test_a_better_plan_names_its_batches_too(pool: Desk) -> None:
    [(far, near)] = crossed(pool)
    database = pool.hub.database
    database.run("UPDATE sku SET batch_managed = true")
    database.run("UPDATE stock_level SET as_of = now()")
    database.run(
        "INSERT INTO stock_lot (level_id, batch, expires_on, on_hand, as_of)"
        " SELECT id, 'B', current_date + 99, on_hand, as_of FROM stock_level"
    )
    assert better(pool).changed == 2
    rows = pool.rows("SELECT lines FROM parcel WHERE status = 'planned' AND order_id = ANY (%s)", ([far, near],))
    assert [line["batches"] for row in rows for line in row["lines"]] == [[{"batch": "B", "quantity": 1}]] * 2


def test_an_order_that_somebody_else_is_busy_with_is_left_alone(pool: Desk) -> None:
    [(far, near)] = crossed(pool)
    with pool.hub.database.unit() as uow:
        uow.execute("SELECT FROM sales_order WHERE id = %s FOR UPDATE", (near,))
        report = better(pool)
    assert (report.changed, report.skipped) == (0, 2)
    assert (sources(pool, far), sources(pool, near)) == (["HZ"], ["WH"])


def test_goods_that_are_lost_meanwhile_leave_the_old_plan_whole(pool: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.push("stock", count("TEE", "HZ", 0), count("TEE", "WH", 1))
    sold = sell(pool, "A1", HANGZHOU, "TEE")
    pool.push("stock", count("TEE", "HZ", 1, as_of="2026-03-01T13:00:00+08:00"))
    search = batch.reoptimise

    def meanwhile(*asked: Any) -> batch.Outcome:
        outcome = search(*asked)
        assert outcome.changes
        pool.hub.database.run("UPDATE stock_level SET safety = 1 WHERE held = 0")
        return outcome

    monkeypatch.setattr(batch, "reoptimise", meanwhile)
    assert better(pool).skipped == 1
    assert sources(pool, sold) == ["WH"]
    check(pool)


def test_killed_after_the_first_group_the_second_still_has_its_old_plans_whole(pool: Desk) -> None:
    pairs = crossed(pool, 2)
    before = planned(pool)
    killed = subprocess.run([sys.executable, "-c", KILLED, pool.hub.database.url], check=False, timeout=60)
    assert killed.returncode == 9
    plans = sorted((sources(pool, far), sources(pool, near)) for far, near in pairs)
    assert plans == [(["HZ"], ["WH"]), (["WH"], ["HZ"])]
    assert planned(pool) == before
    check(pool)
    assert better(pool).changed == 2


@pytest.mark.parametrize("seed", range(2))
def test_beside_releases_and_other_passes_every_order_stays_whole(pool: Desk, seed: int) -> None:
    _race(pool, seed, pairs=4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 120))
def test_beside_releases_and_other_passes_every_order_stays_whole_soak(pool: Desk, seed: int) -> None:
    _race(pool, seed, pairs=10)


def _race(pool: Desk, seed: int, pairs: int) -> None:
    ids = [order_id for pair in crossed(pool, pairs) for order_id in pair]
    before = planned(pool)
    released = random.Random(seed).sample(ids, pairs)

    def release(order_id: int) -> None:
        with pool.hub.database.unit() as uow:
            uow.execute("SELECT FROM sales_order WHERE id = %s FOR UPDATE", (order_id,))
            uow.execute("UPDATE sales_order SET released_at = now() WHERE id = %s", (order_id,))
            uow.commit()

    with ThreadPoolExecutor(4) as threads:
        passes = [threads.submit(better, pool) for _ in range(3)]
        for done in [*threads.map(release, released), *(each.result() for each in passes)]:
            assert done is None or done.orders <= len(ids)
    assert planned(pool) == before
    check(pool)
