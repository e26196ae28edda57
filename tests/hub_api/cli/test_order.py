"""``yipan order explain`` tells why an order ships from where it does."""

from datetime import UTC, datetime

from flows.one_stock.decisions import Ask, plan_orders
from flows.runtime.bootstrap import Hub
from tests.hub_api.conftest import Client
from tests.hub_api.documents import order, product
from tests.hub_api.test_cli import Yipan


def test_every_place_is_named_with_what_was_thought_of_it(hub: Hub, client: Client, yipan: Yipan) -> None:
    client("ingest:hub").post("/v1/ingest/hub/products?wait=true", json=[product()])
    place = {"code": "HZ01", "name": "杭州湖滨店", "kind": "warehouse", "services": ["ship"]}
    client("ingest:hub").post("/v1/ingest/hub/locations?wait=true", json=[place])
    client("orders:read", "orders:write", "channel:shop").post("/v1/orders?wait=true", json=order())
    with hub.database.unit() as uow:
        (row,) = uow.execute("SELECT id, order_no FROM sales_order").fetchall()
        uow.execute("UPDATE location SET fulfilled_by = 'wms'")
        plan_orders(uow.connection, [Ask(row["id"])], now=datetime.now(UTC))
        uow.commit()
    told = yipan("order", "explain", "shop", row["order_no"], "--json")
    assert told.code == 0, told.out
    (decision,) = told.json["items"]
    assert (decision["action"], decision["cause"], decision["rules"]["version"]) == ("cancel", "placed", 0)
    (line,) = decision["lines"]
    assert [(each["place"], each["place_name"], each["removed_by"]) for each in line["places"]] == [
        ("HZ01", "杭州湖滨店", "no_stock")
    ]
    assert "no_stock" in yipan("order", "explain", "shop", row["order_no"]).out


def test_an_order_that_nobody_sent_cannot_be_explained(yipan: Yipan) -> None:
    assert yipan("order", "explain", "shop", "nowhere").code == 4
