"""Orders are planned by the rules, held as planned, and every decision can be made again from its record."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from canonical_model.store.holds import Held, HoldAsked, HoldLine, hold_many
from flows.one_stock.decisions import Ask, explained, plan_orders
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Action
from flows.runtime.database import Database
from tests.flows.desk import Desk
from tests.flows.one_stock.town import NOW, OWNER, RULES, Town


@pytest.fixture
def database(desk: Desk) -> Database:
    return desk.hub.database


def test_an_order_ships_from_the_nearest_place_that_has_everything(database: Database) -> None:
    town = Town(database, places=3, skus=2)
    town.put(0, 0, 5), town.put(1, 0, 5), town.put(1, 1, 5), town.put(2, 0, 5), town.put(2, 1, 5)
    order = town.order((0, 1), (1, 2))
    planned = town.only(order)
    assert (planned.action, planned.unfilled) == (Action.ALLOCATE, [])
    assert town.parcels(order) == [(1, {1: 1, 2: 2})]
    assert town.rows("SELECT status FROM sales_order WHERE id = %s", order) == [{"status": "allocated"}]
    assert not town.astray()


def test_a_brand_without_rules_of_its_own_sends_all_or_nothing(database: Database) -> None:
    town = Town(database, places=1, skus=1, rules=None)
    town.put(0, 0, 2)
    order = town.order((0, 3))
    assert town.only(order).action is Action.CANCEL
    assert not town.parcels(order)
    assert [record.rules_version for record in town.records(order)] == [0]


def test_a_partial_order_says_in_its_feed_what_is_missing(database: Database) -> None:
    town = Town(database, places=1, skus=1)
    town.put(0, 0, 2)
    order = town.order((0, 3))
    assert town.only(order).unfilled == [{"line_no": 1, "quantity": 1}]
    (event,) = town.rows("SELECT kind, detail FROM order_event WHERE order_id = %s", order)
    assert event["kind"] == "allocated"
    assert event["detail"]["unfilled"] == [{"line_no": 1, "quantity": 1}]


def test_orders_of_one_batch_never_promise_a_unit_twice(database: Database) -> None:
    town = Town(database, places=1, skus=1)
    town.put(0, 0, 3, safety=1)
    orders = [town.order((0, 1)) for _ in range(4)]
    actions = [planned.action for planned in town.plan(*orders).values() if planned]
    assert actions == [Action.ALLOCATE, Action.ALLOCATE, Action.CANCEL, Action.CANCEL]
    assert not town.oversold()


def test_a_queued_order_waits_until_its_time_is_up(database: Database) -> None:
    town = Town(database, places=1, skus=1, rules=RULES.replace('"partial"', '"queue"') + "queue_for_s = 3600\n")
    order = town.order((0, 1))
    assert town.only(order).action is Action.QUEUE
    assert town.only(order, waited=True).action is Action.QUEUE
    assert len(town.records(order)) == 1
    assert town.only(order, waited=True, now=NOW + timedelta(hours=1)).action is Action.CANCEL
    assert [row["cause"] for row in town.rows("SELECT cause FROM order_decision ORDER BY round")] == [
        "placed",
        "waited",
    ]


def test_a_queued_order_is_sent_when_the_goods_are_there(database: Database) -> None:
    town = Town(database, places=1, skus=1, rules=RULES.replace('"partial"', '"queue"') + "queue_for_s = 3600\n")
    order = town.order((0, 1))
    town.plan(order)
    town.put(0, 0, 1)
    assert town.only(order, waited=True).action is Action.ALLOCATE
    assert [row["cause"] for row in town.rows("SELECT cause FROM order_decision ORDER BY round")] == [
        "placed",
        "restocked",
    ]


def test_after_a_refusal_what_there_is_goes_out_from_elsewhere(database: Database) -> None:
    town = Town(database, places=3, skus=1, rules=None)
    town.put(0, 0, 2), town.put(1, 0, 1)
    order = town.order((0, 2))
    (parcel_no,) = town.only(order).parcels
    with database.unit() as uow:
        place = town.refuse(uow, parcel_no)
        uow.commit()
    planned = town.only(order, refused={place: "late"}, resourced=True)
    assert (planned.action, planned.parcels) == (Action.PARTIAL, [f"P{order:08d}-2"])
    assert town.parcels(order) == [(1, {1: 1})]
    second = town.records(order)[1]
    assert [entry.removed_by for entry in second.decision.considered] == ["late", None, "no_stock"]


def test_an_order_that_is_to_be_cancelled_is_not_planned(database: Database) -> None:
    town = Town(database, places=1, skus=1)
    town.put(0, 0, 1)
    order = town.order((0, 1))
    town.rows("UPDATE sales_order SET status_reason = 'cancel_requested' WHERE id = %s RETURNING id", order)
    assert town.plan(order) == {order: None}
    assert not town.parcels(order)


def test_an_order_that_lost_its_goods_meanwhile_does_not_hold_up_the_others(database: Database) -> None:
    town = Town(database, places=1, skus=2)
    town.put(0, 0, 1), town.put(0, 1, 1)
    rival, first, second = town.order((0, 1)), town.order((0, 1)), town.order((1, 1))
    with ThreadPoolExecutor() as threads, database.unit() as uow:
        plan_orders(uow.connection, [Ask(rival)], now=NOW)
        both = threads.submit(town.plan, first, second)
        while not town.rows("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert not both.done()
        uow.commit()
        planned = both.result()
    lost, held = planned[first], planned[second]
    assert lost is not None
    assert held is not None
    assert (lost.contested, lost.parcels) == (True, [])
    assert (held.contested, held.parcels) == (False, [f"P{second:08d}-1"])
    assert town.only(first).action is Action.CANCEL
    assert not town.astray()


def checked_out(town: Town, desk: Desk, order_no: str, level: int, units: int) -> None:
    """Goods that a checkout of that order number holds."""
    parcels = [{"reference": f"C-{order_no}"}]
    town.rows(
        "INSERT INTO checkout (owner, brand, channel, order_no, fingerprint, parcels, expires_at)"
        " VALUES (%s, %s, 'shop', %s, 'x', %s, now() + interval '1 hour') RETURNING id",
        OWNER,
        town.brand,
        order_no,
        Jsonb(parcels),
    )
    asked = HoldAsked(OWNER, town.brand, None, {f"C-{order_no}": [HoldLine(1, level, units)]}, day=NOW.date())
    with desk.hub.database.unit() as uow:
        assert hold_many(uow.connection, [asked]) == [Held()]
        uow.commit()


def test_an_orders_own_checkout_never_blocks_it(desk: Desk) -> None:
    town = Town(desk.hub.database, places=1, skus=1)
    town.change_place(0, capacity=1)
    level = town.put(0, 0, 2)
    order = town.order((0, 2))
    number = town.rows("SELECT order_no FROM sales_order WHERE id = %s", order)[0]["order_no"]
    checked_out(town, desk, number, level, 2)
    other = town.order((0, 1))
    assert town.only(other).action is Action.CANCEL
    assert town.only(order).action is Action.ALLOCATE
    assert town.parcels(order) == [(0, {1: 2})]
    assert town.rows("SELECT state FROM checkout WHERE brand = %s", town.brand) == [{"state": "confirmed"}]
    assert not town.astray()
    assert not town.oversold()


def test_whole_bundles_leave_from_one_place_and_broken_ones_line_by_line(database: Database) -> None:
    town = Town(database, places=2, skus=2)
    town.put(0, 0, 5), town.put(0, 1, 1), town.put(1, 0, 2), town.put(1, 1, 2)
    order = town.order((0, 4), (1, 2), bundle={1: 9, 2: 9}, per_bundle={1: 2, 2: 1})
    town.plan(order)
    assert sorted(town.parcels(order)) == [(0, {1: 2, 2: 1}), (1, {1: 2, 2: 1})]


def test_a_group_is_not_split(database: Database) -> None:
    town = Town(database, places=2, skus=2)
    town.put(0, 0, 1), town.put(1, 1, 1)
    order = town.order((0, 1), (1, 1), group={1: "pair", 2: "pair"})
    assert town.only(order).action is Action.CANCEL


def test_a_members_own_store_is_preferred_where_the_rules_say_so(database: Database) -> None:
    town = Town(database, places=3, skus=1, rules=RULES + '[[tiers]]\nby = "member"\n[[tiers]]\nby = "cost"\n')
    for place in range(3):
        town.put(place, 0, 1)
    member = town.rows(
        "INSERT INTO member"
        " (owner, brand, system, source_id, code, home_store, sealed, key_id, message_id, occurred_at)"
        " VALUES (%s, %s, 'crm', '7', 'VIP-7', 'W2', '', 1, 'm', now()) RETURNING id",
        OWNER,
        town.brand,
    )[0]["id"]
    town.rows(
        "INSERT INTO crosswalk (owner, brand, scheme, kind, outside_id, inner_id, message_id)"
        " VALUES (%s, %s, 'crm', 'member', 'VIP-7', %s, 'm') RETURNING inner_id",
        OWNER,
        town.brand,
        member,
    )
    order = town.order((0, 1), member="VIP-7")
    town.plan(order)
    assert town.parcels(order) == [(2, {1: 1})]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"capacity": 0}, "capacity"),
        ({"body": {"service_regions": ["440000"]}}, "service_area"),
        ({"body": {"service_radius_km": 50}}, None),
        ({"body": {"hours": [{"days": [1], "opens": "13:00", "closes": "18:00"}]}}, "closed"),
        ({"body": {"hours": [{"opens": "22:00", "closes": "13:00"}]}}, None),
    ],
)
def test_a_place_says_whom_and_when_it_serves(database: Database, change: dict[str, Any], word: str | None) -> None:
    town = Town(database, places=1, skus=1, rules=RULES + "[filters]\nhours = true\n")
    town.put(0, 0, 1)
    town.change_place(0, **change)
    order = town.order((0, 1), region="330106")
    town.plan(order)
    (record,) = town.records(order)
    assert [entry.removed_by for entry in record.decision.considered] == [word]


def test_a_place_takes_no_more_parcels_a_day_than_it_can(database: Database) -> None:
    town = Town(database, places=2, skus=1)
    town.put(0, 0, 9), town.put(1, 0, 9)
    town.change_place(0, capacity=2)
    orders = [town.order((0, 1)) for _ in range(3)]
    town.plan(*orders)
    assert [town.parcels(order)[0][0] for order in orders] == [0, 0, 1]
    assert town.parcels(orders[2]) == [(1, {1: 1})]


def test_goods_leave_by_expiry_and_live_as_long_as_the_channel_promises(database: Database) -> None:
    rules = RULES + "minimum_remaining_days = 30\n[channels.outlet]\nminimum_remaining_days = 0\n"
    town = Town(database, places=2, skus=1, rules=rules)
    town.put(1, 0, 9)
    level = town.put(0, 0, 7)
    town.rows("UPDATE sku SET batch_managed = true WHERE brand = %s RETURNING id", town.brand)
    town.rows("UPDATE stock_level SET as_of = %s WHERE id = %s RETURNING id", NOW, level)
    for batch, days, units in (("A", 10, 2), ("B", 60, 2), ("C", 90, 3)):
        expires = NOW.date() + timedelta(days=days)
        town.rows(
            "INSERT INTO stock_lot (level_id, batch, expires_on, on_hand, as_of) VALUES (%s, %s, %s, %s, %s)"
            " RETURNING level_id",
            *(level, batch, expires, units, NOW),
        )
    first, cheap, last = town.order((0, 3)), town.order((0, 3), channel="outlet"), town.order((0, 2))
    actions = [planned.action for planned in town.plan(first, cheap, last).values() if planned]
    assert actions == [Action.ALLOCATE, Action.ALLOCATE, Action.PARTIAL]
    rows = town.rows("SELECT lines FROM parcel WHERE brand = %s ORDER BY id", town.brand)
    assert [{each["batch"]: each["quantity"] for each in row["lines"][0]["batches"]} for row in rows] == [
        {"B": 2, "C": 1},
        {"A": 2, "C": 1},
        {"C": 1},
    ]


def test_a_promise_counts_from_now_and_by_the_distance(database: Database) -> None:
    rules = RULES + 'handling_days = 0.5\nkm_per_day = 10.0\n[[tiers]]\nby = "promise"\n'
    town = Town(database, places=2, skus=1, rules=rules)
    town.put(0, 0, 1), town.put(1, 0, 1)
    promised, other = town.order((0, 1)), town.order((0, 1))
    at = (NOW + timedelta(hours=36)).isoformat()
    town.rows(
        "UPDATE sales_order SET body = body || %s WHERE id = %s RETURNING id", Jsonb({"promised_at": at}), promised
    )
    town.plan(promised, other)
    [record], [without] = town.records(promised), town.records(other)
    assert (record.problem.promised_days, without.problem.promised_days) == (1.5, None)
    km = record.problem.places[1].km
    assert km is not None
    assert [entry.scores for entry in record.decision.considered] == [(0.0,), (pytest.approx(km / 10 - 1.0),)]


def test_a_decision_is_explained_place_by_place(database: Database) -> None:
    town = Town(database, places=3, skus=1)
    town.put(1, 0, 1), town.put(2, 0, 1)
    order = town.order((0, 1))
    town.plan(order)
    with database.unit() as uow:
        (told,) = explained(uow.connection, OWNER, town.brand, order)
    assert (told["round"], told["cause"], told["action"], told["rules"]["version"]) == (1, "placed", "allocate", 1)
    (line,) = told["lines"]
    assert [(place["place"], place["removed_by"], place["chosen"]) for place in line["places"]] == [
        ("W0", "no_stock", 0),
        ("W1", None, 1),
        ("W2", None, 0),
    ]
    assert told["parcels"][0]["place_name"] == "Place 1"
    assert line["places"][1]["scores"]["cost"] == pytest.approx(told["cost"])


lines_of_orders = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=3), min_size=1, max_size=6
)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    stock=st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 2)), st.tuples(st.integers(0, 5), st.integers(0, 2))
    ),
    orders=lines_of_orders,
    on_short=st.sampled_from(["partial", "cancel", "queue"]),
    refusals=st.lists(st.booleans(), max_size=30),
)
def test_whatever_comes_no_unit_is_promised_twice_and_every_round_rules_out_a_place(
    database: Database, stock: Any, orders: Any, on_short: str, refusals: list[bool]
) -> None:
    town = Town(database, places=4, skus=3, rules=RULES.replace('"partial"', f'"{on_short}"') + "queue_for_s = 60\n")
    for (place, sku), (units, safety) in stock.items():
        town.put(place, sku, units, safety)
    refusing = iter(refusals)
    asks = [Ask(town.order(*lines)) for lines in orders]
    wanted = {
        ask.order_id: dict(enumerate((units for _, units in lines), 1)) for ask, lines in zip(asks, orders, strict=True)
    }
    for _ in range(6):
        planned = town.ask(*asks)
        assert not town.oversold()
        assert not town.astray()
        again = []
        for ask in asks:
            told = planned[ask.order_id]
            assert told is not None
            assert not told.contested
            assert _accepted(town, ask.order_id, told.unfilled) == wanted[ask.order_id]
            assert bool(told.parcels) == (told.action in (Action.ALLOCATE, Action.PARTIAL))
            assert ask.resourced or on_short == "partial" or told.action is not Action.PARTIAL
            refused = _refused(town, told.parcels, refusing)
            if refused:
                assert not refused & ask.refused.keys()
                again.append(Ask(ask.order_id, {**ask.refused, **dict.fromkeys(refused, "refused")}, resourced=True))
        asks = again
        if not asks:
            break
    assert not asks, "every round rules out a place, and there are only four"
    assert not town.wrong()
    for row in town.rows("SELECT DISTINCT order_id FROM order_decision WHERE brand = %s", town.brand):
        for record in town.records(row["order_id"]):
            assert decide(record.problem, record.rules) == record.decision


def _accepted(town: Town, order_id: int, unfilled: list[dict[str, int]]) -> dict[int, int]:
    """Units of each line: in live parcels, and declared as missing."""
    units: dict[int, int] = {}
    for _, lines in town.parcels(order_id):
        for line_no, quantity in lines.items():
            units[line_no] = units.get(line_no, 0) + quantity
    for line in unfilled:
        units[line["line_no"]] = units.get(line["line_no"], 0) + line["quantity"]
    return units


def _refused(town: Town, parcels: list[str], refusing: Iterator[bool]) -> set[int]:
    places = set()
    with town.database.unit() as uow:
        for parcel_no in parcels:
            if next(refusing, False):
                places.add(town.refuse(uow, parcel_no))
        uow.commit()
    return places
