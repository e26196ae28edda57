"""Orders of a brand with rules of its own, end to end: late places, plans that may still be bettered, queues, parts."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from flows.one_stock.rulebooks import publish_rulebook
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import Goods
from tests.system.conftest import Shop, eventually

BASE = "parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 4\n"

Publish = Callable[[str], None]


@pytest.fixture
def publish(estate: DemoEstate) -> Iterator[Publish]:
    """Put the base rules with a few more lines in force; afterwards those that send all or nothing."""

    def put(more: str) -> None:
        with estate.hub.database.unit() as uow:
            publish_rulebook(uow, estate.hub.estate.owner, estate.hub.estate.brand, BASE + more, "test", "test")
            uow.commit()

    yield put
    put('on_short = "cancel"\n')


def decisions(shop: Shop, order_id: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        shop.operator.get(f"/v1/orders/{order_id}/decisions").raise_for_status().json()["items"]
    )
    return found


def restock(shop: Shop, goods: Goods, warehouse: str, quantity: int) -> None:
    row = {"warehouseCode": warehouse, "itemCode": goods.code, "inventoryType": "ZP", "quantity": quantity}
    shop.tell(shop.estate.wms.url, "/_seed", {"warehouses": [], "stock": [row]})
    shop.tell(shop.estate.wms.url, f"/_report?what=stock&warehouse={warehouse}", None)


def lose(shop: Shop, goods: Goods, warehouse: str, quantity: int) -> None:
    lost = {"warehouseCode": warehouse, "itemCode": goods.code, "change": -quantity, "inventoryType": "ZP"}
    shop.tell(shop.estate.wms.url, "/_adjust", lost)


def status_at_wms(shop: Shop, parcel_no: str) -> str | None:
    order = shop.at_wms().get(parcel_no)
    return order["status"] if order else None


def picked(shop: Shop, goods: Goods) -> tuple[str, int]:
    """A parcel that was picked and cannot leave, since the pickers went to lunch then; and its order."""
    for _ in range(20):
        order_id = shop.buy((goods, 1))
        number = f"P{order_id:08d}-1"
        eventually(partial(status_at_wms, shop, number), lambda status: status not in (None, "ACCEPT"))
        shop.pickers(paused=True)
        if status_at_wms(shop, number) == "PICK":
            return number, order_id
        shop.pickers(paused=False)
    raise AssertionError("the pickers are always faster")


def test_a_place_that_ships_too_late_gives_the_parcel_back_and_another_ships(shop: Shop, publish: Publish) -> None:
    publish("ship_within_s = 2\n")
    coat = shop.goods(W_SH=2, W_CD=2)
    shop.pickers(paused=True)
    order_id = shop.buy((coat, 1))
    shop.until(order_id, lambda order: any(p["status"] == "accepted" for p in order["parcels"]))
    publish("")
    shop.until(order_id, lambda order: len(order["parcels"]) > 1)
    shop.pickers(paused=False)
    order = shop.ended(order_id)
    assert order["status"] == "shipped"
    assert [parcel["status"] for parcel in order["parcels"]] == ["cancelled", "shipped"]
    first, second = decisions(shop, order_id)
    assert (first["cause"], second["cause"]) == ("placed", "resourced")
    removed = {place["place"]: place["removed_by"] for place in second["lines"][0]["places"]}
    assert removed[first["parcels"][0]["place"]] == "late"
    assert all(level["held"] == 0 for level in shop.stock(coat).values()) or order["status"] == "shipped"


def test_a_late_place_that_has_picked_already_ships_after_all(shop: Shop, publish: Publish) -> None:
    publish("ship_within_s = 1\n")
    parcel_no, order_id = picked(shop, shop.goods(W_SH=20))
    asked = eventually(
        lambda: shop.run("one_stock.recall_parcel", f"{parcel_no}:late"), lambda run: bool(run.get("outcome"))
    )
    assert asked["outcome"] == "refused"
    shop.pickers(paused=False)
    order = shop.ended(order_id)
    assert order["status"] == "shipped"
    assert [parcel["status"] for parcel in order["parcels"]] == ["shipped"]


def test_a_plan_whose_goods_are_lost_before_its_release_is_made_anew(shop: Shop, publish: Publish) -> None:
    publish("release_after_s = 600\n")
    coat = shop.goods(W_SH=1, W_CD=1)
    order_id = shop.buy((coat, 1))
    shop.until(order_id, lambda order: order["status"] == "allocated")
    lose(shop, coat, "W-SH", 1)
    order = shop.until(order_id, lambda order: len(order["parcels"]) == 2)
    assert [parcel["status"] for parcel in order["parcels"]] == ["cancelled", "planned"]
    assert [told["cause"] for told in decisions(shop, order_id)] == ["placed", "resourced"]
    removed = {place["place"]: place["removed_by"] for place in decisions(shop, order_id)[1]["lines"][0]["places"]}
    assert (removed["W-SH"], removed["W-CD"]) == ("recalled", None)
    levels = shop.stock(coat)
    assert (levels["W-SH"]["held"], levels["W-CD"]["held"]) == (0, 1)


def test_a_whole_order_is_cancelled_when_a_part_is_lost_before_its_release(shop: Shop, publish: Publish) -> None:
    publish('release_after_s = 600\non_short = "cancel"\n')
    coat, scarf = shop.goods(W_SH=1), shop.goods(W_CD=1)
    order_id = shop.buy((coat, 1), (scarf, 1))
    shop.until(order_id, lambda order: order["status"] == "allocated")
    lose(shop, coat, "W-SH", 1)
    order = shop.ended(order_id)
    assert (order["status"], order["status_reason"]) == ("cancelled", "no_stock")
    assert shop.stock(scarf)["W-CD"]["atp"] == 1
    assert not {parcel["parcel_no"] for parcel in order["parcels"]} & shop.at_wms().keys()


def test_an_order_that_is_cancelled_before_its_release_never_reaches_a_place(shop: Shop, publish: Publish) -> None:
    publish("release_after_s = 600\n")
    coat = shop.goods(W_SH=2)
    order_id = shop.buy((coat, 1))
    order = shop.until(order_id, lambda order: order["status"] == "allocated")
    (parcel,) = order["parcels"]
    shop.channel.post(f"/v1/orders/{order_id}/cancel").raise_for_status()
    order = shop.ended(order_id)
    assert (order["status"], order["status_reason"]) == ("cancelled", "cancelled")
    assert [parcel["status"] for parcel in order["parcels"]] == ["cancelled"]
    assert parcel["parcel_no"] not in shop.at_wms()
    assert shop.stock(coat)["W-SH"]["atp"] == 2
    run = eventually(lambda: shop.run("one_stock.cancel_order", str(order_id)), lambda run: run["state"] == "done")
    assert run["outcome"] == "cancelled"


def test_a_plan_is_carried_out_when_it_may_no_longer_be_bettered(shop: Shop, publish: Publish) -> None:
    publish("release_after_s = 1\n")
    order = shop.ended(shop.buy((shop.goods(W_SH=2), 1)))
    assert order["status"] == "shipped"


def test_an_order_waits_in_the_queue_for_its_goods(shop: Shop, publish: Publish) -> None:
    publish('on_short = "queue"\nqueue_for_s = 600\nqueue_retry_s = 1\n')
    coat = shop.goods(W_SH=1)
    order_id = shop.buy((coat, 2))
    (told,) = eventually(lambda: decisions(shop, order_id), lambda told: len(told) == 1)
    assert told["action"] == "queue"
    assert shop.stock(coat)["W-SH"]["held"] == 0
    restock(shop, coat, "W-SH", 2)
    order = shop.ended(order_id)
    assert order["status"] == "shipped"
    assert [told["cause"] for told in decisions(shop, order_id)] == ["placed", "restocked"]


def test_the_queue_has_an_end(shop: Shop, publish: Publish) -> None:
    publish('on_short = "queue"\nqueue_for_s = 2\nqueue_retry_s = 1\n')
    order_id = shop.buy((shop.goods(W_SH=1), 2))
    order = shop.ended(order_id)
    assert (order["status"], order["status_reason"]) == ("cancelled", "no_stock")
    assert [told["action"] for told in decisions(shop, order_id)] == ["queue", "cancel"]


def test_a_part_is_sent_and_the_rest_is_declared_and_cancelled(shop: Shop, publish: Publish) -> None:
    publish('on_short = "partial"\n')
    coat = shop.goods(W_SH=1, W_CD=1)
    order = shop.ended(shop.buy((coat, 3)))
    assert (order["status"], order["status_reason"]) == ("partly_shipped", "no_stock")
    assert [(line["shipped"], line["cancelled"]) for line in order["lines"]] == [(2, 1)]
    (event,) = [event for event in order["events"] if event["kind"] == "allocated"]
    assert event["detail"]["unfilled"] == [{"line_no": 1, "quantity": 1}]


@pytest.fixture
def retired(estate: DemoEstate) -> Iterator[None]:
    """Runs begin in the version of the release before."""
    estate.hub.database.run(
        "CREATE OR REPLACE FUNCTION begin_as_before() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.version := 1; RETURN NEW; END $$"
    )
    estate.hub.database.run(
        "CREATE TRIGGER begin_as_before BEFORE INSERT ON flow_run FOR EACH ROW"
        " WHEN (NEW.flow IN ('one_stock.fulfil_order', 'one_stock.ship_parcel')) EXECUTE FUNCTION begin_as_before()"
    )
    yield
    estate.hub.database.run("DROP TRIGGER begin_as_before ON flow_run")


@pytest.mark.usefixtures("retired")
def test_runs_that_began_in_the_release_before_still_end(shop: Shop) -> None:
    coat, scarf = shop.goods(W_SH=2, W_CD=2), shop.goods(W_SH=1)
    shop.pickers(paused=True)
    shop.faults("wms", no_stock=1.0)
    resourced = shop.buy((coat, 1))
    shop.until(resourced, lambda order: len(order["parcels"]) >= 2)
    shop.faults("wms")
    cancelled = shop.buy((scarf, 1))
    shop.until(cancelled, lambda order: any(p["status"] == "accepted" for p in order["parcels"]))
    shop.channel.post(f"/v1/orders/{cancelled}/cancel").raise_for_status()
    shop.ended(cancelled)
    shop.pickers(paused=False)
    assert shop.ended(resourced)["parcels"][0]["status"] == "refused"
    assert shop.order(cancelled)["status"] == "cancelled"
    assert shop.run("one_stock.fulfil_order", str(resourced))["version"] == 1
    assert [told["cause"] for told in decisions(shop, resourced)][:2] == ["placed", "resourced"]
